"""What was metered and can no longer be collected ends too: settled as a loss, in everybody's sight."""

import pytest

from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session, State
from evmesh.domain.settlement import Settlement
from evmesh.services.requests import Promise
from evmesh.verify.followups import verify_settlement
from tests.fakes.world import SIGNATURES, Driver, World, running


async def metered(world: World, driver: Driver, bay: int = 0) -> Session:
    session = await world.charging(driver, world.places[bay], 5_000)
    return await world.end(session, (session.meter_start or 0) + 1_000)


async def test_a_charge_on_a_tab_of_another_epoch_is_settled_as_a_loss(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    world.escrow.finish_exit(driver.address)
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.due, done.flags) == (State.SETTLED, 350_000, ("claim.uncollectable",))
    assert done.uncollected == 350_000
    assert await world.owed() == []
    assert (await world.events_of(session))[-1] == "settle"


async def test_the_settlement_says_what_was_not_collected_and_checks(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    world.escrow.finish_exit(driver.address)
    async with running(world.effects):
        await world.settled(session)
    raw, receipt = (
        await world.document(session, Settlement.FORMAT),
        await world.document(session, Receipt.FORMAT),
    )
    settlement = Settlement.parse(raw)
    assert (settlement.kind, settlement.amount, settlement.transactions) == ("loss", 350_000, ())
    report = verify_settlement(raw, SIGNATURES, receipt, world.trust())
    assert report.ok
    assert any("350000 due and not collected" in check.what for check in report.checks)


async def test_a_loss_is_nobodys_gain_but_the_drivers_own_money(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    world.escrow.finish_exit(driver.address)
    async with running(world.effects):
        await world.settled(session)
    assert world.escrow.held == world.escrow.earned == 0
    assert sum(world.escrow.balances.values()) == session.terms.budget


async def test_who_left_a_debt_may_charge_again_on_the_new_tab(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    world.escrow.finish_exit(driver.address)
    async with running(world.effects):
        await world.settled(session)
        assert isinstance(await world.ask(driver, world.places[1]), Promise)


@pytest.mark.parametrize("lost", [False, True])
async def test_a_claim_that_was_mined_before_the_driver_left_is_no_loss(
    world: World, driver: Driver, lost: bool
) -> None:
    session = await metered(world, driver)
    world.escrow.lose_answers = int(lost)
    async with running(world.effects):
        done = await world.settled(session)
    world.escrow.finish_exit(driver.address)
    assert (done.state, done.flags, done.uncollected) == (State.SETTLED, (), 0)
    assert world.escrow.earned == 350_000
