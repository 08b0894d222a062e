"""How charge points are, on a real chain: records, the occupancy map, and who may say so."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.asset_status import (
    MAX_STATES,
    Occupancy,
    StatusRecord,
    pack_states,
    step_of,
    unpack_states,
    words_of,
)
from evmesh.domain.errors import InvalidInput, Refused, Unavailable
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import W, Wh
from evmesh.ledger.asset_status import StatusPublisher, StatusReader, assets_hash
from evmesh.services.status_feed import AREA, StatusFeed
from tests.brokers import until
from tests.contract.ledger_world import Ledger, running_ledger
from tests.contract.test_asset_status_contract import STEP, record
from tests.contract.test_asset_status_contract import words_of as contract_words
from tests.fakes.world import Driver, World, eventually, open_world, running

GAS_PER_RECORD = 2_500
"""DESIGN.md, section 5: in a batch of 100."""


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    (tmp_path / "chain").mkdir()
    async with running_ledger(tmp_path / "chain") as one:
        yield one


def publisher(ledger: Ledger) -> StatusPublisher:
    reader = StatusReader(ledger.rpc, ledger.deployment.contracts.status, from_block=ledger.deployment.block)
    return StatusPublisher(reader, ledger.relayer(ledger.keys.operator))


def test_a_record_is_packed_as_the_contracts_own_test_packs_it() -> None:
    mine = StatusRecord(7, STEP, Occupancy.CHARGING, 80, W(11_000), W(22_000), Wh(25_000), time_left_s=14_400)
    assert mine.pack() == record(7)
    assert StatusRecord.unpack(record(7)) == mine
    giving = StatusRecord(9, STEP, Occupancy.GIVING_BACK, power=W(-4_000), at_hand=Wh(30_000))
    assert StatusRecord.unpack(giving.pack()) == giving


@pytest.mark.parametrize(
    "changes",
    [
        {"asset": 2**40},
        {"step": 2**32},
        {"power": W(2**31)},
        {"limit": W(-1)},
        {"state": 256},
        {"soc_percent": 256},
    ],
)
def test_a_record_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"status\.out_of_range"):
        replace(StatusRecord(7, STEP, 1), **changes).pack()


@given(st.lists(st.integers(0, 15), min_size=1, max_size=300))
def test_a_map_reads_back(states: list[int]) -> None:
    words = pack_states(STEP, states)
    assert words == contract_words(states)
    assert len(words) == words_of(len(states))
    assert unpack_states(words, len(states)) == (STEP, states)


def test_a_map_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"status\.too_many"):
        pack_states(STEP, [0] * (MAX_STATES + 1))
    with pytest.raises(InvalidInput, match=r"status\.out_of_range"):
        pack_states(STEP, [16])


async def test_the_newest_record_of_an_asset_is_found_by_its_owner(ledger: Ledger) -> None:
    board = publisher(ledger)
    records = [StatusRecord(number, STEP, Occupancy.AVAILABLE, power=W(0)) for number in range(1, 101)]
    mined = await board.publish(records, f"status:{STEP}:0")
    assert mined.gas_used // len(records) <= GAS_PER_RECORD
    assert await board.publish(records, f"status:{STEP}:0") == mined
    later = StatusRecord(7, STEP + 1, Occupancy.CHARGING, 55, W(7_360))
    await board.publish([later], f"status:{STEP + 1}:0")
    operator = ledger.keys.operator.address
    assert await board.reader.newest(operator, 7) == later
    assert await board.reader.newest(operator, 8) == records[7]
    assert await board.reader.newest(operator, 101) is None
    # A stranger may publish anything, under the own address.
    thief = StatusPublisher(board.reader, ledger.relayer(ledger.keys.relayer))
    await thief.publish([StatusRecord(7, STEP + 9, Occupancy.FAULTED)], "forged")
    assert await board.reader.newest(operator, 7) == later
    with pytest.raises(InvalidInput, match=r"status\.too_many"):
        await board.publish([], "nothing")


async def test_the_map_is_set_read_and_named(ledger: Ledger) -> None:
    board = publisher(ledger)
    states = [number % 10 for number in range(80)]
    await board.set_states(AREA, STEP, states, "map:1")
    assert await board.states(AREA, 80) == (STEP, states)
    with pytest.raises(Refused, match=r"status\.step_went_back"):
        await board.set_states(AREA, STEP - 1, states, "map:0")
    assets = list(range(1, 81))
    assert await board.name_assets(AREA, assets, "area:1") is not None
    assert await board.name_assets(AREA, assets, "area:2") is None
    assert await board.reader.assets_hash(board.address, AREA) == assets_hash(assets)


# The service, with a charge on the way.


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as one:
        yield one


def feed_of(world: World, ledger: Ledger) -> tuple[StatusFeed, StatusPublisher]:
    board = publisher(ledger)
    return StatusFeed(world.transitions, world.clock, world.directory, world.live, board), board


async def sent(ledger: Ledger) -> list[str]:
    """Give what was signed for statuses and maps so far."""
    kinds = [await ledger.journal.newest(kind, 100) for kind in ("status", "map", "area")]
    return [row.key for rows in kinds for row in rows]


async def test_a_step_is_published_once_with_what_the_charge_is_at(world: World, ledger: Ledger) -> None:
    driver, feed_and_board = Driver(), feed_of(world, ledger)
    feed, board = feed_and_board
    session = await world.charging(driver, world.places[0], 5_000)
    for one in world.places[1:]:
        await world.says(one, ConnectorStatus.AVAILABLE)
    await world.says(world.places[0], ConnectorStatus.CHARGING)
    await world.measure(session, 2_200, power=W(7_000), soc_percent=61)
    world.live.online.discard(world.places[3].connector.ref.station)
    await feed.publish()
    step, now = step_of(world.clock.now()), world.clock.now()
    mine = await board.reader.newest(board.address, world.places[0].asset)
    assert mine == StatusRecord(
        asset=1,
        step=step,
        state=Occupancy.CHARGING,
        soc_percent=61,
        power=W(7_000),
        limit=None,
        energy_left=Wh(3_800),
        time_left_s=int((session.terms.departure - now).total_seconds()),
    )
    free = await board.reader.newest(board.address, world.places[1].asset)
    assert free == StatusRecord(2, step, Occupancy.AVAILABLE, power=W(0))
    away = await board.reader.newest(board.address, world.places[3].asset)
    assert away == StatusRecord(4, step, Occupancy.UNKNOWN)
    assert await board.states(AREA, 4) == (step, [3, 1, 0, 0])
    before = sorted(await sent(ledger))
    await feed.publish()  # as after a restart in the same step
    assert sorted(await sent(ledger)) == before


async def test_a_map_in_which_nothing_has_changed_is_not_sent_again(world: World, ledger: Ledger) -> None:
    feed, _ = feed_of(world, ledger)
    for one in world.places:
        await world.says(one, ConnectorStatus.AVAILABLE)
    await feed.publish()
    world.clock.move(world.at(minutes=15) - world.clock.now())
    await feed.publish()
    keys = await sent(ledger)
    assert len([key for key in keys if key.startswith("status:")]) == 2
    assert len([key for key in keys if key.startswith("map:")]) == 1
    assert len([key for key in keys if key.startswith("area:")]) == 1


class AwayAtFirst:
    """A chain that does not answer in the first steps."""

    def __init__(self, board: StatusPublisher, times: int) -> None:
        self._board = board
        self.left = times

    def __getattr__(self, name: str) -> Any:
        return getattr(self._board, name)

    async def publish(self, records: Sequence[StatusRecord], key: str) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise Unavailable("chain.away", "the node does not answer")
        return await self._board.publish(records, key)


async def test_steps_that_pass_while_the_chain_is_away_are_left_out(world: World, ledger: Ledger) -> None:
    board = publisher(ledger)
    away = AwayAtFirst(board, 3)
    feed = StatusFeed(world.transitions, world.clock, world.directory, world.live, away)
    first = step_of(world.clock.now())
    async with running(feed):
        for left in (2, 1, 0):
            await until(lambda left=left: away.left <= left)  # type: ignore[misc]
            world.clock.move(world.at(minutes=15) - world.clock.now())
        await eventually_sent(ledger)
    keys = [key for key in await sent(ledger) if key.startswith("status:")]
    assert keys == [f"status:{first + 3}:0"]


async def eventually_sent(ledger: Ledger) -> None:
    async def there() -> bool:
        return bool(await ledger.journal.newest("status", 1))

    await eventually(there, 20)
