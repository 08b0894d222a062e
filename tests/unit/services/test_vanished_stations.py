"""A station that is away when a charge should end: late, or for good."""

from datetime import timedelta

import pytest

from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import State
from evmesh.services.caretaker import UNCONFIRMED
from evmesh.services.registers import UNBILLED
from evmesh.verify.receipt import verify_receipt
from tests.fakes.world import SIGNATURES, Driver, World, running
from tests.unit.services.test_caretaker import becomes, stays
from tests.unit.services.test_unheard_starts import back, cut

MINUTE = timedelta(minutes=1)


async def test_a_station_that_vanishes_for_good_is_billed_up_to_its_last_register(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(10 * MINUTE)
    await world.measure(session, 1_900)
    await cut(world, session)
    async with running(world.caretaker, world.effects):
        world.clock.move(session.terms.departure - world.clock.now())
        await becomes(world, session, State.STOPPING)
        world.clock.move(END_GRACE)
        settled = await becomes(world, session, State.SETTLED)
    assert (settled.delivered, settled.due, settled.flags) == (900, 315_000, (UNCONFIRMED, "promise.short"))
    assert world.escrow.tabs[driver.address].spent == 315_000
    assert verify_receipt(await world.document(session, Receipt.FORMAT), SIGNATURES, world.trust()).ok


@pytest.mark.parametrize(
    ("late", "delivered", "flags"),
    [
        (END_GRACE - MINUTE, 1_300, ("promise.short",)),
        (END_GRACE, 900, (UNCONFIRMED, "promise.short", UNBILLED)),
        (END_GRACE + MINUTE, 900, (UNCONFIRMED, "promise.short", UNBILLED)),
    ],
)
async def test_a_stop_that_is_told_an_hour_after_the_departure_counts_once(
    world: World, driver: Driver, late: timedelta, delivered: int, flags: tuple[str, ...]
) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(10 * MINUTE)
    await world.measure(session, 1_900)
    await cut(world, session)
    async with running(world.caretaker):
        world.clock.move(session.terms.departure - world.clock.now())
        await becomes(world, session, State.STOPPING)
        world.clock.move(late)
        if late < END_GRACE:
            await stays(world, session, State.STOPPING)
        else:
            await becomes(world, session, State.METERED)
    await back(world, session)
    ended = await world.end(session, 2_300, at=session.terms.departure + MINUTE)
    assert ended == await world.end(session, 2_300, at=session.terms.departure + MINUTE)  # sent again
    assert (ended.state, ended.delivered, ended.flags) == (State.METERED, delivered, flags)
    assert (await world.events_of(session)).count("meter") == 1
