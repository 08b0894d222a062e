"""Check the settlement of a charge by transfer: every unit that was received went somewhere, and where."""

from typing import Final

from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.settlement import Settlement
from evmesh.domain.transfers import split
from evmesh.verify.chain_facts import NO_TRANSFER, SettlementFacts
from evmesh.verify.followup_case import FollowUp
from evmesh.verify.report import Finding, NotChecked, require
from evmesh.verify.transfer_terms import require_terms

_OTHER_TRANSFERS: Final = (
    "settlement.other_transfers",
    "it is of other transfers than the receipt's",
    "deposit.transfers",
)


def adds_up(document: Settlement, deposit: DepositSplit) -> None:
    """Raise IntegrityFailure unless received = due + returned + fee + kept, and is the sum of what is named.

    A loss has less than is due, and nothing is left of it.
    """
    due = document.amount if document.kind != "refund" else 0
    if document.kind == "loss":
        due = min(due, deposit.received)
    gone = due + deposit.returned + deposit.fee + deposit.kept
    require(
        deposit.received == gone,
        "settlement.split_differs",
        f"{deposit.received} were received, and {gone} are accounted for",
        "deposit",
    )
    require(
        document.kind != "loss" or deposit.received < document.amount,
        "settlement.not_lost",
        f"{deposit.received} were received, and no more than {document.amount} was due",
        "deposit.received",
    )
    _require_named(document, deposit)
    require(
        document.kind != "refund" or document.amount == deposit.returned,
        "settlement.amount_differs",
        f"a refund of {document.amount}, and {deposit.returned} returned",
        "amount",
    )


def _require_named(document: Settlement, deposit: DepositSplit) -> None:
    """The named transfers are the payer's, and those that were received are all that was received."""
    named = deposit.transfers + deposit.lost
    if not named:
        return
    received = sum(one.amount for one in deposit.transfers)
    require(
        received == deposit.received,
        "settlement.split_differs",
        f"the transfers brought {received}, and {deposit.received} are said to be received",
        "deposit.received",
    )
    require(
        all(one.sender == document.payer for one in named),
        "settlement.other_sender",
        f"not all of the transfers are of {document.payer}",
        "deposit.transfers",
    )
    require(
        deposit.opened_by in {one.ref for one in named},
        "settlement.not_opened",
        "the transfer that opened the deposit is not among them",
        "deposit.opened_by",
    )


def of_receipt(document: Settlement, deposit: DepositSplit, receipt: Receipt) -> None:
    """Raise IntegrityFailure unless this is what becomes of the receipt's transfers."""
    payment = receipt.payment
    require(payment is not None, "settlement.no_transfer", "the receipt is of no transfer", "deposit")
    if payment is None:
        return
    same = (deposit.address, deposit.opened_by) == (payment.deposit_address, payment.opened_by)
    require(same, "settlement.other_deposit", "it is another deposit than the receipt's", "deposit")
    stands_on = {(one.ref, one.amount) for one in payment.transfers}
    counted = {(one.ref, one.amount) for one in deposit.transfers}
    known = bool(deposit.transfers or deposit.lost)
    if document.kind == "loss":
        lost = {(one.ref, one.amount) for one in deposit.lost}
        same = counted <= stands_on <= counted | lost
        require(same or not known, *_OTHER_TRANSFERS)
        return
    require(counted == stands_on or not known, *_OTHER_TRANSFERS)
    require(
        deposit.received == payment.received,
        "settlement.split_differs",
        f"the receipt says {payment.received} received",
        "deposit.received",
    )
    parts = split(payment.received, receipt.due, payment.fee)
    require(
        (deposit.returned, deposit.fee, deposit.kept) == (parts.returned, parts.fee, parts.kept),
        "settlement.split_differs",
        f"{parts.returned} are to be returned, {parts.fee} for the gas, {parts.kept} not worth it",
        "deposit",
    )


def transactions(case: FollowUp[Settlement], facts: SettlementFacts, deposit: DepositSplit) -> Finding:
    """Check that the named transactions paid the operator and the sender out of the deposit address."""
    document, unknown = case.document, _unknown_of_received(facts, deposit)
    paid: dict[str, int] = {}
    for number, (named, call) in enumerate(zip(document.transactions, facts.calls, strict=True)):
        path = f"transactions[{number}]"
        if call is None:
            return NotChecked(f"the node does not have {path}")
        require(
            call.block == named.block,
            "settlement.other_block",
            f"it is in block {call.block}",
            f"{path}.block",
        )
        require(call.succeeded, "settlement.failed_transaction", "it failed", path)
        require(
            bool(call.paid),
            "settlement.other_transaction",
            "it paid nothing out of the deposit address",
            path,
        )
        for one in call.paid:
            paid[one.receiver.text] = paid.get(one.receiver.text, 0) + one.amount
    due = 0 if document.kind == "refund" else document.amount
    collected = deposit.received - deposit.returned if due else 0
    wanted = {document.payee.text: collected}
    wanted[document.payer.text] = wanted.get(document.payer.text, 0) + deposit.returned
    wanted = {account: amount for account, amount in wanted.items() if amount}
    if not document.transactions and wanted:
        return NotChecked("the settlement names no transaction: the chain no longer told which it was")
    require(
        paid == wanted,
        "settlement.moved_differs",
        f"the transactions paid {paid}, where {wanted} was to be paid",
        "transactions",
    )
    if unknown:
        return NotChecked(unknown)
    return f"{collected} to the operator and {deposit.returned} back to {document.payer}"


def fee(case: FollowUp[Settlement]) -> Finding:
    """Check that what was taken or kept is what the terms say that the operator signed."""
    document, deposit = case.document, case.document.deposit
    if deposit is None:
        return "no fee: it is of no transfer"
    terms = deposit.terms
    require_terms(
        case.signatures,
        terms,
        "deposit.terms",
        chain=document.chain,
        payee=document.payee,
        deposit_address=deposit.address,
    )
    receipt = case.receipt()
    if receipt is not None and receipt.payment is not None:
        require(
            receipt.payment.terms == terms,
            "settlement.other_terms",
            "the receipt has others",
            "deposit.terms",
        )
    gone = deposit.received - (document.amount if document.kind == "claim" else 0)
    parts = split(max(0, gone), 0, terms.fee) if document.kind != "loss" else split(0, 0, terms.fee)
    require(
        (deposit.fee, deposit.kept) == (parts.fee, parts.kept),
        "settlement.fee_differs",
        f"by the terms {parts.fee} is the fee, and {parts.kept} is kept",
        "deposit.fee",
    )
    most = max(deposit.fee, deposit.kept)
    sent = deposit.received + sum(one.amount for one in deposit.lost)
    require(
        3 * most <= sent,
        "settlement.fee_too_high",
        f"{most} of {sent} did not go back: no deposit is opened with less than three fees",
        "deposit",
    )
    return f"{most} did not go back, as the terms say that the operator signed"


def _unknown_of_received(facts: SettlementFacts, deposit: DepositSplit) -> str:
    """Give why the node does not show that exactly this was received; empty where it does."""
    for number, (one, log) in enumerate(zip(deposit.transfers, facts.transfers, strict=True)):
        path = f"deposit.transfers[{number}]"
        if log is None:
            return f"the payments were made; the node does not have {path} as it is named"
        require(
            (log.sender, log.receiver, log.amount) == (one.sender, deposit.address, one.amount),
            "settlement.transfer_differs",
            "its transaction brought no such transfer"
            if log == NO_TRANSFER
            else f"on chain it is {log.amount} from {log.sender} to {log.receiver}",
            path,
        )
    for number, log in enumerate(facts.lost):
        require(
            log is None or log == NO_TRANSFER,
            "settlement.not_lost",
            "the chain has it, in the very block that is named",
            f"deposit.lost[{number}]",
        )
    if deposit.lost:
        return "the payments were made; that the chain took the rest back, no node can show"
    if deposit.received and not deposit.transfers:
        return "the payments were made; the settlement does not say which transfers were received"
    return ""
