"""What the chain says: is the tree anchored, is the operator the owner, is the money claimed."""

from evmesh.domain.receipt import Receipt
from evmesh.verify.case import Case, ChainFacts
from evmesh.verify.report import Finding, NotChecked, require

OFFLINE = NotChecked("no node was asked")


def registry(case: Case) -> Finding:
    """Check that the registry gives the asset to the payee. Its price may have changed since."""
    if case.chain is None:
        return OFFLINE
    _require_contracts(case.chain, case.receipt)
    owner, asset = case.chain.owner, case.receipt.station.asset
    require(owner is not None, "registry.unknown_asset", f"there is no asset {asset}", "station.asset")
    require(owner == case.receipt.payee, "registry.other_owner", f"asset {asset} is {owner}'s", "payee")
    return f"asset {asset} is {owner}'s; its price is now {case.chain.price}"


def anchor(case: Case) -> Finding:
    """Check that the receipt's tree head is the newest that was anchored, or an older one in the logs."""
    if case.chain is None:
        return OFFLINE
    _require_contracts(case.chain, case.receipt)
    tree, chain = case.receipt.tree, case.chain
    if chain.newest_size < tree.size:
        return NotChecked(f"not anchored yet: the newest head has {chain.newest_size} leaves")
    if chain.newest_size == tree.size:
        require(
            chain.newest_root == tree.root,
            "anchor.other_root",
            "another root is anchored at this size",
            "tree.root",
        )
        return f"the head of {tree.size} leaves is the newest of its stream"
    if not chain.roots:
        return NotChecked(
            f"the newest head has {chain.newest_size} leaves, and no log shows one of {tree.size}: "
            "ask for a consistency proof, or a node that keeps older logs"
        )
    require(
        chain.roots == (tree.root,),
        "anchor.other_root",
        "another root was anchored at this size",
        "tree.root",
    )
    return f"the head of {tree.size} leaves was anchored; the newest has {chain.newest_size}"


def settlement(case: Case) -> Finding:
    """Check that what is due was claimed: the tab's total is at least base + due in the same epoch."""
    if case.chain is None:
        return OFFLINE
    _require_contracts(case.chain, case.receipt)
    receipt, chain = case.receipt, case.chain
    owed = receipt.offer.base + receipt.due
    if receipt.due == 0:
        return "nothing was due"
    require(
        chain.epoch >= receipt.offer.epoch,
        "settlement.unknown_epoch",
        f"the tab is in epoch {chain.epoch}, the offer in {receipt.offer.epoch}",
        "offer.epoch",
    )
    if chain.epoch > receipt.offer.epoch:
        return NotChecked(
            f"the tab was closed since and is in epoch {chain.epoch}: see the logs of its claims"
        )
    if chain.spent < owed:
        return NotChecked(f"not claimed yet: {chain.spent} of {owed}")
    claimed = f"claimed: {receipt.due} here, {receipt.offer.base} before"
    since = chain.spent - owed
    return f"{claimed}, and {since} since, which this receipt does not explain" if since else claimed


def _require_contracts(facts: ChainFacts, receipt: Receipt) -> None:
    found, named = facts.chain_id, receipt.chain.chain_id
    require(found == named, "chain.other_chain", f"the node serves chain {found}", "chain.chain_id")
    require(
        facts.contracts_answer,
        "chain.not_the_contract",
        "the contracts that the receipt names are not there",
        "chain",
    )
