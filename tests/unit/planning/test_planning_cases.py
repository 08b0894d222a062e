"""Planning cases as JSON files: a problem, and of its answer what the case is about.

To add one, put a file into `cases/`. "problem" is an evmesh.problem/1 object or the path of such a
file; "candidate" asks for offers; of "expected" every key is compared: status, load_wh [step],
rows {id: Wh in every step}, step_price [step], objective, steps, deficit_wh, offers.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from evmesh.domain.problem import parse_problem, problem_sha256
from evmesh.domain.schedule import Refusal, Schedule, write_schedule
from evmesh.planning.admission import solve_with_candidate
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import Verdict, verify_schedule

CASES = sorted((Path(__file__).parent / "cases").glob("*.json"))
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_the_answer_is_what_the_case_expects_and_proves_itself(path: Path) -> None:
    case = json.loads(path.read_text())
    raw = _problem_bytes(case["problem"])
    problem = parse_problem(raw)
    if "candidate" in case:
        answer = solve_with_candidate(problem, case["candidate"], sha256=problem_sha256(raw))
    else:
        answer = solve(problem, sha256=problem_sha256(raw))

    found = _facts(answer, problem.steps)
    assert {key: found.get(key) for key in case["expected"]} == case["expected"]
    assert verify_schedule(raw, write_schedule(answer)) == Verdict(True)


def test_every_example_problem_is_the_problem_of_a_case() -> None:
    examples = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "examples" / "problems").glob("*.json")
        if not path.name.startswith("tree-")  # of the format 2: `test_tree.py`
    }
    assert examples <= {str(json.loads(path.read_text())["problem"]) for path in CASES}


def _problem_bytes(problem: str | dict[str, Any]) -> bytes:
    if isinstance(problem, str):
        return (ROOT / problem).read_bytes()
    return json.dumps(problem).encode()


def _facts(answer: Schedule | Refusal, steps: int) -> dict[str, Any]:
    if isinstance(answer, Schedule):
        return {
            "status": "optimal",
            "load_wh": answer.loads(),
            "rows": {row.id: [row.at(step) for step in range(steps)] for row in answer.rows},
            "step_price": list(answer.step_price),
            "objective": str(answer.objective),
        }
    return {
        "status": "infeasible",
        "steps": list(answer.steps),
        "deficit_wh": answer.deficit_wh,
        "offers": [{"energy_wh": one.energy_wh, "departure": one.departure} for one in answer.offers or ()],
    }
