"""A tab that is being left: nothing more is delivered on it, and what was metered is claimed."""

from datetime import timedelta

import pytest

from evmesh.domain.errors import Refused
from evmesh.domain.sessions import State
from evmesh.services.tab_watch import TAB_EXITING, TAB_UNSEEN, TabWatch
from tests.fakes.world import Driver, World, running
from tests.unit.services.streaming_sessions import PER_100_WH, meter, send, streaming


@pytest.fixture
def watch(world: World) -> TabWatch:
    return TabWatch(world.transitions, world.clock, world.tabs, world.live)


@pytest.mark.parametrize("how", ["exit", "epoch"])
async def test_a_charge_on_a_tab_that_is_left_is_stopped(
    world: World, driver: Driver, watch: TabWatch, how: str
) -> None:
    session = await world.charging(driver, world.places[0])
    if how == "exit":
        world.escrow.leave(driver.address, 2**31)
    else:
        world.escrow.finish_exit(driver.address)
    await watch.look()
    stopped = await world.now(session)
    assert (stopped.state, stopped.cause) == (State.STOPPING, TAB_EXITING)
    await watch.look()
    assert (await world.owed()).count("remote_stop") == 1


async def test_a_start_on_a_tab_that_is_left_is_refunded(
    world: World, driver: Driver, watch: TabWatch
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    world.escrow.leave(driver.address, 2**31)
    await watch.look()
    assert (await world.now(session)).state is State.REFUNDING


async def test_a_tab_that_stands_disturbs_nobody(world: World, driver: Driver, watch: TabWatch) -> None:
    session = await world.charging(driver, world.places[0])
    reserved = await world.promised(Driver("neighbour"), world.places[1])
    world.escrow.leave(Driver("neighbour").address, 2**31)
    await watch.look()
    assert (await world.now(session)).state is State.CHARGING
    assert (await world.now(reserved)).state is State.RESERVED


async def test_a_streaming_charge_on_a_tab_that_is_left_is_stopped_and_claimed_within_the_window(
    world: World, driver: Driver, watch: TabWatch
) -> None:
    session = await send(world, driver, await streaming(world, driver), 3 * PER_100_WH)
    session = await meter(world, session, 180)
    world.escrow.leave(driver.address, 2**31)
    await watch.look()
    assert (await world.now(session)).cause == TAB_EXITING
    with pytest.raises(Refused, match=r"voucher\.underfunded"):
        await send(world, driver, session, 4 * PER_100_WH)
    done = await world.end(session, (session.meter_start or 0) + 200)
    async with running(world.effects):
        assert (await world.settled(done)).uncollected == 0
    assert world.escrow.tabs[driver.address].spent == 70_000


async def test_a_chain_that_is_away_stops_nobody_whose_tab_was_seen(
    world: World, driver: Driver, watch: TabWatch
) -> None:
    session = await streaming(world, driver)
    world.escrow.away = True
    world.clock.move(timedelta(hours=21))
    await watch.look()
    assert await world.is_in(session, State.CHARGING)
    world.clock.move(timedelta(hours=1, minutes=1))
    await watch.look()
    stopped = await world.now(session)
    assert (stopped.state, stopped.cause) == (State.STOPPING, TAB_UNSEEN)
