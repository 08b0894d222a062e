"""Check where a settlement says that the money went: beside its receipt, and in the transactions it names."""

from evmesh.domain.settlement import Settlement
from evmesh.verify.chain_facts import MinedCall, SettlementFacts
from evmesh.verify.followup_case import NO_RECEIPT, FollowUp
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require


def amount(case: FollowUp[Settlement]) -> Finding:
    """Check that a claim or a loss is of what was due, and that nothing was refunded of a charge."""
    receipt, document = case.receipt(), case.document
    require(
        bool(document.transactions) or document.amount == 0 or document.kind == "loss",
        "settlement.no_transaction",
        "money moves in a transaction",
        "transactions",
    )
    if receipt is None:
        return NO_RECEIPT
    require(document.payer == receipt.request.payer, "followup.other_payer", "another payer", "payer")
    if document.kind == "refund":
        require(
            receipt.energy == 0,
            "settlement.refund_of_a_charge",
            f"the receipt bills {receipt.energy} Wh: a charge ends in a claim",
            "kind",
        )
        return f"{document.amount} refunded"
    require(
        document.amount == receipt.due,
        "settlement.amount_differs",
        f"{document.kind} of {document.amount}, {receipt.due} due",
        "amount",
    )
    lost = document.kind == "loss"
    return f"{document.amount} due and not collected" if lost else f"{document.amount} claimed, as due"


def transactions(case: FollowUp[Settlement]) -> Finding:
    """Check that the named transactions moved this amount of this payer's tab, in the named blocks."""
    document, facts = case.document, case.chain
    if facts is None:
        return OFFLINE
    require(
        facts.chain_id == document.chain.chain_id,
        "chain.other_chain",
        f"the node serves chain {facts.chain_id}",
        "chain.chain_id",
    )
    require(
        facts.contract_answers,
        "chain.not_the_contract",
        "the contract that the settlement names is not there",
        "chain.charge_tab",
    )
    if document.kind == "loss":
        return _lost(case, facts)
    total = 0
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
        moved = _returned(call) if document.kind == "refund" else _claimed(call)
        if moved is None:
            return NotChecked(
                f"{path} moved more than one tab, and its call does not tell how much of this one"
            )
        require(moved > 0, "settlement.other_transaction", f"it is no {document.kind} of this tab", path)
        total += moved
    require(
        total == document.amount,
        "settlement.moved_differs",
        f"the transactions moved {total}",
        "amount",
    )
    return f"{total} moved, in {len(facts.calls)} transactions"


def _lost(case: FollowUp[Settlement], facts: SettlementFacts) -> Finding:
    """A loss is one only where the tab has left the offer's epoch: else the payee can claim it still."""
    receipt = case.receipt()
    if receipt is None:
        return NO_RECEIPT
    require(
        facts.epoch > receipt.offer.epoch,
        "settlement.not_lost",
        f"the tab is still in epoch {facts.epoch}: it can be claimed",
        "kind",
    )
    return f"the tab was closed since, and is in epoch {facts.epoch}"


def _claimed(call: MinedCall) -> int | None:
    """Give how far a call raised the tab's total; None where a call of many rows does not say."""
    rises = [None if move.before is None else move.total - move.before for move in call.moves]
    known = [rise for rise in rises if rise is not None]
    return sum(known) if len(known) == len(rises) else None


def _returned(call: MinedCall) -> int | None:
    """Give what a call returned to the payer; a close that also took something is no refund."""
    closes = [move for move in call.moves if move.closes]
    return sum(move.returned for move in closes if not move.cumulative)
