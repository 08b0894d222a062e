"""`evmesh plan` as a program sees it: exit codes, one object on stdout, files whole or untouched."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from evmesh.app.errors import exit_on_error
from evmesh.app.plan import REASONS, app
from evmesh.domain import errors
from evmesh.domain.schedule import Refusal, Schedule, parse_schedule
from evmesh.verify import schedule as checker

ROOT = Path(__file__).parents[3]
FITS = ROOT / "examples" / "problems" / "two-cars.json"
DOES_NOT_FIT = ROOT / "examples" / "problems" / "does-not-fit.json"

runner = CliRunner()


def test_a_problem_that_fits_is_answered_with_a_schedule_that_verifies(tmp_path: Path) -> None:
    answer = tmp_path / "schedule.json"
    solved = runner.invoke(app, ["solve", str(FITS), "-o", str(answer)])
    assert (solved.exit_code, solved.stderr) == (0, "")
    assert isinstance(parse_schedule(answer.read_bytes()), Schedule)

    verified = runner.invoke(app, ["verify", str(FITS), str(answer)])
    assert (verified.exit_code, verified.stderr) == (0, "")
    assert verified.stdout == "the certificate holds: every request is met, and no schedule is cheaper\n"
    as_json = runner.invoke(app, ["verify", str(FITS), str(answer), "--json"])
    assert (as_json.exit_code, json.loads(as_json.stdout)) == (0, {"ok": True, "code": "", "path": ""})


def test_a_problem_that_does_not_fit_exits_3_with_a_refusal_that_verifies(tmp_path: Path) -> None:
    answer = tmp_path / "refusal.json"
    solved = runner.invoke(app, ["solve", str(DOES_NOT_FIT), "-o", str(answer), "--candidate", "courier"])
    assert solved.exit_code == 3
    assert solved.stdout == ""
    assert solved.stderr.startswith("refused: not every request can be met: steps ")
    assert "4500 Wh by step 4" in solved.stderr
    refusal = parse_schedule(answer.read_bytes())
    assert isinstance(refusal, Refusal)
    assert refusal.offers is not None
    assert len(refusal.offers) == 2
    verified = runner.invoke(app, ["verify", str(DOES_NOT_FIT), str(answer)])
    assert (verified.exit_code, verified.stdout) == (
        0,
        "the certificate holds: no schedule meets every request\n",
    )


def test_the_sentence_of_a_refusal_begins_on_a_line_of_its_own() -> None:
    found = runner.invoke(app, ["solve", str(DOES_NOT_FIT)])
    assert found.stdout.endswith("}")  # the answer's bytes, which its hash is over
    assert '"steps":[0,1,2]}\nrefused: ' in found.output


def test_without_a_candidate_a_refusal_makes_no_offers() -> None:
    solved = runner.invoke(app, ["solve", str(DOES_NOT_FIT)])
    assert solved.exit_code == 3
    assert "offers" not in json.loads(solved.stdout)
    assert "lack 1000 Wh\ndo: " in solved.stderr


def test_stdin_and_stdout_carry_the_same_bytes_as_files(tmp_path: Path) -> None:
    answer = tmp_path / "schedule.json"
    runner.invoke(app, ["solve", str(FITS), "-o", str(answer)])
    piped = runner.invoke(app, ["solve", "-"], input=FITS.read_bytes())
    assert piped.stdout_bytes == answer.read_bytes()
    assert runner.invoke(app, ["verify", "-", str(answer)], input=FITS.read_bytes()).exit_code == 0
    assert runner.invoke(app, ["verify", str(FITS), "-"], input=answer.read_bytes()).exit_code == 0


def test_a_false_certificate_exits_6_and_says_what_is_false(tmp_path: Path) -> None:
    answer = tmp_path / "schedule.json"
    runner.invoke(app, ["solve", str(FITS), "-o", str(answer)])
    document = json.loads(answer.read_text())
    document["objective"] = "1"
    answer.write_text(json.dumps(document))
    verified = runner.invoke(app, ["verify", str(FITS), str(answer)])
    assert (verified.exit_code, verified.stdout) == (6, "")
    assert "error schedule.objective_differs" in verified.stderr
    as_json = runner.invoke(app, ["verify", str(FITS), str(answer), "--json"])
    assert (as_json.exit_code, as_json.stderr) == (6, "")
    assert json.loads(as_json.stdout) == {
        "ok": False,
        "code": "schedule.objective_differs",
        "path": "objective",
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["solve", "missing.json"], "file.unreadable"),
        (["solve", str(ROOT)], "file.unreadable"),
        (["solve", str(FITS), "--candidate", "nobody"], "problem.unknown_id"),
        (["solve", str(FITS), "-o", "no/such/folder/s.json"], "file.unwritable"),
        (["verify", "-", "-"], "file.stdin_twice"),
        (["verify", str(FITS), "missing.json"], "file.unreadable"),
        (["verify", "missing.json", str(FITS)], "file.unreadable"),
    ],
)
def test_wrong_input_exits_2_in_words_or_as_one_object(arguments: list[str], code: str) -> None:
    said = runner.invoke(app, arguments)
    assert (said.exit_code, said.stdout) == (2, "")
    assert f"error {code}" in said.stderr
    as_json = runner.invoke(app, [*arguments, "--json"])
    assert (as_json.exit_code, as_json.stderr) == (2, "")
    answer = json.loads(as_json.stdout)
    assert sorted(answer) == ["code", "do", "ok", "path", "what"]
    assert (answer["ok"], answer["code"]) == (False, code)


def test_a_bad_problem_exits_2_with_the_path_and_writes_nothing_over(tmp_path: Path) -> None:
    problem, answer = tmp_path / "problem.json", tmp_path / "schedule.json"
    document = json.loads(FITS.read_text())
    document["requests"][1]["departure"] = 9
    problem.write_text(json.dumps(document))
    answer.write_text("yesterday's")
    solved = runner.invoke(app, ["solve", str(problem), "-o", str(answer)])
    assert solved.exit_code == 2
    assert "requests[1].departure" in solved.stderr
    assert answer.read_text() == "yesterday's"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["problem.json", "schedule.json"]


def test_a_summary_replaces_the_schedule_on_stdout_when_a_file_is_written(tmp_path: Path) -> None:
    answer = str(tmp_path / "schedule.json")
    found = json.loads(runner.invoke(app, ["solve", str(FITS), "-o", answer, "--json"]).stdout)
    assert found == {"ok": True, "status": "optimal", "objective": "875000000", "output": answer}
    found = json.loads(runner.invoke(app, ["solve", str(DOES_NOT_FIT), "-o", answer, "--json"]).stdout)
    assert found == {"ok": False, "status": "infeasible", "deficit_wh": 1000, "output": answer}


def test_every_code_of_the_checker_has_its_sentence() -> None:
    source = Path(checker.__file__).read_text()
    codes = {word for word in source.split('"') if word.startswith(("schedule.", "refusal."))}
    assert codes == set(REASONS)


@pytest.mark.parametrize("failure", errors.EvmeshError.__subclasses__())
def test_each_class_of_failure_has_its_exit_code(failure: type[errors.EvmeshError]) -> None:
    with pytest.raises(typer.Exit) as ended, exit_on_error():
        raise failure("some.code", "what happened")
    assert ended.value.exit_code == failure.exit_code > 1


def test_ctrl_c_exits_130_and_a_programming_error_keeps_its_traceback() -> None:
    with pytest.raises(typer.Exit) as ended, exit_on_error():
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    with pytest.raises(ZeroDivisionError), exit_on_error():
        _ = 1 // 0


def test_it_decorates_a_command_too() -> None:
    @exit_on_error(json_output=True)
    def command(**_: Any) -> None:
        raise errors.Refused("group.full", "no room")

    with pytest.raises(typer.Exit):
        command()


def on_one_terminal(*arguments: str) -> str:
    """Give what a person sees whose terminal shows stderr, and stdout by way of a pipe."""
    shown, terminal = os.openpty()
    shell = f"{sys.executable} -m evmesh.app.main {' '.join(arguments)} | cat"
    try:
        subprocess.run(
            ["bash", "-c", shell], stdout=terminal, stderr=terminal, stdin=subprocess.DEVNULL, check=True
        )
        os.close(terminal)  # all is read where the last who could write has let go, and no sooner
        return _read_all(shown)
    finally:
        os.close(shown)


def _read_all(terminal: int) -> str:
    seen = b""
    with suppress(OSError):
        while part := os.read(terminal, 100_000):
            seen += part
    return seen.decode()


def test_words_and_answer_are_not_glued_together_on_a_terminal() -> None:
    seen = on_one_terminal("plan", "solve", str(DOES_NOT_FIT))
    assert any(line.startswith("refused: ") for line in seen.splitlines())


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    command = f"{sys.executable} -c 'from evmesh.app.plan import app; app()' solve {FITS} | true"
    ended = subprocess.run(
        ["bash", "-c", f"{command}; exit ${{PIPESTATUS[0]}}"], capture_output=True, text=True
    )
    assert ended.stderr == ""
    assert ended.returncode in (0, 141)  # 0 where all was written before the reader left


def test_a_plan_that_leaves_something_out_is_checked_with_its_proof(tmp_path: Path) -> None:
    wanted = json.loads(DOES_NOT_FIT.read_bytes())
    refusal, less, plan = (tmp_path / name for name in ("refusal.json", "less.json", "plan.json"))
    runner.invoke(app, ["solve", str(DOES_NOT_FIT), "-o", str(refusal)])
    missing = json.loads(refusal.read_bytes())["deficit_wh"]

    def leave_out(wh: int) -> "Result":
        for one in wanted["requests"]:
            one["energy_wh"] -= wh if one["id"] == "courier" else 0
        less.write_text(json.dumps(wanted))
        assert runner.invoke(app, ["solve", str(less), "-o", str(plan)]).exit_code == 0
        files = ["--wanted", str(DOES_NOT_FIT), "--shortfall", str(refusal)]
        return runner.invoke(app, ["verify", str(less), str(plan), *files])

    assert leave_out(missing).exit_code == 0
    more = leave_out(1)
    assert (more.exit_code, "shortfall.not_least" in more.stderr) == (6, True)
    half = runner.invoke(app, ["verify", str(less), str(plan), "--wanted", str(DOES_NOT_FIT)])
    assert (half.exit_code, "plan.half_a_proof" in half.stderr) == (2, True)
