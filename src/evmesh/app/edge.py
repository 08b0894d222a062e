"""`evmesh edge`: the gateway beside chargers that speak no OCPP, and what sets it up."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from evmesh.app.errors import exit_on_error
from evmesh.domain.errors import InvalidInput, Unavailable

app = typer.Typer(
    name="edge",
    help="The gateway beside chargers and meters that speak no OCPP.",
    invoke_without_command=True,
    no_args_is_help=True,
)

JsonOption = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
LineArgument = Annotated[str, typer.Argument(metavar="LINE", help="/dev/ttyUSB0, tcp://host:port, or a host")]


@app.callback()
def run_command(
    context: typer.Context,
    site: Annotated[
        Path | None,
        typer.Option("--site", envvar="EVMESH_EDGE_SITE", metavar="FILE", help="the gateway's site file"),
    ] = None,
) -> None:
    """Read devices, keep what they say, and send it until the database has it: `evmesh edge --site FILE`."""
    if context.invoked_subcommand is not None or site is None:
        return
    from evmesh.edge.config import load_gateway

    with exit_on_error():
        load_gateway(site)
    sys.stdout.flush()
    # The same process, begun anew with a gateway's modules alone: the command line needs twice the memory.
    os.execv(sys.executable, (sys.executable, "-m", "evmesh.app.gateway", str(site)))  # noqa: S606 - no shell


@app.command("read")
def read_command(
    driver: Annotated[str, typer.Argument(metavar="DRIVER", help="a template, mennekes-mhcp or smartevse-2")],
    line: LineArgument,
    unit: Annotated[int | None, typer.Option(min=0, max=255, help="Modbus unit")] = None,
    key_file: Annotated[Path | None, typer.Option(metavar="FILE", help="with a Mennekes' APP-PIN")] = None,
    json_output: JsonOption = False,
) -> None:
    """Read a device once and print what it says, decoded."""
    from evmesh.edge.config import parse_gateway
    from evmesh.edge.devices import open_devices

    device: dict[str, Any] = {"name": "device", "driver": driver, "line": line}
    device |= {} if unit is None else {"unit": unit}
    device |= {} if key_file is None else {"key_file": str(key_file.absolute())}

    async def read() -> dict[str, Any]:
        gateway = {"name": "reader", "broker": "mqtt://127.0.0.1"}
        config = parse_gateway({"gateway": gateway, "device": [device]}, Path())
        async with open_devices(config.devices) as (opened,):
            return {"values": {str(k): v for k, v in (await opened.read()).items()}}

    with exit_on_error(json_output):
        found = asyncio.run(read())
        if json_output:
            typer.echo(json.dumps(found))
        else:
            for name, value in found["values"].items():
                typer.echo(f"{name:<24}{'not known' if value is None else value}")


@app.command("probe")
def probe_command(
    line: LineArgument,
    units: Annotated[str, typer.Option(help="Modbus units to try, like 1-5 or 1,7")] = "1-5",
    json_output: JsonOption = False,
) -> None:
    """Find out what answers on a line, and with which driver; exit code 4 where nothing does."""
    from evmesh.edge.modbus import LineAddress
    from evmesh.edge.probe import probe, probe_host

    async def find() -> list[dict[str, Any]]:
        found = []
        is_host = not line.startswith(("/", "tcp://"))
        ask = (
            probe_host(_host(line), _units(units))
            if is_host
            else probe(LineAddress.parse(line), _units(units))
        )
        async for one in ask:
            picture = {str(name): value for name, value in one.picture.items()}
            found.append({"driver": one.driver, "unit": one.unit, "baud": one.baud, "values": picture})
            if not json_output:
                where = "" if one.unit is None else f" unit {one.unit}"
                baud = "" if one.baud is None else f" at {one.baud} baud"
                said = ", ".join(f"{k} {'not known' if v is None else v}" for k, v in picture.items())
                typer.echo(f"{one.driver}{where}{baud}: {said or 'it wants its key'}")
        return found

    with exit_on_error(json_output):
        answered = asyncio.run(find())
        if not answered:
            raise Unavailable(
                "edge.nothing_answers",
                f"nothing that evmesh knows answers at {line}",
                do="look at power, wires (A and B), address and speed, and try other --units",
            )
        if json_output:
            typer.echo(json.dumps({"found": answered}))


@app.command("meter-swapped")
def meter_swapped_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="the device, or the station from parts")],
    broker: Annotated[
        str | None,
        typer.Option(envvar="EVMESH_BROKER", metavar="URL", help="mqtt://host:port of its gateway"),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="of the platform that runs the station")
    ] = None,
    authority: Annotated[
        Path | None, typer.Option(metavar="FILE", help="for mqtts://, with the next two")
    ] = None,
    certificate: Annotated[Path | None, typer.Option(metavar="FILE", help="of the platform")] = None,
    key: Annotated[Path | None, typer.Option(metavar="FILE", help="of the platform")] = None,
    json_output: JsonOption = False,
) -> None:
    """Say that a meter was swapped, once the new one is in: its register counts from now on."""
    from evmesh.app.ingest_service import broker_at
    from evmesh.app.meter_swap import meter_swapped

    with exit_on_error(json_output):
        config = (
            None if broker is None or data is not None else broker_at(broker, authority, certificate, key)
        )
        done = asyncio.run(meter_swapped(name, config, data))
        if json_output:
            typer.echo(json.dumps({"ok": True, **done}))
            return
        typer.echo(f"{name} counts from its new meter's register on")
        if done["ended_charge"]:
            typer.echo("the charge that ran ends at the old meter's last register")


@app.command("enrol")
def enrol_command(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="where authority and keys are kept")],
    site: Annotated[
        list[Path] | None, typer.Option("--site", metavar="FILE", help="gateways' site files, each")
    ] = None,
    host: Annotated[list[str] | None, typer.Option(help="names and addresses of the broker")] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="of the broker")] = 8883,
    revoke: Annotated[str | None, typer.Option(metavar="NAME", help="let this user in no more")] = None,
) -> None:
    """Make an authority, certificates for broker, gateways and platform, and Mosquitto's files."""
    from evmesh.app.enrolment import enrol

    with exit_on_error():
        for text in enrol(directory, site or [], host or ["localhost", "127.0.0.1"], port, revoke):
            typer.echo(text)


def _host(text: str) -> str:
    """Check a host's name or address, without a port: each driver has its own. Raises InvalidInput."""
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,253}", text):
        raise InvalidInput(
            "edge.bad_address",
            f"{text[:80]!r} is no line",
            do="write /dev/ttyUSB0, tcp://10.0.0.7:502 or 10.0.0.7",
        )
    return text


def _units(text: str) -> list[int]:
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise InvalidInput("edge.bad_units", f"{text!r} names no units", do="write 1-5 or 1,7")
        found += range(int(first), int(last or first) + 1)
    if not found or max(found) > 255:
        raise InvalidInput("edge.bad_units", "units go from 0 to 255", do="write 1-5 or 1,7")
    return found
