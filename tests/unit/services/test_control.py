from dataclasses import replace
from datetime import timedelta

import pytest

from evmesh.domain.sessions import RESERVATION_TTL, Session, State
from evmesh.domain.stations import BootInfo, LimitPeriod, LimitProfile
from evmesh.domain.units import W
from evmesh.services.courses import course_of, fits, lowered, steady
from evmesh.services.requests import NotPromised
from tests.fakes.world import PRICE, Driver, World
from tests.fakes.yard import MINUTE

BOOT = BootInfo("maker", "model", "1", "1")


async def once(world: World) -> None:
    await world.control.once(next(iter(world.directory.groups.values())), has_moved=True)


def limit_of(world: World, session: Session) -> W | None:
    profile = world.stations.limits.get(session.terms.connector)
    return profile.limit_at(world.clock.now()) if profile else None


async def test_every_connector_of_a_station_that_boots_gets_the_safe_limit(world: World) -> None:
    station = world.places[0].connector.ref.station
    await world.events.booted(station, BOOT)
    await once(world)
    mine = {place.connector.ref for place in world.places if place.connector.ref.station == station}
    assert world.stations.defaults == dict.fromkeys(mine, W(1_380))
    world.stations.defaults.clear()
    await once(world)
    assert world.stations.defaults == {}  # it has answered
    await world.events.disconnected(station)
    await world.events.connected(station)
    await world.events.booted(station, BOOT)
    await once(world)
    assert world.stations.defaults == dict.fromkeys(mine, W(1_380))


async def two_charging(world: World, driver: Driver, neighbour: Driver) -> tuple[Session, Session]:
    first = await world.charging(driver, world.places[0], 9_000, flexible=False)
    await once(world)
    return first, await world.charging(neighbour, world.places[2], 9_000, flexible=False)


async def test_what_a_station_that_is_away_may_draw_is_left_to_it(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    first, second = await two_charging(world, driver, neighbour)
    await once(world)
    held = limit_of(world, first)
    assert held is not None
    assert held > 7_000
    station = first.terms.connector.station
    world.stations.away.add(station)
    await world.events.disconnected(station)
    world.clock.move(MINUTE)
    await once(world)
    beside = limit_of(world, second)
    assert beside is not None
    # the other connector of the station that is away may begin a charge by itself
    assert held + 1_380 + beside <= 16_000
    assert world.live.connector(first.terms.connector).profile is not None


async def test_a_transaction_that_is_no_sessions_counts_with_all_that_it_could_draw(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0], 20_000, flexible=False)
    world.live.unknown.add(world.places[1].connector.ref)
    world.live.unknown.add(world.places[2].connector.ref)
    await once(world)
    assert limit_of(world, session) is not None
    assert 0 <= (limit_of(world, session) or 0) <= 16_000 - 2 * 7_360


async def test_a_station_that_rejects_keeps_its_share_and_is_asked_again(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    first, second = await two_charging(world, driver, neighbour)
    world.stations.rejects.add("set_limit")
    await once(world)
    assert not world.live.connector(second.terms.connector).held.obeys
    world.stations.rejects.clear()
    await once(world)
    assert world.live.connector(second.terms.connector).held.obeys
    assert (limit_of(world, first) or 0) + (limit_of(world, second) or 0) <= 16_000


async def test_after_an_outage_the_old_plan_still_governs(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0], 6_000)
    group = next(iter(world.directory.groups.values()))
    async with world.transitions.read() as unit:
        plan = await world.planner.current(unit, "yard")
        assert plan is not None
        step = next(
            n for n in range(1, plan.problem.steps) if plan.planned(session, plan.problem.grid.bounds(n)[0])
        )
        world.clock.move(plan.problem.grid.bounds(step)[0] - world.clock.now())
        running_ = await world.planner.running(unit, group.name, world.clock.now())
    assert running_ is not None
    assert running_.planned(session, world.clock.now()) > 0
    assert running_.stored.start < world.clock.now()


async def test_a_car_in_a_hurry_does_not_wait_for_a_cheaper_step(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    world.clock.move(timedelta(hours=2, minutes=46))  # the last quarter of the dearest hour
    hurried = await world.charging(driver, world.places[0], 3_000, flexible=False)
    patient = await world.charging(neighbour, world.places[2], 3_000)
    await once(world)
    assert (limit_of(world, hurried) or 0) > 7_000
    assert limit_of(world, patient) == 0


@pytest.mark.parametrize("minute", range(15))
async def test_whoever_pays_in_the_last_second_is_given_the_whole_promise(
    world: World, driver: Driver, minute: int
) -> None:
    world.clock.move(minute * MINUTE)
    leaves = int(world.at(minutes=75 - minute).timestamp())
    refused = await world.ask(driver, world.places[0], 8_000, departure=leaves)
    assert isinstance(refused, NotPromised)
    most = max(energy for energy, at in refused.record.offers if at.timestamp() == leaves)
    world.fund(driver, most * PRICE // 1000)  # who has the money in the tab has the longest time
    session = await world.promised(driver, world.places[0], most, departure=leaves)
    world.clock.move(RESERVATION_TTL - timedelta(seconds=1))
    paid = await world.pay(driver, session)
    assert paid.state is State.STARTING, paid.cause


async def test_a_cars_own_limit_is_never_below_6_a_and_is_tried_again(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0], 6_000)
    ref, connector = session.terms.connector, world.places[0].connector
    now = world.clock.now()
    full = LimitProfile(now, now + timedelta(hours=2), (LimitPeriod(0, W(7_360)),), "planner")
    world.live.connector(ref).profile = full
    world.clock.move(3 * MINUTE)
    await world.measure(session, 1_010, power=W(300))
    assert world.live.shown_power(session, connector, world.clock.now()) == 1_380
    world.clock.move(16 * MINUTE)
    assert world.live.shown_power(session, connector, world.clock.now()) is None


@pytest.mark.parametrize(
    ("before", "after", "held"), [(0, 3_000, True), (0, 3_001, False), (9_000, 9_000, True)]
)
def test_only_what_is_added_must_have_room(world: World, before: int, after: int, held: bool) -> None:
    now = world.clock.now()
    assert fits(steady(now, 5_000), steady(now, before), steady(now, after), steady(now, 8_000)) is held


def test_a_lowered_profile_asks_for_no_more_anywhere(world: World) -> None:
    now = world.clock.now()
    half = timedelta(milliseconds=500)
    old = LimitProfile(
        now, now + timedelta(hours=1), (LimitPeriod(0, W(9)), LimitPeriod(60, W(3))), "planner"
    )
    new = LimitProfile(now + half, old.expires_at, (LimitPeriod(0, W(5)), LimitPeriod(90, W(1))), "planner")
    less = lowered(new, course_of(old, 0, now + half))
    for tenth in range(5, 2_000):
        at = now + timedelta(milliseconds=100 * tenth)
        assert (less.limit_at(at) or 0) <= min(old.limit_at(at) or 0, new.limit_at(at) or 0)
    assert less.limit_at(now + half) == 5


async def test_before_a_day_is_known_a_crowded_group_uses_at_once_what_is_there(
    world: World, driver: Driver
) -> None:
    world.clock.move(timedelta(hours=2, minutes=46))  # the last quarter of the dearest hour
    patient = await world.charging(driver, world.places[0], 3_000)
    await once(world)
    assert limit_of(world, patient) == 0
    yard = next(iter(world.directory.groups.values()))
    await world.control.once(replace(yard, is_crowded=True), has_moved=False)
    assert (limit_of(world, patient) or 0) > 7_000


async def test_who_can_wait_does_not_wait_for_hours_that_were_full_the_day_before(
    world: World, driver: Driver, neighbour: Driver, thief: Driver
) -> None:
    first = await world.charging(Driver("first"), world.places[0])
    await world.end(first, 1_000)  # from here on the group is known
    world.clock.move(timedelta(hours=2, minutes=46))
    dear = world.clock.now()
    evening = {"departure": int(world.at(minutes=194).timestamp())}
    world.clock.move(timedelta(minutes=15))
    guests = [
        await world.charging(who, world.places[number], 11_000, **evening)
        for number, who in ((0, driver), (1, neighbour), (2, thief))
    ]
    world.clock.move(dear + timedelta(minutes=193) - world.clock.now())
    for guest in guests:
        await world.end(guest, 1_000 + 11_000)
    world.clock.move(dear + timedelta(days=1) - world.clock.now())
    evening = {"departure": int(world.at(minutes=194).timestamp())}
    alone = await world.charging(Driver("lone"), world.places[3], 3_000, **evening)
    await once(world)
    assert limit_of(world, alone) == 0  # there is room for all of them
    await world.end(alone, 1_000)
    hungry = await world.charging(Driver("hungry"), world.places[3], 16_500, **evening)
    await once(world)
    assert (limit_of(world, hungry) or 0) > 7_000
