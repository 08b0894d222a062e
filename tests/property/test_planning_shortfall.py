"""What a cap leaves out is the least that anybody could leave out, goes by the order, and is proven."""

import contextlib
import itertools
import json
import random
from dataclasses import replace

import highspy
import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import Problem, write_problem
from evmesh.domain.schedule import write_schedule
from evmesh.domain.units import Wh
from evmesh.planning.shortfall import Served, serve
from evmesh.verify.schedule import Verdict
from evmesh.verify.shortfall import verify_shortfall
from tests.unit.planning.oracle import cheapest_flow, is_feasible
from tests.unit.planning.strategies import crowded_problem, problems


def missing_of(served: Served) -> int:
    return 0 if served.shortfall is None else sum(served.shortfall.missing_wh.values())


def files_of(served: Served) -> tuple[bytes, bytes, bytes, bytes]:
    """Give the four files: what was wanted, its refusal, what is planned, its plan."""
    short, plan = served.shortfall, served.accepted
    assert short is not None
    return (
        write_problem(short.wanted),
        write_schedule(short.proof),
        write_problem(plan.problem),
        write_schedule(plan.schedule),
    )


@given(problems(max_steps=3, max_requests=2))
def test_no_other_choice_of_energies_leaves_out_less(problem: Problem) -> None:
    served = serve(problem.with_requests([]), problem.requests)
    wished = [one.energy_wh for one in problem.requests]
    most = 0
    for energies in itertools.product(*(range(one + 1) for one in wished)):
        cut = [replace(one, energy_wh=Wh(wh)) for one, wh in zip(problem.requests, energies, strict=True)]
        if sum(energies) > most and is_feasible(problem.with_requests(cut)):
            most = sum(energies)
    event(f"short: {served.shortfall is not None}")
    assert missing_of(served) == sum(wished) - most


@given(problems())
def test_the_least_shortfall_carries_its_proof_and_is_nobodys_but_the_later_ones(problem: Problem) -> None:
    served = serve(problem.with_requests([]), problem.requests)
    wished = sum(one.energy_wh for one in problem.requests)
    assert missing_of(served) == wished - cheapest_flow(problem)[0]
    if served.shortfall is None:
        return
    assert verify_shortfall(*files_of(served)) == Verdict(True)
    given_: list[int] = []
    for number, one in enumerate(problem.requests):  # each has the most that those before it leave
        wh = served.accepted.problem.requests[number].energy_wh
        if wh < one.energy_wh:
            more = [replace(a, energy_wh=Wh(b)) for a, b in zip(problem.requests, given_, strict=False)]
            more.append(replace(one, energy_wh=Wh(wh + 1)))
            assert not is_feasible(problem.with_requests(more))
        given_.append(wh)


@given(problems(), st.lists(st.integers(0, 20), min_size=5, max_size=5))
def test_a_floor_comes_before_everything_and_costs_nothing_in_all(problem: Problem, share: list[int]) -> None:
    floors = {one.id: Wh(wh) for one, wh in zip(problem.requests, share, strict=False)}
    least = [
        replace(one, energy_wh=Wh(min(one.energy_wh, one.max_wh * one.window_steps, floors[one.id])))
        for one in problem.requests
    ]
    assume(is_feasible(problem.with_requests(least)))
    served = serve(problem.with_requests([]), problem.requests, floors)
    assert missing_of(served) == missing_of(serve(problem.with_requests([]), problem.requests))
    for one, floor in zip(served.accepted.problem.requests, least, strict=True):
        assert one.energy_wh >= floor.energy_wh


@given(problems(), st.randoms(use_true_random=False))
def test_a_reduction_that_was_tampered_with_is_found_out(problem: Problem, rng: random.Random) -> None:
    served = serve(problem.with_requests([]), problem.requests)
    assume(served.shortfall is not None)
    assume(len(problem.requests) > 1)
    files = list(files_of(served))
    which = rng.choice([0, 2])
    document = json.loads(files[which])
    one = rng.choice(document["requests"])
    one[rng.choice(["energy_wh", "max_wh", "arrival", "departure"])] += rng.choice([-1, 1])
    files[which] = json.dumps(document).encode()
    with contextlib.suppress(InvalidInput):  # such a problem cannot be read
        assert not verify_shortfall(*files).ok


def test_a_plan_that_leaves_out_more_than_it_must_is_refused() -> None:
    problem = crowded_problem(random.Random(5), supply_share=0.7)
    served = serve(problem.with_requests([]), problem.requests)
    wanted, refusal, _, _ = files_of(served)
    requests = list(served.accepted.problem.requests)
    number = next(n for n, one in enumerate(requests) if one.energy_wh > 0)
    requests[number] = replace(requests[number], energy_wh=Wh(requests[number].energy_wh - 1))
    lazy = serve(problem.with_requests([]), requests).accepted
    verdict = verify_shortfall(wanted, refusal, write_problem(lazy.problem), write_schedule(lazy.schedule))
    assert verdict == Verdict(False, "shortfall.not_least", "requests")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.6, 0.8])
def test_large_groups_lose_what_the_linear_programme_loses(share: float) -> None:
    rng = random.Random(f"short {share}")
    problem = crowded_problem(rng, steps=96, cars=rng.randint(40, 80), supply_share=share)
    served = serve(problem.with_requests([]), problem.requests)
    assert verify_shortfall(*files_of(served)) == Verdict(True)
    delivered = sum(one.energy_wh for one in problem.requests) - missing_of(served)
    assert delivered == pytest.approx(most_by_highs(problem), abs=0.5)


def most_by_highs(problem: Problem) -> float:
    """Give the most energy that can be delivered, by a linear programme."""
    solver = highspy.Highs()  # type: ignore[no-untyped-call]
    solver.setOptionValue("output_flag", False)
    by_step: list[list[int]] = [[] for _ in range(problem.steps)]
    cells = 0
    for request in problem.requests:
        for step in range(request.arrival, request.departure):
            solver.addVar(0, request.max_wh)
            solver.changeColCost(cells, -1)
            by_step[step].append(cells)
            cells += 1
        mine = list(range(cells - request.window_steps, cells))
        solver.addRow(0, request.energy_wh, len(mine), mine, [1] * len(mine))
    for cap, columns in zip(problem.capacities(), by_step, strict=True):
        solver.addRow(0, cap, len(columns), columns, [1] * len(columns))
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    return -float(solver.getInfo().objective_function_value)
