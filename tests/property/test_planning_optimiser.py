"""The optimiser against an independent minimum-cost flow, and its certificates against the checker."""

import random
from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, problem_sha256, write_problem
from evmesh.domain.schedule import Refusal, Schedule, write_schedule
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import Verdict, verify_schedule
from tests.unit.planning.oracle import cheapest_flow, cost_of_loads
from tests.unit.planning.strategies import crowded_problem, problems


@given(st.one_of(problems(), problems(generous=True)))
def test_every_answer_proves_itself(problem: Problem) -> None:
    raw = write_problem(problem)
    answer = solve(problem)
    event(type(answer).__name__)
    assert answer.problem_sha256 == problem_sha256(raw)
    assert verify_schedule(raw, write_schedule(answer)) == Verdict(True)


@given(problems(generous=True))
def test_a_schedule_costs_what_the_cheapest_flow_costs(problem: Problem) -> None:
    flow, cost = cheapest_flow(problem)
    answer = solve(problem)
    event(type(answer).__name__)
    if isinstance(answer, Schedule):
        assert answer.objective == cost == cost_of_loads(problem, answer.loads())
        assert sum(answer.loads()) == flow


@given(st.one_of(problems(), problems(generous=True)))
def test_a_problem_is_refused_if_and_only_if_the_greatest_flow_falls_short(problem: Problem) -> None:
    flow, _ = cheapest_flow(problem)
    short = sum(request.energy_wh for request in problem.requests) - flow
    answer = solve(problem)
    assert isinstance(answer, Refusal) == (short > 0)
    if isinstance(answer, Refusal) and answer.steps:
        assert answer.deficit_wh == short


@pytest.mark.parametrize("seed", range(40))
def test_crowded_groups_are_planned_at_the_cost_of_the_cheapest_flow_or_refused(seed: int) -> None:
    problem = crowded_problem(random.Random(seed), steps=20, cars=12)
    flow, cost = cheapest_flow(problem)
    answer = solve(problem)
    if isinstance(answer, Schedule):
        assert (sum(answer.loads()), answer.objective) == (flow, cost)
    else:
        assert answer.deficit_wh == sum(request.energy_wh for request in problem.requests) - flow
    assert verify_schedule(write_problem(problem), write_schedule(answer)) == Verdict(True)


@given(problems(generous=True), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_of_a_file_does_not_matter(problem: Problem, shuffler: object) -> None:
    requests, supply = list(problem.requests), list(problem.supply)
    shuffler.shuffle(requests)  # type: ignore[attr-defined]
    shuffler.shuffle(supply)  # type: ignore[attr-defined]
    one = solve(problem, sha256="0" * 64)
    other = solve(replace(problem, requests=tuple(requests), supply=tuple(supply)), sha256="0" * 64)
    if isinstance(one, Schedule) and isinstance(other, Schedule):
        assert sorted(one.rows, key=lambda row: row.id) == sorted(other.rows, key=lambda row: row.id)
        assert one.step_price == other.step_price
        assert [row.id for row in other.rows] == [request.id for request in requests]
    else:
        assert one == other


@given(problems(generous=True))
def test_on_ties_no_energy_could_come_earlier(problem: Problem) -> None:
    """Make each step dearer by less than any price differs: then earlier is cheaper, and nothing moves."""
    answer = solve(problem)
    steeper = replace(
        problem,
        supply=tuple(replace(one, price=Price(one.price * 1_000 + one.step)) for one in problem.supply),
    )
    steep = solve(steeper)
    assert isinstance(answer, Schedule) == isinstance(steep, Schedule)
    if isinstance(answer, Schedule) and isinstance(steep, Schedule):
        assert answer.loads() == steep.loads()
        assert steep.objective == cheapest_flow(steeper)[1]
