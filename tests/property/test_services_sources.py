"""PV that does not come, other loads, batteries: promises are kept, and no cable is overloaded."""

import asyncio
import random
import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from evmesh.domain.equipment import Equipment, LoadMeter, MeteredStep, Pv, StationaryBattery
from evmesh.domain.money import Price
from evmesh.domain.problem import SupplySegment
from evmesh.domain.problem_shape import read_problem
from evmesh.domain.telemetry import Command, CommandResult, TelemetryValue, ValueName
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh
from evmesh.services.battery_steering import BatterySteering
from evmesh.services.directory import Group
from evmesh.services.plan_in_force import step_start
from evmesh.verify.answer import verify_answer
from tests.fakes.world import World, open_world, place
from tests.fakes.yard import SAMPLE_MINUTES, Car, Yard

ROOF, HALL, CELLAR = "roof", "hall", "cellar"
CAPACITY = 10_000
MINUTES = 80
RATING = 7_360
FEED_IN = Price(50_000)


@dataclass
class Cellar:
    """A battery and its gateway: does what it is told as long as that holds, or says no to everything."""

    world: World
    refuses: bool
    stored: int = CAPACITY // 2
    power: int = 0
    until: datetime | None = None
    told: int = 0

    async def send(self, command: Command) -> CommandResult:
        if self.refuses:
            return CommandResult(command.charger, command.what, command.id, "device.limit_refused")
        self.power, self.until = command.value, command.expires_at
        self.told += 1
        return CommandResult(command.charger, command.what, command.id)

    def pass_a_minute(self) -> int:
        """Give what it takes now, after a minute of what it took before."""
        if self.until is None or self.until <= self.world.clock.now():
            self.power = 0
        self.stored = min(CAPACITY, max(0, self.stored + self.power // 60))
        percent = self.stored * 100 // CAPACITY
        for value, number in ((ValueName.STATE_OF_CHARGE, percent), (ValueName.BATTERY_POWER, self.power)):
            self.world.sources.heard(TelemetryValue(CELLAR, value, self.world.clock.now(), number))
        return self.power


class SteeredYard(Yard):
    """A yard whose battery is told anew after each control cycle."""

    steering: BatterySteering

    async def _control(self) -> None:
        await super()._control()
        await self.steering.once()


@dataclass(frozen=True)
class Site:
    """A yard, who comes, and what the hall takes minute by minute; the sun was seen on other days only."""

    group: Group
    fleet: tuple[Car, ...]
    hall: tuple[int, ...]
    sun_before: int
    sun_now: int
    refuses: bool
    """The battery says no to everything."""
    prices: tuple[int, ...]


@st.composite
def sites(draw: st.DrawFn) -> Site:
    bays = draw(st.integers(2, 4))
    most = draw(st.integers(1_000, 8_000))
    headroom = draw(st.one_of(st.none(), st.integers(500, 3_000)))
    rises = most if headroom is None else headroom
    hall = [draw(st.integers(0, most))]
    for change in draw(st.lists(st.integers(-most, rises), min_size=MINUTES, max_size=MINUTES)):
        hall.append(min(most, max(0, hall[-1] + change)))
    battery = StationaryBattery(CELLAR, Wh(CAPACITY), W(4_000), W(4_000), draw(st.sampled_from([1_000, 900])))
    equipment = Equipment(
        Pv(ROOF, W(20_000), FEED_IN),
        LoadMeter(HALL, W(most), None if headroom is None else W(headroom)),
        battery if draw(st.booleans()) else None,
    )
    places = tuple(place(number, "yard") for number in range(1, bays + 1))
    capacity = W(most + draw(st.integers(8_000, 20_000)))
    group = Group("yard", capacity, places, other=W(most), equipment=equipment)
    fleet = tuple(
        Car(
            f"car {bay}",
            bay,
            comes_at=draw(st.integers(0, 18)),
            stays=(stays := draw(st.integers(36, 60))),
            wh=draw(st.integers(300, RATING * stays // 60 * 3 // 4)),
            flexible=draw(st.booleans()),
        )
        for bay in range(bays)
    )
    sun_now = draw(st.sampled_from([0, 0, 3_000, 20_000]))
    prices = draw(st.lists(st.integers(-20_000, 100_000), min_size=8, max_size=8))
    sun_before, refuses = draw(st.integers(0, 20_000)), draw(st.booleans())
    return Site(group, fleet, tuple(hall), sun_before, sun_now, refuses, tuple(prices))


def remember_the_sun(world: World, power: int) -> None:
    """Let the last three days have been sunny."""
    first = step_start(world.clock.now())
    world.sources.remember(
        [
            MeteredStep(ROOF, first + timedelta(seconds=step * STEP_S, days=-days), Wh(power // 4))
            for days in (1, 2, 3)
            for step in range(-8, 24)
        ]
    )


async def drive(site: Site) -> tuple[Yard, list[tuple[SupplySegment, ...]]]:
    with tempfile.TemporaryDirectory() as directory:
        opened = open_world(
            Path(directory),
            price_at=lambda at: site.prices[(at.hour * 4 + at.minute // 15) % len(site.prices)],
            randomness=random.Random(7).randbytes,
            wired=site.group,
        )
        async with opened as world:
            remember_the_sun(world, site.sun_before)
            yard, minutes = SteeredYard(world, list(site.fleet)), iter(site.hall)
            cellar = Cellar(world, site.refuses)
            yard.steering = BatterySteering(
                world.transitions,
                world.clock,
                world.directory,
                world.planner,
                world.live,
                world.control,
                world.sources,
                cellar,
            )

            def tell(name: str, value: ValueName, power: int) -> None:
                told = TelemetryValue(name, value, world.clock.now(), power)
                world.sources.remember(world.sources.heard(told))

            def go_on() -> None:
                hall = next(minutes)
                tell(HALL, ValueName.POWER_OUTPUT, hall)
                tell(ROOF, ValueName.GENERATED_POWER, site.sun_now)
                into = max(0, cellar.pass_a_minute()) if site.group.equipment.battery else 0
                now = world.clock.now()
                drawn = sum(yard.limit_of(car, now) for car in yard.plugged())
                assert drawn + hall + into <= site.group.capacity, f"{drawn}, {hall}, {into} W at {now}"

            tell(HALL, ValueName.POWER_OUTPUT, site.hall[0])
            await yard.run(MINUTES, go_on)
            async with world.transitions.read() as unit:
                stored = await unit.plans(
                    "yard", world.clock.now() - timedelta(days=1), world.clock.now() + timedelta(days=1)
                )
            assert all(verify_answer(one.problem, one.schedule).ok for one in stored)
            event(f"battery told: {min(cellar.told, 2)}")
            return yard, [read_problem(one.problem, with_batteries=True).supply for one in stored]


def check(site: Site) -> None:
    yard, supplies = asyncio.run(drive(site))
    event(f"refused: {len(yard.refused)}")
    event(f"planned with sun: {any(one.price == FEED_IN for supply in supplies for one in supply)}")
    for car in yard.cars:
        if car.session is not None:
            assert car.left_with is not None
            assert car.wh <= car.left_with <= car.wh + RATING * SAMPLE_MINUTES // 60 + 1, car
            assert car.session.flags == ()


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(sites())
def test_promises_are_kept_when_the_sun_does_not_come_and_no_cable_is_overloaded(site: Site) -> None:
    check(site)


@pytest.mark.soak
@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(sites())
def test_promises_are_kept_at_many_sites_with_pv_and_other_equipment(site: Site) -> None:
    check(site)
