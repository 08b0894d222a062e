"""What a group keeps for those who come next, where it has parts: at every cable on their way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W
from evmesh.services.directory import Group, Node, Place
from evmesh.services.plan_in_force import step_start
from tests.fakes.world import Driver, World, open_world, place

STEP = timedelta(seconds=STEP_S)
DAY = timedelta(days=1)
DEAR, CHEAP = 300_000, 100_000
FULL = 7_200


def at(number: int, node: str) -> Place:
    return replace(place(number, "yard"), node=node)


def yard(levels: str) -> Group:
    """Give two cabinets; too small for two cars is the northern one, or the feeder that it hangs on."""
    tight, roomy = W(9_000), W(40_000)
    if levels == "cabinet":
        nodes = (Node("feeder", "", roomy), Node("north", "feeder", tight), Node("south", "", roomy))
    else:
        nodes = (Node("feeder", "", tight), Node("north", "feeder", roomy), Node("south", "", roomy))
    places = (at(1, "north"), at(2, "north"), at(3, "south"))
    return Group("yard", W(60_000), places, nodes=nodes)


async def charged(world: World, driver: Driver, where: Place, hours: int) -> None:
    """Let somebody take all that an outlet gives, for so many hours."""
    session = await world.charging(driver, where, 10_000)
    begun = session.meter_start or 0
    for part in range(1, hours * 4 + 1):
        world.clock.move(STEP)
        await world.measure(session, begun + part * FULL // 4)
    await world.end(session, begun + hours * FULL)


@pytest.mark.parametrize("levels", ["cabinet", "feeder"])
async def test_a_car_charges_now_where_its_cable_will_be_full_and_waits_where_another_will_be(
    tmp_path: Path, levels: str
) -> None:
    cheap: list[datetime] = []

    def price_at(at: datetime) -> int:
        return CHEAP if cheap and cheap[0] <= at < cheap[0] + timedelta(hours=2) else DEAR

    async with open_world(tmp_path, price_at=price_at, wired=yard(levels)) as world:
        began = step_start(world.clock.now()) + STEP
        world.clock.move(began - world.clock.now())
        await charged(
            world, Driver("who came first"), world.places[2], 0
        )  # from here on a whole day is known
        world.clock.move(timedelta(hours=2))
        await charged(world, Driver("of yesterday"), world.places[0], 2)
        world.clock.move(began + DAY + timedelta(minutes=1) - world.clock.now())
        cheap.append(began + DAY + timedelta(hours=2))
        cars = [
            await world.charging(Driver(f"driver {n}"), world.places[n], 3_000,
                                 departure=int((began + DAY + timedelta(hours=5)).timestamp()))
            for n in (1, 2)
        ]  # fmt: skip
        world.clock.move(step_start(world.clock.now()) + STEP - world.clock.now())
        group = world.directory.groups["yard"]
        await world.control.once(group, has_moved=True)
        await world.control.once(group, has_moved=False)
        now = world.clock.now()
        north, south = (world.stations.limits[car.terms.connector].limit_at(now) or 0 for car in cars)
        assert south == 0
        assert north > 1_380


async def test_a_crowded_group_uses_at_once_what_is_there_behind_every_cable(tmp_path: Path) -> None:
    """Nothing is known of it yet; it is cheaper in an hour."""
    begins = [datetime.max.replace(tzinfo=UTC)]
    drawn = {}
    for is_crowded in (False, True):
        directory = tmp_path / str(is_crowded)
        directory.mkdir()
        group = replace(yard("feeder"), is_crowded=is_crowded)
        async with open_world(
            directory, price_at=lambda at: CHEAP if at >= begins[0] else DEAR, wired=group
        ) as world:
            begins[0] = step_start(world.clock.now()) + 5 * STEP
            cars = [await world.charging(Driver(f"driver {n}"), world.places[n], 3_000) for n in (1, 2)]
            world.clock.move(step_start(world.clock.now()) + STEP - world.clock.now())
            await world.control.once(world.directory.groups["yard"], has_moved=True)
            await world.control.once(world.directory.groups["yard"], has_moved=False)
            now = world.clock.now()
            drawn[is_crowded] = [
                world.stations.limits[car.terms.connector].limit_at(now) or 0 for car in cars
            ]
    assert drawn[False] == [0, 0]
    assert min(drawn[True]) > 1_380
