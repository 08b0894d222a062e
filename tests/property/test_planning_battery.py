"""A battery beside cars: never dearer than without it, within its limits, and no promise depends on it."""

from datetime import UTC, datetime

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, write_problem
from evmesh.domain.problem_shape import read_answer, read_problem
from evmesh.domain.problem_tree import Battery
from evmesh.domain.schedule import Schedule, write_schedule
from evmesh.domain.schedule_tree import TreePlan, parse_tree_schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import W, Wh
from evmesh.planning.battery import above, plan_with_battery, with_battery
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
def batteries(draw: st.DrawFn) -> Battery:
    capacity = draw(st.integers(500, 8_000))
    stored = draw(st.integers(0, capacity))
    return Battery(
        id="cellar",
        group=above("yard"),
        capacity_wh=Wh(capacity),
        max_in_wh=Wh(draw(st.integers(0, 2_000))),
        max_out_wh=Wh(draw(st.integers(0, 2_000))),
        efficiency=draw(st.sampled_from([1_000, 900, 917])),
        stored_wh=Wh(stored),
        final_wh=Wh(draw(st.integers(0, stored))),
    )


@settings(max_examples=60, deadline=None)
@given(problems(), batteries())
def test_a_battery_saves_or_does_nothing_and_the_cars_could_do_without_it(
    problem: Problem, battery: Battery
) -> None:
    plain = solve(problem)
    assume(isinstance(plain, Schedule))
    assert isinstance(plain, Schedule)
    asked = with_battery(problem, "yard", battery)
    planned = plan_with_battery(asked)
    if planned is None:
        event("not in whole Wh")
        return
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


def _check_level(battery: Battery, plan: TreePlan) -> None:
    (row,) = plan.batteries
    level = battery.efficiency * battery.stored_wh
    for into, out in zip(row.in_wh, row.out_wh, strict=True):
        assert 0 <= into <= battery.max_in_wh
        assert 0 <= out <= battery.max_out_wh
        level += battery.efficiency * into - 1_000 * out
        assert 0 <= level <= battery.efficiency * battery.capacity_wh
    assert level >= battery.efficiency * battery.final_wh


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
