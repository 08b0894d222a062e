"""The plan as it is drawn begins with the quarter-hour that runs, beside what was metered in it."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from evmesh.app.instants import instant
from evmesh.app.plan_view import MeteredLoad
from evmesh.app.snapshot import Snapshots
from evmesh.domain.telemetry import TelemetryValue
from evmesh.services.directory import Place
from evmesh.services.plan_in_force import step_start
from evmesh.telemetry.rows import Row
from evmesh.telemetry.store import SqliteReadings
from tests.fakes.world import OPERATOR, Driver, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def group_of(world: World) -> dict[str, Any]:
    snapshots = Snapshots(world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps)
    async with world.transitions.read() as unit:
        return (await snapshots.groups(unit))[0]


async def replan(world: World) -> None:
    group = world.directory.groups["yard"]
    async with world.transitions.begin() as work:
        await world.planner.replan(work.unit, group, world.clock.now())


async def test_the_running_step_comes_first_by_the_plan_that_governs_it(world: World) -> None:
    await world.charging(Driver(), world.places[0])
    await replan(world)
    governing = (await group_of(world))["plan"]
    assert (governing["load_wh"][0], governing["step_price"][0]) == (0, None)  # no plan was made before it
    world.clock.move(timedelta(minutes=16))
    await replan(world)  # this one begins with the next step
    drawn = (await group_of(world))["plan"]
    now = world.clock.now()
    assert drawn["start"] == instant(step_start(now))
    assert (drawn["load_wh"][0], drawn["step_price"][0]) == (
        governing["load_wh"][1],
        governing["step_price"][1],
    )
    assert any(drawn["load_wh"])
    assert {part["step"] for part in drawn["supply"]} == set(range(len(drawn["load_wh"])))


async def test_a_plan_that_is_over_is_not_drawn(world: World) -> None:
    await world.charging(Driver(), world.places[0])
    await replan(world)
    world.clock.move(timedelta(days=2))
    assert (await group_of(world))["plan"] is None


class Told:
    """What registers said, in minutes from the beginning of a step."""

    def __init__(self, world: World, telemetry: SqliteReadings) -> None:
        self._world, self._telemetry = world, telemetry
        self.begun = step_start(world.clock.now()) + timedelta(minutes=15)

    def at(self, minute: float) -> datetime:
        return self.begun + timedelta(minutes=minute)

    async def register(self, place: Place, minute: float, register: int) -> None:
        when = self.at(minute)
        value = TelemetryValue(place.name.lower(), "TotalEnergyConsumption", when, register)
        row = Row(value, f"{place.name} {minute}", when, "", b"")
        assert (await self._telemetry.write([row], [])).stored == 1

    async def metered(self, minute: float) -> dict[str, Any]:
        group = self._world.directory.groups["yard"]
        return await MeteredLoad(self._telemetry).of(group, self.at(minute))


@pytest.fixture
async def told(world: World, tmp_path: Path) -> AsyncIterator[Told]:
    async with SqliteReadings(tmp_path / "telemetry.db") as telemetry:
        yield Told(world, telemetry)


async def test_what_was_metered_in_the_running_step_is_what_the_registers_grew_by(
    world: World, told: Told
) -> None:
    first, second, third, *_ = world.places
    await told.register(first, -1, 1_000)  # before the step
    await told.register(first, 0, 1_100)
    await told.register(first, 5, 1_500)
    await told.register(second, 3, 9_000)  # began to charge within the step
    await told.register(second, 5, 9_050)
    await told.register(third, -3, 500)  # had stopped before it
    await told.register(third, -1, 600)
    assert await told.metered(5) == {
        "since": instant(told.begun),
        "until": instant(told.at(5)),
        "wh": 450,
        "power_w": 4_800 + 600,
    }


@pytest.mark.parametrize("minute", [2, 2.5, 3, 4.9])
async def test_early_in_a_step_the_mean_is_never_above_what_flowed(
    world: World, told: Told, minute: float
) -> None:
    """At 7.2 kW a register grows by 120 Wh a minute; the step began between two of its values."""
    for second in range(-100, int(minute * 60) + 1, 60):
        await told.register(world.places[0], second / 60, 10_000 + 2 * second)
    found = await told.metered(minute)
    assert 7_100 <= found["power_w"] <= 7_200
    assert found["wh"] <= 120 * minute


async def test_the_mean_of_a_car_that_has_stopped_falls_with_time(world: World, told: Told) -> None:
    await told.register(world.places[0], 0, 1_000)
    await told.register(world.places[0], 3, 1_300)
    assert (await told.metered(4))["power_w"] == 6_000
    assert (await told.metered(10))["power_w"] == 1_800


async def test_in_the_first_two_minutes_of_a_step_no_mean_is_said(world: World, told: Told) -> None:
    await told.register(world.places[0], 0, 1_000)
    await told.register(world.places[0], 1, 1_120)
    assert (await told.metered(1.5))["power_w"] is None
