"""`evmesh plan`: solve a planning problem from a file, check an answer to one, and say why it is so."""

import json
import sys
from typing import Annotated

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.files import STDOUT, read_input, require_one_stdin, write_output
from evmesh.app.plan_commitment import show_committed
from evmesh.app.plan_explain import as_object, explain, sentences
from evmesh.app.plan_offers import require_candidate, write_proofs
from evmesh.app.plan_plot import plot_svg
from evmesh.app.plan_tree import TREE_REASONS, TreeAnswer, explain_tree_file, solve_tree_file, tree_holds
from evmesh.app.plan_tree_drawing import plot_tree
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.nouns import counted
from evmesh.domain.problem import Problem, parse_problem, problem_sha256
from evmesh.domain.problem_shape import is_tree
from evmesh.domain.schedule import Refusal, Schedule, parse_schedule, write_schedule
from evmesh.planning.admission import solve_with_candidate
from evmesh.planning.optimiser import solve
from evmesh.verify.answer import verify_answer
from evmesh.verify.report import Check, Status, failed
from evmesh.verify.schedule import Verdict
from evmesh.verify.shortfall import verify_shortfall

app = typer.Typer(name="plan", help="Plan charging, and check plans.", no_args_is_help=True)

ProblemFile = Annotated[
    str, typer.Argument(metavar="PROBLEM", help="an evmesh.problem/1 or /2 file; - is stdin")
]
ScheduleFile = Annotated[
    str, typer.Argument(metavar="SCHEDULE", help="an evmesh.schedule/1 or /2 file; - is stdin")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]

Plot = Annotated[str | None, typer.Option("--plot", metavar="FILE.svg", help="draw the plan, too")]

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

SHORTFALL_REASONS = {
    "shortfall.no_plan": "the schedule is a refusal",
    "shortfall.no_refusal": "the shortfall is no refusal",
    "shortfall.other_supply": "the wanted problem has another supply",
    "shortfall.other_requests": "the wanted problem has other requests",
    "shortfall.more_than_wanted": "more is planned for a request than was promised",
    "shortfall.not_least": "the plan leaves out another amount than the refusal proves",
}


@app.command("solve")
def solve_command(
    problem: ProblemFile,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="FILE", help="where the answer goes")
    ] = STDOUT,
    candidate: Annotated[
        str | None, typer.Option(metavar="ID", help="the request to make offers to when not all fit")
    ] = None,
    proofs: Annotated[
        str | None, typer.Option(metavar="DIR", help="where the proofs of the offers go, as files")
    ] = None,
    plot: Plot = None,
    json_output: AsJson = False,
) -> None:
    """Write the cheapest schedule (exit 0), or the proof that there is none (exit 3).

    With --candidate and --proofs each offer comes with a schedule for it, and with the refusal of 1 Wh more
    or of one step earlier.
    """
    with exit_on_error(json_output):
        _require_one_stdout(output, plot)
        require_candidate(candidate, proofs)
        raw = read_input(problem)
        if is_tree(raw):
            tree_answer = solve_tree_file(raw, candidate)
            if candidate is not None and proofs is not None:
                write_proofs(raw, tree_answer.content, candidate, proofs)
            if plot is not None:
                write_output(plot, plot_tree(raw, tree_answer.content))
            _finish_tree(tree_answer, output, json_output)
            return
        parsed = parse_problem(raw)
        sha256 = problem_sha256(raw)
        if candidate is None:
            answer = solve(parsed, sha256=sha256)
        else:
            answer = solve_with_candidate(parsed, candidate, sha256=sha256)
        written = write_schedule(answer)
        if candidate is not None and proofs is not None:
            write_proofs(raw, written, candidate, proofs)
        write_output(output, written)
        _draw(plot, parsed, answer)
        if json_output and output != STDOUT:
            typer.echo(json.dumps(_summary(answer, output)))
        elif isinstance(answer, Refusal):
            _tell(_refused(answer), after_answer=output == STDOUT)
        elif output != STDOUT:
            typer.echo(_optimal(answer))
    if isinstance(answer, Refusal):
        raise typer.Exit(Refused.exit_code)


@app.command("verify")
def verify_command(
    problem: ProblemFile,
    schedule: ScheduleFile,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="a node to ask whether the commitment is on chain")
    ] = None,
    proof: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="an evmesh.stream-proof/1 file: that the plan was committed to"),
    ] = None,
    operator: Annotated[
        str | None, typer.Option(metavar="URL", help="whose plan it is: to be asked for that proof")
    ] = None,
    trust: Annotated[
        str | None, typer.Option(metavar="FILE", help="an evmesh.trust/1 file: whose commitments count")
    ] = None,
    wanted: Annotated[
        str | None, typer.Option(metavar="FILE", help="the problem with all that was promised")
    ] = None,
    shortfall: Annotated[
        str | None, typer.Option(metavar="FILE", help="its refusal: that no less can be left out")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Check the certificate of a schedule or of a refusal (exit 0 if it holds, 6 if not).

    With --wanted and --shortfall also that a plan which leaves something out leaves out the least.

    With --rpc, --proof, --operator or --trust also that problem and answer were committed to, in which
    order, when, and for which verifier; what was not checked is said. With --json the answer is
    {"ok","code","path"}, and with those {"ok","checks"}.
    """
    with exit_on_error(json_output):
        require_one_stdin(problem, schedule, proof, trust, wanted, shortfall)
        answer = read_input(schedule)
        raw = read_input(problem)
        verdict = _verdict(raw, answer, wanted, shortfall)
        if any(option is not None for option in (rpc, proof, operator, trust)):
            show_committed(
                _certificate(verdict, raw, answer),
                raw,
                answer,
                rpc=rpc,
                proof=proof,
                operator=operator,
                trust=trust,
                json_output=json_output,
            )
            return
        if json_output:
            typer.echo(json.dumps({"ok": verdict.ok, "code": verdict.code, "path": verdict.path}))
        elif verdict.ok:
            typer.echo(tree_holds(answer) if is_tree(raw) else _holds(parse_schedule(answer)))
        else:
            typer.echo(_failure(verdict, TREE_REASONS if is_tree(raw) else REASONS).describe(), err=True)
    if not verdict.ok:
        raise typer.Exit(IntegrityFailure.exit_code)


@app.command("explain")
def explain_command(
    problem: ProblemFile,
    schedule: ScheduleFile,
    request: Annotated[str, typer.Option(metavar="ID", help="the request whose plan is to be explained")],
    plot: Plot = None,
    json_output: AsJson = False,
) -> None:
    """Say why one request's plan is as it is, or why it is refused, from the certificate alone.

    The certificate is checked first; nothing is said about one that does not hold (exit 6).
    """
    with exit_on_error(json_output):
        require_one_stdin(problem, schedule)
        _require_one_stdout(STDOUT, plot)
        answer, raw = read_input(schedule), read_input(problem)
        verdict = verify_answer(raw, answer)
        if not verdict.ok:
            raise _failure(verdict, TREE_REASONS if is_tree(raw) else REASONS)
        if is_tree(raw):
            if plot is not None:
                write_output(plot, plot_tree(raw, answer))
            typer.echo(explain_tree_file(raw, answer, request, as_json=json_output))
            return
        parsed, given = parse_problem(raw), parse_schedule(answer)
        facts = explain(parsed, given, request)
        _draw(plot, parsed, given)
        if json_output:
            typer.echo(json.dumps(as_object(parsed, facts)))
        else:
            typer.echo("\n".join(sentences(parsed, facts)))


def _require_one_stdout(output: str, plot: str | None) -> None:
    if plot == output == STDOUT:
        raise InvalidInput("file.stdout_twice", "the plot and the answer cannot both go to stdout")


def _draw(plot: str | None, problem: Problem, answer: Schedule | Refusal) -> None:
    if plot is not None:
        write_output(plot, plot_svg(problem, answer))


def _finish_tree(answer: TreeAnswer, output: str, json_output: bool) -> None:
    write_output(output, answer.content)
    if json_output and output != STDOUT:
        typer.echo(json.dumps({**answer.summary, "output": output}))
    elif not answer.ok:
        _tell(answer.words, after_answer=output == STDOUT)
    elif output != STDOUT:
        typer.echo(answer.words)
    if not answer.ok:
        raise typer.Exit(Refused.exit_code)


def _verdict(problem: bytes, schedule: bytes, wanted: str | None, shortfall: str | None) -> Verdict:
    if wanted is None and shortfall is None:
        return verify_answer(problem, schedule)
    if wanted is None or shortfall is None:
        raise InvalidInput(
            "plan.half_a_proof", "--wanted and --shortfall belong together", do="name both files, or neither"
        )
    return verify_shortfall(read_input(wanted), read_input(shortfall), problem, schedule)


def _certificate(verdict: Verdict, problem: bytes, schedule: bytes) -> Check:
    """Give the certificate's verdict as one check of several."""
    tree = is_tree(problem)
    if verdict.ok:
        words = tree_holds(schedule) if tree else _holds(parse_schedule(schedule))
        return Check("certificate", Status.OK, words)
    return failed("certificate", _failure(verdict, TREE_REASONS if tree else REASONS))


def _failure(verdict: Verdict, reasons: dict[str, str]) -> IntegrityFailure:
    what = (SHORTFALL_REASONS | reasons).get(
        verdict.code, "the schedule file is not a document of the problem's format"
    )
    return IntegrityFailure(verdict.code, what, do="do not rely on this schedule", path=verdict.path)


def _holds(answer: Schedule | Refusal) -> str:
    if isinstance(answer, Schedule):
        return "the certificate holds: every request is met, and no schedule is cheaper"
    return "the certificate holds: no schedule meets every request"


def _optimal(answer: Schedule) -> str:
    return f"optimal: {counted(len(answer.rows), 'request')}, Σ Wh × price = {answer.objective}"


def _refused(answer: Refusal) -> str:
    steps = f"steps {', '.join(map(str, answer.steps))}" if answer.steps else "a request's own window"
    what = f"refused: not every request can be met: {steps} lack {answer.deficit_wh} Wh"
    offers = [f"  {offer.energy_wh} Wh by step {offer.departure}" for offer in answer.offers or ()]
    if offers:
        return "\n".join([f"{what}\ndo: take one of the offers:", *offers])
    return f"{what}\ndo: ask for less or leave later; --candidate ID says what would fit"


def _tell(text: str, *, after_answer: bool) -> None:
    """Write to stderr; below the answer where both may go to one place.

    The answer on stdout are its bytes and nothing else: they end without a newline.
    """
    if after_answer and not sys.stdout.isatty():
        text = f"\n{text}"
    typer.echo(text, err=True)


def _summary(answer: Schedule | Refusal, output: str) -> dict[str, object]:
    if isinstance(answer, Schedule):
        return {"ok": True, "status": "optimal", "objective": str(answer.objective), "output": output}
    return {"ok": False, "status": "infeasible", "deficit_wh": answer.deficit_wh, "output": output}
