"""Every rule of AssetStatus on a real EVM, and how its words are packed."""

from collections.abc import Sequence

import pytest

from tests.contract.chain import Chain, Contract, Person, Reverted

STEP = 1_980_000
FREE, CHARGING, FAULTED = 1, 3, 9


@pytest.fixture
def status(chain: Chain) -> Contract:
    return chain.deploy("AssetStatus", sender=Person.make(chain, "deployer").address)


@pytest.fixture
def operator(chain: Chain) -> Person:
    return Person.make(chain, "operator")


@pytest.fixture
def thief(chain: Chain) -> Person:
    return Person.make(chain, "thief")


def record(asset: int, step: int = STEP, power_w: int = 11_000) -> int:
    """A charging EVSE at 80 %, of whose five facts all but the energy at hand are known."""
    fields = ((asset, 40), (step, 32), (CHARGING, 8), (0b01111, 8), (80, 8), (power_w % 2**32, 32))
    later = ((22_000, 32), (25_000, 32), (14_400, 32), (0, 32))
    word, place = 0, 0
    for value, size in (*fields, *later):
        assert 0 <= value < 1 << size
        word |= value << place
        place += size
    assert place == 256
    return word


def words_of(states: Sequence[int], step: int = STEP) -> list[int]:
    """Pack a map: the step and 56 states in the first word, 64 in each other."""
    words = [step | sum(state << 32 + 4 * place for place, state in enumerate(states[:56]))]
    rest = states[56:]
    for start in range(0, len(rest), 64):
        words.append(sum(state << 4 * place for place, state in enumerate(rest[start : start + 64])))
    return words


def test_each_record_is_found_by_publisher_and_asset(
    chain: Chain, status: Contract, operator: Person
) -> None:
    records = [record(7), record(8, power_w=-4_000)]
    receipt = status.send("publish", records, sender=operator.address)
    publisher = operator.address.lower()
    assert receipt.events("Recorded") == [
        {"publisher": publisher, "asset": asset, "record": word}
        for asset, word in zip((7, 8), records, strict=True)
    ]
    topics = [None, None, "0x" + (8).to_bytes(32, "big").hex()]
    found = chain.rpc("eth_getLogs", {"address": status.address, "fromBlock": "0x0", "topics": topics})
    assert [int(log["data"], 16) for log in found] == [records[1]]


def test_a_record_names_an_asset(status: Contract, operator: Person) -> None:
    with pytest.raises(Reverted, match="status: no asset"):
        status.send("publish", [record(7), record(0)], sender=operator.address)


def test_two_hundred_records_are_the_most(status: Contract, operator: Person) -> None:
    records = [record(number) for number in range(1, 202)]
    assert len(status.send("publish", records[:200], sender=operator.address).events("Recorded")) == 200
    with pytest.raises(Reverted):
        status.send("publish", records, sender=operator.address)


@pytest.mark.parametrize("count", [1, 56, 57, 120, 121, 300])
def test_a_map_reads_back_state_by_state(status: Contract, operator: Person, count: int) -> None:
    states = [(7 * place + 3) % 16 for place in range(count)]
    words = words_of(states)
    [event] = status.send("set_map", 5, words, sender=operator.address).events("MapSet")
    assert event == {"publisher": operator.address.lower(), "area": 5, "step": STEP}
    places = sorted({0, 55, 56, 119, 120, count - 1} & set(range(count)))
    for place in places:
        assert status.call("state", operator.address, 5, place) == (STEP, states[place])
    assert list(status.call("map_words", operator.address, 5, len(words))) == words
    assert status.call("state", operator.address, 5, count + 64) == (STEP, 0)


def test_a_map_is_replaced_from_its_first_word_on(status: Contract, operator: Person) -> None:
    status.send("set_map", 0, words_of([FREE] * 100), sender=operator.address)
    status.send("set_map", 0, words_of([FAULTED] * 56, STEP + 1), sender=operator.address)
    assert status.call("state", operator.address, 0, 55) == (STEP + 1, FAULTED)
    assert status.call("state", operator.address, 0, 56) == (STEP + 1, FREE)


def test_a_step_never_goes_back(status: Contract, operator: Person) -> None:
    status.send("set_map", 0, words_of([FREE]), sender=operator.address)
    status.send("set_map", 0, words_of([CHARGING]), sender=operator.address)  # the same step, put right
    with pytest.raises(Reverted, match="status: step went back"):
        status.send("set_map", 0, words_of([FREE], STEP - 1), sender=operator.address)
    with pytest.raises(Reverted, match="status: empty map"):
        status.send("set_map", 0, [], sender=operator.address)
    assert status.call("state", operator.address, 0, 0) == (STEP, CHARGING)


def test_publishers_and_areas_do_not_touch_each_other(
    status: Contract, operator: Person, thief: Person
) -> None:
    status.send("set_map", 0, words_of([FREE]), sender=operator.address)
    status.send("set_map", 0, words_of([FAULTED], STEP + 9), sender=thief.address)
    status.send("set_map", 1, words_of([CHARGING]), sender=operator.address)
    assert status.call("state", operator.address, 0, 0) == (STEP, FREE)
    assert status.call("state", operator.address, 1, 0) == (STEP, CHARGING)


def test_what_the_positions_mean_is_named_by_a_hash(status: Contract, operator: Person) -> None:
    receipt = status.send("name_assets", 3, b"\x5a" * 32, sender=operator.address)
    assert status.call("assets", operator.address, 3) == b"\x5a" * 32
    assert receipt.events("AssetsNamed")[0]["assets"] == b"\x5a" * 32


def test_the_largest_map_goes_in_one_transaction(status: Contract, operator: Person) -> None:
    words = words_of([CHARGING] * (56 + 127 * 64))
    status.send("set_map", 0, words, sender=operator.address)
    assert list(status.call("map_words", operator.address, 0, 128)) == words
    with pytest.raises(Reverted):
        status.send("set_map", 0, [*words, 1], sender=operator.address)
    with pytest.raises(Reverted, match="status: too many words"):
        status.call("map_words", operator.address, 0, 129)
