"""Plans over trees of groups: right by the oracles, and every answer proves itself."""

import random

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from evmesh.domain.errors import Refused
from evmesh.domain.problem import Problem
from evmesh.domain.problem_tree import TreeProblem, TreeRequest
from evmesh.domain.problem_tree_file import write_tree_problem
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Schedule
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal, parse_tree_schedule, write_tree_schedule
from evmesh.planning.optimiser import solve
from evmesh.planning.tree import solve_tree
from evmesh.verify.schedule import Verdict
from evmesh.verify.tree import verify_tree
from tests.unit.planning.strategies import problems
from tests.unit.planning.tree_oracle import cheapest, cheapest_by_trying
from tests.unit.planning.tree_strategies import crowded_tree, tree_problem, tree_problems


def proven(problem: TreeProblem, answer: TreePlan | TreeRefusal) -> TreePlan | TreeRefusal:
    written = write_tree_schedule(answer)
    assert verify_tree(write_tree_problem(problem), written) == Verdict(True)
    assert parse_tree_schedule(written) == answer
    return answer


@given(tree_problems())
def test_without_losses_the_plan_costs_what_the_linear_programme_does(problem: TreeProblem) -> None:
    answer, best = proven(problem, solve_tree(problem)), cheapest(problem)
    event(type(answer).__name__)
    if isinstance(answer, TreePlan):
        assert best == pytest.approx(answer.objective, abs=1e-4)
        assert answer.status == "optimal"
    else:
        assert best is None


@given(st.integers(0, 100_000))
def test_small_cases_cost_what_trying_everything_finds(seed: int) -> None:
    problem = tree_problem(random.Random(seed), steps=2)
    plain = tuple(one for one in problem.requests if one.v2g is None)[:2]
    few = TreeProblem(
        problem.grid, problem.groups, problem.imports, plain, problem.exports, problem.local[:1]
    )
    answer = proven(few, solve_tree(few))
    found = answer.objective if isinstance(answer, TreePlan) else None
    event("fits" if found is not None else "does not fit")
    assert found == cheapest_by_trying(few)


@given(problems())
def test_a_tree_of_one_group_costs_what_the_planner_of_one_group_finds(problem: Problem) -> None:
    capacity = tuple(problem.capacities())
    group = Group("cabinet", None, capacity, (0,) * problem.steps)
    requests = tuple(TreeRequest("cabinet", one) for one in problem.requests)
    tree = TreeProblem(problem.grid, (group,), problem.supply, requests)
    one, other = solve(problem), proven(tree, solve_tree(tree))
    if isinstance(one, Schedule):
        assert isinstance(other, TreePlan)
        assert other.objective == one.objective
    else:
        assert isinstance(other, TreeRefusal)
        if one.steps:  # else it counts only what does not fit its own window
            assert other.deficit_thousandths == 1_000 * one.deficit_wh


@given(tree_problems(lossy=True, unit=100))
def test_with_losses_the_least_cost_lies_between_bound_and_objective(problem: TreeProblem) -> None:
    try:
        answer = proven(problem, solve_tree(problem))
    except Refused:
        event("only in parts of a Wh")
        return
    best = cheapest(problem)
    event(answer.status if isinstance(answer, TreePlan) else "infeasible")
    if isinstance(answer, TreePlan):
        assert best is not None
        assert answer.bound_thousandths / 1_000 - 1e-4 <= best <= answer.objective + 1e-4
        assert answer.gap_thousandths <= 1_000 * 10_000 * (1 + len(problem.stores()) * problem.steps)
    else:
        assert best is None


@pytest.mark.parametrize("seed", range(3))
def test_a_crowded_tree_costs_what_the_linear_programme_does(seed: int) -> None:
    problem = crowded_tree(random.Random(seed))
    answer = proven(problem, solve_tree(problem))
    assert isinstance(answer, TreePlan)
    assert cheapest(problem) == pytest.approx(answer.objective, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_a_crowded_tree_with_losses_is_within_a_ten_thousandth_of_the_best(seed: int) -> None:
    problem = crowded_tree(random.Random(seed), lossy=True)
    answer = proven(problem, solve_tree(problem))
    assert isinstance(answer, TreePlan)
    assert answer.gap_thousandths <= abs(answer.objective) // 10
    assert cheapest(problem) == pytest.approx(answer.objective, rel=1e-4)


@pytest.mark.parametrize("lossy", [False, True])
def test_a_tree_with_too_little_is_refused_with_its_proof(lossy: bool) -> None:
    problem = crowded_tree(random.Random(1), lossy=lossy, room=0.5)
    assert isinstance(proven(problem, solve_tree(problem)), TreeRefusal)
    assert cheapest(problem) is None


@given(tree_problems())
def test_a_refusal_without_losses_names_places_and_counts_wh(problem: TreeProblem) -> None:
    answer = solve_tree(problem)
    assume(isinstance(answer, TreeRefusal))
    assert isinstance(answer, TreeRefusal)
    prices = answer.prices
    assert answer.deficit_thousandths % 1_000 == 0
    assert {*prices.grid, *prices.requests.values()} <= {0, 1} or {
        *prices.grid, *prices.requests.values()
    } <= {0, -1}  # fmt: skip


@given(tree_problems())
def test_the_answer_does_not_depend_on_how_groups_are_listed(problem: TreeProblem) -> None:
    other = TreeProblem(
        problem.grid,
        problem.groups[::-1],
        problem.imports,
        problem.requests,
        problem.exports,
        problem.local,
        problem.batteries,
    )
    one, two = solve_tree(problem), solve_tree(other)
    assert type(one) is type(two)
    if isinstance(one, TreePlan) and isinstance(two, TreePlan):
        assert one.objective == two.objective


@pytest.mark.parametrize("seed", [16, 185, 320])
def test_where_rounding_finds_no_plan_a_search_in_whole_wh_does(seed: int) -> None:
    problem = tree_problem(random.Random(seed), unit=random.Random(seed).choice([1, 1, 7]), lossy=True)
    assert isinstance(proven(problem, solve_tree(problem)), TreePlan)
