"""PV, meters and batteries on the cables of a group's parts, as planner, limits and steering use them."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.equipment import Equipment, LoadMeter, MeteredStep, Pv, StationaryBattery
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem
from evmesh.domain.problem_tree_file import parse_tree_problem
from evmesh.domain.schedule_tree import TreePlan, parse_tree_schedule
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.planning.battery import plan_with_batteries
from evmesh.services.batteries import storages_of
from evmesh.services.battery_steering import BatterySteering
from evmesh.services.cabling import shapes_of
from evmesh.services.directory import Directory, Group, Node, Place
from evmesh.services.fuses import fuses_of
from evmesh.services.plan_in_force import step_start
from evmesh.services.requests import Promise
from evmesh.services.sources import Sources
from evmesh.services.supply import flat_tariff_supply
from evmesh.verify.answer import verify_answer
from tests.drivers.clocks import HandClock
from tests.fakes.world import Driver, World, open_world, place
from tests.unit.services.test_battery_steering import Hearing

BARN, SHED, MILL, CELLAR = "barn-roof", "shed-roof", "mill-meter", "mill-cellar"
STEP = timedelta(seconds=STEP_S)
TARIFF = 300_000


def at(number: int, node: str) -> Place:
    return replace(place(number, "yard"), node=node)


def yard(*nodes: Node, capacity: int = 30_000, bays: str = "mill mill barn") -> Group:
    places = tuple(at(number, node) for number, node in enumerate(bays.split(), 1))
    return Group("yard", W(capacity), places, nodes=nodes)


def mill(*, capacity: int = 15_000, battery: bool = False, headroom: W | None = None) -> Node:
    cellar = StationaryBattery(CELLAR, Wh(10_000), W(4_000), W(4_000), 900) if battery else None
    equipment = Equipment(load=LoadMeter(MILL, W(3_000), headroom), battery=cellar)
    return Node("mill", "", W(capacity), other=W(3_000), equipment=equipment)


def barn(*, capacity: int = 10_000, peak: int = 20_000, feed_in: int = 80_000) -> Node:
    equipment = Equipment(pv=Pv(BARN, W(peak), Price(feed_in)))
    return Node("barn", "", W(capacity), equipment=equipment)


def told(sources: Sources, name: str, value: ValueName, number: int) -> list[MeteredStep]:
    return sources.heard(TelemetryValue(name, value, sources.now, number))


def sun(sources: Sources, name: str, power: int) -> None:
    told(sources, name, ValueName.GENERATED_POWER, power)


def sources_of(group: Group) -> Sources:
    return Sources(Directory((group,)), HandClock())


def test_what_a_part_has_left_goes_up_its_cable_as_far_as_that_carries() -> None:
    group = yard(barn(), mill())
    sources = sources_of(group)
    now = step_start(sources.now)
    assert sources.surplus(group, now) == ((0, 80_000),)
    sun(sources, BARN, 8_000)
    told(sources, MILL, ValueName.POWER_OUTPUT, 0)
    assert sources.surplus(group, now) == ((2_000 - 1, 80_000),)
    sun(sources, BARN, 16_000)
    assert sources.surplus(group, now) == ((10_000 // 4 - 1, 80_000),)


def test_other_equipment_of_one_part_takes_the_sun_of_another() -> None:
    group = yard(barn(), mill())
    sources = sources_of(group)
    sun(sources, BARN, 8_000)
    told(sources, MILL, ValueName.POWER_OUTPUT, 3_000)
    assert sources.surplus(group, step_start(sources.now)) == ((2_000 - 751, 80_000),)


def test_of_two_plants_other_equipment_has_what_earns_least() -> None:
    shed = Node("shed", "", W(10_000), equipment=Equipment(pv=Pv(SHED, W(9_000), Price(20_000))))
    group = yard(barn(), shed, mill())
    sources = sources_of(group)
    sun(sources, BARN, 4_000)
    sun(sources, SHED, 4_000)
    told(sources, MILL, ValueName.POWER_OUTPUT, 2_000)
    now = step_start(sources.now)
    assert sources.surplus(group, now) == ((499, 20_000), (1_000, 80_000))
    supply = flat_tariff_supply(lambda _: TARIFF, None, sources)
    first, second, rest = supply(group, TimeGrid(now, STEP_S, 1))
    assert [one.price for one in (first, second, rest)] == [20_000, 80_000, TARIFF]
    assert first.cap_wh + second.cap_wh + rest.cap_wh == (30_000 - 3_000) // 4


def test_the_meter_of_a_part_is_counted_with_where_it_hangs() -> None:
    group = yard(mill(headroom=W(500)), barn())
    sources = sources_of(group)
    told(sources, MILL, ValueName.POWER_OUTPUT, 1_000)
    assert [one.other for one in sources.at_present(group).nodes] == [1_500, 0]
    told(sources, MILL, ValueName.POWER_OUTPUT, 5_000)
    for counted in (sources.at_present(group), sources.to_promise(group)):
        assert [one.other for one in counted.nodes] == [5_000, 0]
        assert (counted.other, counted.others) == (0, 5_000)
        rooms = {one.name: one.capacity for one in fuses_of(counted)}
        assert (rooms[""], rooms["mill"], rooms["barn"]) == (25_000, 10_000, 10_000)


async def test_cars_behind_a_part_give_way_to_its_other_equipment_and_those_elsewhere_do_not(
    tmp_path: Path,
) -> None:
    group = yard(mill(), barn())
    async with open_world(tmp_path, price_at=lambda _: TARIFF, wired=group) as world:
        cars = [
            await world.charging(Driver(f"driver {n}"), world.places[n], 20_000, flexible=False)
            for n in range(3)
        ]
        drawn = []
        for power in (0, 3_000, 9_000, 13_000):
            told(world.sources, MILL, ValueName.POWER_OUTPUT, power)
            await world.control.once(world.directory.groups["yard"], has_moved=power == 0)
            now = world.clock.now()
            limits = [world.stations.limits[car.terms.connector].limit_at(now) or 0 for car in cars]
            drawn.append((limits[0] + limits[1], limits[2]))
            assert limits[0] + limits[1] <= 15_000 - max(3_000, power)
        assert drawn[0][0] == drawn[1][0] > drawn[2][0] > drawn[3][0]
        assert drawn[3][1] > 6_000


async def test_a_promise_behind_a_part_counts_with_what_its_meter_sees(tmp_path: Path) -> None:
    group = yard(mill(), barn())
    async with open_world(tmp_path, price_at=lambda _: TARIFF, wired=group) as world:
        told(world.sources, MILL, ValueName.POWER_OUTPUT, 14_000)
        there = await world.ask(Driver("miller"), world.places[0], 3_000)
        elsewhere = await world.ask(Driver("farmer"), world.places[2], 3_000)
        assert not isinstance(there, Promise)
        assert isinstance(elsewhere, Promise)


async def stored_answer(world: World) -> tuple[bytes, bytes]:
    async with world.transitions.read() as unit:
        stored = await unit.plan("yard")
    assert stored is not None
    return stored.problem, stored.schedule


@pytest.mark.parametrize("efficiency", [1_000, 900])
async def test_the_battery_of_a_part_is_planned_and_told_where_it_stands(
    tmp_path: Path, efficiency: int
) -> None:
    """Energy is dear in the next hour only: what the battery has is worth most then."""
    node = mill(battery=True)
    battery = node.equipment.battery
    assert battery is not None
    node = replace(node, equipment=replace(node.equipment, battery=replace(battery, efficiency=efficiency)))
    begins: list[datetime] = []
    async with open_world(
        tmp_path, price_at=lambda at: 400_000 if begins and at < begins[0] + 4 * STEP else 50_000,
        wired=yard(node, barn(), bays="mill barn"),
    ) as world:  # fmt: skip
        begins.append(step_start(world.clock.now()) + STEP)
        group = world.directory.groups["yard"]
        told(world.sources, CELLAR, ValueName.STATE_OF_CHARGE, 80)
        told(world.sources, MILL, ValueName.POWER_OUTPUT, 0)
        for number in (0, 1):
            await world.charging(Driver(f"driver {number}"), world.places[number], 9_000, flexible=False)
        await world.control.once(group, has_moved=True)
        problem, schedule = await stored_answer(world)
        assert verify_answer(problem, schedule).ok
        tree, plan = parse_tree_problem(problem), parse_tree_schedule(schedule)
        assert isinstance(plan, TreePlan)
        (stands,) = tree.batteries
        parents = {one.id: one.parent for one in tree.groups}
        above = parents[stands.group]
        assert (parents["mill"], parents[above or ""]) == (above, "yard")
        assert sum(plan.batteries[0].out_wh[:4]) > 2_000
        world.clock.move(begins[0] - world.clock.now())
        await world.control.once(group, has_moved=False)
        hearing = Hearing()
        steering = BatterySteering(
            world.transitions, world.clock, world.directory, world.planner, world.live, world.control,
            world.sources, hearing,
        )  # fmt: skip
        await steering.once()
        assert hearing.powers == [0]  # no car draws yet
        for one in world.places[:2]:
            await world.says(one, ConnectorStatus.CHARGING)
        for session in await world.sessions():
            await world.measure(session, (session.meter_start or 0) + 50, power=W(3_000))
        world.clock.move(timedelta(seconds=15))
        await steering.once()
        assert hearing.powers[-1] < -2_000


def test_other_equipment_is_taken_off_the_fuses_of_the_lines_that_it_loads() -> None:
    fuse = Milliamp(32_000)
    node = Node("mill", "", W(22_000), fuse, W(3_000), other_lines=(1,))
    group = replace(yard(node, bays="mill mill"), per_line=Milliamp(63_000), other=W(1_500))
    group = replace(
        group,
        places=tuple(
            replace(one, connector=replace(one.connector, phases=1, lines=(line,)))
            for line, one in enumerate(group.places, 1)
        ),
    )
    rooms = {one.name: one.capacity for one in fuses_of(group)}
    assert rooms["mill/L1"] == 32 * 230 - 3_000
    assert rooms["mill/L2"] == 32 * 230
    assert rooms["/L1"] == 63 * 230 - 3_000 - 500
    assert rooms["/L2"] == 63 * 230 - 500


async def test_a_battery_gives_no_more_than_its_cable_carries_up_beside_the_sun(tmp_path: Path) -> None:
    """The part's cable carries 2.5 kW; its roof feeds in 1 kW of them."""
    battery = StationaryBattery(CELLAR, Wh(10_000), W(4_000), W(4_000), 900)
    equipment = Equipment(pv=Pv(SHED, W(5_000), Price(0)), battery=battery)
    group = yard(Node("shed", "", W(2_500), equipment=equipment), barn(), bays="barn barn")
    async with open_world(tmp_path, price_at=lambda _: TARIFF, wired=group) as world:
        hearing = Hearing()
        steering = BatterySteering(
            world.transitions, world.clock, world.directory, world.planner, world.live, world.control,
            world.sources, hearing,
        )  # fmt: skip
        told(world.sources, CELLAR, ValueName.STATE_OF_CHARGE, 90)
        sun(world.sources, SHED, 0)
        session = await world.charging(Driver(), world.places[0], 9_000, flexible=False)
        group = world.directory.groups["yard"]
        await world.control.once(group, has_moved=True)
        world.clock.move(step_start(world.clock.now()) + STEP - world.clock.now())
        await world.says(world.places[0], ConnectorStatus.CHARGING)
        await world.control.once(group, has_moved=False)
        await world.measure(session, (session.meter_start or 0) + 50, power=W(6_000))
        await steering.once()
        assert hearing.powers[-1] == -2_500
        sun(world.sources, SHED, 1_000)
        world.clock.move(timedelta(seconds=15))
        await steering.once()
        assert hearing.powers[-1] == -1_500


def test_a_battery_inside_a_part_with_fuses_stands_at_the_part_around_it_that_is_in_the_tree() -> None:
    node = Node("north", "", W(22_000), Milliamp(32_000))
    cellar = StationaryBattery(CELLAR, Wh(10_000), W(4_000), W(4_000), 900)
    kiosk = Node("kiosk", "north", W(9_000), equipment=Equipment(battery=cellar))
    group = yard(node, kiosk, bays="kiosk north")
    sources = sources_of(group)
    grid = TimeGrid(step_start(sources.now) + STEP, STEP_S, 4)
    supply = flat_tariff_supply(lambda _: TARIFF)(group, grid)
    places = {f"car {number}": one for number, one in enumerate(group.places)}
    (shape,) = shapes_of(group, grid, supply, places, frozenset(), keeps_reserve=True)
    assert storages_of(group, sources, grid.start, None, shape) == ()  # it does not tell how full it is
    told(sources, CELLAR, ValueName.STATE_OF_CHARGE, 50)
    (storage,) = storages_of(group, sources, grid.start, None, shape)
    assert (storage.place, storage.stored) == ("north", 5_000)
    planned = plan_with_batteries(Problem(grid, supply, (), shape), "yard", [storage])
    assert planned is not None
