"""Every rule of MeterNotary on a real EVM."""

import pytest

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
