"""`evmesh plan`: solve a planning problem from a file, and check an answer to one."""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.files import STDIN, read_input, require_one_stdin
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.problem import parse_problem, problem_sha256
from evmesh.domain.schedule import Refusal, Schedule, write_schedule
from evmesh.planning.admission import solve_with_candidate
from evmesh.planning.optimiser import solve
from evmesh.verify.schedule import Verdict, verify_schedule

STDOUT = STDIN  # the same dash

app = typer.Typer(name="plan", help="Plan charging, and check plans.", no_args_is_help=True)

ProblemFile = Annotated[str, typer.Argument(metavar="PROBLEM", help="an evmesh.problem/1 file; - is stdin")]
ScheduleFile = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="an evmesh.schedule/1 file; - is stdin")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]

REASONS = {
    "schedule.other_problem": "the schedule answers another problem than this file",
    "schedule.step_count": "there is not exactly one price per step",
    "schedule.row_twice": "two rows are for the same request",
    "schedule.row_unknown": "a row is for a request that the problem does not have",
    "schedule.row_missing": "a request has no row",
    "schedule.outside_horizon": "a row leaves the horizon",
    "schedule.outside_window": "a car charges when it is not there",
    "schedule.negative": "an energy is negative",
    "schedule.above_max": "a car charges faster than it can",
    "schedule.energy_differs": "a car does not get exactly what it asked for",
    "schedule.over_capacity": "a step delivers more than its supply",
    "schedule.price_below_used": "a step uses energy that is dearer than its price says",
    "schedule.price_above_unfilled": "a step leaves energy unused that is cheaper than its price says",
    "schedule.not_cheapest": "a car charges in a dear step while a cheaper one has room for it",
    "schedule.objective_differs": "the objective is not the cost of the rows",
    "refusal.bad_steps": "the steps are not ascending steps of the horizon",
    "refusal.no_deficit": "what must fall into these steps fits",
    "refusal.deficit_differs": "the deficit is not what these steps lack",
    "refusal.bad_offer": "an offer is of nothing, or outside the horizon",
}
"""What each code of the checker means; codes of an unreadable file say it themselves."""


@app.command("solve")
def solve_command(
    problem: ProblemFile,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="where the answer goes")
    ] = STDOUT,
    candidate: Annotated[
        str | None, typer.Option(metavar="ID", help="the request to make offers to when not all fit")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Write the cheapest schedule (exit 0), or the proof that there is none (exit 3)."""
    with exit_on_error(json_output):
        raw = read_input(problem)
        parsed = parse_problem(raw)
        sha256 = problem_sha256(raw)
        if candidate is None:
            answer = solve(parsed, sha256=sha256)
        else:
            answer = solve_with_candidate(parsed, candidate, sha256=sha256)
        _write(output, write_schedule(answer))
        if output != STDOUT:
            typer.echo(json.dumps(_summary(answer, output)) if json_output else _sentence(answer))
    if isinstance(answer, Refusal):
        if not json_output and output == STDOUT:
            typer.echo(_sentence(answer), err=True)
        raise typer.Exit(Refused.exit_code)


@app.command("verify")
def verify_command(problem: ProblemFile, schedule: ScheduleFile, json_output: AsJson = False) -> None:
    """Check the certificate of a schedule or of a refusal (exit 0 if it holds, 6 if not)."""
    with exit_on_error(json_output):
        require_one_stdin(problem, schedule)
        verdict = verify_schedule(read_input(problem), read_input(schedule))
        typer.echo(json.dumps({"ok": verdict.ok, "code": verdict.code, "path": verdict.path}))
    if not verdict.ok:
        if not json_output:
            typer.echo(_failure(verdict).describe(), err=True)
        raise typer.Exit(IntegrityFailure.exit_code)


def _failure(verdict: Verdict) -> IntegrityFailure:
    what = REASONS.get(verdict.code, "the schedule file is not an evmesh.schedule/1 document")
    return IntegrityFailure(verdict.code, what, do="do not rely on this schedule", path=verdict.path)


def _sentence(answer: Schedule | Refusal) -> str:
    if isinstance(answer, Schedule):
        return f"optimal: {len(answer.rows)} requests, Σ Wh × price = {answer.objective}"
    offers = "".join(
        f"\noffer: {offer.energy_wh} Wh by step {offer.departure}" for offer in answer.offers or ()
    )
    steps = f"steps {', '.join(map(str, answer.steps))}" if answer.steps else "a request's own window"
    return f"infeasible: {steps} lack {answer.deficit_wh} Wh{offers}"


def _summary(answer: Schedule | Refusal, output: str) -> dict[str, object]:
    if isinstance(answer, Schedule):
        return {"ok": True, "status": "optimal", "objective": str(answer.objective), "output": output}
    return {"ok": False, "status": "infeasible", "deficit_wh": answer.deficit_wh, "output": output}


def _write(name: str, content: bytes) -> None:
    """Write whole or not at all: a failure leaves what stood there before."""
    if name == STDOUT:
        sys.stdout.buffer.write(content + b"\n" if sys.stdout.isatty() else content)  # redirected: the bytes
        sys.stdout.buffer.flush()
        return
    target = Path(name)
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a device or a pipe has nothing to keep whole
            return
        handle, draft = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(draft).chmod(0o644)
            Path(draft).replace(target)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidInput(
            "file.unwritable", f"{name}: {error.strerror}", do="check the folder and its rights"
        ) from error
