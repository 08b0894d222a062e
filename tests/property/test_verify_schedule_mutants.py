"""Tampered certificates: whatever passes the checker must still be true by the independent oracle."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, SupplySegment, write_problem
from evmesh.domain.schedule import Refusal, Schedule, parse_schedule, write_schedule
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import verify_schedule
from tests.unit.planning.oracle import cheapest_flow, cost_of_loads, is_feasible
from tests.unit.planning.strategies import crowded_problem, problems


@given(problems(generous=True), st.data())
def test_a_schedule_with_energy_moved_passes_only_if_it_is_still_a_cheapest_one(
    problem: Problem, data: st.DataObject
) -> None:
    """Totals stay: energy moves between steps of a car, or two cars swap; prices and sum follow along."""
    answer = solve(problem)
    assume(isinstance(answer, Schedule) and answer.rows)
    assert isinstance(answer, Schedule)
    table = {row.id: [int(row.at(step)) for step in range(problem.steps)] for row in answer.rows}
    for _ in range(data.draw(st.integers(1, 3))):
        row = table[data.draw(st.sampled_from(sorted(table)))]
        taken, given_to = data.draw(st.tuples(*[st.integers(0, problem.steps - 1)] * 2))
        moved = data.draw(st.integers(-2, 9))
        row[taken] -= moved
        row[given_to] += moved
    loads = [sum(column) for column in zip(*table.values(), strict=True)]
    cost = cost_of_loads(problem, loads)
    mutant = _document(answer)
    mutant["rows"] = [{"id": name, "first": 0, "wh": row} for name, row in table.items()]
    if data.draw(st.booleans()) and cost is not None:
        mutant["objective"] = str(cost)
    mutant["step_price"] = _nudged(mutant["step_price"], data)

    verdict = verify_schedule(write_problem(problem), json.dumps(mutant).encode())
    event(f"accepted: {verdict.ok}")
    if verdict.ok:
        assert cost == cheapest_flow(problem)[1]
        assert mutant["objective"] == str(cost)
        for request in problem.requests:
            row = table[request.id]
            assert sum(row) == request.energy_wh
            assert all(0 <= wh <= request.max_wh for wh in row)
            assert not any(row[: request.arrival])
            assert not any(row[request.departure :])


@pytest.mark.parametrize("seed", range(20))
def test_no_tampered_schedule_of_a_crowded_group_passes(seed: int) -> None:
    assert _refused_schedules(seed) >= 25


@pytest.mark.parametrize("seed", range(20))
def test_no_tampered_refusal_of_a_crowded_group_passes(seed: int) -> None:
    assert _refused_refusals(seed) >= 5


@pytest.mark.soak
def test_none_of_ten_thousand_tampered_certificates_passes() -> None:
    refused, seed = 0, 1_000
    while refused < 10_000:
        refused += _refused_schedules(seed) + _refused_refusals(seed)
        seed += 1


def _refused_schedules(seed: int) -> int:
    """Try a hundred mutants; one counts when the oracle calls it infeasible, dearer or miscounted."""
    rng = random.Random(seed)
    problem = crowded_problem(rng, supply_share=1.8)
    raw, cheapest = write_problem(problem), cheapest_flow(problem)
    answer = solve(problem)
    if not isinstance(answer, Schedule):
        return 0
    counted = 0
    for _ in range(100):
        mutant = _tampered(_document(answer), problem, rng)
        if not _is_true(problem, mutant, cheapest):
            counted += 1
            assert not verify_schedule(raw, json.dumps(mutant).encode()).ok, mutant
    return counted


def _tampered(document: dict[str, Any], problem: Problem, rng: random.Random) -> dict[str, Any]:
    for _ in range(rng.randint(1, 2)):
        row = rng.choice([one for one in document["rows"] if one["wh"]])
        taken, filled = rng.randrange(len(row["wh"])), rng.randrange(len(row["wh"]))
        moved = rng.choice([1, row["wh"][taken]])
        change = rng.choice(["move", "swap", "steal", "trade", "shift", "drop", "price", "objective"])
        if change == "move":
            row["wh"][taken] -= moved
            row["wh"][filled] += moved
        elif change == "swap":
            row["wh"][taken], row["wh"][filled] = row["wh"][filled], row["wh"][taken]
        elif change == "steal":
            _steal(row, rng.choice(document["rows"]), taken, moved)
        elif change == "price":
            document["step_price"][rng.randrange(problem.steps)] += rng.choice([-1, 1, 10_000])
        elif change == "objective":
            document["objective"] = str(int(document["objective"]) + rng.choice([-1, 1]))
        else:
            _change_rows(document["rows"], row, change, rng)
    if rng.random() < 0.7:  # a careful thief also corrects the sum
        cost = cost_of_loads(problem, _loads(document, problem.steps))
        document["objective"] = document["objective"] if cost is None else str(cost)
    return document


def _change_rows(rows: list[dict[str, Any]], row: dict[str, Any], change: str, rng: random.Random) -> None:
    """Change whole rows: two cars trade theirs, one is a step off, or one goes and another stands twice."""
    other = rng.choice(rows)
    if change == "trade":  # all loads stay
        row["id"], other["id"] = other["id"], row["id"]
    elif change == "shift":
        row["first"] = max(0, row["first"] + rng.choice([-1, 1]))
    elif row is not other:
        rows.remove(row)
        if rng.random() < 0.5:
            rows.append({**row, "id": other["id"], "wh": list(row["wh"])})


def _steal(victim: dict[str, Any], thief: dict[str, Any], taken: int, moved: int) -> None:
    """Move energy to another car in the same step, so that no load changes."""
    at = victim["first"] + taken - thief["first"]
    if 0 <= at < len(thief["wh"]):
        victim["wh"][taken] -= moved
        thief["wh"][at] += moved


def _is_true(problem: Problem, document: dict[str, Any], cheapest: tuple[int, int]) -> bool:
    """Say by the oracle alone whether the rows are a cheapest schedule, whatever the prices are."""
    rows = {row["id"]: row for row in document["rows"]}
    if len(rows) != len(document["rows"]) or set(rows) != {request.id for request in problem.requests}:
        return False
    for request in problem.requests:
        row = rows[request.id]
        steps = range(row["first"], row["first"] + len(row["wh"]))
        inside = [request.arrival <= step < request.departure for step in steps]
        fits = all(
            0 <= wh <= request.max_wh and (ok or not wh) for wh, ok in zip(row["wh"], inside, strict=True)
        )
        if not fits or sum(row["wh"]) != request.energy_wh or steps.stop > problem.steps:
            return False
    cost = cost_of_loads(problem, _loads(document, problem.steps))
    return cost == cheapest[1] and document["objective"] == str(cost)


def _refused_refusals(seed: int) -> int:
    """Try thirty refusals, forged for groups that fit and changed for groups that do not; count the false."""
    rng = random.Random(seed)
    problem = crowded_problem(rng, supply_share=rng.choice([0.6, 1.8]))
    raw, answer = write_problem(problem), solve(problem)
    honest = answer if isinstance(answer, Refusal) else Refusal(answer.problem_sha256, (), Wh(1))
    counted = 0
    for _ in range(30):
        toggled = set(rng.sample(range(problem.steps), rng.randint(0, 3)))
        steps = tuple(sorted(set(honest.steps) ^ toggled))
        deficit = _deficit_by_flow(problem, steps)
        claimed = rng.choice(
            [deficit, abs(deficit), honest.deficit_wh, max(1, deficit + rng.choice([-1, 1]))]
        )
        forged = _document(Refusal(honest.problem_sha256, steps, Wh(claimed)))
        is_true = claimed == deficit > 0
        counted += not is_true
        assert verify_schedule(raw, json.dumps(forged).encode()).ok == is_true, forged
    return counted


def _deficit_by_flow(problem: Problem, steps: tuple[int, ...]) -> int:
    """Give by how much the energy that cannot avoid `steps` is more than they supply.

    It is what all requests cost together when each step holds as much as anybody wants, at the price of
    1 in these steps and of 0 in all others.
    """
    room = Wh(sum(request.energy_wh for request in problem.requests))
    priced = tuple(SupplySegment(step, room, Price(int(step in steps))) for step in range(problem.steps))
    forced = cheapest_flow(replace(problem, supply=priced))[1]
    return forced - sum(one.cap_wh for one in problem.supply if one.step in steps)


def _loads(document: dict[str, Any], steps: int) -> list[int]:
    loads = [0] * (steps + 2)  # a row may stand a step or two beyond the end
    for row in document["rows"]:
        for step, wh in enumerate(row["wh"], row["first"]):
            loads[step] += wh
    return loads[:steps]


@given(problems(), st.data())
def test_a_refusal_passes_only_if_the_problem_really_is_infeasible(
    problem: Problem, data: st.DataObject
) -> None:
    answer = solve(problem)
    named = set(answer.steps) if isinstance(answer, Refusal) else set()
    toggled = data.draw(st.sets(st.integers(0, problem.steps - 1), max_size=3))
    deficit = data.draw(st.integers(1, 9)) if isinstance(answer, Schedule) else answer.deficit_wh
    mutant = _document(Refusal(answer.problem_sha256, tuple(sorted(named ^ toggled)), Wh(deficit)))
    verdict = verify_schedule(write_problem(problem), json.dumps(mutant).encode())
    event(f"accepted: {verdict.ok}")
    if verdict.ok:
        assert not is_feasible(problem)


@given(problems(generous=True), problems(generous=True))
def test_an_answer_to_another_problem_is_refused(problem: Problem, other: Problem) -> None:
    assume(write_problem(problem) != write_problem(other))
    verdict = verify_schedule(write_problem(problem), write_schedule(solve(other)))
    assert verdict.code == "schedule.other_problem"


@given(st.one_of(problems(), problems(generous=True)))
def test_answers_survive_writing_and_reading(problem: Problem) -> None:
    answer = solve(problem)
    assert parse_schedule(write_schedule(answer)) == answer


def _document(answer: Schedule | Refusal) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(write_schedule(answer))
    return document


def _nudged(prices: list[int], data: st.DataObject) -> list[int]:
    if data.draw(st.booleans()):
        return prices
    at = data.draw(st.integers(0, len(prices) - 1))
    return [
        data.draw(st.sampled_from([*prices, 1_000, 0, price - 1, price + 1])) if step == at else price
        for step, price in enumerate(prices)
    ]
