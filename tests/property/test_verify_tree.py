"""Tampered answers over trees of groups: what passes the checker must still be true by the oracle."""

import copy
import json
import random
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from evmesh.domain.errors import Refused
from evmesh.domain.problem import problem_sha256
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.problem_tree_file import write_tree_problem
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal, write_thousandths, write_tree_schedule
from evmesh.planning import tree_answer
from evmesh.planning.tree import solve_tree
from evmesh.planning.tree_network import TreeNetwork
from evmesh.verify.tree import verify_tree
from tests.unit.planning.tree_oracle import cheapest, cost_of
from tests.unit.planning.tree_strategies import crowded_tree, tree_problems

Document = dict[str, Any]


def document_of(answer: TreePlan | TreeRefusal) -> Document:
    document: Document = json.loads(write_tree_schedule(answer))
    return document


def is_true(problem: TreeProblem, document: Document, best: float | None) -> bool:
    """Say by the oracle alone whether a plan is one, and its cost and its gap are what it says."""
    cost = cost_of(problem, document)
    if cost is None or best is None or document["objective"] != str(cost):
        return False
    gap = float(document["gap"])
    if problem.is_lossless() and gap != 0:
        return False
    return cost - gap <= best + 1e-6 * max(1.0, abs(best))


def tampered(document: Document, problem: TreeProblem, rng: random.Random) -> Document:
    mutant = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        rng.choice([_move, _move, _shift_supply, _store, _price, _numbers])(mutant, problem, rng)
    if rng.random() < 0.6:  # a careful thief corrects the sum, and the gap by as much
        cost = cost_of(problem, mutant)
        if cost is not None:
            gap = round(1_000 * (float(mutant["gap"]) + cost - int(mutant["objective"])))
            mutant["objective"] = str(cost)
            if rng.random() < 0.5:
                mutant["gap"], mutant["status"] = write_thousandths(gap), "bounded" if gap else "optimal"
    return mutant


def _move(mutant: Document, problem: TreeProblem, rng: random.Random) -> None:
    """Move energy of a car to another step, and what is imported with it."""
    rows = [row for row in mutant["rows"] if len(row["wh"]) > 1]
    if not rows:
        return
    row = rng.choice(rows)
    taken, given_to = (rng.randrange(len(row["wh"])) for _ in range(2))
    moved = rng.choice([1, row["wh"][taken]])
    row["wh"][taken] -= moved
    row["wh"][given_to] += moved
    _import(mutant, problem, row["first"] + taken, -moved, rng)
    _import(mutant, problem, row["first"] + given_to, moved, rng)


def _shift_supply(mutant: Document, problem: TreeProblem, rng: random.Random) -> None:
    """Take local energy in place of imported energy, or the other way round."""
    if mutant["local_wh"]:
        number = rng.randrange(len(mutant["local_wh"]))
        moved = rng.choice([-1, 1, 5])
        mutant["local_wh"][number] += moved
        _import(mutant, problem, problem.local[number].segment.step, -moved, rng)


def _store(mutant: Document, problem: TreeProblem, rng: random.Random) -> None:
    rows = mutant["batteries"] + mutant["cars"]
    if rows:
        row = rng.choice(rows)
        number, moved = rng.randrange(len(row["in_wh"])), rng.choice([-1, 1, 7])
        key, sign = rng.choice([("in_wh", 1), ("out_wh", -1)])
        row[key][number] += moved
        _import(mutant, problem, row["first"] + number, sign * moved, rng)


def _import(mutant: Document, problem: TreeProblem, step: int, wh: int, rng: random.Random) -> None:
    places = [number for number, one in enumerate(problem.imports) if one.step == step]
    if places and rng.random() < 0.9:
        mutant["import_wh"][rng.choice(places)] += wh


def _price(mutant: Document, problem: TreeProblem, rng: random.Random) -> None:
    rows = [mutant["prices"]["grid"], *(one["surcharge"] for one in mutant["prices"]["groups"])]
    rows += [one["stored"] for one in mutant["prices"]["batteries"] + mutant["prices"]["cars"]]
    row = rng.choice(rows)
    row[rng.randrange(len(row))] += rng.choice([-1, 1, 10_000])


def _numbers(mutant: Document, problem: TreeProblem, rng: random.Random) -> None:
    key = rng.choice(["objective", "gap"])
    value = round(1_000 * float(mutant[key])) if key == "gap" else 1_000 * int(mutant[key])
    value += 1_000 * rng.choice([-1, 1, -10_000])
    mutant[key] = write_thousandths(value)
    mutant["status"] = "optimal" if mutant["gap"] == "0" else "bounded"


@given(st.booleans().flatmap(lambda lossy: tree_problems(lossy=lossy, unit=7)), st.randoms())
def test_a_tampered_plan_passes_only_if_it_is_still_true(problem: TreeProblem, rng: random.Random) -> None:
    try:
        answer = solve_tree(problem)
    except Refused:
        return
    assume(isinstance(answer, TreePlan))
    best, raw = cheapest(problem), write_tree_problem(problem)
    for _ in range(5):
        mutant = tampered(document_of(answer), problem, rng)
        if verify_tree(raw, json.dumps(mutant).encode()).ok:
            event("passed")
            assert is_true(problem, mutant, best)


def refused_mutants(seed: int, count: int) -> int:
    """Try mutants of a crowded tree's plan; one counts when the oracle calls it false."""
    rng = random.Random(seed)
    problem = crowded_tree(rng, steps=12, cars=8, lossy=bool(seed % 2), room=1.6)
    answer = solve_tree(problem)
    if not isinstance(answer, TreePlan):
        return 0
    best, raw, document = cheapest(problem), write_tree_problem(problem), document_of(answer)
    assert is_true(problem, document, best)
    refused = 0
    for _ in range(count):
        mutant = tampered(document, problem, rng)
        if not is_true(problem, mutant, best):
            refused += 1
            assert not verify_tree(raw, json.dumps(mutant).encode()).ok, mutant
    return refused


@pytest.mark.parametrize("seed", range(4))
def test_no_tampered_plan_of_a_crowded_tree_passes(seed: int) -> None:
    assert refused_mutants(seed, 60) >= 20


@pytest.mark.soak
@pytest.mark.timeout(1_200)
def test_none_of_ten_thousand_tampered_plans_passes() -> None:
    refused, seed = 0, 1_000
    while refused < 10_000:
        refused += refused_mutants(seed, 200)
        seed += 1


@given(tree_problems(), st.lists(st.sampled_from([-3, -1, 0, 0, 1, 1, 2]), min_size=64, max_size=64))
def test_no_prices_refuse_what_fits(problem: TreeProblem, drawn: list[int]) -> None:
    """The deficit that a thief states is the one that the prices give, so only the proof can be wrong."""
    network = TreeNetwork.of(problem)
    worth = [drawn[number % 64] for number in range(network.places)]
    raw = write_tree_problem(problem)
    forged = tree_answer.refusal(network, problem_sha256(raw), worth)
    event("a proof" if forged else "no proof")
    if forged is not None:
        assert cheapest(problem) is None
        assert verify_tree(raw, write_tree_schedule(forged)).ok


@given(st.booleans().flatmap(lambda lossy: tree_problems(lossy=lossy)), st.randoms())
def test_a_tampered_refusal_passes_only_if_nothing_fits(problem: TreeProblem, rng: random.Random) -> None:
    try:
        answer = solve_tree(problem)
    except Refused:
        return
    mutant = document_of(answer)
    if isinstance(answer, TreePlan):
        mutant = {key: mutant[key] for key in ("format", "problem_sha256", "prices")} | {"deficit": "0"}
        mutant["status"] = "infeasible"
    _price(mutant, problem, rng)
    for deficit in ("1", mutant["deficit"], "0", "-1"):
        mutant["deficit"] = deficit
        if verify_tree(write_tree_problem(problem), json.dumps(mutant).encode()).ok:
            assert cheapest(problem) is None


@given(tree_problems(), tree_problems())
def test_an_answer_to_another_problem_is_refused(problem: TreeProblem, other: TreeProblem) -> None:
    assume(write_tree_problem(problem) != write_tree_problem(other))
    verdict = verify_tree(write_tree_problem(problem), write_tree_schedule(solve_tree(other)))
    assert verdict.code == "schedule.other_problem"
