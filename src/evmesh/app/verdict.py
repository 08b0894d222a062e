"""How a verification of a document is read in and said: a line for each check, a verdict, an exit code."""

import json
from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from evmesh.app.files import read_input
from evmesh.domain.canonical import refuse_deep_nesting
from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Refused
from evmesh.domain.nouns import counted
from evmesh.verify.report import Check, Report, Status, without_node

_MOST_NAMES: Final = 8
_LABELS: Final = {Status.OK: "ok", Status.FAILED: "FAILED", Status.NOT_CHECKED: "not checked"}


Strict = Annotated[
    bool,
    typer.Option("--strict", help="exit 3 where anything was not checked; so for a program that decides"),
]


def read_document(name: str, format: str) -> bytes:
    """Give the bytes of a file; raises InvalidInput where it is JSON, but no document of this format.

    What is no JSON at all may be one that was damaged: that is for the checks to say.
    """
    raw = read_input(name)
    try:
        refuse_deep_nesting(raw)
        document = json.loads(raw, parse_int=str, parse_float=str)
    except (EvmeshError, ValueError, RecursionError):
        return raw
    found = document.get("format") if isinstance(document, dict) else None
    if found != format:
        named = f"its format is {found[:40]!r}" if isinstance(found, str) else "it names no format"
        raise InvalidInput(
            "document.other_format",
            f"this is not an {format} document: {named}",
            do="give the file as it was issued; lists and views of the HTTP API are not signed documents",
            path="format",
        )
    return raw


def report_lines(report: Report) -> list[str]:
    """Give a line for each check; what was not checked for one and the same reason shares a line."""
    lines, said = list[str](), set[str]()
    for check in report.checks:
        if check.status is not Status.NOT_CHECKED:
            lines.append(check_line(check))
        elif check.what not in said:
            said.add(check.what)
            same = [one.name for one in report.checks if (one.status, one.what) == (check.status, check.what)]
            name = ", ".join(same) if len(same) <= _MOST_NAMES else f"the other {counted(len(same), 'check')}"
            lines.append(check_line(replace(check, name=name)))
    return lines


def check_line(check: Check) -> str:
    """Give a check as one line for a person."""
    words = f"{_LABELS[check.status]:<12}{check.name}: {check.what}"
    if check.status is not Status.FAILED:
        return words
    return f"{words} ({check.code}{' at ' + check.path if check.path else ''})"


def show(
    report: Report, what: str, json_output: bool, away: EvmeshError | None = None, *, strict: bool = False
) -> None:
    """Print the checks and how the command ends.

    With 6 for what is false, else by why the node gave no answer, else with 3 where it is `strict` and
    something was not checked.
    """
    if away is not None:
        report = without_node(report, away.what)
    away = away or (unchecked(report) if strict else None)
    if json_output:
        typer.echo(json.dumps(_object(report, away), ensure_ascii=False))
    else:
        for line in (*report_lines(report), _verdict(report, what)):
            typer.echo(line)
    if not report.ok:
        raise typer.Exit(IntegrityFailure.exit_code)
    if away is not None:
        if not json_output:
            typer.echo(away.describe(), err=True)
        raise typer.Exit(away.exit_code)


def unchecked(report: Report) -> EvmeshError | None:
    """Give why a report is not enough for who wants everything checked; None where it is."""
    left = [check.name for check in report.checks if check.status is Status.NOT_CHECKED]
    if not left:
        return None
    return Refused(
        "verify.not_checked",
        f"{counted(len(left), 'check')} could not be made: {', '.join(left)}",
        do="give the files and the node that they need, as the lines above say",
    )


def _object(report: Report, away: EvmeshError | None) -> dict[str, Any]:
    """Give the report as one object; with why it is not enough, where nothing worse is to be said."""
    checks = {"checks": [check.to_json() for check in report.checks]}
    if away is None or not report.ok:
        return {"ok": report.ok, **checks}
    return {"ok": False, "code": away.code, "what": away.what, "do": away.do, "path": away.path, **checks}


def _verdict(report: Report, what: str) -> str:
    if failed := report.failed():
        return f"this {what} is FALSE: {', '.join(check.name for check in failed)}"
    left = sum(check.status is Status.NOT_CHECKED for check in report.checks)
    rest = f"; {counted(left, 'check')} could not be made" if left else ""
    return f"nothing in this {what} is false{rest}"
