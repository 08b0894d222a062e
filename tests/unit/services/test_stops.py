"""What ought to have ended is told to end, again and again, and counts until it has."""

from datetime import timedelta

from evmesh.domain.ids import ConnectorRef
from evmesh.domain.sessions import Session, State
from evmesh.domain.stations import MeterSample, StartedTransaction, StoppedTransaction
from evmesh.domain.units import Wh
from evmesh.services.registers import UNBILLED
from evmesh.services.stops import REPEAT_AFTER, Stops
from tests.fakes.world import Driver, World, eventually, running


def stops_of(world: World) -> Stops:
    return Stops(world.transitions, world.clock, world.live, world.stations)


async def told(world: World, *ids: int) -> None:
    """Wait until these transactions, and no others, were told to stop, in order."""

    async def are_told() -> bool:
        return world.stations.of("remote_stop") == list(ids)

    await eventually(are_told)


async def stranger(world: World, ref: ConnectorRef, register: int = 1_000) -> int:
    """Let somebody begin with a card of the station's own."""
    start = StartedTransaction(ref, "CARD", world.clock.now(), Wh(register))
    answer = await world.events.started(start)
    assert not answer.accepted
    return answer.transaction_id


async def test_who_is_answered_no_is_told_to_stop_and_counts_until_then(world: World) -> None:
    ref = world.places[0].connector.ref
    id = await stranger(world, ref)
    assert world.live.unknown == {ref}
    service = stops_of(world)
    async with running(service):
        await told(world, id)
        assert await service._due(world.clock.now()) == []  # it has time to do so
        assert world.live.unknown == {ref}  # it said yes, and may yet draw
        world.clock.move(REPEAT_AFTER)
        await told(world, id, id)
    await world.events.stopped(
        StoppedTransaction(ref.station, id, world.clock.now(), Wh(1_200), "DeAuthorized")
    )
    assert world.live.unknown == set()
    assert world.live.strays == {}


async def test_a_station_that_knows_no_such_transaction_is_believed_until_it_meters_it(world: World) -> None:
    ref = world.places[0].connector.ref
    world.stations.rejects.add("remote_stop")
    id = await stranger(world, ref)
    async with running(stops_of(world)):
        await told(world, id)

        async def is_none() -> bool:
            return not world.live.unknown

        await eventually(is_none)
        world.clock.move(timedelta(minutes=1))
        await world.events.metered(ref, id, [MeterSample(world.clock.now(), Wh(1_050))])
        assert world.live.unknown == {ref}
        world.clock.move(REPEAT_AFTER)
        await told(world, id, id)


async def test_a_transaction_that_we_never_heard_of_is_a_stray(world: World) -> None:
    ref = world.places[0].connector.ref
    await world.events.metered(ref, 4_711, [MeterSample(world.clock.now(), Wh(1_050))])
    async with running(stops_of(world)):
        await told(world, 4_711)
    now = world.clock.now()
    await world.events.stopped(StoppedTransaction(ref.station, 4_711, now, Wh(1_100), "Remote"))
    assert world.live.unknown == set()


async def test_a_station_that_is_away_is_told_when_it_is_back(world: World) -> None:
    ref = world.places[0].connector.ref
    world.stations.away.add(ref.station)
    id = await stranger(world, ref)
    service = stops_of(world)
    assert await service._due(world.clock.now()) == []
    world.stations.away.clear()
    async with running(service):
        await told(world, id)


async def test_a_paid_start_ends_the_stray_before_it(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    await stranger(world, session.terms.connector)
    assert (await world.begin(session)).accepted
    assert world.live.unknown == set()


async def test_a_start_that_is_sent_again_after_its_end_is_no_stray(world: World) -> None:
    ref = world.places[0].connector.ref
    id = await stranger(world, ref)
    now = world.clock.now()
    await world.events.stopped(StoppedTransaction(ref.station, id, now, Wh(1_100), "Local"))
    assert await stranger(world, ref) == id
    assert world.live.unknown == set()


async def test_a_stop_that_is_taken_and_not_done_is_said_again(world: World, driver: Driver) -> None:
    session = await stopping(world, driver)
    assert session.transaction_id is not None
    service = stops_of(world)
    world.clock.move(REPEAT_AFTER - timedelta(seconds=1))
    assert await service._due(world.clock.now()) == []
    world.clock.move(timedelta(seconds=1))
    async with running(service):
        await told(world, session.transaction_id)
        world.clock.move(REPEAT_AFTER)
        await told(world, session.transaction_id, session.transaction_id)
    await world.end(session, 1_500)
    world.clock.move(2 * REPEAT_AFTER)
    assert await service._due(world.clock.now()) == []


async def stopping(world: World, driver: Driver) -> Session:
    session = await world.charging(driver, world.places[0])
    await world.stop_word(driver, session)
    session = await world.now(session)
    assert session.state is State.STOPPING
    return session


async def test_a_lost_transaction_that_meters_after_all_is_stopped_and_its_rest_is_flagged(
    world: World, driver: Driver
) -> None:
    session = await stopping(world, driver)
    ref, id = session.terms.connector, session.transaction_id
    assert id is not None
    async with world.transitions.begin() as work:
        await world.events.meter(work, session, work.now, Wh(1_000), "ghost")
    world.clock.move(timedelta(minutes=5))
    await world.events.metered(ref, id, [MeterSample(world.clock.now(), Wh(1_300))])
    assert world.live.unknown == {ref}
    async with running(stops_of(world)):
        await told(world, id)
    await world.end(session, 1_350)
    assert world.live.unknown == set()
    closed = await world.now(session)
    assert (closed.delivered, closed.flags) == (0, (UNBILLED,))
