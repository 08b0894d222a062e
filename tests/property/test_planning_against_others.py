"""The planner's least cost against two that know nothing of it: trying everything, and a linear programme."""

import itertools
import random
from collections.abc import Iterator

import highspy
import pytest
from hypothesis import event, given

from bench.plans.highs import linear_programme
from bench.plans.problems import group_day
from evmesh.domain.problem import Problem, Request, write_problem
from evmesh.domain.schedule import Schedule, write_schedule
from evmesh.planning.arrays import to_arrays
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import verify_schedule
from tests.unit.planning.oracle import cost_of_loads
from tests.unit.planning.strategies import crowded_problem, problems


@given(problems(max_steps=3, max_requests=2))
def test_small_cases_cost_what_trying_every_schedule_finds(problem: Problem) -> None:
    costs = [cost_of_loads(problem, load) for load in every_load(problem)]
    least = min((cost for cost in costs if cost is not None), default=None)
    event(f"feasible: {least is not None}")
    answer = solve(problem)
    assert verify_schedule(write_problem(problem), write_schedule(answer)).ok
    assert (answer.objective if isinstance(answer, Schedule) else None) == least


def every_load(problem: Problem) -> Iterator[list[int]]:
    """Give the loads of every way in which all requests can be served in full."""
    for rows in itertools.product(*(list(every_row(one, problem.steps)) for one in problem.requests)):
        yield [sum(column) for column in zip(*rows, strict=True)] if rows else [0] * problem.steps


def every_row(request: Request, steps: int) -> Iterator[tuple[int, ...]]:
    limits = [request.max_wh * (request.arrival <= step < request.departure) for step in range(steps)]
    for row in itertools.product(*(range(limit + 1) for limit in limits)):
        if sum(row) == request.energy_wh:
            yield row


@pytest.mark.parametrize("share", [0.5, 0.7, 0.8, 0.85, 0.9, 1.0, 1.2, 1.4])
def test_large_groups_cost_what_the_linear_programme_does_and_are_refused_where_it_has_no_solution(
    share: float,
) -> None:
    rng = random.Random(f"{share}")
    problem = crowded_problem(rng, steps=96, cars=rng.randint(80, 200), supply_share=share)
    check_against_highs(problem, "simplex")


@pytest.mark.soak
@pytest.mark.parametrize("percent", [115, 100, 99])
def test_five_thousand_cars_cost_what_the_linear_programme_does_or_do_not_fit(percent: int) -> None:
    check_against_highs(group_day(5_000, percent), "ipm")


def check_against_highs(problem: Problem, method: str) -> None:
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("solver", method)
    solver.passModel(linear_programme(to_arrays(problem)))
    solver.run()
    answer = solve(problem)
    assert verify_schedule(write_problem(problem), write_schedule(answer)).ok
    if isinstance(answer, Schedule):
        assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        assert solver.getInfo().objective_function_value == pytest.approx(answer.objective, rel=1e-9)
    else:
        assert solver.getModelStatus() == highspy.HighsModelStatus.kInfeasible
