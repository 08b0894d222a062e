"""The command line. Each command imports what it needs when it runs, so `--help` is quick."""

import asyncio
import logging
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import structlog
import typer
import uvloop

from evmesh.app import plan, verify
from evmesh.app.errors import exit_on_error

app = typer.Typer(
    name="evmesh",
    help="Decentralised EV charging: from a charger's wire to a driver's wallet.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(plan.app)
app.add_typer(verify.app)


DEFAULT_SITE = Path(__file__).parents[3] / "examples" / "site.toml"

SiteFile = Annotated[
    Path, typer.Option("--site", envvar="EVMESH_SITE", metavar="FILE", help="the site: what stands where")
]
DataDir = Annotated[
    Path, typer.Option("--data", envvar="EVMESH_DATA", metavar="DIR", help="where state and keys are kept")
]


@app.command("up")
def up_command(
    site: SiteFile = DEFAULT_SITE,
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
) -> None:
    """Run the whole platform on this machine, with simulated stations, cars and drivers."""
    from evmesh.app.up import UpOptions, running

    async def serve() -> None:
        options = UpOptions(site, data, port, ocpp_port, speed)
        async with running(options, lambda text: typer.echo(f"… {text}")) as run:
            typer.echo(f"evmesh is running: {run.http_url}")
            typer.echo(
                f"  stations connect to {run.ocpp_url}/{{id}}, the API is described at {run.http_url}/docs"
            )
            typer.echo(f"  time runs {speed} times as fast; state and logs are in {data}; Ctrl-C ends it")
            await asyncio.Event().wait()

    with exit_on_error():
        run_until_signal(serve())


@app.command("serve-platform", hidden=True)
def serve_platform_command(data: DataDir) -> None:
    """Run the platform process of a data directory; `evmesh up` starts this."""
    from evmesh.app.config import load_site
    from evmesh.app.platform import open_platform
    from evmesh.app.run_file import RunFile
    from evmesh.app.services import run_all

    async def serve() -> None:
        run = RunFile.load(data)
        async with open_platform(data, load_site(Path(run.site)), run) as platform:
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
            await run_all((simulation,))

    log_json()
    with exit_on_error():
        run_until_signal(serve())


def run_until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Run on uvloop until it ends, or until SIGINT or SIGTERM cancels it; that end is not a failure."""

    async def run() -> None:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        stopped = False

        def stop() -> None:
            nonlocal stopped
            if not stopped and task is not None:
                stopped = True
                task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop)
        try:
            await work
        except asyncio.CancelledError:
            if not stopped:
                raise

    uvloop.run(run())


def log_json() -> None:
    """Write logs as JSON lines on stderr."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def main() -> None:
    """Be the `evmesh` command."""
    app()


if __name__ == "__main__":
    main()
