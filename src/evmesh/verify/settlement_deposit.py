"""Check the settlement of a charge by transfer: every unit that was received went somewhere, and where."""

from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.settlement import Settlement
from evmesh.domain.transfers import split
from evmesh.verify.chain_facts import SettlementFacts
from evmesh.verify.followup_case import FollowUp
from evmesh.verify.report import Finding, NotChecked, require


def adds_up(document: Settlement, deposit: DepositSplit) -> None:
    """Raise IntegrityFailure unless received = due + returned + fee + kept; a loss has less than is due."""
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
        document.kind != "refund" or document.amount == deposit.returned,
        "settlement.amount_differs",
        f"a refund of {document.amount}, and {deposit.returned} returned",
        "amount",
    )


def of_receipt(document: Settlement, deposit: DepositSplit, receipt: Receipt) -> None:
    """Raise IntegrityFailure unless this is what becomes of the receipt's transfers."""
    payment = receipt.payment
    require(payment is not None, "settlement.no_transfer", "the receipt is of no transfer", "deposit")
    if payment is None:
        return
    same = (deposit.address, deposit.opened_by) == (payment.deposit_address, payment.opened_by)
    require(same, "settlement.other_deposit", "it is another deposit than the receipt's", "deposit")
    if document.kind == "loss":
        return
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
    document = case.document
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
    return f"{collected} to the operator and {deposit.returned} back to {document.payer}"
