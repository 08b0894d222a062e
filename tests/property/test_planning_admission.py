"""Admission: promises are kept, and offers are the best there are."""

from dataclasses import replace

from hypothesis import event, given
from hypothesis import strategies as st

from evmesh.domain.problem import Problem, Request, problem_sha256, write_problem
from evmesh.domain.schedule import write_schedule
from evmesh.domain.units import Wh
from evmesh.planning.admission import (
    Accepted,
    RefusedRequest,
    admit,
    prove_offer,
    solve_with_candidate,
)
from evmesh.verify.schedule import Verdict, verify_schedule
from tests.unit.planning.oracle import is_feasible
from tests.unit.planning.strategies import problems, requests


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Problem, Request]:
    """Draw a group whose promises can be kept, and one more car that mostly wants too much."""
    problem = draw(problems(generous=draw(st.booleans())))
    while not is_feasible(problem):
        problem = problem.with_requests(problem.requests[1:])
    candidate = draw(requests(problem.steps, "newcomer"))
    return problem, replace(candidate, energy_wh=Wh(candidate.energy_wh * draw(st.integers(1, 3))))


@given(candidates())
def test_a_car_is_accepted_if_and_only_if_everybody_is_served(case: tuple[Problem, Request]) -> None:
    problem, candidate = case
    together = problem.with_requests([*problem.requests, candidate])
    outcome = admit(problem, candidate)
    event(type(outcome).__name__)
    assert isinstance(outcome, Accepted) == is_feasible(together)
    assert outcome.problem == together
    answer = outcome.schedule if isinstance(outcome, Accepted) else outcome.certificate
    assert verify_schedule(write_problem(together), write_schedule(answer)) == Verdict(True)
    if isinstance(outcome, Accepted):
        for request in [*problem.requests, candidate]:
            assert outcome.schedule.row(request.id).total_wh == request.energy_wh


@given(candidates())
def test_offers_fit_and_one_wh_more_or_one_step_earlier_does_not(case: tuple[Problem, Request]) -> None:
    problem, candidate = case
    outcome = admit(problem, candidate)
    if isinstance(outcome, Accepted):
        return
    event(f"offers: {len(outcome.offers)}")

    def fits(**wish: int) -> bool:
        return is_feasible(problem.with_requests([*problem.requests, replace(candidate, **wish)]))  # type: ignore[arg-type]

    by_departure = {offer.departure > candidate.departure: offer for offer in outcome.offers}
    same_departure, later = by_departure.get(False), by_departure.get(True)
    if same_departure is None:
        assert not fits(energy_wh=1)
    else:
        assert same_departure.departure == candidate.departure
        assert fits(energy_wh=same_departure.energy_wh)
        assert not fits(energy_wh=same_departure.energy_wh + 1)
    if later is None:
        assert not fits(departure=problem.steps)
    else:
        assert later.energy_wh == candidate.energy_wh
        assert fits(departure=later.departure)
        assert not fits(departure=later.departure - 1)


@given(candidates())
def test_each_offer_is_proven_by_a_schedule_and_a_refusal(case: tuple[Problem, Request]) -> None:
    problem, candidate = case
    outcome = admit(problem, candidate)
    for offer in outcome.offers if isinstance(outcome, RefusedRequest) else ():
        proof = prove_offer(problem, candidate, offer)
        assert proof is not None
        yes, no = proof.accepted, proof.next_best
        assert verify_schedule(write_problem(yes.problem), write_schedule(yes.schedule)) == Verdict(True)
        assert verify_schedule(write_problem(no.problem), write_schedule(no.certificate)) == Verdict(True)
        if offer.departure == candidate.departure:
            modest = replace(offer, energy_wh=Wh(offer.energy_wh - 1))
        else:
            modest = replace(offer, departure=min(problem.steps, offer.departure + 1))
        assert modest == offer or prove_offer(problem, candidate, modest) is None


@given(candidates())
def test_a_problem_file_with_its_candidate_gets_the_same_answer(case: tuple[Problem, Request]) -> None:
    problem, candidate = case
    outcome = admit(problem, candidate)
    answer = solve_with_candidate(
        outcome.problem, candidate.id, sha256=problem_sha256(write_problem(outcome.problem))
    )
    assert answer == (outcome.schedule if isinstance(outcome, Accepted) else outcome.certificate)


@given(problems(), st.data())
def test_nobody_new_is_admitted_or_tempted_while_a_promise_cannot_be_kept(
    problem: Problem, data: st.DataObject
) -> None:
    if is_feasible(problem):
        return
    outcome = admit(problem, data.draw(requests(problem.steps, "newcomer")))
    assert isinstance(outcome, RefusedRequest)
    assert outcome.offers == ()
