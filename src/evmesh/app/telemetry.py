"""`evmesh telemetry`: read the time series back."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.telemetry_words import between, value_of, width_of, zone_of
from evmesh.domain.errors import InvalidInput
from evmesh.domain.nouns import counted
from evmesh.domain.telemetry import ValueName
from evmesh.domain.telemetry_summary import Period
from evmesh.ports import TelemetryHistory

app = typer.Typer(name="telemetry", help="What chargers said, from the time series.", no_args_is_help=True)

T = TypeVar("T")
Json = dict[str, Any]
ChargerArgument = Annotated[str, typer.Argument(metavar="CHARGER")]
DbOption = Annotated[
    str,
    typer.Option(
        "--db", envvar="EVMESH_TELEMETRY_DB", metavar="URL", help="sqlite:///FILE or postgresql://…"
    ),
]
FromOption = Annotated[str, typer.Option("--from", help="an instant or a date, UTC")]
ToOption = Annotated[str, typer.Option("--to", help="not included")]
JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
DEFAULT_DB = "sqlite:///data/telemetry.db"
_NOTHING = "`evmesh ingest --broker URL` or `evmesh up` fills the database, --db names another"


@app.command("last")
def last_command(
    charger: ChargerArgument, db: DbOption = DEFAULT_DB, json_output: JsonOption = False
) -> None:
    """Print the newest of each value."""
    from evmesh.app.telemetry_reads import last_values

    with exit_on_error(json_output):
        found = _read(db, lambda store: last_values(store, charger))
        if json_output:
            typer.echo(json.dumps(found))
        else:
            for name, one in found["values"].items():
                typer.echo(f"{name:<24}{one['value']!s:<20}{one['at']}")
            for warning in found["warnings"]:
                typer.echo(f"warning: {warning}", err=True)
            if not found["values"]:
                typer.echo(f"nothing was stored under {charger}; {_NOTHING}", err=True)


@app.command("range")
def range_command(
    charger: ChargerArgument,
    value: Annotated[str, typer.Argument(metavar="VALUE", help="such as PowerOutput")],
    start: FromOption,
    end: ToOption,
    resolution: Annotated[str | None, typer.Option(help="10s, 15m, 1h, 1d; without it every reading")] = None,
    db: DbOption = DEFAULT_DB,
    json_output: JsonOption = False,
) -> None:
    """Print a value over time: every reading, or one line a stretch."""
    from evmesh.app.telemetry_reads import value_range

    with exit_on_error(json_output):
        width_s = None if resolution is None else width_of(resolution)
        bounds = between(start, end)
        name = value_of(value)
        found = _read(db, lambda store: value_range(store, charger, name, *bounds, width_s))
        _print(found, "points", json_output)


@app.command("energy")
def energy_command(
    charger: ChargerArgument,
    start: FromOption,
    end: ToOption,
    per: Annotated[Period, typer.Option(help="of what")] = Period.DAY,
    time_zone: Annotated[str, typer.Option(help="in which days begin")] = "UTC",
    db: DbOption = DEFAULT_DB,
    json_output: JsonOption = False,
) -> None:
    """Print the metered energy per hour, day or month, in Wh."""
    from evmesh.app.telemetry_reads import energy

    with exit_on_error(json_output):
        bounds, zone = between(start, end), zone_of(time_zone)
        found = _read(db, lambda store: energy(store, charger, per, *bounds, zone))
        _print(found, "energy", json_output)


@app.command("export")
def export_command(
    charger: ChargerArgument,
    start: FromOption,
    end: ToOption,
    value: Annotated[list[str] | None, typer.Option(help="which, each; without it all")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    parquet: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    db: DbOption = DEFAULT_DB,
    json_output: JsonOption = False,
) -> None:
    """Write readings to a file, CSV or Parquet."""
    from evmesh.app import telemetry_export

    with exit_on_error(json_output):
        bounds = between(start, end)
        names = [value_of(one) for one in value or list(ValueName)]
        if (csv is None) == (parquet is None):
            raise InvalidInput("telemetry.bad_question", "name one file", do="use --csv or --parquet")

        async def export(store: TelemetryHistory) -> int:
            found = telemetry_export.pages(store, charger, names, *bounds)
            if csv is not None:
                return await telemetry_export.write_csv(csv, found)
            assert parquet is not None  # noqa: S101 - one of the two, by the check above
            return await telemetry_export.write_parquet(parquet, found)

        count = _read(db, export)
        file = str(csv or parquet)
        said = f"{counted(count, 'reading')}: {file}"
        typer.echo(json.dumps({"file": file, "readings": count}) if json_output else said)


def _read(db: str, work: Callable[[TelemetryHistory], Awaitable[T]]) -> T:
    from evmesh.app.telemetry_db import readings_at

    async def run() -> T:
        async with readings_at(db, must_exist=True) as store:
            return await work(store)

    return asyncio.run(run())


def _print(found: Json, rows: str, json_output: bool) -> None:
    if json_output:
        typer.echo(json.dumps(found))
        return
    for one in found[rows]:
        typer.echo("  ".join(str(value) for value in one.values()))
