"""Energy is handed out once, and what was promised and did not come is said."""

from dataclasses import replace
from datetime import timedelta

import pytest

from evmesh.domain.sessions import Session
from evmesh.domain.stations import LimitPeriod, LimitProfile, MeterSample
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.services.promises import SHORT
from evmesh.services.requests import NotPromised
from tests.fakes.world import Driver, World

MINUTE = timedelta(minutes=1)


async def once(world: World) -> None:
    await world.control.once(next(iter(world.directory.groups.values())), has_moved=True)


def limit_of(world: World, session: Session) -> W | None:
    profile = world.stations.limits.get(session.terms.connector)
    return profile.limit_at(world.clock.now()) if profile else None


async def test_what_was_allowed_and_not_metered_yet_is_not_handed_out_again(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0], 300, flexible=False)
    allowed = 0
    for _ in range(29):
        await once(world)
        allowed += limit_of(world, session) or W(0)
        world.clock.move(MINUTE)
    assert 300 * 60 <= allowed <= 304 * 60
    assert world.live.got(await world.now(session), world.clock.now()) >= 300


async def test_a_sample_corrects_what_a_car_was_thought_to_have(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0], 300, flexible=False)
    await once(world)
    world.clock.move(3 * MINUTE)
    await world.measure(session, 1_050, power=W(6_000))
    await once(world)
    assert world.live.got(await world.now(session), world.clock.now()) == 50
    assert (limit_of(world, session) or 0) > 1_380


@pytest.mark.parametrize(
    ("leaves_early", "lacks", "flags"),
    [
        (0 * MINUTE, 101, (SHORT,)),
        (0 * MINUTE, 100, ()),
        (MINUTE, 101, ()),  # the driver left before the promise was over
    ],
)
async def test_whoever_unplugs_at_the_departure_with_less_than_promised_was_let_down(
    world: World, driver: Driver, leaves_early: timedelta, lacks: int, flags: tuple[str, ...]
) -> None:
    leaves = world.at(hours=4)
    session = await world.charging(driver, world.places[0], 15_000, departure=int(leaves.timestamp()))
    world.clock.move(leaves - leaves_early - world.clock.now())
    assert (await world.end(session, 1_000 + 15_000 - lacks)).flags == flags


async def test_a_step_is_not_promised_to_the_last_wh(world: World, driver: Driver, neighbour: Driver) -> None:
    """Two cars that need 99 % of the cabinet in the steps they share are not both admitted."""
    leaves = int(world.at(minutes=30).timestamp())
    capacity = next(iter(world.directory.groups.values())).capacity
    most = 7_360 * 90 // 100 // 4
    for one, bay in ((driver, 0), (neighbour, 1)):
        await world.pay(one, await world.promised(one, world.places[bay], most, departure=leaves))
    rest = capacity // 4 - 2 * most
    answer = await world.ask(Driver("third"), world.places[2], rest - 40, departure=leaves)
    assert isinstance(answer, NotPromised)
    a_minute_at_6_a = 23
    assert answer.record.offers[0][0] == rest - capacity // 4 * 5 // 100 - a_minute_at_6_a


@pytest.mark.parametrize("energy", [10**9, 2**31 - 1, 2**31, 2**32 - 1])
async def test_energy_beyond_all_measure_is_refused_with_its_certificate(
    world: World, driver: Driver, energy: int
) -> None:
    world.fund(driver, 2**95)
    answer = await world.ask(driver, world.places[0], energy, max_cost=2**96 - 1)
    assert isinstance(answer, NotPromised)
    assert answer.certificate.steps == ()
    assert [departure for _, departure in answer.record.offers] == [world.at(hours=4)]


async def test_a_car_that_uses_one_of_three_phases_is_known_by_its_currents(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    outlet = world.places[0].connector
    full = LimitProfile(session.created_at, world.at(hours=2), (LimitPeriod(0, W(7_360)),), "planner")
    world.live.connector(outlet.ref).profile = full
    currents = (Milliamp(16_000), Milliamp(0), Milliamp(40))
    sample = MeterSample(world.clock.now(), Wh(1_100), power=W(3_680), currents=currents)
    three = replace(outlet, phases=3)
    world.live.note_sample(session, outlet.ref, sample, three)
    assert world.live.phases(session, three) == 1
    assert world.live.phases(session, outlet) == 1
