"""What batteries are told: what the plan has for them, as far as the cable and the moment allow."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.equipment import Equipment, LoadMeter, Pv, StationaryBattery
from evmesh.domain.errors import Unavailable
from evmesh.domain.money import Price
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.telemetry import Command, CommandResult, TelemetryValue, ValueName
from evmesh.domain.units import W, Wh
from evmesh.services.battery_steering import HOLD, BatterySteering
from evmesh.services.directory import Group
from evmesh.services.plan_in_force import step_start
from evmesh.verify.answer import verify_answer
from tests.fakes.world import Driver, World, open_world, place

CELLAR, HALL, ROOF = "cellar", "hall", "roof"
STEP = timedelta(minutes=15)
CHEAP, DEAR = 50_000, 400_000


@dataclass
class Hearing:
    """Implements `Commands`: remembers what was said, and answers as it is told to."""

    said: list[Command] = field(default_factory=list)
    code: str = ""
    away: bool = False

    async def send(self, command: Command) -> CommandResult:
        if self.away:
            raise Unavailable("edge.no_answer", "nobody answers")
        self.said.append(command)
        return CommandResult(command.charger, command.what, command.id, self.code)

    @property
    def powers(self) -> list[int]:
        return [one.value for one in self.said]


@dataclass
class Yard:
    world: World
    hearing: Hearing
    steering: BatterySteering
    group: Group

    async def go_on(self, by: timedelta = timedelta(seconds=15)) -> None:
        self.world.clock.move(by)
        await self.steering.once()

    async def next_step(self) -> None:
        """Plan, and let the planned quarter-hour begin."""
        await self.world.control.once(self.group, has_moved=True)
        now = self.world.clock.now()
        self.world.clock.move(step_start(now) + STEP - now)

    def tell(self, name: str, value: ValueName, number: int) -> None:
        self.world.sources.heard(TelemetryValue(name, value, self.world.clock.now(), number))


def group_of(capacity: int) -> Group:
    battery = StationaryBattery(CELLAR, Wh(10_000), W(4_000), W(4_000), 900, Wh(1_000))
    equipment = Equipment(Pv(ROOF, W(10_000), Price(0)), LoadMeter(HALL, W(2_000)), battery)
    places = tuple(place(number, "yard") for number in range(1, 3))
    return Group("yard", W(capacity), places, other=W(2_000), equipment=equipment)


@asynccontextmanager
async def yard(directory: Path, *prices: int, capacity: int = 20_000) -> AsyncIterator[Yard]:
    """Open a yard with these prices from quarter-hour to quarter-hour, the last one for ever."""
    group = group_of(capacity)
    begins: list[datetime] = []

    def price_at(at: datetime) -> int:
        number = (at - begins[0]) // STEP
        return prices[min(len(prices) - 1, max(0, number))]

    async with open_world(directory, price_at=price_at, wired=group) as world:
        begins.append(step_start(world.clock.now()) + STEP)
        hearing = Hearing()
        steering = BatterySteering(
            world.transitions,
            world.clock,
            world.directory,
            world.planner,
            world.live,
            world.control,
            world.sources,
            hearing,
        )
        opened = Yard(world, hearing, steering, group)
        opened.tell(CELLAR, ValueName.STATE_OF_CHARGE, 50)
        opened.tell(HALL, ValueName.POWER_OUTPUT, 500)
        opened.tell(ROOF, ValueName.GENERATED_POWER, 0)
        yield opened


async def test_where_no_car_is_there_a_battery_goes_its_own_way(tmp_path: Path) -> None:
    async with yard(tmp_path, DEAR) as one:
        await one.next_step()
        await one.go_on()
        assert one.hearing.said == []


async def test_a_battery_gives_to_a_car_in_a_dear_hour_no_more_than_is_taken(tmp_path: Path) -> None:
    async with yard(tmp_path, DEAR) as one:
        at = one.world.places[0]
        session = await one.world.charging(Driver(), at, 12_000, flexible=False)
        await one.next_step()
        await one.world.control.once(one.group, has_moved=True)
        async with one.world.transitions.read() as unit:
            stored = await unit.plan("yard")
        assert stored is not None
        assert b'"batteries":[{' in stored.problem
        assert verify_answer(stored.problem, stored.schedule).ok
        await one.go_on()
        assert one.hearing.powers == [-500]  # the hall's; nothing is known of the car yet
        await one.world.says(at, ConnectorStatus.CHARGING)
        await one.world.measure(session, 1_100, power=W(3_000))
        await one.go_on()
        (command,) = one.hearing.said[1:]
        assert command.value == -3_500
        assert (command.charger, command.what) == (CELLAR, ValueName.BATTERY_POWER)
        assert command.expires_at == one.world.clock.now() + HOLD
        one.tell(ROOF, ValueName.GENERATED_POWER, 2_500)
        await one.go_on()
        assert one.hearing.powers[-1] == -1_000


async def test_a_battery_is_told_again_in_time_and_not_at_every_look(tmp_path: Path) -> None:
    async with yard(tmp_path, DEAR) as one:
        await one.world.charging(Driver(), one.world.places[0], 12_000, flexible=False)
        await one.next_step()
        for _ in range(8):
            await one.go_on()
        assert one.hearing.powers == [-500, -500]
        first, again = one.hearing.said
        assert again.expires_at - first.expires_at == HOLD / 3
        assert first.id != again.id


async def test_a_battery_that_is_to_charge_waits_until_the_cars_have_made_room(tmp_path: Path) -> None:
    """The cheap quarter-hour is full of a car; its limits have to fall before the battery may take more."""
    async with yard(tmp_path, CHEAP, DEAR, capacity=10_400) as one:
        first = await one.world.charging(Driver(), one.world.places[0], 8_000)
        await one.next_step()
        group = one.world.directory.groups["yard"]
        await one.world.control.once(group, has_moved=True)  # the car has all that is left
        await one.go_on()
        assert one.hearing.said == []
        await one.world.control.once(group, has_moved=False)
        await one.go_on()
        (power,) = one.hearing.powers
        drawn = one.world.stations.limits[first.terms.connector].limit_at(one.world.clock.now()) or 0
        assert power > 0
        assert drawn > 0
        assert drawn + power + 2_000 <= 10_400
        one.tell(HALL, ValueName.POWER_OUTPUT, 5_000)  # more than the site file says
        await one.go_on()
        assert one.hearing.powers[-1] == 0  # the battery gives way before the car


@pytest.mark.parametrize("trouble", ["refused", "away"])
async def test_what_a_battery_did_not_take_is_said_again(tmp_path: Path, trouble: str) -> None:
    async with yard(tmp_path, DEAR) as one:
        await one.world.charging(Driver(), one.world.places[0], 12_000, flexible=False)
        await one.next_step()
        one.hearing.code = "device.limit_refused" if trouble == "refused" else ""
        one.hearing.away = trouble == "away"
        await one.go_on()
        tried = len(one.hearing.said)
        one.hearing.code, one.hearing.away = "", False
        await one.go_on()
        assert len(one.hearing.said) == tried + 1


async def test_what_a_battery_takes_is_not_given_to_cars(tmp_path: Path) -> None:
    async with yard(tmp_path, DEAR) as one:
        sources, now = one.world.sources, one.world.clock.now()
        assert sources.at_present(one.group).others == 2_000
        sources.ask(CELLAR, W(3_000), now + HOLD)
        assert sources.at_present(one.group).others == 5_000
        sources.ask(CELLAR, W(-3_000), now + HOLD)
        assert sources.at_present(one.group).others == 2_000
        one.world.clock.move(HOLD)  # its own way again: what the sun does not cover
        one.tell(CELLAR, ValueName.BATTERY_POWER, 3_000)
        assert sources.at_present(one.group).others == 5_000
        one.tell(ROOF, ValueName.GENERATED_POWER, 2_500)
        assert sources.at_present(one.group).others == 3_000
        assert sources.to_promise(one.group).others == 2_000
