"""A station that was told to start and went silent may be charging: no money goes back before it is heard."""

from dataclasses import replace
from datetime import timedelta

import pytest

from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.readings import Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import NO_CAR_TIMEOUT, RESERVATION_TTL, Session, State
from evmesh.domain.stations import ConnectorStatus, MeterSample, StartAnswer
from evmesh.domain.units import Wh
from evmesh.services.registers import UNPAID
from evmesh.services.starts import HEARD_AFTER, UNHEARD, WITHDRAWN
from evmesh.services.tab_watch import TabWatch
from evmesh.verify.receipt import verify_receipt
from tests.fakes.world import SIGNATURES, Driver, World, eventually, running
from tests.unit.services.test_caretaker import becomes, stays

MINUTE = timedelta(minutes=1)


async def told_to_start(world: World, driver: Driver) -> Session:
    """Go as far as a station that has accepted its RemoteStart."""
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert world.stations.of("remote_start") == [session.id_tag]
    return session


async def cut(world: World, session: Session) -> None:
    station = session.terms.connector.station
    world.stations.away.add(station)
    await world.events.disconnected(station)


async def back(world: World, session: Session) -> None:
    station = session.terms.connector.station
    world.stations.away.discard(station)
    await world.events.connected(station)


async def tells_its_queue(
    world: World, session: Session, began_ago: timedelta
) -> tuple[StartAnswer, Session]:
    """Send what a station kept: it began so long ago, measured each minute, and ended a minute ago."""
    began = world.clock.now() - began_ago
    answer = await world.begin(session, at=began)
    minutes = began_ago // MINUTE
    for minute in range(1, minutes - 1):
        sample = MeterSample(began + minute * MINUTE, Wh(1_000 + 100 * minute))
        await world.events.metered(session.terms.connector, answer.transaction_id, [sample])
    stop = world.stop_of(
        session_with(await world.now(session), answer),
        1_000 + 100 * (minutes - 1),
        at=world.clock.now() - MINUTE,
    )
    await world.events.stopped(stop)
    await world.events.stopped(stop)  # sent again: its answer was lost
    return answer, await world.now(session)


def session_with(session: Session, answer: StartAnswer) -> Session:
    return replace(session, transaction_id=answer.transaction_id)


async def test_energy_that_a_silent_station_gave_is_billed_when_it_is_back(
    world: World, driver: Driver
) -> None:
    session = await told_to_start(world, driver)
    await cut(world, session)
    async with running(world.caretaker, world.effects):
        world.clock.move(NO_CAR_TIMEOUT + 2 * MINUTE)
        await stays(world, session, State.STARTING)
        assert (await world.now(session)).flags == (UNHEARD,)
        await back(world, session)
        answer, metered = await tells_its_queue(world, session, 6 * MINUTE)
        assert answer.accepted
        assert (metered.state, metered.delivered) == (State.METERED, 500)
        settled = await world.settled(session)
    assert (settled.state, settled.due) == (State.SETTLED, 500 * 350)
    assert world.escrow.tabs[driver.address].spent == 500 * 350
    assert world.escrow.earned == 500 * 350
    assert verify_receipt(await world.document(session, Receipt.FORMAT), SIGNATURES, world.trust()).ok
    async with world.database.begin() as unit:
        registers = [Reading.parse(one.payload).register for one in await unit.session_leaves(session.id)]
    assert registers == [1_000, 1_100, 1_200, 1_300, 1_400, 1_500]


async def test_a_silent_station_that_began_nothing_gives_the_money_back_once_it_was_heard(
    world: World, driver: Driver
) -> None:
    session = await told_to_start(world, driver)
    await cut(world, session)
    async with running(world.caretaker):
        world.clock.move(NO_CAR_TIMEOUT + 2 * MINUTE)
        await stays(world, session, State.STARTING)
        await back(world, session)
        await world.says(world.places[0], ConnectorStatus.AVAILABLE)
        await stays(world, session, State.STARTING)  # its queue may still be on the way
        world.clock.move(HEARD_AFTER)
        assert (await becomes(world, session, State.REFUNDING)).cause == "no_car"


async def test_a_station_that_says_it_charges_is_waited_for_until_it_tells_the_start(
    world: World, driver: Driver
) -> None:
    session = await told_to_start(world, driver)
    await cut(world, session)
    async with running(world.caretaker):
        world.clock.move(NO_CAR_TIMEOUT)
        await back(world, session)
        await world.says(world.places[0], ConnectorStatus.CHARGING)
        world.clock.move(2 * HEARD_AFTER)
        await stays(world, session, State.STARTING)
        assert (await world.begin(session, at=world.at(minutes=-8))).accepted
        await stays(world, session, State.CHARGING)


async def test_a_station_that_is_never_heard_again_does_not_keep_the_money(
    world: World, driver: Driver
) -> None:
    session = await told_to_start(world, driver)
    await cut(world, session)
    async with running(world.caretaker, world.effects):
        world.clock.move(NO_CAR_TIMEOUT)
        await stays(world, session, State.STARTING)
        world.clock.move(session.terms.departure + END_GRACE - world.clock.now())
        await becomes(world, session, State.REFUNDED)
    assert world.escrow.balances[driver.address] == session.terms.budget
    await back(world, session)
    answer, told = await tells_its_queue(world, session, world.clock.now() - session.changed_at)
    assert not answer.accepted
    assert (told.state, told.flags) == (State.REFUNDED, (UNHEARD, UNPAID))  # lost, and nobody hides it
    assert world.escrow.earned == 0


async def test_a_station_that_never_heard_of_the_start_holds_nobodys_money(
    world: World, driver: Driver
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    await cut(world, session)
    async with running(world.caretaker, world.effects):
        world.clock.move(NO_CAR_TIMEOUT)
        done = await becomes(world, session, State.REFUNDED)
    assert (done.cause, done.flags) == ("no_car", ())


@pytest.mark.parametrize("how", ["driver", "tab"])
async def test_nobody_takes_the_money_back_from_a_station_that_may_be_charging(
    world: World, driver: Driver, how: str
) -> None:
    session = await told_to_start(world, driver)
    await cut(world, session)
    if how == "driver":
        waiting = await world.stop_word(driver, session)
    else:
        world.escrow.leave(driver.address, 2**31)
        await TabWatch(world.transitions, world.clock, world.tabs, world.live).look()
        waiting = await world.now(session)
    assert (waiting.state, waiting.flags) == (State.STARTING, (WITHDRAWN,))
    async with running(world.caretaker):
        world.clock.move(4 * MINUTE)
        await stays(world, session, State.STARTING)
        await back(world, session)
        assert (await world.begin(session, at=world.at(minutes=-3))).accepted
        stopping = await becomes(world, session, State.STOPPING)  # it is told to end what it began
    assert stopping.cause == waiting.cause
    assert "remote_stop" in await world.owed()


async def test_a_withdrawn_start_that_never_began_is_refunded_when_its_station_was_heard(
    world: World, driver: Driver
) -> None:
    session = await told_to_start(world, driver)
    await cut(world, session)
    await world.stop_word(driver, session)
    async with running(world.caretaker):
        world.clock.move(MINUTE)
        await back(world, session)
        world.clock.move(HEARD_AFTER)
        assert (await becomes(world, session, State.REFUNDING)).cause == "driver"


async def test_a_start_after_the_offers_last_one_is_not_accepted(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    session = await told_to_start_late(world, driver, session)
    world.clock.move(RESERVATION_TTL + NO_CAR_TIMEOUT - (world.clock.now() - session.created_at))
    assert (await world.begin(session, at=world.at(seconds=1))).accepted is False
    assert (await world.begin(session)).accepted


async def told_to_start_late(world: World, driver: Driver, session: Session) -> Session:
    world.clock.move(2 * MINUTE)
    return await world.payments.voucher(session.id, *world.voucher(driver, session))
