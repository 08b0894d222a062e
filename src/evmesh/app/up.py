"""`evmesh up`: the whole platform on one machine, with simulated hardware.

The supervisor owns the embedded chain and the broker and runs two processes, `platform` and `sim`;
each survives a kill of the other, and both come back by themselves. One supervisor per data directory.
"""

import asyncio
import contextlib
import fcntl
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import httpx

from evmesh.app.children import Child, evmesh_argv
from evmesh.app.clock import ClockMaster
from evmesh.app.config import SiteConfig
from evmesh.app.free_port import free_port
from evmesh.app.inputs import check_databases, load_inputs, open_directory
from evmesh.app.run_file import RunFile
from evmesh.app.services import supervise
from evmesh.app.sim_door import SOCKET, wait_until_open
from evmesh.app.sim_equipment import simulated_devices
from evmesh.app.sim_hardware import PARTS
from evmesh.app.site_gateway import gateway_argv, write_gateway
from evmesh.domain.errors import InvalidInput, Refused, Unavailable
from evmesh.ledger.deploy import deploy
from evmesh.ledger.embedded import EmbeddedChain, EmbeddedConfig
from evmesh.ledger.keys import open_keys
from evmesh.sim.lines import unlink_all
from evmesh.sim.state import last_instant
from evmesh.store.database import Database
from evmesh.telemetry.broker import broker_command, wait_until_listening

_REAL_TIME = 1000
_READY_WITHIN_S = 60
_PAID_WITHIN_S = 300
"""The simulation takes orders once all its drivers have money, and there may be thousands of them."""
TELEMETRY_DB: Final = "EVMESH_TELEMETRY_DB"


@dataclass(frozen=True, slots=True)
class UpOptions:
    """What the command line says. Port 0 takes a free one."""

    site: Path
    data: Path
    port: int
    ocpp_port: int
    speed: int
    with_sim: bool = True
    telemetry_db: str = ""
    """Where the time series is; empty for the file in the data directory."""


@asynccontextmanager
async def running(options: UpOptions, say: Callable[[str], None]) -> AsyncIterator[RunFile]:
    """Start everything; ends it all, in order, when the block ends.

    All input is checked before anything is started. Raises InvalidInput for a wrong site, prices or
    sessions file or data directory, Refused for a port in use or a directory in use, IntegrityFailure
    for a damaged database, and whatever a child ended of that will not stay up.
    """
    site = load_inputs(options.site)
    _refuse_one_port_for_two(options)
    open_directory(options.data)
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_one(options.data))
        children = _children(options)
        for child in children.values():
            await child.end_leftover()
        check_databases(options.data)
        if options.telemetry_db:
            from evmesh.app.platform_telemetry import check_telemetry

            await check_telemetry(options.telemetry_db)
        unlink_all(options.data / PARTS)
        http_port = _claim_port(options.port, "--port")
        ocpp_port = _claim_port(options.ocpp_port, "--ocpp-port")

        clock = ClockMaster.start(options.data / "clock", await _resume_at(site, options.data), _REAL_TIME)
        chain = await stack.enter_async_context(EmbeddedChain(_chain_config(options.data, site), clock))
        clock.advance_to(datetime.fromtimestamp(await chain.rpc.block_time(), UTC))
        group = await stack.enter_async_context(_Tasks())
        group.start(supervise(chain))
        say("starting the chain and its contracts")
        await _make_contracts(chain, options.data)

        broker = broker_command(options.data / "broker", free_port())
        children["broker"] = Child("broker", broker.argv, options.data, broker.port)
        group.start(children["broker"].keep(_at_once, _ignore, say))
        await wait_until_listening(broker.port)

        run = RunFile(
            pid=os.getpid(),
            site=str(options.site.resolve()),
            speed=options.speed,
            http_port=http_port,
            ocpp_port=ocpp_port,
            mqtt_port=broker.port,
            rpc_url=chain.url,
            clock="clock",
            sim=SOCKET if options.with_sim else "",
            devices={name: free_port() for name in simulated_devices(site)},
        )
        run.save(options.data)
        stack.callback((options.data / "run.json").unlink, missing_ok=True)
        ready = asyncio.Event()

        async def when_ready() -> None:
            await _wait_ready(run)
            ready.set()

        def slow_down() -> None:
            ready.clear()
            clock.set_rate(_REAL_TIME)  # nobody is there to keep up: the pacer speeds up again

        say("starting the platform")
        group.start(children["platform"].keep(when_ready, slow_down, say))
        await _in_time("platform", ready.wait(), _READY_WITHIN_S, options.data)
        if options.with_sim:
            say("starting the simulated stations, cars and drivers")
            group.start(children["sim"].keep(_at_once, lambda: unlink_all(options.data / PARTS), say))
            await _in_time("sim", wait_until_open(options.data), _PAID_WITHIN_S, options.data)
        if write_gateway(options.data, site, run):
            group.start(children["edge"].keep(_at_once, _ignore, say))
        yield run


def _chain_config(data: Path, site: SiteConfig) -> EmbeddedConfig:
    """Have as many blocks made as somebody waits for: by itself this chain makes one when it is needed."""
    deepest = max(site.confirmations or 1, site.transfer.confirmations or 1)
    return EmbeddedConfig(data / "chain", port=free_port(), blocks_after=deepest - 1)


def _children(options: UpOptions) -> dict[str, Child]:
    data = str(options.data)
    return {
        "platform": Child(
            "platform",
            evmesh_argv("serve-platform", "--data", data),
            options.data,
            environment={TELEMETRY_DB: options.telemetry_db},
        ),
        "sim": Child("sim", evmesh_argv("serve-sim", "--data", data), options.data),
        "edge": Child("edge", gateway_argv(options.data), options.data),
        "broker": Child("broker", (), options.data),
    }


async def _resume_at(site: SiteConfig, data: Path) -> datetime:
    """Go on where the last record was, the simulated hardware's too: none of them is in the future.

    A fresh directory begins when the site file says.
    """
    known = [site.start.astimezone(UTC), last_instant(data / "sim" / "sim.db")]
    if (data / "state.db").exists():
        database = Database(f"sqlite+aiosqlite:///{data / 'state.db'}")
        try:
            await database.migrate()
            async with database.begin() as unit:
                known.append(await unit.last_instant())
        finally:
            await database.close()
    return max(one for one in known if one is not None)


async def _make_contracts(chain: EmbeddedChain, data: Path) -> None:
    keys = open_keys(data / "keys")
    for signer in (keys.deployer, keys.operator, keys.relayer, keys.notary):
        await chain.fund(signer.address)
    await deploy(chain.rpc, data, keys.deployer)


async def _in_time(
    child: Literal["platform", "sim"], ready: Awaitable[object], within_s: float, data: Path
) -> None:
    try:
        async with asyncio.timeout(within_s):
            await ready
    except TimeoutError:
        raise Unavailable(
            f"{child}.not_ready",
            f"the process {child!r} is not ready after {within_s} s",
            do=f"read {data / 'logs' / f'{child}.log'}",
        ) from None


async def _wait_ready(run: RunFile) -> None:
    async with httpx.AsyncClient(base_url=run.http_url, trust_env=False) as client:
        while True:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get("/readyz")).status_code == httpx.codes.OK:
                    return
            await asyncio.sleep(0.05)


class _Tasks:
    """A task group that is cancelled, and awaited, when its block ends."""

    def __init__(self) -> None:
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in reversed(self._tasks):
            if not task.cancelling():  # a second time would break off the ending of its process
                task.cancel()
        if isinstance(error, Exception):
            kind = error = trace = None  # it goes on as it is, not in a group of errors that nobody explains
        await self._group.__aexit__(kind, error, trace)

    def start(self, coroutine: Coroutine[None, None, None]) -> None:
        """Run it until the block ends; an error in it ends the block."""
        self._tasks.append(self._group.create_task(coroutine))


async def _at_once() -> None:
    """Nothing has to be waited for."""


def _ignore() -> None:
    """Nothing follows from this death."""


def _refuse_one_port_for_two(options: UpOptions) -> None:
    if options.port == options.ocpp_port != 0:
        raise InvalidInput(
            "port.twice",
            f"port {options.port} cannot be that of the page and that of the stations",
            do="name another with --port or --ocpp-port (0 takes a free one)",
        )


def _claim_port(port: int, option: str) -> int:
    """Give a port that is free now; raises Refused `port.in_use`."""
    if port == 0:
        return free_port()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise Refused(
                "port.in_use",
                f"port {port} cannot be used: {error.strerror}",
                do=f"end the program that uses it, or name another with {option} (0 takes a free one)",
            ) from error
    return port


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    with (data / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                "platform.already_running",
                f"evmesh already runs in {data}",
                do="stop it first, or use another --data directory",
            ) from error
        yield
