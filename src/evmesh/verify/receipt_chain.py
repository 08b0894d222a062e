"""What the notary says: which head of the meters' tree is on chain, and since when."""

from datetime import timedelta
from typing import Final

from evmesh.domain.nouns import counted, leaves
from evmesh.domain.strict import unix_seconds
from evmesh.verify.case import Case, require_contracts
from evmesh.verify.chain_facts import Anchor
from evmesh.verify.receipt_terms import CLOCKS_APART
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require

ANCHORED_WITHIN: Final = timedelta(hours=1)
"""How long after the stop an anchor may come before a reader should know: till then all can be rewritten."""


def anchor(case: Case) -> Finding:
    """Check that the receipt's tree head was anchored, as the newest or an older one, soon after the stop."""
    if case.chain is None:
        return OFFLINE
    facts, tree = require_contracts(case), case.receipt.tree
    if facts.newest_size < tree.size:
        return NotChecked(f"not anchored yet: the newest head has {leaves(facts.newest_size)}")
    if facts.newest_size == tree.size:
        found: tuple[Anchor, ...] = (facts.newest,)
        words = f"the head of {leaves(tree.size)} is the newest of its stream"
    else:
        found = facts.anchors or ()
        words = f"the head of {leaves(tree.size)} was anchored; the newest has {facts.newest_size}"
    if not found:
        return NotChecked(
            f"the newest head has {leaves(facts.newest_size)}, and no log shows one of {tree.size}: "
            "ask for a consistency proof, or a node that keeps older logs"
        )
    require(
        {one.root for one in found} == {tree.root},
        "anchor.other_root",
        "another root is anchored at this size",
        "tree.root",
    )
    return _in_time(case, found[0], words)


def _in_time(case: Case, anchored: Anchor, words: str) -> Finding:
    if case.stop is None or anchored.at is None:
        return NotChecked(f"{words}; when, compared with the stop, cannot be read")
    after_s = anchored.at - unix_seconds(case.stop.at)
    require(
        after_s >= -CLOCKS_APART.total_seconds(),
        "anchor.before_stop",
        f"it was anchored {-after_s} s before the reading that it is to hold",
        "stop.payload",
    )
    if after_s > ANCHORED_WITHIN.total_seconds():
        return NotChecked(
            f"{words}, but only {counted(after_s // 60, 'minute')} after the stop: till then all could change"
        )
    return words
