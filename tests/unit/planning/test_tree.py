"""Plans over trees of groups: the examples, what is known about them, and what they must never do."""

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.problem import problem_sha256
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.problem_tree_file import parse_tree_problem, write_tree_problem
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal, write_tree_schedule
from evmesh.planning import tree_linear
from evmesh.planning.tree import solve_tree
from evmesh.verify.schedule import Verdict
from evmesh.verify.tree import verify_tree
from tests.unit.planning.tree_oracle import cheapest
from tests.unit.planning.tree_strategies import crowded_tree

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "examples" / "problems").glob("tree-*.json"))
FEEDER_LIMIT = ROOT / "examples" / "problems" / "tree-feeder-limit.json"


def problem_of(document: dict[str, Any]) -> TreeProblem:
    return parse_tree_problem(json.dumps(document).encode())


def plan_of(problem: TreeProblem) -> TreePlan:
    answer = solve_tree(problem)
    assert isinstance(answer, TreePlan)
    assert verify_tree(write_tree_problem(problem), write_tree_schedule(answer)) == Verdict(True)
    return answer


def percent(problem: TreeProblem, plan: TreePlan, group: str, step: int) -> int:
    """Give how full a group's cable is, from the rows alone; other equipment counted in."""
    names = {group} | {one.id for one in problem.groups if one.parent == group}
    load = sum(one.other_wh[step] for one in problem.groups if one.id in names)
    where = {one.id: one.group for one in problem.requests}
    load += sum(row.at(step) for row in plan.rows if where[row.id] in names)
    return 100 * load // problem.groups[problem.tree.place[group]].capacity_wh[step]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_answered_with_a_proof(path: Path) -> None:
    raw = path.read_bytes()
    answer = solve_tree(parse_tree_problem(raw), sha256=problem_sha256(raw))
    assert verify_tree(raw, write_tree_schedule(answer)) == Verdict(True)
    fits = cheapest(parse_tree_problem(raw)) is not None
    assert isinstance(answer, TreePlan) == fits


def test_a_feeder_would_be_at_122_percent_while_its_transformer_is_at_88() -> None:
    """Whoever watches the transformer alone overloads the cable; the plan of the tree does not."""
    document = json.loads(FEEDER_LIMIT.read_text())
    limited = problem_of(document)
    for group in document["groups"][1:]:
        group["capacity_wh"] = 100_000
    careless = plan_of(problem_of(document))
    assert percent(limited, careless, "feeder-north", 1) == 122
    assert percent(limited, careless, "transformer", 1) == 88

    careful = plan_of(limited)
    assert max(
        percent(limited, careful, group.id, step) for group in limited.groups for step in range(limited.steps)
    ) == 100  # fmt: skip
    assert careful.objective - careless.objective == 1_100 * 100_000
    assert careful.prices.surcharges["feeder-north"] == (0, 100_000, 0, 0)
    assert careful.prices.surcharges["transformer"] == (0, 0, 0, 0)


def test_the_price_of_a_request_is_the_sum_along_its_path() -> None:
    plan = plan_of(parse_tree_problem(FEEDER_LIMIT.read_bytes()))
    north = [
        sum(prices)
        for prices in zip(
            plan.prices.grid,
            plan.prices.surcharges["transformer"],
            plan.prices.surcharges["feeder-north"],
            strict=True,
        )
    ]
    assert north[1] == north[2] == plan.prices.requests["baker"] == 200_000
    assert plan.prices.requests["teacher"] == 100_000


def test_the_examples_of_the_documentation_hold() -> None:
    page = (ROOT / "docs" / "formats.md").read_text().partition("\n## Trees of groups")[2]
    problem, plan, refusal = map(json.loads, re.findall(r"```json\n(.*?)```", page, re.DOTALL)[:3])
    plan_of(problem_of(problem))
    problem["batteries"] = []
    del problem["requests"][1]["v2g"]
    assert holds(problem, plan)

    crowded = json.loads((ROOT / "examples" / "problems" / "tree-does-not-fit.json").read_text())
    crowded["groups"].pop()
    crowded["requests"].pop()
    crowded["groups"][1]["id"] = crowded["requests"][0]["group"] = crowded["requests"][1]["group"] = "north"
    assert holds(crowded, refusal)


def holds(problem: dict[str, Any], answer: dict[str, Any]) -> bool:
    raw = json.dumps(problem).encode()
    return verify_tree(raw, json.dumps({**answer, "problem_sha256": problem_sha256(raw)}).encode()).ok


BASE: dict[str, Any] = {
    "format": "evmesh.problem/2",
    "start": "2026-09-01T06:00:00Z",
    "step_s": 900,
    "steps": 2,
    "groups": [{"id": "cabinet", "capacity_wh": 100}],
    "import": [{"step": 0, "cap_wh": 100, "price": 10}, {"step": 1, "cap_wh": 100, "price": 10}],
    "requests": [],
}
CAR = {"id": "van", "group": "cabinet", "arrival": 0, "departure": 2, "energy_wh": 50, "max_wh": 90}


def test_ties_go_early() -> None:
    plan = plan_of(problem_of({**BASE, "requests": [CAR]}))
    assert plan.rows[0].wh == (50,)
    assert plan.rows[0].first == 0


def test_nothing_to_do_is_a_plan() -> None:
    empty = {**BASE, "steps": 0, "groups": [{"id": "cabinet", "capacity_wh": []}], "import": []}
    assert plan_of(problem_of(empty)).objective == 0
    assert plan_of(problem_of(BASE)).objective == 0


def test_energy_beyond_its_own_window_is_a_no_and_not_wrong_input() -> None:
    answer = solve_tree(problem_of({**BASE, "requests": [{**CAR, "energy_wh": 181}]}))
    assert isinstance(answer, TreeRefusal)
    assert answer.deficit_thousandths == 1_000
    assert (answer.prices.grid, answer.prices.requests) == ((0, 0), {"van": 1})


def test_who_is_paid_to_charge_charges_to_the_brim() -> None:
    paid = [{"step": 0, "cap_wh": 100, "price": -10}, {"step": 1, "cap_wh": 100, "price": 30}]
    box = {
        "id": "box", "group": "cabinet", "capacity_wh": 40, "max_in_wh": 60, "max_out_wh": 60,
        "efficiency": 1_000, "stored_wh": 5, "final_wh": 0,
    }  # fmt: skip
    plan = plan_of(problem_of({**BASE, "import": paid, "batteries": [box], "requests": [CAR]}))
    assert plan.batteries[0].in_wh[0] == 35
    assert plan.objective == -850


def test_other_equipment_that_overloads_a_cable_alone_is_a_no_that_sun_behind_it_turns_into_a_yes() -> None:
    groups = [{"id": "cabinet", "capacity_wh": 100, "other_wh": [130, 0]}]
    answer = solve_tree(problem_of({**BASE, "groups": groups}))
    assert isinstance(answer, TreeRefusal)
    assert answer.deficit_thousandths == 30_000
    sun = [{"group": "cabinet", "step": 0, "cap_wh": 30, "price": 0}]
    document = {**BASE, "groups": groups, "local": sun, "export": [{"step": 0, "cap_wh": 50, "price": 5}]}
    assert plan_of(problem_of(document)).local_wh == (30,)


def test_too_much_that_is_trapped_is_a_no_as_well() -> None:
    groups = [{"id": "cabinet", "capacity_wh": 100, "other_wh": [-130, 0]}]
    answer = solve_tree(problem_of({**BASE, "groups": groups, "import": []}))
    assert isinstance(answer, TreeRefusal)
    assert answer.deficit_thousandths == 30_000
    assert min(answer.prices.surcharges["cabinet"]) == -1


def test_sun_on_one_feeder_charges_a_car_on_another_through_the_transformer() -> None:
    groups = [
        {"id": "transformer", "capacity_wh": 0},
        {"id": "sunny", "parent": "transformer", "capacity_wh": 40},
        {"id": "shady", "parent": "transformer", "capacity_wh": 40},
    ]
    local = [{"group": "sunny", "step": step, "cap_wh": 99, "price": 3} for step in range(2)]
    car = {**CAR, "group": "shady", "energy_wh": 80}
    assert plan_of(problem_of({**BASE, "groups": groups, "local": local, "requests": [car]})).objective == 240


def test_a_car_gives_back_and_leaves_with_what_it_was_promised() -> None:
    dear = [{"step": 0, "cap_wh": 200, "price": 10}, {"step": 1, "cap_wh": 200, "price": 90}]
    v2g = {"max_out_wh": 40, "efficiency": 800, "stored_wh": 100, "least_wh": 50, "most_wh": 300}
    giver = {**CAR, "id": "giver", "energy_wh": 20, "v2g": v2g}
    taker = {**CAR, "id": "taker", "arrival": 1, "energy_wh": 60}
    plan = plan_of(problem_of({**BASE, "import": dear, "requests": [giver, taker]}))
    into, out = plan.cars[0].in_wh, plan.cars[0].out_wh
    assert out[1] == 40
    assert 800 * sum(into) - 1_000 * sum(out) >= 800 * 20
    assert plan.gap_thousandths <= 1_000 * 90


def test_what_fits_only_in_halves_of_a_wh_is_neither_promised_nor_called_impossible() -> None:
    """Two batteries can give 4.5 Wh each, a car wants 9, and there is nothing else."""
    box = {
        "group": "cabinet", "capacity_wh": 5, "max_in_wh": 0, "max_out_wh": 9, "efficiency": 900,
        "stored_wh": 5, "final_wh": 0,
    }  # fmt: skip
    boxes = [{"id": "one", **box}, {"id": "two", **box}]
    document = {**BASE, "import": [], "batteries": boxes, "requests": [{**CAR, "energy_wh": 9}]}
    with pytest.raises(Refused) as refused:
        solve_tree(problem_of(document))
    assert refused.value.code == "plan.not_in_whole_wh"
    assert plan_of(problem_of({**document, "requests": [{**CAR, "energy_wh": 8}]})).objective == 0
    assert isinstance(
        solve_tree(problem_of({**document, "requests": [{**CAR, "energy_wh": 10}]})), TreeRefusal
    )


def test_numbers_as_large_as_a_file_may_hold_are_exact() -> None:
    most = 2**31 - 1
    segments = [{"step": step, "cap_wh": most, "price": 10**9 - step} for step in range(2)]
    cars = [{**CAR, "id": str(number), "energy_wh": most, "max_wh": most} for number in range(2)]
    groups = [{"id": "cabinet", "capacity_wh": most}]
    plan = plan_of(problem_of({**BASE, "import": segments, "groups": groups, "requests": cars}))
    assert plan.objective == most * (2 * 10**9 - 1)


def test_without_numba_the_answer_is_the_same() -> None:
    problem = crowded_tree(random.Random(5))
    program = (
        "import sys; from evmesh.domain.problem_tree_file import parse_tree_problem;"
        "from evmesh.domain.schedule_tree import write_tree_schedule;"
        "from evmesh.planning.tree import solve_tree;"
        "raw = sys.stdin.buffer.read();"
        "sys.stdout.buffer.write(write_tree_schedule(solve_tree(parse_tree_problem(raw))))"
    )
    plain = subprocess.run(
        [sys.executable, "-c", program],
        input=write_tree_problem(problem),
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    assert plain.stdout == write_tree_schedule(solve_tree(problem))


LOSSY = ROOT / "examples" / "problems" / "tree-battery-and-v2g.json"


def test_without_highs_a_problem_with_losses_says_so_and_one_without_is_solved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "highspy", None)
    monkeypatch.delitem(sys.modules, "evmesh.planning.tree_linear", raising=False)
    monkeypatch.delattr("evmesh.planning.tree_linear", raising=False)
    with pytest.raises(Unavailable, match=r"plan\.no_solver"):
        solve_tree(parse_tree_problem(LOSSY.read_bytes()))
    assert isinstance(solve_tree(parse_tree_problem(FEEDER_LIMIT.read_bytes())), TreePlan)


def test_a_crowded_tree_with_losses_needs_no_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding what leaves a few Wh of room is enough; searching in whole Wh takes up to a minute."""

    def searched(_: object) -> None:
        pytest.fail("searched in whole Wh")

    monkeypatch.setattr(tree_linear, "whole", searched)
    assert isinstance(solve_tree(crowded_tree(random.Random(1), 96, 50, lossy=True)), TreePlan)
