"""A battery beside cars: never dearer than without it, within its limits, and no promise depends on it."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, write_problem
from evmesh.domain.problem_shape import TreeShape, read_answer, read_problem
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Schedule, write_schedule
from evmesh.domain.schedule_tree import TreePlan, parse_tree_schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import W, Wh
from evmesh.planning.battery import Storage, plan_with_batteries
from evmesh.planning.optimiser import solve
from evmesh.sim.sunspec_storage import StorageDevice
from evmesh.verify.answer import verify_answer

STORAGE = 40_000 + 2 + 68 + 52
"""Where model 124 begins: after the mark, the common model and the inverter's."""

START = datetime(2026, 6, 1, tzinfo=UTC)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Draw some cars, a tariff, and PV that makes a part of some steps cheaper."""
    steps = draw(st.integers(2, 8))
    supply = []
    for step in range(steps):
        grid, sun = draw(st.integers(200, 3_000)), draw(st.integers(0, 1_500))
        price = draw(st.integers(-20, 90))
        supply.append(SupplySegment(step, Wh(grid), Price(1_000 * price)))
        if sun:
            supply.append(SupplySegment(step, Wh(sun), Price(1_000 * min(price, 8))))
    cars = []
    for number in range(draw(st.integers(1, 3))):
        arrival = draw(st.integers(0, steps - 1))
        departure = draw(st.integers(arrival + 1, steps))
        most = draw(st.integers(100, 2_000))
        energy = draw(st.integers(0, most * (departure - arrival)))
        cars.append(Request(f"car {number}", arrival, departure, Wh(energy), Wh(most)))
    return Problem(TimeGrid(START, 900, steps), tuple(supply), tuple(cars))


@st.composite
def batteries(draw: st.DrawFn) -> Storage:
    capacity = draw(st.integers(500, 8_000))
    stored = draw(st.integers(0, capacity))
    return Storage(
        place="yard",
        name="cellar",
        capacity=Wh(capacity),
        max_in=Wh(draw(st.integers(0, 2_000))),
        max_out=Wh(draw(st.integers(0, 2_000))),
        efficiency=draw(st.sampled_from([1_000, 900, 917])),
        stored=Wh(stored),
        final=Wh(draw(st.integers(0, stored))),
    )


@settings(max_examples=60, deadline=None)
@given(problems(), batteries())
def test_a_battery_saves_or_does_nothing_and_the_cars_could_do_without_it(
    problem: Problem, battery: Storage
) -> None:
    plain = solve(problem)
    assume(isinstance(plain, Schedule))
    assert isinstance(plain, Schedule)
    planned = plan_with_batteries(problem, "yard", [battery])
    if planned is None:
        event("not in whole Wh")
        return
    asked = planned.problem
    written = write_problem(asked), write_schedule(planned.schedule)
    assert verify_answer(*written).ok
    assert read_problem(written[0], with_batteries=True) == asked
    assert read_answer(written[1]) == planned.schedule
    loads = planned.schedule.loads()
    assert all(load <= most for load, most in zip(loads, problem.capacities(), strict=True))
    plan = parse_tree_schedule(written[1])
    assert isinstance(plan, TreePlan)
    assert 1_000 * (plan.objective - plain.objective) <= plan.gap_thousandths
    _check_level(battery, plan)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Problem, list[Storage]]:
    """Draw cars at two parts of a yard, a battery at one or both of them, and perhaps one at the yard."""
    plain = draw(problems())
    steps = plain.steps
    whole = plain.capacities()
    groups = [Group("yard", None, tuple(whole), (0,) * steps)]
    for name in ("north", "south"):
        other = draw(st.integers(0, 200))
        carried = tuple(draw(st.integers(200, 2_000)) + other for _ in range(steps))
        groups.append(Group(name, "yard", carried, (other,) * steps))
    root = tuple(a + sum(one.other_wh[0] for one in groups[1:]) for a in whole)
    groups[0] = replace(groups[0], capacity_wh=root)
    of = {one.id: draw(st.sampled_from(["north", "south"])) for one in plain.requests}
    places = draw(st.lists(st.sampled_from(["yard", "north", "south"]), min_size=1, max_size=3, unique=True))
    standing = [replace(draw(batteries()), place=one, name=f"cellar {one}") for one in places]
    return replace(plain, shape=TreeShape(tuple(groups), of)), standing


@settings(max_examples=60, deadline=None)
@given(trees())
def test_cars_could_do_without_the_batteries_of_parts_on_every_cable(
    case: tuple[Problem, list[Storage]],
) -> None:
    problem, standing = case
    plain = solve(problem)
    assume(isinstance(plain, Schedule))
    assert isinstance(plain, Schedule)
    planned = plan_with_batteries(problem, "yard", standing)
    if planned is None:
        event("none planned")
        return
    written = write_problem(planned.problem), write_schedule(planned.schedule)
    assert verify_answer(*written).ok
    assert isinstance(problem.shape, TreeShape)
    for one in problem.shape.groups:
        here = {"north", "south"} if one.parent is None else {one.id}
        rows = [row for row in planned.schedule.rows if problem.shape.of[row.id] in here]
        others = [sum(o.other_wh[0] for o in problem.shape.groups if o.id in here)] * problem.steps
        for step in range(problem.steps):
            assert sum(row.at(step) for row in rows) <= one.capacity_wh[step] - others[step]
    plan = parse_tree_schedule(written[1])
    assert isinstance(plan, TreePlan)
    assert 1_000 * (plan.objective - plain.objective) <= plan.gap_thousandths


def test_a_battery_of_a_part_is_closed_in_steps_in_which_it_would_stand_in_for_the_cable_above() -> None:
    """The yard's cable is full in the cheap step; what the battery gives there would let more cars in."""
    grid = TimeGrid(START, 900, 2)
    supply = (SupplySegment(0, Wh(1_000), Price(10_000)), SupplySegment(1, Wh(1_000), Price(900_000)))
    groups = (
        Group("yard", None, (1_000, 1_000), (0, 0)),
        Group("north", "yard", (5_000, 5_000), (0, 0)),
        Group("south", "yard", (5_000, 5_000), (0, 0)),
    )
    cars = (Request("one", 0, 1, Wh(600), Wh(2_000)), Request("two", 0, 2, Wh(900), Wh(2_000)))
    shape = TreeShape(groups, {"one": "north", "two": "south"})
    battery = Storage("south", "cellar", Wh(5_000), Wh(0), Wh(400), 1_000, Wh(400), Wh(0))
    planned = plan_with_batteries(Problem(grid, supply, cars, shape), "yard", [battery])
    assert planned is not None
    assert planned.schedule.loads() == [1_000, 500]
    plan = parse_tree_schedule(write_schedule(planned.schedule))
    assert isinstance(plan, TreePlan)
    assert plan.batteries[0].out_wh == (0, 400)


def _check_level(battery: Storage, plan: TreePlan) -> None:
    (row,) = plan.batteries
    level = battery.efficiency * battery.stored
    for into, out in zip(row.in_wh, row.out_wh, strict=True):
        assert 0 <= into <= battery.max_in
        assert 0 <= out <= battery.max_out
        level += battery.efficiency * into - 1_000 * out
        assert 0 <= level <= battery.efficiency * battery.capacity
    assert level >= battery.efficiency * battery.final


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-6_000, 6_000), st.integers(1, 900)), max_size=20),
    st.sampled_from([1_000, 900]),
)
def test_a_simulated_battery_gives_back_what_it_took_less_its_losses(
    told: list[tuple[int, int]], efficiency: int
) -> None:
    device = StorageDevice(Wh(5_000), W(6_000), efficiency, stored_ws=5_000 * 1_800)
    taken = given = 0
    for power, seconds in told:
        rate = power * 10_000 // 6_000
        device.write(STORAGE + 12, [-rate & 0xFFFF, rate & 0xFFFF])
        device.write(STORAGE + 5, [3])
        for _ in range(seconds):
            device.advance(1)
            taken += max(0, device.flows_in)
            given += max(0, -device.flows_in)
        assert 0 <= device.stored_ws <= device.capacity_ws
    moved = device.stored_ws - 5_000 * 1_800
    assert abs(moved - (taken - given * 1_000 / efficiency)) <= sum(s for _, s in told) + 1
