"""A chain lost its newest blocks, and with them what drivers sent by other wallets: people are told."""

from dataclasses import replace

import pytest

from evmesh.domain.sessions import State
from evmesh.services.chain_losses import CLAIM_LOST, DEPOSIT_LOST, ChainLosses
from evmesh.services.tab_memory import TabMemory
from tests.fakes.world import OPERATOR, Driver, World, running


@pytest.fixture
def losses(world: World) -> ChainLosses:
    tabs = TabMemory(world.transitions, world.clock, world.escrows, OPERATOR)
    return ChainLosses(world.transitions, tabs, world.live)


def forget_deposit(world: World, driver: Driver) -> None:
    """The blocks with the driver's deposit are gone."""
    world.escrow.tabs[driver.address] = replace(world.escrow.tabs[driver.address], ceiling=0, spent=0)


async def test_a_charge_whose_deposit_is_gone_is_stopped_and_flagged(
    world: World, driver: Driver, losses: ChainLosses
) -> None:
    session = await world.charging(driver, world.places[0])
    forget_deposit(world, driver)
    await losses.look()
    await losses.look()
    stopped = await world.now(session)
    assert (stopped.state, stopped.cause, stopped.flags) == (State.STOPPING, DEPOSIT_LOST, (DEPOSIT_LOST,))
    assert (await world.owed()).count("remote_stop") == 1


async def test_a_start_whose_deposit_is_gone_is_called_off(
    world: World, driver: Driver, losses: ChainLosses
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    forget_deposit(world, driver)
    await losses.look()
    found = await world.now(session)
    assert (found.state, found.flags) == (State.REFUNDING, (DEPOSIT_LOST,))


async def test_a_settled_charge_whose_claim_no_longer_counts_is_flagged(
    world: World, driver: Driver, losses: ChainLosses
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.end(session, 3_000)
    async with running(world.effects):
        settled = await world.settled(session)
    assert (settled.due or 0) > 0
    await losses.look()
    assert CLAIM_LOST not in (await world.now(session)).flags
    forget_deposit(world, driver)
    await losses.look()
    found = await world.now(session)
    assert found.state is State.SETTLED
    assert CLAIM_LOST in found.flags


async def test_a_tab_that_was_closed_since_has_lost_nothing(
    world: World, driver: Driver, losses: ChainLosses
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.end(session, 3_000)
    async with running(world.effects):
        await world.settled(session)
    world.escrow.finish_exit(driver.address)
    await losses.look()
    assert CLAIM_LOST not in (await world.now(session)).flags


async def test_whose_money_is_there_is_not_disturbed(
    world: World, driver: Driver, losses: ChainLosses
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.promised(Driver("neighbour"), world.places[1])
    await losses.look()
    assert (await world.now(session)).state is State.CHARGING
    assert not any(one.flags for one in await world.sessions())
