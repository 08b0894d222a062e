"""What was seen of tabs is kept, and decides while the chain is away, for no longer than is safe."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.chain import SeenTab, Tab, TabRef
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.sessions import State
from evmesh.services.tab_memory import CLAIM_MARGIN, trusted_until
from tests.drivers.clocks import HandClock
from tests.fakes.world import CONTRACTS, OPERATOR, Driver, World, open_world
from tests.unit.services.streaming_sessions import PER_100_WH, send

PAYEE, OWN = OPERATOR.payee.address, CONTRACTS.charge_tab
EARLY = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)


async def test_a_look_is_remembered_over_a_restart(tmp_path: Path, driver: Driver) -> None:
    clock = HandClock()
    async with open_world(tmp_path, clock=clock) as world:
        world.fund(driver, 2_000_000)
        fresh = await world.tabs.look(OWN, driver.address)
        escrow = world.escrow
    escrow.away = True
    async with open_world(tmp_path, clock=clock, escrow=escrow) as world:
        known = await world.tabs.look(OWN, driver.address)
        assert (known.tab, known.seen_at, known.is_fresh) == (fresh.tab, fresh.seen_at, False)
        paid = await send(world, driver, await world.promised(driver, world.places[0]), PER_100_WH)
        assert paid.state is State.STARTING


async def test_an_older_block_takes_no_place_of_a_newer_one(world: World, driver: Driver) -> None:
    """Behind one address may be nodes of which one lags."""
    newer = SeenTab(Tab(5, 9, 0, 1), EARLY, EARLY + timedelta(seconds=9), 86_400)
    older = SeenTab(Tab(5, 900, 0, 0), EARLY + timedelta(minutes=1), EARLY, 86_400)
    tab = TabRef(OWN, PAYEE, driver.address)
    async with world.database.begin() as unit:
        await unit.remember_tab(tab, newer)
        await unit.remember_tab(tab, older)
        known = await unit.tab_seen(tab)
    assert known is not None
    assert known.tab == newer.tab


def test_a_tab_is_trusted_for_the_window_less_the_time_to_claim() -> None:
    seen = SeenTab(Tab(0, 1, 0, 0), EARLY, EARLY, 86_400)
    assert trusted_until(seen) == EARLY + timedelta(days=1) - CLAIM_MARGIN


async def test_what_was_metered_since_is_taken_off_what_was_seen(world: World, driver: Driver) -> None:
    world.fund(driver, 1_000_000)
    session = await send(world, driver, await world.promised(driver, world.places[0], wh=2_000), 70_000)
    await world.begin(session)
    session = await world.now(session)
    await world.end(session, (session.meter_start or 0) + 150)
    world.escrow.away = True
    known = await world.tabs.look(OWN, driver.address)
    assert (known.tab.spent, known.tab.ceiling) == (52_500, 1_000_000)


async def test_a_wallet_counts_for_its_tab_alone_while_the_chain_is_away(
    world: World, driver: Driver
) -> None:
    world.fund(driver, 1_000_000)
    await world.tabs.look(OWN, driver.address)
    world.escrow.away = True
    with pytest.raises(Unavailable, match=r"wallet\.unseen"):
        await world.promised(driver, world.places[0], wh=5_000)
    assert (await world.promised(driver, world.places[0], wh=2_000)).state is State.RESERVED


async def test_a_tab_that_was_left_when_it_was_seen_pays_for_nothing(world: World, driver: Driver) -> None:
    world.fund(driver, 2_000_000)
    world.escrow.leave(driver.address, 2**31)
    await world.tabs.look(OWN, driver.address)
    world.escrow.away = True
    with pytest.raises(Refused, match=r"tab\.exiting"):
        await world.promised(driver, world.places[0])
