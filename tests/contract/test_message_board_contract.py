"""Every rule of MessageBoard on a real EVM."""

import pytest
from eth_utils.crypto import keccak

from tests.contract.chain import Chain, Contract, Person, Reverted

STATION = keccak(text="station YCM9T0EE")
NOTHING = bytes(32)


@pytest.fixture
def board(chain: Chain) -> Contract:
    return chain.deploy("MessageBoard", sender=Person.make(chain, "deployer").address)


@pytest.fixture
def operator(chain: Chain) -> Person:
    return Person.make(chain, "operator")


@pytest.fixture
def thief(chain: Chain) -> Person:
    return Person.make(chain, "thief")


def test_a_message_is_found_by_its_tag_and_told_by_its_hash(
    chain: Chain, board: Contract, operator: Person
) -> None:
    receipt = board.send("post", STATION, b"here I am", sender=operator.address)
    assert receipt.events("Posted") == [
        {"sender": operator.address.lower(), "tag": STATION, "body": b"here I am"}
    ]
    assert board.call("newest", operator.address, STATION) == keccak(b"here I am")
    topics = [None, None, "0x" + STATION.hex()]
    found = chain.rpc("eth_getLogs", {"address": board.address, "fromBlock": "0x0", "topics": topics})
    assert len(found) == 1


def test_the_newest_message_counts_and_may_be_repeated(board: Contract, operator: Person) -> None:
    for body in (b"first", b"second", b"second"):
        board.send("post", STATION, body, sender=operator.address)
    assert board.call("newest", operator.address, STATION) == keccak(b"second")


def test_a_forged_announcement_stands_under_its_forger(
    board: Contract, operator: Person, thief: Person
) -> None:
    board.send("post", STATION, b"pay 0x0e", sender=operator.address)
    board.send("post", STATION, b"pay the thief", sender=thief.address)
    board.send("withdraw", STATION, sender=thief.address)
    assert board.call("newest", operator.address, STATION) == keccak(b"pay 0x0e")
    assert board.call("newest", thief.address, STATION) == NOTHING


def test_a_message_is_withdrawn_by_its_sender_only(board: Contract, operator: Person, thief: Person) -> None:
    board.send("post", STATION, b"here I am", sender=operator.address)
    with pytest.raises(Reverted, match="board: nothing posted"):
        board.send("withdraw", STATION, sender=thief.address)
    receipt = board.send("withdraw", STATION, sender=operator.address)
    assert receipt.events("Withdrawn") == [{"sender": operator.address.lower(), "tag": STATION}]
    assert board.call("newest", operator.address, STATION) == NOTHING


@pytest.mark.parametrize("size", [1, 31, 32, 33, 200, 2048])
def test_bodies_of_any_length_come_back_whole(board: Contract, operator: Person, size: int) -> None:
    body = bytes(place % 251 for place in range(size))
    [event] = board.send("post", STATION, body, sender=operator.address).events("Posted")
    assert event["body"] == body


def test_an_empty_or_a_huge_message_is_refused(board: Contract, operator: Person) -> None:
    with pytest.raises(Reverted, match="board: empty message"):
        board.send("post", STATION, b"", sender=operator.address)
    with pytest.raises(Reverted):
        board.send("post", STATION, bytes(2049), sender=operator.address)
