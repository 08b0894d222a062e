"""What the escrow says: was what is due claimed, and only that, as far as this receipt's vouchers reach.

A tab's total rises from session to session: this one's claims lead from `offer.base` to base + due,
and the next session begins there. A voucher names no session, so what was claimed above that with a
voucher within base + budget is either a later session's, or too much: this receipt cannot tell.
"""

from evmesh.verify import receipt_transfer
from evmesh.verify.case import Case, require_contracts
from evmesh.verify.chain_facts import ChainFacts, TabMove
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require


def settlement(case: Case) -> Finding:
    """Check that the tab's total went from base to base + due, and what was claimed after that."""
    if case.receipt.payment is not None:
        return receipt_transfer.settlement(case, case.receipt.payment)
    if case.chain is None:
        return OFFLINE
    facts, offer = require_contracts(case), case.receipt.offer
    require(
        facts.epoch >= offer.epoch,
        "settlement.unknown_epoch",
        f"the tab is in epoch {facts.epoch}, the offer in {offer.epoch}",
        "offer.epoch",
    )
    same_epoch = facts.epoch == offer.epoch
    require(
        not same_epoch or facts.spent >= offer.base,
        "settlement.base_differs",
        f"the tab has spent {facts.spent}, less than the {offer.base} that the offer begins at",
        "offer.base",
    )
    moves = _known_moves(facts, offer.base, same_epoch)
    if moves is None:
        return _without_logs(case, facts, same_epoch)
    return _from_moves(case, moves)


def _known_moves(facts: ChainFacts, base: int, same_epoch: bool) -> list[TabMove] | None:
    """Give the rises above the base; None where the logs do not lead to what the tab says now."""
    if facts.moves is None:
        return None
    rises, total = list[TabMove](), base
    for move in facts.moves:
        if move.total > total:
            if move.before is not None and move.before > total:
                return None  # something between the two is not shown
            rises.append(move)
            total = move.total
    ends = total == facts.spent if same_epoch else any(move.closes for move in facts.moves)
    return rises if ends else None


def _without_logs(case: Case, facts: ChainFacts, same_epoch: bool) -> Finding:
    receipt, base = case.receipt, case.receipt.offer.base
    owed = base + receipt.due
    if same_epoch and facts.spent == owed:
        return _words(receipt.due, base)
    if same_epoch and facts.spent < owed:
        return NotChecked(f"not claimed yet: {facts.spent} of {owed}")
    now = (
        f"it has spent {facts.spent} now"
        if same_epoch
        else f"it was closed since, and is in epoch {facts.epoch}"
    )
    return NotChecked(f"the node does not show the claims on this tab, where {owed} was owed: {now}")


def _from_moves(case: Case, moves: list[TabMove]) -> Finding:
    receipt, base = case.receipt, case.receipt.offer.base
    owed, most = base + receipt.due, base + receipt.offer.budget
    reaching = [move for move in moves if move.total >= owed]
    if receipt.due and not reaching:
        return NotChecked(f"not claimed yet: {moves[-1].total if moves else base} of {owed}")
    if receipt.due and reaching[0].total > owed:
        return _jumped(reaching[0], owed, most)
    later = [move for move in moves if move.total > owed]
    doubtful = [move for move in later if move.cumulative is None or move.cumulative <= most]
    if doubtful:
        more = max(move.total for move in doubtful) - owed
        return NotChecked(
            f"{_words(receipt.due, base)}, and {more} more by a voucher within this session's budget "
            f"({doubtful[0].transaction}): only a later session's receipt, whose base is {owed}, explains it"
        )
    since = f", and {later[-1].total - owed} since, by vouchers for more than this session" if later else ""
    return _words(receipt.due, base) + since


def _jumped(move: TabMove, owed: int, most: int) -> Finding:
    """One claim went past what is due. Offers begin where the tab is, so no two sessions share a claim."""
    own = move.cumulative is not None and move.cumulative <= most
    require(
        not (own and move.before is not None and move.before < owed),
        "settlement.over_claimed",
        f"claimed up to {move.total} where {owed} was owed ({move.transaction})",
        "due",
    )
    return NotChecked(f"claimed together with something else: up to {move.total}, where {owed} was owed")


def _words(due: int, base: int) -> str:
    return f"claimed: {due} here, {base} before" if due else f"nothing was due; {base} was claimed before"
