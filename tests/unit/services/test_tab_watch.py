"""A tab that is being left: nothing more is delivered on it, and what was metered is claimed."""

import pytest

from evmesh.domain.sessions import State
from evmesh.services.tab_watch import TAB_EXITING, TabWatch
from tests.fakes.world import OPERATOR, Driver, World


@pytest.fixture
def watch(world: World) -> TabWatch:
    return TabWatch(world.transitions, world.clock, world.escrow, OPERATOR, world.live)


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
