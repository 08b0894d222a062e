"""Ties beside a battery with losses: everybody is charged as early as that costs nothing."""

import random
from collections.abc import Iterator

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from evmesh.domain.errors import Refused
from evmesh.domain.money import Price
from evmesh.domain.problem import Request, SupplySegment
from evmesh.domain.problem_tree import Battery, TreeProblem, TreeRequest
from evmesh.domain.problem_tree_file import write_tree_problem
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule_tree import TreePlan, write_tree_schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.tree import solve_tree
from evmesh.planning.tree_network import TreeNetwork
from evmesh.planning.tree_retiming import earlier
from evmesh.verify.schedule import Verdict
from evmesh.verify.tree import verify_tree
from tests.unit.planning.tree_strategies import START, crowded_tree


def yard(rng: random.Random) -> TreeProblem:
    """Give a yard with a battery above the cars, as the services plan it: few prices, many ties."""
    steps = rng.randint(4, 10)
    prices = [1_000 * rng.choice([80, 80, 200]) for _ in range(steps)]
    capacity = (rng.randint(800, 1_600),) * steps
    imports = tuple(SupplySegment(step, Wh(capacity[0]), Price(one)) for step, one in enumerate(prices))
    cars = []
    for number in range(rng.randint(1, 3)):
        arrival = rng.randrange(steps - 1)
        departure = rng.randint(arrival + 1, steps)
        most = rng.randint(300, 1_500)
        wh = rng.randint(1, max(1, most * (departure - arrival) // 3))
        cars.append(TreeRequest("yard", Request(f"car {number}", arrival, departure, Wh(wh), Wh(most))))
    stored = rng.randint(0, 4_000)
    battery = Battery("cellar", "top", Wh(5_000), Wh(900), Wh(900), 920, Wh(stored), Wh(stored // 3))
    groups = (Group("top", None, capacity, (0,) * steps), Group("yard", "top", capacity, (0,) * steps))
    return TreeProblem(TimeGrid(START, 900, steps), groups, imports, tuple(cars), batteries=(battery,))


def exchanges(problem: TreeProblem, plan: TreePlan) -> Iterator[str]:
    """Name each car that could have a Wh earlier if the battery gave one earlier, or took one later.

    Nothing else would change: what comes through the cable above the battery stays as it is in each step.
    """
    (battery,), (row,) = problem.batteries, plan.batteries
    levels, level = [], battery.efficiency * battery.stored_wh
    for into, out in zip(row.in_wh, row.out_wh, strict=True):
        level += battery.efficiency * into - 1_000 * out
        levels.append(level)
    loads = [sum(one.at(step) for one in plan.rows) for step in range(problem.steps)]
    capacity = problem.groups[1].capacity_wh
    for request, one in zip(problem.requests, plan.rows, strict=True):
        car = request.car
        for early in range(car.arrival, car.departure):
            for late in range(early + 1, car.departure):
                if not one.at(late) or one.at(early) == car.max_wh or loads[early] == capacity[early]:
                    continue
                least = min(levels[early:late])
                gives = row.out_wh[late] and row.out_wh[early] < battery.max_out_wh and not row.in_wh[early]
                takes = row.in_wh[early] and row.in_wh[late] < battery.max_in_wh and not row.out_wh[late]
                if (gives and least >= 1_000) or (takes and least >= battery.efficiency):
                    yield f"{car.id}: {early} rather than {late}"


@settings(max_examples=80, deadline=None)
@given(st.randoms(use_true_random=False))
def test_no_car_waits_for_a_battery_that_could_as_well_give_earlier_or_take_later(rng: random.Random) -> None:
    problem = yard(rng)
    try:
        plan = solve_tree(problem)
    except Refused:
        plan = None
    assume(isinstance(plan, TreePlan))
    assert isinstance(plan, TreePlan)
    assert verify_tree(write_tree_problem(problem), write_tree_schedule(plan)) == Verdict(True)
    assert list(exchanges(problem, plan)) == []


def test_a_battery_that_took_first_takes_later_where_a_car_can_have_its_place() -> None:
    """Both want all that the grid has at the low price; the battery is wanted in the last step only."""
    prices, steps = (80_000, 80_000, 200_000), 3
    groups = (Group("top", None, (1_000,) * 3, (0,) * 3), Group("yard", "top", (1_000,) * 3, (0,) * 3))
    imports = tuple(SupplySegment(step, Wh(1_000), Price(one)) for step, one in enumerate(prices))
    cars = [Request("early", 0, steps, Wh(900), Wh(1_000)), Request("late", 2, steps, Wh(700), Wh(1_000))]
    battery = Battery("cellar", "top", Wh(5_000), Wh(900), Wh(900), 900, Wh(0), Wh(0))
    requests = tuple(TreeRequest("yard", one) for one in cars)
    network = TreeNetwork.of(
        TreeProblem(TimeGrid(START, 900, steps), groups, imports, requests, batteries=(battery,))
    )
    (cellar,) = network.stores
    wh = [0] * len(network.ways)
    for way, some in (
        (0, 700), (1, 900), (network.rows[0] + 1, 900), (network.rows[1], 700),
        (cellar.into[0], 700), (cellar.out[2], 630), (2, 70),
    ):  # fmt: skip
        wh[way] = some
    again = earlier(network, wh)
    assert again[network.rows[0] : network.rows[0] + steps] == [900, 0, 0]
    assert [again[way] for way in cellar.into] == [0, 700, 0]
    assert [again[way] for way in cellar.out] == [0, 0, 630]


@settings(max_examples=15, deadline=None)
@given(st.randoms(use_true_random=False))
def test_who_is_charged_earlier_costs_no_more_and_is_proven_by_the_same_prices(rng: random.Random) -> None:
    problem = crowded_tree(rng, steps=12, cars=8, lossy=True, room=2.0)
    try:
        plan = solve_tree(problem)
    except Refused:
        plan = None
    assume(isinstance(plan, TreePlan))
    assert isinstance(plan, TreePlan)
    network = TreeNetwork.of(problem)
    again = earlier(network, _flow(network, plan))
    cost = sum(wh * price for wh, price in zip(again, network.ways.cost, strict=True))
    assert cost == plan.objective  # there is nothing left to gain
    assert plan.bound_thousandths <= 1_000 * plan.objective


def _flow(network: TreeNetwork, plan: TreePlan) -> list[int]:
    """Give a plan's flow on each way of segments, cars and stores; that of cables costs nothing."""
    wh = [0] * len(network.ways)
    supply = (*plan.import_wh, *plan.export_wh, *plan.local_wh)
    wh[: len(supply)] = supply
    for row, first, car in zip(
        plan.rows, network.rows, (one.car for one in network.problem.requests if one.v2g is None), strict=True
    ):
        for step in range(car.arrival, car.departure):
            wh[first + step - car.arrival] = row.at(step)
    for places, store in zip(network.stores, (*plan.batteries, *plan.cars), strict=True):
        for into, out, some, more in zip(places.into, places.out, store.in_wh, store.out_wh, strict=True):
            wh[into], wh[out] = some, more
    return wh
