"""`evmesh station`: charge points and other assets in the public registry, found without any server."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evmesh.app.errors import exit_on_error
from evmesh.domain.money import amount_words

app = typer.Typer(
    name="station",
    help="Register and announce assets, and find stations by their code with a node alone.",
    no_args_is_help=True,
)
Json = dict[str, Any]

DataDir = Annotated[
    Path,
    typer.Option("--data", envvar="EVMESH_DATA", metavar="DIR", help="where contracts.json and keys are"),
]
Rpc = Annotated[
    str | None,
    typer.Option(envvar="EVMESH_RPC", metavar="URL", help="the node (without: the one that runs for DIR)"),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]
Code = Annotated[str, typer.Argument(metavar="CODE", help="what stands on the charge point, e.g. YCM9-T0EE")]


@app.command("register")
def register_command(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="TOML of the asset, examples/assets has one of each kind; -")
    ],
    data: DataDir = Path("data"),
    rpc: Rpc = None,
    json_output: AsJson = False,
) -> None:
    """Register an asset of any kind, and show its code. The same asset is registered once."""
    from evmesh.app.asset_file import read_asset_file
    from evmesh.app.station_moves import register

    with exit_on_error(json_output):
        done = asyncio.run(register(read_asset_file(file), data, rpc))
        _say(
            done,
            json_output,
            [f"code    {_dashed(done['code'])}", f"number  {done['asset']}", f"owner   {done['owner']}"],
        )


@app.command("announce")
def announce_command(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="one of yours (without: all that are in service)")
    ] = None,
    note: Annotated[str, typer.Option(help="for people, at most 280 characters")] = "",
    data: DataDir = Path("data"),
    rpc: Rpc = None,
    json_output: AsJson = False,
) -> None:
    """Announce stations on the chain under their codes; `evmesh up` does so once a day by itself."""
    from evmesh.app.station_moves import announce

    with exit_on_error(json_output):
        done = asyncio.run(announce(code, note, data, rpc))
        lines = [f"announced {_dashed(one['code'])}  transaction {one['tx_hash']}" for one in done]
        _say({"announced": done}, json_output, lines or ["there is nothing of yours to announce"])


@app.command("find")
def find_command(
    code: Code,
    data: DataDir = Path("data"),
    rpc: Rpc = None,
    json_output: AsJson = False,
) -> None:
    """Find a station by its code. Only what its owner says counts; a server is asked for its record only."""
    from evmesh.app.station_moves import find

    with exit_on_error(json_output):
        found = asyncio.run(find(code, data, rpc))
        _say(found, json_output, _station_lines(found))


@app.command("status")
def status_command(
    code: Code,
    data: DataDir = Path("data"),
    rpc: Rpc = None,
    json_output: AsJson = False,
) -> None:
    """Read on the chain how an asset was in the newest quarter of an hour that its owner has published."""
    from evmesh.app.station_moves import status

    with exit_on_error(json_output):
        found = asyncio.run(status(code, data, rpc))
        _say(found, json_output, _status_lines(found))


@app.command("inbox")
def inbox_command(data: DataDir = Path("data"), json_output: AsJson = False) -> None:
    """Show your keys on encrypted channels: what grid operators and cars let in, and what you write with."""
    from evmesh.app.platform_channels import operator_identity

    with exit_on_error(json_output):
        identity = operator_identity(data)
        inbox, writer = "0x" + identity.reader.public.hex(), "0x" + identity.writer.public.hex()
        _say({"inbox": inbox, "writer": writer}, json_output, [f"inbox   {inbox}", f"writer  {writer}"])


def _station_lines(found: Json) -> list[str]:
    record = found["record"]
    lines = [
        f"code      {_dashed(found['code'])}, asset {found['asset']}"
        + ("" if found["in_service"] else ", not in service"),
        f"owner     {found['owner']}",
        f"power     {found['rating_w'] / 1000:g} kW",
        f"price     {amount_words(found['price'], found['currency'])} per kWh",
        f"position  {found['latitude_udeg'] / 1e6:.6f}, {found['longitude_udeg'] / 1e6:.6f}",
        f"deposit   {found['deposit_address']}",
        f"API       {found['api'] or 'the owner names none'}",
        f"record    {record['status']}" + (f": {record['what']}" if record["what"] else ""),
    ]
    said = found["announcement"]
    if said is None:
        return [*lines, "announced nothing by its owner; what others say under the code does not count"]
    lines.append("announced by its owner" + (f": {said['note']}" if said["note"] else ""))
    return [*lines, f"inbox     {said['inbox']}"] if said["inbox"] else lines


def _status_lines(found: Json) -> list[str]:
    if not found["published"]:
        return ["its owner has published nothing that this node still has"]
    since = found["state_since"]
    facts = (
        ("state", found["state"]),
        ("as of", f"{found['at']}, the newest quarter-hour that its owner has published"),
        ("so since", None if since == found["at"] else f"{since}, in every quarter-hour without a gap"),
        ("power", _with_unit(found["power_w"], "W")),
        ("limit", _with_unit(found["limit_w"], "W")),
        ("left", _with_unit(found["energy_left_wh"], "Wh")),
        ("time left", _with_unit(found["time_left_s"], "s")),
        ("battery", _with_unit(found["soc_percent"], "%")),
        ("at hand", _with_unit(found["at_hand_wh"], "Wh")),
    )
    return [f"{name:<10}{value}" for name, value in facts if value is not None]


def _with_unit(value: int | None, unit: str) -> str | None:
    return None if value is None else f"{value} {unit}"


def _dashed(code: str) -> str:
    return f"{code[:4]}-{code[4:]}"


def _say(report: Json, json_output: bool, lines: list[str]) -> None:
    if json_output:
        typer.echo(json.dumps({"ok": True, **report}))
        return
    for line in lines:
        typer.echo(line)
