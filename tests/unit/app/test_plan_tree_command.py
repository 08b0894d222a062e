"""`evmesh plan` on trees of groups: the same exit codes and outputs as for one group."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evmesh.app.plan import app
from evmesh.app.plan_tree import TREE_REASONS
from evmesh.verify import report, tree, tree_terms

PROBLEMS = Path(__file__).parents[3] / "examples" / "problems"
FITS = PROBLEMS / "tree-feeder-limit.json"
LOSSY = PROBLEMS / "tree-battery-and-v2g.json"
DOES_NOT_FIT = PROBLEMS / "tree-does-not-fit.json"

runner = CliRunner()


@pytest.mark.parametrize(
    ("problem", "exit_code", "says", "proves"),
    [
        (FITS, 0, "optimal: 3 requests, Σ Wh × price = 710000000\n", "and no plan is cheaper\n"),
        (LOSSY, 0, "bounded: 3 requests, Σ Wh × price = ", "and no plan is cheaper by more than "),
        (DOES_NOT_FIT, 3, "", "no plan meets every request\n"),
    ],
)
def test_a_tree_is_solved_and_its_answer_verifies(
    problem: Path, exit_code: int, says: str, proves: str, tmp_path: Path
) -> None:
    answer = str(tmp_path / "answer.json")
    solved = runner.invoke(app, ["solve", str(problem), "-o", answer])
    assert solved.exit_code == exit_code
    assert solved.stdout.startswith(says)
    verified = runner.invoke(app, ["verify", str(problem), answer])
    assert (verified.exit_code, verified.stderr) == (0, "")
    assert proves in verified.stdout
    as_json = runner.invoke(app, ["verify", str(problem), answer, "--json"])
    assert json.loads(as_json.stdout) == {"ok": True, "code": "", "path": ""}
    piped = runner.invoke(app, ["solve", "-"], input=problem.read_bytes())
    assert (piped.exit_code, piped.stdout_bytes) == (exit_code, Path(answer).read_bytes())


def test_a_refusal_says_where() -> None:
    solved = runner.invoke(app, ["solve", str(DOES_NOT_FIT)])
    assert "750 Wh cannot be placed at feeder-north in step 1\ndo: " in solved.stderr


def test_a_summary_replaces_the_answer_on_stdout_when_a_file_is_written(tmp_path: Path) -> None:
    answer = str(tmp_path / "answer.json")
    found = json.loads(runner.invoke(app, ["solve", str(FITS), "-o", answer, "--json"]).stdout)
    assert found == {"ok": True, "status": "optimal", "objective": "710000000", "gap": "0", "output": answer}
    found = json.loads(runner.invoke(app, ["solve", str(DOES_NOT_FIT), "-o", answer, "--json"]).stdout)
    assert found == {"ok": False, "status": "infeasible", "deficit": "750", "output": answer}


def test_a_false_certificate_exits_6_and_says_what_is_false(tmp_path: Path) -> None:
    answer = tmp_path / "answer.json"
    runner.invoke(app, ["solve", str(FITS), "-o", str(answer)])
    document = json.loads(answer.read_text())
    document["prices"]["groups"][1]["surcharge"][1] = 0
    answer.write_text(json.dumps(document))
    verified = runner.invoke(app, ["verify", str(FITS), str(answer)])
    assert (verified.exit_code, verified.stdout) == (6, "")
    assert "error schedule.gap_differs: the gap is not what the prices prove" in verified.stderr


@pytest.mark.parametrize("change", [("parent", "nobody"), ("capacity_wh", -1)])
def test_wrong_input_exits_2_with_the_path_and_writes_nothing_over(
    change: tuple[str, object], tmp_path: Path
) -> None:
    problem, answer = tmp_path / "problem.json", tmp_path / "answer.json"
    document = json.loads(FITS.read_text())
    document["groups"][2][change[0]] = change[1]
    problem.write_text(json.dumps(document))
    answer.write_text("yesterday's")
    solved = runner.invoke(app, ["solve", str(problem), "-o", str(answer)])
    assert solved.exit_code == 2
    assert f"groups[2].{change[0]}" in solved.stderr
    assert answer.read_text() == "yesterday's"


def test_offers_name_what_would_fit_below_the_cable_that_is_short(tmp_path: Path) -> None:
    answer = str(tmp_path / "answer.json")
    asked = runner.invoke(app, ["solve", str(DOES_NOT_FIT), "--candidate", "nurse", "-o", answer])
    assert asked.exit_code == 3
    assert "at feeder-north in step 1" in asked.stderr
    assert "do: take one of the offers:\n  1750 Wh by step 2\n  2500 Wh by step 3\n" in asked.stderr
    assert runner.invoke(app, ["verify", str(DOES_NOT_FIT), answer]).exit_code == 0
    unknown = runner.invoke(app, ["solve", str(DOES_NOT_FIT), "--candidate", "nobody"])
    assert (unknown.exit_code, "problem.unknown_id" in unknown.stderr) == (2, True)


def test_an_answer_of_the_other_format_is_false() -> None:
    one = PROBLEMS / "two-cars.json"
    answer = runner.invoke(app, ["solve", str(one)]).stdout_bytes
    assert runner.invoke(app, ["verify", str(FITS), "-"], input=answer).exit_code == 6
    answer = runner.invoke(app, ["solve", str(FITS)]).stdout_bytes
    assert runner.invoke(app, ["verify", str(one), "-"], input=answer).exit_code == 6


def test_every_code_of_the_checker_has_its_sentence() -> None:
    source = "".join(Path(str(module.__file__)).read_text() for module in (tree, tree_terms, report))
    codes = {word for word in source.split('"') if word.startswith(("schedule.", "refusal."))}
    assert codes == set(TREE_REASONS)
