"""Every rule of MeterNotary on a real EVM."""

import pytest

from evmesh.domain.merkle import MerkleLog, leaf_hash
from evmesh.verify.merkle import verify_consistency
from tests.contract.chain import Chain, Contract, Person, Reverted

METERS, SCHEDULES = b"\x01" * 32, b"\x02" * 32
ROOT, NEXT = b"\xaa" * 32, b"\xbb" * 32


@pytest.fixture
def notary(chain: Chain) -> Contract:
    return chain.deploy("MeterNotary", sender=Person.make(chain, "deployer").address)


@pytest.fixture
def operator(chain: Chain) -> Person:
    return Person.make(chain, "operator")


@pytest.fixture
def thief(chain: Chain) -> Person:
    return Person.make(chain, "thief")


def test_the_newest_head_is_kept_with_its_time(chain: Chain, notary: Contract, operator: Person) -> None:
    receipt = notary.send("anchor", METERS, 10, ROOT, sender=operator.address)
    assert notary.call("newest", operator.address, METERS) == (10, ROOT, chain.now())
    assert receipt.events("Anchored") == [
        {"publisher": operator.address.lower(), "stream": METERS, "size": 10, "root": ROOT}
    ]
    chain.pass_time(100)
    notary.send("anchor", METERS, 11, NEXT, sender=operator.address)
    assert notary.call("newest", operator.address, METERS) == (11, NEXT, chain.now())


@pytest.mark.parametrize("size", [0, 9, 10, 2**64 + 11])
def test_a_tree_only_grows(notary: Contract, operator: Person, size: int) -> None:
    notary.send("anchor", METERS, 10, ROOT, sender=operator.address)
    with pytest.raises(Reverted, match=r"notary: (must grow|size too large)"):
        notary.send("anchor", METERS, size, NEXT, sender=operator.address)


def test_a_head_has_a_root(notary: Contract, operator: Person) -> None:
    with pytest.raises(Reverted, match="notary: no root"):
        notary.send("anchor", METERS, 1, bytes(32), sender=operator.address)


def test_streams_and_publishers_do_not_touch_each_other(
    notary: Contract, operator: Person, thief: Person
) -> None:
    notary.send("anchor", METERS, 10, ROOT, sender=operator.address)
    notary.send("anchor", METERS, 99, NEXT, sender=thief.address)
    notary.send("anchor", SCHEDULES, 3, NEXT, sender=operator.address)
    assert notary.call("newest", operator.address, METERS)[:2] == (10, ROOT)
    assert notary.call("newest", operator.address, SCHEDULES)[:2] == (3, NEXT)


def test_several_streams_go_in_one_transaction_all_or_none(notary: Contract, operator: Person) -> None:
    notary.send("anchor_many", [(METERS, 10, ROOT), (SCHEDULES, 2, NEXT)], sender=operator.address)
    assert notary.call("newest", operator.address, SCHEDULES)[:2] == (2, NEXT)
    with pytest.raises(Reverted, match="notary: must grow"):
        notary.send("anchor_many", [(METERS, 11, ROOT), (SCHEDULES, 2, NEXT)], sender=operator.address)
    assert notary.call("newest", operator.address, METERS)[0] == 10


def test_an_anchor_that_rewrites_history_is_refused_or_shows(notary: Contract, operator: Person) -> None:
    """At the same size or below the contract refuses; above it, no consistency proof leads there."""
    honest = MerkleLog(leaf_hash(bytes([number])) for number in range(11))
    forged = MerkleLog(leaf_hash(bytes([number + (number == 3)])) for number in range(11))
    notary.send("anchor", METERS, 7, honest.root(7), sender=operator.address)
    for size in (5, 7):
        with pytest.raises(Reverted, match="notary: must grow"):
            notary.send("anchor", METERS, size, forged.root(size), sender=operator.address)
    notary.send("anchor", METERS, 11, forged.root(11), sender=operator.address)
    size, root, _ = notary.call("newest", operator.address, METERS)
    for proof in (honest.consistency_proof(7, 11), forged.consistency_proof(7, 11)):
        assert not verify_consistency(7, size, honest.root(7), root, proof)
    assert verify_consistency(7, 11, honest.root(7), honest.root(11), honest.consistency_proof(7, 11))


def test_a_hundred_streams_are_the_most(notary: Contract, operator: Person) -> None:
    heads = [(bytes([number]) * 32, 1, ROOT) for number in range(101)]
    receipt = notary.send("anchor_many", heads[:100], sender=operator.address)
    assert len(receipt.events("Anchored")) == 100
    with pytest.raises(Reverted):
        notary.send("anchor_many", heads, sender=operator.address)
