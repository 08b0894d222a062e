"""The command line. Each command imports what it needs when it runs, so `--help` is quick."""

import asyncio
import json
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from evmesh.app.commands import Commands
from evmesh.app.demo_text import evidence_lines
from evmesh.app.errors import EXIT_INTERRUPTED, exit_on_error
from evmesh.app.examples import example
from evmesh.app.running import log_json, run_until_signal
from evmesh.app.streams import settle_streams
from evmesh.domain.errors import IntegrityFailure

app = typer.Typer(
    name="evmesh",
    cls=Commands,
    help="Decentralised EV charging: from a charger's wire to a driver's wallet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


STEPS_IN_A_CHARGE = 11
_WIDEST = 160

SiteFile = Annotated[
    Path | None,
    typer.Option(
        "--site", envvar="EVMESH_SITE", metavar="FILE", help="what stands where (without: the example site)"
    ),
]
DataDir = Annotated[
    Path, typer.Option("--data", envvar="EVMESH_DATA", metavar="DIR", help="where state and keys are kept")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evmesh {metadata.version('evmesh')}")
        raise typer.Exit


@app.callback()
def common_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="say which release this is"),
    ] = False,
) -> None:
    """Decentralised EV charging: from a charger's wire to a driver's wallet."""


@app.command("up")
def up_command(
    site: SiteFile = None,
    data: DataDir = Path("data"),
    port: Annotated[
        int,
        typer.Option(envvar="EVMESH_PORT", min=0, max=65535, help="of the page and the API; 0 = a free one"),
    ] = 8080,
    ocpp_port: Annotated[
        int, typer.Option(envvar="EVMESH_OCPP_PORT", min=0, max=65535, help="of stations; 0 = a free one")
    ] = 9000,
    speed: Annotated[
        int, typer.Option(envvar="EVMESH_SPEED", min=1, max=1000, help="how much faster than real time")
    ] = 60,
    telemetry_db: Annotated[
        str,
        typer.Option(
            envvar="EVMESH_TELEMETRY_DB",
            metavar="URL",
            help="the time series, postgresql://… or sqlite:///FILE; without it a file in --data",
        ),
    ] = "",
) -> None:
    """Run the whole platform on this machine, with simulated stations, cars and drivers."""
    from evmesh.app.up import UpOptions, running

    async def serve() -> None:
        options = UpOptions(
            site or example("site.toml"), data, port, ocpp_port, speed, telemetry_db=telemetry_db
        )
        async with running(options, lambda text: typer.echo(f"… {text}")) as run:
            typer.echo(f"evmesh is running: {run.http_url}")
            typer.echo(
                f"  stations connect to {run.ocpp_url}/{{id}}, the API is described at {run.http_url}/docs"
            )
            typer.echo(f"  time runs {speed} times as fast; state and logs are in {data}; Ctrl-C ends it")
            await asyncio.Event().wait()

    with exit_on_error():
        if run_until_signal(serve()):
            typer.echo(f"stopped; state kept in {data}")


@app.command("demo")
def demo_command(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="where the receipt and its evidence go")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="one JSON object on stdout")] = False,
) -> None:
    """Run one charge from plug to verified receipt, and show the evidence of each of its eleven steps."""
    from evmesh.app.demo import StepResult, demo
    from evmesh.app.inputs import open_directory

    steps: list[StepResult] = []

    async def run() -> None:
        steps.extend(
            await demo(example("demo.toml"), work / "data", target, lambda text: typer.echo(text, err=True))
        )

    with exit_on_error(json_output):
        work = Path(tempfile.mkdtemp(prefix="evmesh-demo-"))
        target = out or work / "out"
        open_directory(target, "--out")
        if run_until_signal(run()):
            typer.echo("stopped before the charge was over", err=True)
            raise typer.Exit(EXIT_INTERRUPTED)
        ok = len(steps) == STEPS_IN_A_CHARGE and all(step.ok for step in steps)
        receipt = str(target / "receipt.json")
        if json_output:
            shown = [step.to_json() for step in steps]
            typer.echo(json.dumps({"ok": ok, "steps": shown, "receipt": receipt, "data": str(work / "data")}))
        else:
            for step in steps:
                typer.echo(_step_text(step.n, step.name, step.ok, step.evidence))
            typer.echo(f"\n{'every step checked' if ok else 'FAILED'}; receipt and evidence: {target}")
        if not ok:
            raise typer.Exit(IntegrityFailure.exit_code)


def _step_text(n: int, name: str, ok: bool, evidence: dict[str, Any]) -> str:
    lines = [f"\n{n:>2}. {name}: {'ok' if ok else 'FAILED'}"]
    texts = evidence_lines(evidence)
    lines += [f"      {text if len(text) <= _WIDEST else text[:_WIDEST] + '…'}" for text in texts]
    return "\n".join(lines)


@app.command("serve-platform", hidden=True)
def serve_platform_command(
    data: DataDir,
    telemetry_db: Annotated[str, typer.Option(envvar="EVMESH_TELEMETRY_DB", hidden=True)] = "",
) -> None:
    """Run the platform process of a data directory; `evmesh up` starts this."""
    from evmesh.app.config import load_site
    from evmesh.app.platform import open_platform
    from evmesh.app.run_file import RunFile
    from evmesh.app.services import run_all

    async def serve() -> None:
        run = RunFile.load(data)
        async with open_platform(data, load_site(Path(run.site)), run, telemetry_db) as platform:
            await run_all(platform.services)

    log_json()
    with exit_on_error():
        run_until_signal(serve())


@app.command("serve-sim", hidden=True)
def serve_sim_command(data: DataDir) -> None:
    """Run the simulated world of a data directory; `evmesh up` starts this."""
    from evmesh.app.config import load_site
    from evmesh.app.run_file import RunFile
    from evmesh.app.services import run_all
    from evmesh.app.simulation import open_simulation

    async def serve() -> None:
        run = RunFile.load(data)
        async with open_simulation(data, load_site(Path(run.site)), run) as simulation:
            await run_all(simulation.services)

    log_json()
    with exit_on_error():
        run_until_signal(serve())


def main() -> None:
    """Be the `evmesh` command."""
    settle_streams()
    try:
        with exit_on_error():
            try:
                app()
            finally:
                sys.stdout.flush()  # here, where a full disk can still be said
    except typer.Exit as ended:
        sys.exit(ended.exit_code)


if __name__ == "__main__":
    main()
