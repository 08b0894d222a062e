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


async def test_what_was_metered_in_the_running_step_is_what_the_registers_grew_by(
    world: World, tmp_path: Path
) -> None:
    begun = step_start(world.clock.now()) + timedelta(minutes=15)
    first, second, *_ = world.places
    async with SqliteReadings(tmp_path / "telemetry.db") as telemetry:

        async def told(at: Place, minute: float, register: int) -> None:
            when: datetime = begun + timedelta(minutes=minute)
            value = TelemetryValue(at.name.lower(), "TotalEnergyConsumption", when, register)
            row = Row(value, f"{at.name} {minute}", when, "", b"")
            assert (await telemetry.write([row], [])).stored == 1

        await told(first, -1, 1_000)  # before the step
        await told(first, 0, 1_100)
        await told(first, 5, 1_500)
        await told(second, 3, 9_000)  # began to charge within the step
        await told(second, 5, 9_050)
        metered = await MeteredLoad(telemetry).of(
            world.directory.groups["yard"], begun + timedelta(minutes=5)
        )
    assert metered == {
        "since": instant(begun),
        "until": instant(begun + timedelta(minutes=5)),
        "wh": 450,
    }
