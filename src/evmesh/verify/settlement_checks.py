"""Check where a settlement says that the money went: beside its receipt, and in the transactions it names.

Only the receipt's offer says where on the tab the session begins, so without it a movement of the
right amount may be another session's: that is never called ok.
"""

from evmesh.domain.nouns import counted
from evmesh.domain.receipt import Receipt
from evmesh.domain.settlement import Settlement
from evmesh.verify import settlement_deposit
from evmesh.verify.chain_facts import SettlementFacts, TabMove
from evmesh.verify.followup_case import NO_RECEIPT, FollowUp
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require

_Moves = list[tuple[str, TabMove | None]]
"""The moves of the named transactions, each with its path; None for a transaction that is not there."""


def stated_amount(case: FollowUp[Settlement]) -> Finding:
    """Check that it speaks of what was due, and of no refund of a charge; nothing has to have moved."""
    receipt, document = case.receipt(), case.document
    if document.deposit is not None:
        settlement_deposit.adds_up(document, document.deposit)
    require(
        bool(document.transactions or document.deposit) or document.amount == 0 or document.kind == "loss",
        "settlement.no_transaction",
        "money moves in a transaction",
        "transactions",
    )
    if receipt is None:
        return NO_RECEIPT
    require(document.payer == receipt.request.payer, "followup.other_payer", "another payer", "payer")
    if document.deposit is not None:
        settlement_deposit.of_receipt(document, document.deposit, receipt)
    else:
        require(
            receipt.payment is None, "settlement.no_split", "it does not say what was returned", "deposit"
        )
    if document.kind == "refund":
        require(
            receipt.energy == 0,
            "settlement.refund_of_a_charge",
            f"the receipt bills {receipt.energy} Wh: a charge ends in a claim",
            "kind",
        )
        return f"the document says {document.amount} refunded, and nothing was billed"
    require(
        document.amount == receipt.due,
        "settlement.amount_differs",
        f"{document.kind} of {document.amount}, {receipt.due} due",
        "amount",
    )
    if document.kind == "loss":
        return f"the document says {document.amount} due and not collected, and that is what is due"
    return f"the document says {document.amount}, which is what is due"


def transactions(case: FollowUp[Settlement]) -> Finding:
    """Check that the named transactions moved this session's amount of this payer's tab."""
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
    if document.deposit is not None:
        return settlement_deposit.transactions(case, facts, document.deposit)
    if document.kind == "loss":
        return _lost(case, facts)
    moves, receipt = _named_moves(document, facts), case.receipt()
    if receipt is not None:
        _require_epoch(moves, receipt.offer.epoch)
    if document.kind == "refund":
        return _refunded(document, receipt, moves)
    return _claimed(document, receipt, moves)


def _named_moves(document: Settlement, facts: SettlementFacts) -> _Moves:
    """Give what the named transactions did, each being in its block and of the settlement's kind."""
    found: _Moves = []
    for number, (named, call) in enumerate(zip(document.transactions, facts.calls, strict=True)):
        path = f"transactions[{number}]"
        if call is None:
            found.append((path, None))
            continue
        require(
            call.block == named.block,
            "settlement.other_block",
            f"it is in block {call.block}",
            f"{path}.block",
        )
        require(call.succeeded, "settlement.failed_transaction", "it failed", path)
        own = [(path, move) for move in call.moves if _is_of(document, move)]
        require(bool(own), "settlement.other_transaction", f"it is no {document.kind} of this tab", path)
        found += own
    return found


def _is_of(document: Settlement, move: TabMove) -> bool:
    """A refund is a close that took nothing; a claim raises the total."""
    if document.kind == "refund":
        return move.closes and not move.cumulative and move.returned > 0
    return move.before is None or move.total > move.before


def _require_epoch(moves: _Moves, epoch: int) -> None:
    for path, move in moves:
        require(
            move is None or move.epoch == epoch,
            "settlement.other_epoch",
            f"it is of the tab's epoch {move.epoch if move else 0}, the offer of {epoch}",
            path,
        )


def _claimed(document: Settlement, receipt: Receipt | None, moves: _Moves) -> Finding:
    """The total went from base to base + due without a gap; without the receipt, by the amount."""
    at = None if receipt is None else receipt.offer.base
    moved, unknown = 0, ""
    for path, move in moves:
        if move is None:
            at, unknown = None, f"the node does not have {path}"
            continue
        require(
            at is None or move.before in (None, at),
            "settlement.other_base",
            f"it begins where the tab had spent {move.before}; this settlement's part begins at {at}",
            path,
        )
        if move.before is None:
            unknown = unknown or f"{path} does not tell how much it took of this tab"
        moved += move.total - (move.before or 0)
        at = move.total
    end = None if receipt is None else receipt.offer.base + receipt.due
    require(
        None in (at, end) or at == end,
        "settlement.moved_differs",
        f"the transactions left the tab at {at}, where {end} was owed",
        "transactions",
    )
    if unknown:
        return NotChecked(unknown)
    return _summed(document, receipt, moved)


def _refunded(document: Settlement, receipt: Receipt | None, moves: _Moves) -> Finding:
    """The tab was closed where the offer found it, and gave this amount back."""
    closes = [(path, move) for path, move in moves if move is not None]
    for path, move in closes:
        require(
            receipt is None or move.total >= receipt.offer.base,
            "settlement.other_base",
            f"it closed a tab that had spent {move.total}, less than the offer begins at",
            path,
        )
    absent = [path for path, move in moves if move is None]
    if absent:
        return NotChecked(f"the node does not have {absent[0]}")
    found = _summed(document, receipt, sum(move.returned for _, move in closes))
    later = [path for path, move in closes if receipt is not None and move.total > receipt.offer.base]
    if later:
        return NotChecked(
            f"{later[0]} closed the tab after more had been claimed of it than the offer begins at"
        )
    return found


def _summed(document: Settlement, receipt: Receipt | None, moved: int) -> Finding:
    require(
        moved == document.amount,
        "settlement.moved_differs",
        f"the transactions moved {moved}",
        "amount",
    )
    words = f"{moved} moved, in {counted(len(document.transactions), 'transaction')}"
    if receipt is None:
        return NotChecked(f"{words}; whether for this session, only its receipt can tell")
    return f"{words}, in this session's part of the tab"


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
    return NotChecked(
        f"the tab was closed since, and is in epoch {facts.epoch}: nothing can be claimed any more; "
        "whether it had been before, the receipt's check of the settlement reads from the logs"
    )
