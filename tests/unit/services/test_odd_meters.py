"""A meter that shows what cannot be true costs no driver money, and no station its sessions."""

from datetime import timedelta

import pytest

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.money import cost_of
from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.readings import NO_REGISTER, Reading
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session, State
from evmesh.domain.stations import ConnectorStatus, MeterSample, StartedTransaction
from evmesh.domain.units import Wh
from evmesh.services.promises import SHORT
from evmesh.services.registers import CLOCK, JUMPED, UNBILLED, WENT_BACK
from evmesh.verify.receipt import verify_receipt
from tests.fakes.world import PRICE, SIGNATURES, Driver, World

MINUTE = timedelta(minutes=1)
ODD = [-5, -(10**15), NO_REGISTER, 2**31, 0xFFFF_FFFF, 10**15]


async def sample(world: World, session: Session, register: int) -> None:
    """Let the meter show something, whether or not the time was long enough for it."""
    value = MeterSample(world.clock.now(), Wh(register))
    await world.events.metered(session.terms.connector, session.transaction_id, [value])


async def readings(world: World, session: Session) -> list[int]:
    async with world.database.begin() as unit:
        return [Reading.parse(leaf.payload).register for leaf in await unit.session_leaves(session.id)]


async def receipt_holds(world: World, session: Session) -> bool:
    return verify_receipt(await world.document(session, Receipt.FORMAT), SIGNATURES, world.trust()).ok


@pytest.mark.parametrize("register", ODD)
async def test_a_start_at_a_register_that_is_none_is_stored_and_answered_no(
    world: World, driver: Driver, register: int
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    start = world.plugged_in(session, meter_start=Wh(register))
    answer = await world.events.started(start)
    assert not answer.accepted
    assert answer == await world.events.started(start)
    assert (await world.now(session)).state is State.STARTING
    async with world.database.begin() as unit:
        stored = await unit.transaction(start.connector.station, answer.transaction_id)
    assert stored is not None
    assert -(2**31) <= stored.start.meter_start < 2**31
    world.clock.move(MINUTE)
    assert (await world.begin(session)).accepted


@pytest.mark.parametrize("register", ODD)
async def test_an_end_at_a_register_that_is_none_is_billed_at_the_last_one(
    world: World, driver: Driver, register: int
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.measure(session, 1_700)
    metered = await world.end(session, register)
    assert (metered.state, metered.delivered) == (State.METERED, 700)
    assert metered.flags == ((WENT_BACK if register < 0 else JUMPED),)
    assert await receipt_holds(world, metered)


async def test_a_register_that_jumps_is_flagged_once_and_not_stored(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    for minute, register in enumerate((1_100, 900_000, 1_200, NO_REGISTER, 1_300)):
        world.clock.move(MINUTE)
        await sample(world, session, register)
        assert (await world.now(session)).state is State.CHARGING, minute
    world.clock.move(MINUTE)
    metered = await world.end(session, 1_400)
    assert metered.flags == (JUMPED,)
    assert metered.due == cost_of(Wh(400), PRICE)
    assert await readings(world, metered) == [1_000, 1_100, 1_200, 1_300, 1_400]


async def test_a_jump_is_measured_from_the_last_value_that_was_true(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0], 20_000)
    world.clock.move(10 * MINUTE)  # 7 360 W and a tenth for 10 minutes, and 200 Wh: 1 549 Wh
    await sample(world, session, 1_000 + 1_550)
    assert (await world.now(session)).delivered == 0
    await sample(world, session, 1_000 + 1_549)
    assert (await world.now(session)).delivered == 1_549


async def test_a_stations_clock_cannot_make_time_for_energy(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    answer = await world.begin(session, at=world.at(days=-9_000))
    assert answer.accepted
    session = await world.now(session)
    world.clock.move(MINUTE)
    await sample(world, session, 900_000)
    assert ((await world.now(session)).delivered, (await world.now(session)).flags) == (0, (CLOCK, JUMPED))


async def test_what_one_value_may_be_off_is_not_granted_anew_with_every_sample(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0], 20_000)
    for number in range(1, 16):
        world.clock.move(timedelta(seconds=1))
        await sample(world, session, 1_000 + 200 * number)
    world.clock.move(timedelta(seconds=5))
    await world.events.stopped(world.stop_of(await world.now(session), 4_000))
    metered = await world.now(session)
    assert (metered.delivered, metered.flags) == (200, (JUMPED,))
    assert await receipt_holds(world, metered)


async def test_a_start_from_before_the_station_was_told_is_dated_by_its_arrival(
    world: World, driver: Driver
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    slow, arrived = timedelta(seconds=5_000), world.clock.now()
    assert (await world.begin(session, at=arrived - slow)).accepted
    session = await world.now(session)
    assert (session.started_at, session.flags) == (arrived, (CLOCK,))
    for register in (1_100, 1_200):
        world.clock.move(MINUTE)
        await world.measure(session, register, at=world.clock.now() - slow)
        assert (await world.now(session)).delivered == register - 1_000
    await world.measure(session, 1_100, at=arrived + MINUTE - slow)  # sent again
    world.clock.move(MINUTE)
    metered = await world.end(session, 1_300, at=world.clock.now() - slow)
    assert (metered.delivered, metered.flags) == (300, (CLOCK,))
    assert metered.stopped_at == arrived + 3 * MINUTE
    assert await receipt_holds(world, metered)


async def test_a_clock_that_is_a_little_slow_is_no_wrong_clock(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    assert (await world.begin(session, at=world.at(seconds=-40))).accepted
    session = await world.now(session)
    assert (session.started_at, session.flags) == (world.at(seconds=-40), ())


async def test_an_end_that_jumps_is_billed_at_the_last_true_register(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(5 * MINUTE)
    await sample(world, session, 1_500)
    session = await world.now(session)
    world.clock.move(MINUTE)
    await world.events.stopped(world.stop_of(session, 50_000))
    metered = await world.now(session)
    assert (metered.delivered, metered.flags) == (500, (JUMPED,))
    assert await receipt_holds(world, metered)


async def test_the_meters_own_last_word_counts_where_a_sample_had_overshot(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    for register in (1_100, 1_250, 1_390):  # from the second on 150 Wh too much
        world.clock.move(MINUTE)
        await sample(world, session, register)
    world.clock.move(MINUTE)
    metered = await world.end(session, 1_300)
    assert (metered.delivered, metered.flags) == (300, (WENT_BACK,))
    assert metered.due == cost_of(Wh(300), PRICE)
    assert await receipt_holds(world, metered)


async def test_no_flag_is_set_twice(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    for register in (1_100, 900, 800, 900_000, 700, 900_000):
        world.clock.move(MINUTE)
        await sample(world, session, register)
    metered = await world.end(session, 0)
    assert metered.flags == (WENT_BACK, JUMPED)


async def test_an_end_that_cannot_be_billed_is_stored_all_the_same(
    world: World, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await world.charging(driver, world.places[0])

    async def fail(*_: object) -> bytes:
        raise IntegrityFailure("receipt.incomplete", "its evidence is gone")

    with monkeypatch.context() as patched:
        patched.setattr(world.receipts, "issue", fail)
        charging = await world.end(session, 2_000)
    assert charging.state is State.CHARGING
    async with world.database.begin() as unit:
        stored = await unit.transaction(session.terms.connector.station, session.transaction_id or 0)
    assert stored is not None
    assert stored.stop is not None
    assert stored.stop.meter_stop == 2_000


async def test_values_without_a_transaction_are_the_running_sessions(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    ref = session.terms.connector
    for register, id in ((1_100, None), (1_200, 0)):
        world.clock.move(MINUTE)
        await world.events.metered(ref, id, [MeterSample(world.clock.now(), Wh(register))])
    assert (await world.now(session)).delivered == 200
    world.clock.move(MINUTE)
    neighbours = world.places[1].connector.ref
    await world.events.metered(neighbours, None, [MeterSample(world.clock.now(), Wh(5_000))])
    assert (await world.now(session)).delivered == 200


async def test_values_without_a_transaction_are_nobodys_while_a_stranger_charges(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    ref = session.terms.connector
    await world.events.started(StartedTransaction(ref, "CARD", world.clock.now(), Wh(1_000)))
    world.clock.move(MINUTE)
    await world.events.metered(ref, None, [MeterSample(world.clock.now(), Wh(1_100))])
    assert (await world.now(session)).delivered == 0


async def test_nothing_after_the_offers_end_is_billed(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.measure(session, 1_500)
    end = session.terms.departure + END_GRACE
    world.clock.move(end - MINUTE - world.clock.now())
    await sample(world, session, 1_600)
    world.clock.move(2 * MINUTE)
    await sample(world, session, 1_700)
    metered = await world.end(session, 1_800)
    assert (metered.delivered, metered.stopped_at, metered.flags) == (600, end, (UNBILLED, SHORT))
    assert await receipt_holds(world, metered)


async def test_an_end_within_the_offer_that_is_told_late_is_billed_in_full(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.measure(session, 1_500)
    ended_at = world.at(hours=2)
    world.clock.move(session.terms.departure + 2 * END_GRACE - world.clock.now())
    metered = await world.end(session, 1_900, at=ended_at)
    assert (metered.delivered, metered.stopped_at, metered.flags) == (900, ended_at, ())
    assert await receipt_holds(world, metered)


async def test_a_status_of_a_free_connector_ends_what_was_thought_to_run(world: World) -> None:
    ref = world.places[0].connector.ref
    await world.events.started(StartedTransaction(ref, "CARD", world.clock.now(), Wh(1_000)))
    assert world.live.unknown == {ref}
    await world.says(world.places[0], ConnectorStatus.CHARGING)
    assert world.live.unknown == {ref}
    await world.says(world.places[0], ConnectorStatus.AVAILABLE)
    assert world.live.unknown == set()
