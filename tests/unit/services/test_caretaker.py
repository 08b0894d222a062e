"""What time alone brings about: time-outs, departures, full cars, lost transactions."""

from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import StationId
from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import TABLE, UNSECURED_TTL, Event, Session, State
from evmesh.domain.stations import ConnectorStatus, LimitPeriod, LimitProfile
from evmesh.domain.units import W
from evmesh.ports import Unit
from evmesh.services.promises import SHORT
from evmesh.verify.receipt import verify_receipt
from tests.fakes.world import SIGNATURES, Driver, World, eventually, running

MINUTE = timedelta(minutes=1)


async def becomes(world: World, session: Session, state: State) -> Session:
    async def is_there() -> bool:
        return await world.is_in(session, state)

    await eventually(is_there)
    return await world.now(session)


async def stays(world: World, session: Session, state: State) -> None:
    """Let the caretaker look at every session once more, from the first to the last."""
    looks, read = 0, world.transitions.read

    def counted() -> AbstractAsyncContextManager[Unit]:
        nonlocal looks
        looks += 1
        return read()

    async def has_looked() -> bool:
        return looks >= 3

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(world.transitions, "read", counted)
        await eventually(has_looked)
    assert (await world.now(session)).state is state


async def test_a_reservation_that_nobody_pays_expires(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    async with running(world.caretaker):
        world.clock.move(UNSECURED_TTL - timedelta(seconds=1))
        await stays(world, session, State.RESERVED)
        world.clock.move(timedelta(seconds=1))
        expired = await becomes(world, session, State.EXPIRED)
    assert expired.cause == "not_paid_in_time"


async def test_money_goes_back_when_no_car_comes(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    async with running(world.caretaker):
        world.clock.move(5 * MINUTE - timedelta(seconds=1))
        await stays(world, session, State.STARTING)
        world.clock.move(timedelta(seconds=1))
        moved = await becomes(world, session, State.REFUNDING)
    assert moved.cause == "no_car"


async def test_a_start_that_a_crash_prevented_is_made_up_for(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    async with world.transitions.begin() as work:
        await work.apply(session, Event.FUND, "voucher", voucher_signature=b"\1" * 64)
    async with running(world.caretaker):
        await becomes(world, session, State.STARTING)


async def test_every_time_out_of_the_table_is_applied(world: World, driver: Driver) -> None:
    timed = {row.target: row.on_timeout for row in TABLE if row.on_timeout}
    assert timed == {State.FUNDED: Event.REFUND, State.STARTING: Event.REFUND}


async def test_the_departure_ends_the_charge(world: World, driver: Driver) -> None:
    leaves = int(world.at(hours=1).timestamp())
    session = await world.charging(driver, world.places[0], 3_000, departure=leaves)
    async with running(world.caretaker):
        world.clock.move(timedelta(minutes=59, seconds=59))
        await stays(world, session, State.CHARGING)
        world.clock.move(timedelta(seconds=1))
        stopping = await becomes(world, session, State.STOPPING)
    assert stopping.cause == "departure"
    assert "remote_stop" in await world.owed()


@pytest.mark.parametrize(
    ("power", "delivered", "flags"),
    [
        (7_000, 2_969, (SHORT,)),  # it drew all it was allowed to, and got below 99 %
        (7_000, 2_970, ()),
        (1_000, 2_000, ()),  # the car itself took less than it could have had
    ],
)
async def test_a_broken_promise_is_flagged_where_the_car_would_have_taken_more(
    world: World, driver: Driver, power: int, delivered: int, flags: tuple[str, ...]
) -> None:
    leaves = int(world.at(hours=1).timestamp())
    session = await world.charging(driver, world.places[0], 3_000, departure=leaves)
    world.clock.move(59 * MINUTE)
    world.live.connector(session.terms.connector).profile = LimitProfile(
        session.created_at, world.at(days=1), (LimitPeriod(0, W(7_000)),), "planner"
    )
    await world.measure(session, 1_000 + delivered, power=W(power))
    world.clock.move(MINUTE)
    async with running(world.caretaker):
        await becomes(world, session, State.STOPPING)
    assert (await world.end(session, 1_000 + delivered)).flags == flags


async def test_a_car_that_takes_no_more_for_ten_minutes_is_full(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.says(world.places[0], ConnectorStatus.SUSPENDED_EV)
    async with running(world.caretaker):
        world.clock.move(10 * MINUTE - timedelta(seconds=1))
        await stays(world, session, State.SUSPENDED)
        world.clock.move(timedelta(seconds=1))
        stopping = await becomes(world, session, State.STOPPING)
    assert stopping.cause == "full"


async def test_a_car_that_we_let_wait_is_not_full(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.says(world.places[0], ConnectorStatus.SUSPENDED_EVSE)
    async with running(world.caretaker):
        world.clock.move(30 * MINUTE)
        await stays(world, session, State.SUSPENDED)
        await world.says(world.places[0], ConnectorStatus.SUSPENDED_EV)
        world.clock.move(10 * MINUTE)
        assert (await becomes(world, session, State.STOPPING)).cause == "full"


async def test_a_transaction_that_the_station_lost_is_billed_up_to_the_last_register(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    world.clock.move(MINUTE)
    await world.measure(session, 1_800)
    async with running(world.caretaker):
        await world.says(world.places[0], ConnectorStatus.AVAILABLE)
        await stays(world, session, State.CHARGING)
        world.clock.move(5 * MINUTE)
        stopping = await becomes(world, session, State.STOPPING)
        assert stopping.cause == "ghost"
        assert "remote_stop" in await world.owed()  # should it run all the same
        await stays(world, session, State.STOPPING)
        world.clock.move(MINUTE)
        metered = await becomes(world, session, State.METERED)
    assert (metered.cause, metered.delivered) == ("ghost", 800)
    raw = await world.document(session, Receipt.FORMAT)
    assert verify_receipt(raw, SIGNATURES, world.trust()).ok
    assert (await world.owed())[-2:] == ["anchor", "claim"]


async def test_a_connector_that_is_free_for_a_moment_is_no_ghost(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    async with running(world.caretaker):
        await world.says(world.places[0], ConnectorStatus.AVAILABLE)
        await stays(world, session, State.CHARGING)
        world.clock.move(4 * MINUTE)
        await world.says(world.places[0], ConnectorStatus.CHARGING)
        await stays(world, session, State.CHARGING)
        world.clock.move(4 * MINUTE)
        await world.says(world.places[0], ConnectorStatus.AVAILABLE)
        await stays(world, session, State.CHARGING)


async def test_a_station_that_is_away_has_no_ghosts(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.says(world.places[0], ConnectorStatus.AVAILABLE)
    await world.events.disconnected(StationId("CP-1"))
    async with running(world.caretaker):
        world.clock.move(10 * MINUTE)
        await stays(world, session, State.CHARGING)


async def test_a_ghost_that_was_told_to_stop_is_closed_too(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.stop_word(driver, session)
    await world.says(world.places[0], ConnectorStatus.AVAILABLE)
    async with running(world.caretaker):
        await stays(world, session, State.STOPPING)
        world.clock.move(5 * MINUTE)
        assert (await becomes(world, session, State.METERED)).cause == "ghost"


async def test_a_transaction_that_is_metered_is_no_ghost(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    async with running(world.caretaker):
        await world.says(world.places[0], ConnectorStatus.AVAILABLE)
        for minute in range(8):
            await stays(world, session, State.CHARGING)
            world.clock.move(MINUTE)
            await world.measure(session, 1_000 + 10 * minute)
        await stays(world, session, State.CHARGING)
        world.clock.move(5 * MINUTE)
        await becomes(world, session, State.STOPPING)


async def test_a_station_that_never_ends_a_charge_does_not_hold_the_driver(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    await world.measure(session, 1_800)
    await world.says(world.places[0], ConnectorStatus.CHARGING)
    await world.events.disconnected(StationId("CP-1"))
    ends = session.terms.departure + END_GRACE
    async with running(world.caretaker):
        world.clock.move(ends - timedelta(seconds=1) - world.clock.now())
        await becomes(world, session, State.STOPPING)
        world.clock.move(timedelta(hours=1))
        metered = await becomes(world, session, State.METERED)
    assert (metered.cause, metered.delivered, metered.stopped_at) == ("ghost", 800, ends)
    raw = await world.document(session, Receipt.FORMAT)
    assert verify_receipt(raw, SIGNATURES, world.trust()).ok
    assert world.live.strays == {session.terms.connector: session.transaction_id}  # it may draw on


async def test_a_session_that_cannot_be_looked_after_stops_nothing_else(
    world: World, driver: Driver, neighbour: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await world.charging(driver, world.places[0])
    other = await world.charging(neighbour, world.places[2])
    tried = 0

    async def fail(*_: object) -> bytes:
        nonlocal tried
        tried += 1
        raise IntegrityFailure("receipt.incomplete", "its evidence is gone")

    async def is_tried_again() -> bool:
        return tried == 2

    with monkeypatch.context() as patched:
        patched.setattr(world.receipts, "issue", fail)
        async with running(world.caretaker):
            world.clock.move(session.terms.departure + END_GRACE - world.clock.now())
            await eventually(is_tried_again)  # once for each
            await stays(world, session, State.CHARGING)
            await stays(world, other, State.CHARGING)
            assert tried == 2
    async with running(world.caretaker):
        world.clock.move(MINUTE)
        await becomes(world, session, State.METERED)
        await becomes(world, other, State.METERED)


async def test_a_car_that_is_offered_nothing_is_not_full(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    now = world.clock.now()
    begins = LimitPeriod(0, W(0)), LimitPeriod(3_600, W(1_380))  # 6 A from the second hour on
    live = world.live.connector(session.terms.connector)
    live.profile = LimitProfile(now, world.at(days=1), begins, "planner")
    await world.says(world.places[0], ConnectorStatus.SUSPENDED_EV)
    async with running(world.caretaker):
        await stays(world, session, State.SUSPENDED)
        world.clock.move(59 * MINUTE)
        await stays(world, session, State.SUSPENDED)
        world.clock.move(MINUTE)
        await stays(world, session, State.SUSPENDED)
        world.clock.move(10 * MINUTE - timedelta(seconds=1))
        await stays(world, session, State.SUSPENDED)
        world.clock.move(timedelta(seconds=1))
        assert (await becomes(world, session, State.STOPPING)).cause == "full"
