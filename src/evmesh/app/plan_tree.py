"""`evmesh plan` for files of the format 2, trees of groups: what is solved, and how it is said."""

import json
from dataclasses import dataclass

from evmesh.app.plan_tree_facts import explain_tree
from evmesh.app.plan_tree_words import tree_object, tree_sentences
from evmesh.domain.nouns import counted
from evmesh.domain.problem import problem_sha256
from evmesh.domain.problem_tree_file import parse_tree_problem
from evmesh.domain.schedule_tree import (
    INFEASIBLE,
    OPTIMAL,
    TreePlan,
    TreeRefusal,
    parse_tree_schedule,
    write_thousandths,
    write_tree_schedule,
)
from evmesh.planning.tree import solve_tree
from evmesh.planning.tree_offers import solve_tree_with_candidate

TREE_REASONS = {
    "schedule.other_problem": "the schedule answers another problem than this file",
    "schedule.step_count": "there is not exactly one value per step",
    "schedule.segment_count": "there is not exactly one value per segment",
    "schedule.price_missing": "a price is missing, or is for something that the problem does not have",
    "schedule.row_twice": "two rows are for the same request or battery",
    "schedule.row_unknown": "a row is for a request or battery that the problem does not have",
    "schedule.row_missing": "a request or battery has no row",
    "schedule.outside_horizon": "a row leaves the horizon",
    "schedule.outside_window": "energy moves when the car is not there",
    "schedule.over_supply": "a segment gives or takes more than it can",
    "schedule.over_capacity": "a cable carries more than it can",
    "schedule.above_max": "a car or battery is faster than it can be",
    "schedule.energy_differs": "a car does not get exactly what it asked for",
    "schedule.store_level": "a battery holds more or less than it may",
    "schedule.unbalanced": "what comes from the grid is not what the groups take",
    "schedule.objective_differs": "the objective is not the cost of what is used",
    "schedule.gap_differs": "the gap is not what the prices prove",
    "schedule.not_optimal": "the prices do not prove the least cost, and without losses they can",
    "refusal.no_deficit": "the prices do not prove that something is missing",
    "refusal.deficit_differs": "the deficit is not what the prices prove",
    "refusal.bad_offer": "an offer is of nothing, or outside the horizon",
}
"""What each code of `verify/tree.py` means; codes of an unreadable file say it themselves."""


@dataclass(frozen=True, slots=True)
class TreeAnswer:
    """An answer as the bytes of its file, for a program, and in a sentence."""

    content: bytes
    ok: bool
    summary: dict[str, object]
    words: str


def solve_tree_file(raw: bytes, candidate: str | None) -> TreeAnswer:
    """Answer a problem file; raises InvalidInput where it, or the wish for offers, cannot be met."""
    problem = parse_tree_problem(raw)
    sha256 = problem_sha256(raw)
    if candidate is None:
        answer = solve_tree(problem, sha256=sha256)
    else:
        answer = solve_tree_with_candidate(problem, candidate, sha256=sha256)
    content = write_tree_schedule(answer)
    if isinstance(answer, TreeRefusal):
        deficit = write_thousandths(answer.deficit_thousandths)
        summary: dict[str, object] = {"ok": False, "status": INFEASIBLE, "deficit": deficit}
        return TreeAnswer(content, False, summary, _refused(answer, deficit))
    gap = write_thousandths(answer.gap_thousandths)
    summary = {"ok": True, "status": answer.status, "objective": str(answer.objective), "gap": gap}
    how = "" if answer.status == OPTIMAL else f", at most {gap} above the least"
    asked = counted(len(problem.requests), "request")
    words = f"{answer.status}: {asked}, Σ Wh × price = {answer.objective}{how}"
    return TreeAnswer(content, True, summary, words)


def explain_tree_file(problem_raw: bytes, schedule_raw: bytes, request: str, *, as_json: bool) -> str:
    """Say why a request's plan is as it is, by an answer that was checked; raises InvalidInput."""
    problem = parse_tree_problem(problem_raw)
    facts = explain_tree(problem, parse_tree_schedule(schedule_raw), request)
    return json.dumps(tree_object(problem, facts)) if as_json else "\n".join(tree_sentences(problem, facts))


def tree_holds(schedule_raw: bytes) -> str:
    """Say what a checked answer proves."""
    answer = parse_tree_schedule(schedule_raw)
    if isinstance(answer, TreeRefusal):
        return "the certificate holds: no plan meets every request"
    if answer.status == OPTIMAL:
        return "the certificate holds: every request is met, and no plan is cheaper"
    return f"the certificate holds: every request is met, and no plan is cheaper by more than {_gap(answer)}"


def _gap(plan: TreePlan) -> str:
    return write_thousandths(plan.gap_thousandths)


def _refused(refusal: TreeRefusal, deficit: str) -> str:
    """Name what the proof is about: the grid where it prices energy, cables where the price changes."""
    rows = {"the grid": refusal.prices.grid, **refusal.prices.surcharges}
    scarce = [
        f"{name} in {'step' if len(steps) == 1 else 'steps'} {', '.join(map(str, steps))}"
        for name, row in rows.items()
        if (steps := [step for step, price in enumerate(row) if price])
    ]
    where = f" at {'; '.join(scarce[:4])}{' …' if len(scarce) > 4 else ''}" if scarce else ""
    highest = max((abs(price) for row in rows.values() for price in row), default=0)
    much = f"{deficit} Wh" if highest <= 1 else "too much"  # else the energies are weighed
    what = f"refused: not every request can be met: {much} cannot be placed{where}"
    if refusal.offers:
        offers = [f"  {offer.energy_wh} Wh by step {offer.departure}" for offer in refusal.offers]
        return "\n".join([f"{what}\ndo: take one of the offers:", *offers])
    if refusal.offers is None:
        return (
            f"{what}\ndo: ask for less, leave later, or make room there; --candidate ID says what would fit"
        )
    return f"{what}\ndo: make room there; nothing fits for this candidate"
