"""What the page says of a session: why its power is what it is, and what it costs by now."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evmesh.app.snapshot import Snapshots
from evmesh.domain.stations import LimitPeriod, LimitProfile
from evmesh.domain.units import W
from tests.fakes.world import OPERATOR, Driver, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path) as opened:
        yield opened


async def shown(world: World) -> dict[str, Any]:
    snapshots = Snapshots(world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps)
    async with world.transitions.read() as unit:
        return (await snapshots.sessions(unit))[0]


@pytest.mark.parametrize(("flexible", "reason"), [(True, "waiting_for_price"), (False, "waiting_for_turn")])
async def test_who_wants_it_as_soon_as_possible_is_not_said_to_wait_for_a_price(
    world: World, flexible: bool, reason: str
) -> None:
    session = await world.charging(Driver(), world.places[0], flexible=flexible)
    now = world.clock.now()
    nothing = LimitProfile(now, now + timedelta(hours=1), (LimitPeriod(0, W(0)),), "planner")
    world.live.connector(session.terms.connector).profile = nothing
    assert (await shown(world))["reason"] == reason


async def test_what_a_charge_costs_is_never_more_than_its_budget(world: World) -> None:
    session = await world.charging(Driver(), world.places[0], 5_000)
    world.clock.move(timedelta(minutes=50))
    await world.measure(session, (session.meter_start or 0) + 5_016)
    told = await shown(world)
    assert (told["delivered_wh"], told["cost"]) == (5_016, told["budget"])
