"""The chain that runs on a laptop: anvil as a child, whose blocks follow platform time.

A block is made when a transaction waits, at most every 100 ms. Its timestamp is platform time, or that
of the block before where several fall into one second. The state goes to disk after blocks, 2 s apart
or more; a kill of anvil loses what came since, and the relayers send it again.
"""

import asyncio
import contextlib
import fcntl
import platform
import shutil
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.chain_state import StateFile
from evmesh.ledger.child_process import ChildRecord, start_mark
from evmesh.ledger.rpc import JsonRpc
from evmesh.ports import Clock

_log = structlog.get_logger(__name__)
_ROOT: Final = Path(__file__).parents[3]
_NPM_PLATFORMS: Final = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_LOOPBACK: Final = "127.0.0.1"
_UP_WITHIN_S: Final = 20.0
_ENDS_WITHIN_S: Final = 10.0
_STATES_IN_MEMORY: Final = 64


@dataclass(frozen=True, slots=True)
class EmbeddedConfig:
    """Where it keeps its state, and how often it does what. `port` 0 takes a free one."""

    directory: Path
    chain_id: int = 31337
    port: int = 0
    seal_every_s: float = 0.05
    tell_time_every_s: float = 1.0
    dump_every_s: float = 2.0
    dump_share: float = 0.1
    """Of the time at most is spent on dumping: a large state is dumped less often."""
    blocks_after: int = 0
    """Empty blocks that follow the last one with a transaction, for those who wait for confirmations."""


async def _nothing() -> None:
    """Do nothing."""


class EmbeddedChain:
    """One anvil. `async with` starts and ends it; `run` makes the blocks and has to run meanwhile."""

    name = "chain"

    def __init__(
        self,
        config: EmbeddedConfig,
        clock: Clock,
        *,
        on_restart: Callable[[], Awaitable[object]] = _nothing,
    ) -> None:
        """`on_restart` is called where anvil died and came back from its last dump."""
        self._config = config
        self._clock = clock
        self._on_restart = on_restart
        self._pid_file = config.directory / "anvil.pid"
        self._state = StateFile(config.directory)
        self._held = contextlib.ExitStack()
        self._process: asyncio.subprocess.Process | None = None
        self._port = config.port
        self._last_timestamp = 0
        self._dirty = asyncio.Event()
        self._making = asyncio.Lock()
        """Held by whoever makes a block or a dump: anvil dumps blocks and accounts one after the other, and
        what was mined between them would be in the accounts and in no block."""
        self._rpc: JsonRpc | None = None

    @property
    def url(self) -> str:
        """Give where its JSON-RPC is; it stays the same over a restart by `run`."""
        return f"http://{_LOOPBACK}:{self._port}"

    @property
    def rpc(self) -> JsonRpc:
        if self._rpc is None:
            raise Unavailable("chain.away", "the embedded chain was not started")
        return self._rpc

    async def __aenter__(self) -> Self:
        self._config.directory.mkdir(parents=True, exist_ok=True)
        self._held.enter_context(_only_one(self._config.directory / "lock"))
        try:
            await self._end_leftover()
            self._port = _free_port(self._config.port)
            self._rpc = JsonRpc(self.url)
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stop()

    async def run(self) -> None:
        """Make blocks until cancelled; starts anvil again where it has died.

        Raises Unavailable `chain.died` when it dies: run again then.
        """
        restarted = not self._is_alive()
        if restarted:
            await self._start()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                group.create_task(self._seal())
                group.create_task(self._tell_time())
                group.create_task(self._keep_dumped())
                if restarted:
                    group.create_task(_run(self._on_restart))
        except* Unavailable as gone:
            raise Unavailable("chain.died", "the embedded chain ended", do="it is started again") from gone

    async def fund(self, account: Address, wei: int = 10**24) -> None:
        """See that an account can pay for gas."""
        if int(await self.rpc.call("eth_getBalance", account.text, "latest"), 16) < wei // 2:
            await self.rpc.call("anvil_setBalance", account.text, hex(wei))
            self._dirty.set()

    async def dump(self) -> None:
        """Put the present state on disk."""
        self._dirty.clear()
        async with self._making:
            await self._state.dump(self.rpc)

    async def _end_leftover(self) -> None:
        """End the anvil that a killed parent left behind, its state saved first."""
        leftover = ChildRecord.load(self._pid_file)
        if leftover is None or not leftover.is_alive():
            return
        async with JsonRpc(f"http://{_LOOPBACK}:{leftover.port}") as rpc:
            await self._save(rpc)
        await leftover.end()

    async def _save(self, rpc: JsonRpc) -> None:
        """Mine what waits and dump it, before the end: of one that hangs the last dump counts."""
        try:
            self._last_timestamp = max(self._last_timestamp, await rpc.block_time())
            await self._mine(rpc)
            await self._state.dump(rpc)
        except EvmeshError as error:
            _log.warning("chain.not_saved", why=error.describe())

    def _is_alive(self) -> bool:
        """Ask the kernel: a child's return code comes later than its death."""
        return self._process is not None and start_mark(self._process.pid) is not None

    async def _start(self) -> None:
        state = await self._state.unpack()
        log = (self._config.directory / "anvil.log").open("wb")
        with log:
            self._process = await asyncio.create_subprocess_exec(
                *anvil_command(self._config.chain_id, self._port, _seconds(self._clock.now()), state),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for us: it ends after its last dump
            )
        pid = self._process.pid
        ChildRecord(pid, start_mark(pid) or "", self._port).save(self._pid_file)
        await self._wait_until_up()
        self._last_timestamp = await self.rpc.block_time()

    async def _wait_until_up(self) -> None:
        waited = 0.0
        while True:
            if not self._is_alive():
                raise self._did_not_start()
            try:
                await self.rpc.call("eth_chainId")
            except Unavailable as error:
                if waited > _UP_WITHIN_S:
                    raise self._did_not_start() from error
            else:
                return
            await asyncio.sleep(0.03)
            waited += 0.03

    def _did_not_start(self) -> Unavailable:
        said = (self._config.directory / "anvil.log").read_text(errors="replace").strip()
        return Unavailable("chain.did_not_start", f"anvil did not start: {said[-300:] or 'it said nothing'}")

    async def _stop(self) -> None:
        try:
            if self._is_alive():
                await self._save(self.rpc)
        finally:
            try:
                if self._process is not None:
                    await _end(self._process)
                    self._pid_file.unlink(missing_ok=True)
            finally:
                if self._rpc is not None:
                    await self._rpc.aclose()
                self._held.close()

    async def _watch(self) -> None:
        process = self._process
        if process is not None:
            await process.wait()
        raise Unavailable("chain.died", "anvil ended")

    async def _seal(self) -> None:
        to_follow = self._config.blocks_after  # before a kill they may not have come
        while True:
            if to_follow or await self._pending():
                await self._mine(self.rpc)
                self._dirty.set()
                filled = await self._is_filled()
                to_follow = self._config.blocks_after if filled else max(0, to_follow - 1)
            await asyncio.sleep(self._config.seal_every_s)

    async def _is_filled(self) -> bool:
        """Say whether the newest block has a transaction: one may have come after the last look."""
        if not self._config.blocks_after:
            return True
        block = await self.rpc.call("eth_getBlockByNumber", "latest", False)
        return bool(block["transactions"])

    async def _pending(self) -> int:
        return int((await self.rpc.call("txpool_status"))["pending"], 16)

    async def _mine(self, rpc: JsonRpc) -> None:
        async with self._making:
            self._last_timestamp = max(self._last_timestamp, _seconds(self._clock.now()))
            await rpc.call("evm_mine", hex(self._last_timestamp))

    async def _tell_time(self) -> None:
        """Let estimates see platform time also where no block is made."""
        while True:
            await self.rpc.call("evm_setTime", max(self._last_timestamp, _seconds(self._clock.now())))
            await asyncio.sleep(self._config.tell_time_every_s)

    async def _keep_dumped(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._dirty.wait()
            began = loop.time()
            await self.dump()
            took = loop.time() - began
            await asyncio.sleep(max(self._config.dump_every_s, took / self._config.dump_share))


def anvil_command(chain_id: int, port: int, timestamp: int, state: Path | None) -> list[str]:
    """Give how anvil is started; raises Unavailable `chain.no_anvil` where there is none."""
    machine = _NPM_PLATFORMS.get(platform.machine(), platform.machine())
    package = f"@foundry-rs/anvil-{platform.system().lower()}-{machine}"
    from_npm = _ROOT / "node_modules" / package / "bin" / "anvil"
    binary = str(from_npm) if from_npm.exists() else shutil.which("anvil")
    if binary is None:
        raise Unavailable(
            "chain.no_anvil",
            "anvil is not installed",
            do=f"run `npm ci` in evmesh's clone, or put anvil on PATH: `npm install -g {package}`, "
            "or Foundry from https://getfoundry.sh",
        )
    options: dict[str, object] = {
        "--host": _LOOPBACK,
        "--port": port,
        "--chain-id": chain_id,
        "--hardfork": "cancun",
        "--timestamp": timestamp,
        "--accounts": 0,
        "--prune-history": _STATES_IN_MEMORY,
    }
    if state is not None:
        options["--load-state"] = state
    values = [str(part) for option in options.items() for part in option]
    return [binary, "--no-mining", "--quiet", *values]


async def _end(process: asyncio.subprocess.Process) -> None:
    """Ask it to end, then make it; never leaves it behind, not even when cancelled."""
    try:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(_ENDS_WITHIN_S):
                await process.wait()
    except TimeoutError:
        pass
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
    await process.wait()


async def _run(callback: Callable[[], Awaitable[object]]) -> None:
    await callback()


def _seconds(instant: datetime) -> int:
    return int(instant.timestamp() // 1)


def _free_port(wanted: int) -> int:
    """Give the wanted port, or any for 0; raises Refused `chain.port_in_use`."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as anvil does, after a restart
        try:
            listener.bind((_LOOPBACK, wanted))
        except OSError as error:
            raise Refused(
                "chain.port_in_use",
                f"port {wanted} is somebody else's",
                do="name another port, or 0 for a free one",
            ) from error
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the directory; the system frees it at a crash."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                "chain.already_running",
                f"another process runs the chain of {path.parent}",
                do="stop it first, or use another data directory",
            ) from error
        yield
