"""What a certificate says about one request: by hand for a small group, and against planning anew for any."""

from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Refusal, Schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.explain import explain_refusal, explain_schedule
from evmesh.planning.optimiser import solve
from tests.unit.planning.strategies import START, problems

SUPPLY = ((0, 100, 10), (0, 100, 30), (1, 100, 20), (2, 100, 40))
VAN = Request("van", 0, 2, Wh(150), Wh(90))
HATCHBACK = Request("hatchback", 1, 3, Wh(40), Wh(60))


def group(*cars: Request) -> Problem:
    supply = (SupplySegment(step, Wh(cap), Price(price)) for step, cap, price in SUPPLY)
    return Problem(TimeGrid(START, 900, 3), tuple(supply), cars)


def solved(problem: Problem) -> Schedule:
    answer = solve(problem)
    assert isinstance(answer, Schedule)
    return answer


def test_a_full_step_names_how_many_others_take_how_much_and_no_one() -> None:
    problem = group(VAN, HATCHBACK)
    facts = explain_schedule(problem, solved(problem), "hatchback")
    shared, dear = facts.steps
    assert (shared.wh, shared.others, shared.others_wh, shared.others_at_limit) == (40, 1, 60, 0)
    assert (shared.binds, shared.next_price, shared.load_wh, shared.cap_wh) == ("capacity", None, 100, 100)
    assert (dear.wh, dear.binds, dear.next_price, dear.others) == (0, "price", 40, 0)
    assert "van" not in repr(facts)


def test_a_car_at_its_own_power_is_bound_by_it_and_pays_what_is_left_for_more() -> None:
    problem = group(VAN, HATCHBACK)
    facts = explain_schedule(problem, solved(problem), "van")
    assert [one.binds for one in facts.steps] == ["own_power", "capacity"]
    assert (facts.dearest_used, facts.cheapest_free, facts.more_at_most) == (20, 20, None)


def test_a_car_that_fills_its_window_could_take_no_more() -> None:
    problem = group(replace(VAN, energy_wh=Wh(180)))
    facts = explain_schedule(problem, solved(problem), "van")
    assert (facts.cheapest_free, facts.more_at_most) == (None, None)
    assert [one.binds for one in facts.steps] == ["own_power", "own_power"]


def test_cheaper_supply_that_others_took_is_counted() -> None:
    dearer = replace(HATCHBACK, arrival=0, departure=3, energy_wh=Wh(60), max_wh=Wh(60))
    supply = tuple(
        SupplySegment(step, Wh(cap), Price(price))
        for step, cap, price in ((0, 50, 1), (0, 99, 9), (1, 99, 5))
    )
    leaving = Request("leaving", 0, 1, Wh(50), Wh(50))
    problem = Problem(TimeGrid(START, 900, 3), supply, (leaving, dearer))
    first, second, third = explain_schedule(problem, solved(problem), "hatchback").steps
    assert (first.binds, first.wh, first.cheaper_wh, first.others_at_limit) == ("price", 0, 50, 1)
    assert second.binds == "own_power"
    assert (third.binds, third.cap_wh) == ("capacity", 0)


def test_a_refusal_says_what_had_to_fall_where_and_how_much_could_fit() -> None:
    late = Request("hatchback", 1, 2, Wh(45), Wh(60))
    problem = group(VAN, late)
    refusal = solve(problem)
    assert isinstance(refusal, Refusal)
    facts = explain_refusal(problem, refusal, "hatchback")
    assert (facts.steps, facts.cap_wh, facts.forced_wh) == ((1,), 100, 45)
    assert (facts.others, facts.others_wh, facts.deficit_wh, facts.fits_at_most_wh) == (1, 60, 5, 40)


def test_a_request_without_which_it_is_a_no_too_is_told_so() -> None:
    problem = group(replace(VAN, energy_wh=Wh(999)), HATCHBACK)
    refusal = solve(problem)
    assert isinstance(refusal, Refusal)
    facts = explain_refusal(problem, refusal, "hatchback")
    assert (facts.steps, facts.forced_wh, facts.others, facts.fits_at_most_wh) == ((), 0, 1, None)
    assert explain_refusal(problem, refusal, "van").fits_at_most_wh == 180


def test_a_request_that_is_not_in_the_problem_is_wrong_input() -> None:
    problem = group(VAN)
    with pytest.raises(InvalidInput, match="no request has the id 'stranger'"):
        explain_schedule(problem, solved(problem), "stranger")


@given(problems(generous=True), st.data())
def test_one_more_watt_hour_costs_what_the_facts_allow(problem: Problem, data: st.DataObject) -> None:
    assume(problem.requests)
    request = data.draw(st.sampled_from(problem.requests))
    answer = solve(problem)
    assume(isinstance(answer, Schedule))
    assert isinstance(answer, Schedule)
    facts = explain_schedule(problem, answer, request.id)
    with_room = [one for one in facts.steps if one.wh < request.max_wh and one.load_wh < one.cap_wh]
    assert (facts.more_at_most is None) == (not with_room)
    more = replace(request, energy_wh=Wh(request.energy_wh + 1))
    again = solve(problem.with_requests(more if one is request else one for one in problem.requests))
    if facts.cheapest_free is None:
        assert isinstance(again, Refusal)
    elif isinstance(again, Schedule):
        dearer = again.objective - answer.objective
        assert facts.cheapest_free <= dearer
        assert facts.more_at_most is None or dearer <= facts.more_at_most
    else:
        assert facts.more_at_most is None


@given(problems(), st.data())
def test_no_more_fits_than_a_refusal_says(problem: Problem, data: st.DataObject) -> None:
    answer = solve(problem)
    assume(isinstance(answer, Refusal))
    assert isinstance(answer, Refusal)
    request = data.draw(st.sampled_from(problem.requests))
    facts = explain_refusal(problem, answer, request.id)
    if facts.fits_at_most_wh is None:
        assert isinstance(solve(problem.without(request.id)), Refusal)
        return
    more = replace(request, energy_wh=Wh(facts.fits_at_most_wh + 1))
    others = problem.without(request.id).requests
    assert isinstance(solve(problem.with_requests([*others, more])), Refusal)
