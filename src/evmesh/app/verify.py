"""`evmesh verify`: check a receipt, a settlement or a reward from files, and from a node if one is named."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, Final, TypeVar

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.files import read_input, read_optional, require_one_stdin
from evmesh.app.receipt_facts import read_chain_facts, read_settlement_facts
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput
from evmesh.domain.receipt import Receipt
from evmesh.domain.settlement import Settlement
from evmesh.domain.trust import Trust
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.case import PlanFiles
from evmesh.verify.followups import verify_reward, verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check, Report, Status

app = typer.Typer(name="verify", help="Check what evmesh claims, without trusting it.", no_args_is_help=True)

D = TypeVar("D")
F = TypeVar("F")
_MOST_NAMES: Final = 8
_LABELS: Final = {Status.OK: "ok", Status.FAILED: "FAILED", Status.NOT_CHECKED: "not checked"}

TrustFile = Annotated[
    str | None, typer.Option("--trust", metavar="FILE", help="an evmesh.trust/1 file: whose keys are known")
]
ReceiptFile = Annotated[
    str | None, typer.Option("--receipt", metavar="FILE", help="the evmesh.receipt/1 file that it names")
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]


@app.command("receipt")
def receipt_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.receipt/1 file; - is stdin")],
    trust: TrustFile = None,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="a node to ask for owner, anchor and settlement")
    ] = None,
    problem: Annotated[
        str | None, typer.Option(metavar="FILE", help="the group's evmesh.problem/1 file")
    ] = None,
    schedule: Annotated[
        str | None, typer.Option(metavar="FILE", help="the group's evmesh.schedule/1 file")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Check a receipt: exit 0 if nothing is false, 6 if something is. What was not checked is said."""
    with exit_on_error(json_output):
        require_one_stdin(file, trust, problem, schedule)
        raw, known = read_input(file), _trust(trust)
        plan = _plan_files(problem, schedule)
        facts = None if rpc is None else _ask(rpc, raw, Receipt.parse, read_chain_facts)
        report = verify_receipt(raw, EthereumSignatures(), known, plan, facts)
        _show(report, "receipt", json_output)


@app.command("settlement")
def settlement_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.settlement/1 file; - is stdin")],
    receipt: ReceiptFile = None,
    trust: TrustFile = None,
    rpc: Annotated[
        str | None, typer.Option(metavar="URL", help="a node to ask for the transactions that it names")
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Check the settlement of a receipt: exit 0 if nothing is false, 6 if something is."""
    with exit_on_error(json_output):
        require_one_stdin(file, receipt, trust)
        raw, receipt_raw = read_input(file), read_optional(receipt)
        facts = None if rpc is None else _ask(rpc, raw, Settlement.parse, read_settlement_facts)
        report = verify_settlement(raw, EthereumSignatures(), receipt_raw, _trust(trust), facts)
        _show(report, "settlement", json_output)


@app.command("reward")
def reward_command(
    file: Annotated[str, typer.Argument(metavar="FILE", help="an evmesh.reward/1 file; - is stdin")],
    receipt: ReceiptFile = None,
    trust: TrustFile = None,
    json_output: AsJson = False,
) -> None:
    """Check the reward for a receipt's flexibility: exit 0 if nothing is false, 6 if something is."""
    with exit_on_error(json_output):
        require_one_stdin(file, receipt, trust)
        raw, receipt_raw = read_input(file), read_optional(receipt)
        report = verify_reward(raw, EthereumSignatures(), receipt_raw, _trust(trust))
        _show(report, "reward", json_output)


def report_json(report: Report) -> str:
    """Give the report as the one object that `--json` prints."""
    return json.dumps(
        {"ok": report.ok, "checks": [check.to_json() for check in report.checks]}, ensure_ascii=False
    )


def report_lines(report: Report) -> list[str]:
    """Give a line for each check; what was not checked for one and the same reason shares a line."""
    lines, said = list[str](), set[str]()
    for check in report.checks:
        if check.status is not Status.NOT_CHECKED:
            lines.append(check_line(check))
        elif check.what not in said:
            said.add(check.what)
            same = [one.name for one in report.checks if (one.status, one.what) == (check.status, check.what)]
            name = ", ".join(same) if len(same) <= _MOST_NAMES else f"the other {len(same)} checks"
            lines.append(check_line(replace(check, name=name)))
    return lines


def check_line(check: Check) -> str:
    """Give a check as one line for a person."""
    words = f"{_LABELS[check.status]:<12}{check.name}: {check.what}"
    if check.status is not Status.FAILED:
        return words
    return f"{words} ({check.code}{' at ' + check.path if check.path else ''})"


def _trust(name: str | None) -> Trust | None:
    raw = read_optional(name)
    return None if raw is None else Trust.parse(raw)


def _plan_files(problem: str | None, schedule: str | None) -> PlanFiles | None:
    problem_raw, schedule_raw = read_optional(problem), read_optional(schedule)
    if problem_raw is not None and schedule_raw is not None:
        return PlanFiles(problem_raw, schedule_raw)
    if problem_raw is None and schedule_raw is None:
        return None
    raise InvalidInput("verify.half_a_plan", "a plan is two files", do="give --problem and --schedule")


def _ask(
    url: str, raw: bytes, parse: Callable[[bytes], D], read: Callable[[str, D], Coroutine[Any, Any, F]]
) -> F | None:
    try:
        document = parse(raw)
    except EvmeshError:
        return None  # the report says why it cannot be read
    return asyncio.run(read(url, document))


def _show(report: Report, what: str, json_output: bool) -> None:
    if json_output:
        typer.echo(report_json(report))
    else:
        for line in report_lines(report):
            typer.echo(line)
        typer.echo(_verdict(report, what))
    if not report.ok:
        raise typer.Exit(IntegrityFailure.exit_code)


def _verdict(report: Report, what: str) -> str:
    if failed := report.failed():
        return f"this {what} is FALSE: {', '.join(check.name for check in failed)}"
    left = sum(check.status is Status.NOT_CHECKED for check in report.checks)
    rest = f"; {left} checks could not be made" if left else ""
    return f"nothing in this {what} is false{rest}"
