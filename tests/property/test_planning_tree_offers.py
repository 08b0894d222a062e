"""Trees of groups: refusals make offers that fit and are the best, and a shortfall is the least there is."""

from dataclasses import replace

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from evmesh.domain.errors import Refused
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, problem_sha256, write_problem
from evmesh.domain.problem_shape import TreeShape, read_answer, read_problem
from evmesh.domain.problem_tree import TreeProblem, TreeRequest
from evmesh.domain.problem_tree_file import write_tree_problem
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Schedule, write_schedule
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal, parse_tree_schedule, write_tree_schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.admission import Accepted, RefusedRequest, admit, prove_offer
from evmesh.planning.optimiser import solve
from evmesh.planning.shortfall import serve
from evmesh.planning.tree import solve_tree
from evmesh.planning.tree_offers import solve_tree_with_candidate
from evmesh.verify.answer import verify_answer
from evmesh.verify.schedule import Verdict
from evmesh.verify.shortfall import verify_shortfall
from evmesh.verify.tree import verify_tree
from tests.unit.planning.strategies import START, problems
from tests.unit.planning.tree_oracle import cheapest
from tests.unit.planning.tree_strategies import tree_problems


def with_wish(problem: TreeProblem, candidate: TreeRequest, **wish: int) -> TreeProblem:
    car = replace(candidate.car, **wish)  # type: ignore[arg-type]
    others = [one for one in problem.requests if one.id != candidate.id]
    return replace(problem, requests=(*others, replace(candidate, car=car)))


def fits(problem: TreeProblem) -> bool:
    try:
        return isinstance(solve_tree(problem), TreePlan)
    except Refused:
        return False


@given(tree_problems(), st.integers(1, 4))
def test_offers_of_a_tree_fit_and_one_wh_more_or_one_step_earlier_does_not(
    problem: TreeProblem, times: int
) -> None:
    plain = [one for one in problem.requests if one.v2g is None]
    assume(plain)
    candidate = replace(plain[-1], car=replace(plain[-1].car, energy_wh=Wh(plain[-1].car.energy_wh * times)))
    problem = with_wish(problem, candidate)
    answer = solve_tree_with_candidate(problem, candidate.id, sha256="0" * 64)
    if isinstance(answer, TreePlan):
        return
    assert answer.offers is not None
    event(f"offers: {len(answer.offers)}")
    by_kind = {offer.departure > candidate.car.departure: offer for offer in answer.offers}
    more, later = by_kind.get(False), by_kind.get(True)
    if more is not None:
        assert cheapest(with_wish(problem, candidate, energy_wh=more.energy_wh)) is not None
        assert cheapest(with_wish(problem, candidate, energy_wh=more.energy_wh + 1)) is None
    elif candidate.car.energy_wh:
        assert cheapest(with_wish(problem, candidate, energy_wh=1)) is None
    if later is not None:
        assert cheapest(with_wish(problem, candidate, departure=later.departure)) is not None
        if later.departure > candidate.car.departure + 1:
            assert cheapest(with_wish(problem, candidate, departure=later.departure - 1)) is None
    else:
        assert cheapest(with_wish(problem, candidate, departure=problem.steps)) is None


@settings(max_examples=25)
@given(tree_problems(lossy=True, unit=100))
def test_offers_with_losses_fit_and_one_wh_more_does_not(problem: TreeProblem) -> None:
    plain = [one for one in problem.requests if one.v2g is None]
    assume(plain)
    candidate = replace(plain[-1], car=replace(plain[-1].car, energy_wh=Wh(plain[-1].car.energy_wh * 3 + 1)))
    problem = with_wish(problem, candidate)
    try:
        answer = solve_tree_with_candidate(problem, candidate.id, sha256="0" * 64)
    except Refused:
        return
    for offer in answer.offers or () if isinstance(answer, TreeRefusal) else ():
        assert fits(with_wish(problem, candidate, energy_wh=offer.energy_wh, departure=offer.departure))
        if offer.departure == candidate.car.departure:
            assert not fits(with_wish(problem, candidate, energy_wh=offer.energy_wh + 1))


def test_offers_are_part_of_the_file_and_are_checked() -> None:
    problem = two_cabinets(problem_of([Request("a", 0, 2, Wh(30), Wh(15))]))
    raw = write_problem(problem)
    answer = solve_tree_with_candidate(read_tree(problem), "a", sha256=problem_sha256(raw))
    assert isinstance(answer, TreeRefusal)
    written = write_tree_schedule(answer)
    assert parse_tree_schedule(written) == answer
    assert verify_tree(raw, written) == Verdict(True)
    for bad in (b'"energy_wh":20', b'"departure":2'):
        assert bad in written
        spoilt = written.replace(bad, bad.rpartition(b":")[0] + b":0")
        assert verify_tree(raw, spoilt).code == "refusal.bad_offer"


def problem_of(requests: list[Request]) -> Problem:
    supply = tuple(SupplySegment(step, Wh(100), Price(10)) for step in range(2))
    return Problem(TimeGrid(START, 900, 2), supply, tuple(requests))


def two_cabinets(problem: Problem, small: int = 10, large: int = 60) -> Problem:
    """Hang a problem's requests on two cabinets by turns, of which the first is small."""
    steps = problem.steps
    none = (0,) * steps
    groups = (
        Group("feeder", None, tuple(problem.capacities()), none),
        Group("small", "feeder", (small,) * steps, none),
        Group("large", "feeder", (large,) * steps, none),
    )
    names = sorted({one.id for one in problem.requests} | {"newcomer"})
    of = {name: ("small", "large")[number % 2] for number, name in enumerate(names)}
    return replace(problem, shape=TreeShape(groups, of))


def read_tree(problem: Problem) -> TreeProblem:
    assert isinstance(problem.shape, TreeShape)
    return problem.shape.tree(problem)


@given(problems(), st.integers(0, 12))
def test_a_shaped_problem_is_solved_over_its_cables_and_read_back_as_it_was(
    plain: Problem, small: int
) -> None:
    problem = two_cabinets(plain, small)
    raw, answer = write_problem(problem), solve(problem)
    written = write_schedule(answer)
    event(type(answer).__name__)
    assert raw == write_tree_problem(read_tree(problem))
    assert verify_answer(raw, written) == Verdict(True)
    back = read_problem(raw)
    assert (back.grid, back.supply, back.requests) == (problem.grid, problem.supply, problem.requests)
    assert write_problem(back) == raw
    assert read_answer(written) == answer
    assert isinstance(answer, Schedule) == (cheapest(read_tree(problem)) is not None)


@given(problems(), st.integers(0, 12), st.integers(0, 40))
def test_admission_over_cables_takes_whoever_fits_and_proves_each_no_and_each_offer(
    plain: Problem, small: int, energy: int
) -> None:
    problem = two_cabinets(plain, small)
    while not isinstance(solve(problem), Schedule):
        problem = problem.with_requests(problem.requests[1:])
    candidate = Request("newcomer", 0, max(1, problem.steps - 1), Wh(energy), Wh(15))
    answer = admit(problem, candidate)
    together = problem.with_requests([*problem.requests, candidate])
    assert isinstance(answer, Accepted) == (cheapest(read_tree(together)) is not None)
    if isinstance(answer, RefusedRequest):
        assert verify_answer(write_problem(together), write_schedule(answer.certificate)) == Verdict(True)
        for offer in answer.offers:
            proof = prove_offer(problem, candidate, offer)
            assert proof is not None
            event("offer")


@given(problems(), st.integers(0, 12))
def test_a_shortfall_over_cables_is_the_least_and_proven(plain: Problem, small: int) -> None:
    problem = two_cabinets(plain, small)
    served = serve(problem.with_requests([]), problem.requests)
    plan = served.accepted
    if served.shortfall is None:
        assert cheapest(read_tree(problem)) is not None
        return
    verdict = verify_shortfall(
        write_problem(served.shortfall.wanted),
        write_schedule(served.shortfall.proof),
        write_problem(plan.problem),
        write_schedule(plan.schedule),
    )
    assert verdict == Verdict(True)
