"""A running `evmesh up` whose processes can be killed, at a named point or at any time.

Nothing of the platform is imported into it: it starts the command, reads pid files, and looks into
the databases while others write them. Waiting is for conditions, with a time-out in wall seconds.
"""

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from evmesh.app.run_file import RunFile
from evmesh.domain.errors import Unavailable
from evmesh.domain.sessions import TERMINAL
from evmesh.ledger.child_process import ChildRecord
from tests.e2e.kill import site_files

SPEED = 240
POINT_WITHIN_S = 120.0
"""How long a crash point may take to be reached before the test fails."""
BACK_WITHIN_S = 120.0
_LOOK_S = 0.02

Row = dict[str, Any]


@dataclass(frozen=True)
class Crash:
    """One kill: what was killed where, and the sessions that were open then, with their states."""

    what: str
    open_sessions: dict[str, str]


@dataclass(repr=False)
class World:
    """One data directory, and the supervisor that runs on it at present."""

    data: Path
    site_dir: Path
    speed: int = SPEED
    crashes: list[Crash] = field(default_factory=list)
    _supervisor: subprocess.Popen[bytes] | None = None

    # Starting and ending.

    async def start(self) -> None:
        """Run `evmesh up` until the platform is ready."""
        self.data.mkdir(parents=True, exist_ok=True)
        left = self.children()
        command = [sys.executable, "-m", "evmesh.app.main", "up", "--port", "0", "--ocpp-port", "0"]
        with (self.data / "up.log").open("ab") as log:
            self._supervisor = subprocess.Popen(
                [
                    *command,
                    *("--site", str(self.site_dir / "site.toml"), "--data", str(self.data)),
                    *("--speed", str(self.speed)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self.until_true(
            lambda: not any(record.is_alive() for record in left), "all that was left is ended", BACK_WITHIN_S
        )
        await self.back()

    async def back(self) -> None:
        """Wait until both processes run and the platform answers that it is ready."""

        async def ready() -> bool:
            if self._supervisor is None or self._supervisor.poll() is not None:
                raise AssertionError(f"evmesh up has ended: {self._tail('up.log')}")
            if not (self.is_alive("platform") and self.is_alive("sim")):
                return False
            with contextlib.suppress(Unavailable, httpx.TransportError):
                answer = await client.get(f"{RunFile.load(self.data).http_url}/readyz")
                return answer.status_code == 200
            return False

        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            await self.until(ready, "the platform and the simulation run again", BACK_WITHIN_S)

    def stop(self) -> None:
        """End it as Ctrl-C does, and make sure that nothing is left."""
        if self._supervisor is None:
            return
        if self._supervisor.poll() is None:
            self._supervisor.send_signal(signal.SIGTERM)
            try:
                self._supervisor.wait(60)
            except subprocess.TimeoutExpired:
                self._supervisor.kill()
                self._supervisor.wait()
        for record in self.children():
            with contextlib.suppress(ProcessLookupError):
                if record.is_alive():
                    os.kill(record.pid, signal.SIGKILL)

    # Killing.

    def child(self, name: str) -> ChildRecord | None:
        """Give what the pid file of a child says."""
        return ChildRecord.load(self.data / ("chain/anvil.pid" if name == "chain" else f"{name}.pid"))

    def children(self) -> list[ChildRecord]:
        """Give every child that has a pid file."""
        records = (self.child(name) for name in ("platform", "sim", "broker", "chain"))
        return [record for record in records if record is not None]

    def is_alive(self, name: str) -> bool:
        """Say whether the child that the pid file names runs."""
        record = self.child(name)
        return record is not None and record.is_alive()

    async def running(self, name: str) -> ChildRecord:
        """Give a child's record once it runs."""
        await self.until_true(lambda: self.is_alive(name), f"{name} runs", BACK_WITHIN_S)
        record = self.child(name)
        assert record is not None
        return record

    async def kill(self, *names: str) -> None:
        """Kill children at once with SIGKILL, and wait until they are dead."""
        records = [await self.running(name) for name in names]
        for record in records:
            os.kill(record.pid, signal.SIGKILL)
        for record in records:
            await self.dead(record)

    async def kill_supervisor(self) -> None:
        """Kill `evmesh up` itself; its children live on."""
        assert self._supervisor is not None
        self._supervisor.kill()
        self._supervisor.wait()

    async def dead(self, record: ChildRecord) -> None:
        """Wait until this very process is dead."""
        await self.until_true(lambda: not record.is_alive(), f"process {record.pid} is dead", BACK_WITHIN_S)

    async def arm(self, point: str) -> ChildRecord:
        """Have the platform stop itself where it next passes `point`; give the process that will."""
        record = await self.running("platform")
        fresh = self.data / "failpoint.new"
        fresh.write_text(f"{point} stop")
        fresh.replace(self.data / "failpoint")
        return record

    async def died_at(self, point: str, armed: ChildRecord) -> Crash:
        """Kill the armed process at its point, and say what it left; fails where it was never reached."""
        file = self.data / "failpoint"

        def stands() -> bool:
            if not armed.is_alive():
                raise AssertionError(f"the platform ended by itself, not at {point}: {self._tail(_LOG)}")
            return not file.exists() and _is_stopped(armed.pid)

        try:
            await self.until_true(stands, f"the platform passes {point}", POINT_WITHIN_S)
        finally:
            file.unlink(missing_ok=True)
        self.crashes.append(Crash(point, self.open_sessions()))
        os.kill(armed.pid, signal.SIGKILL)
        await self.dead(armed)
        return self.crashes[-1]

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Stop a child's time while the block runs."""
        record = self.child(name)
        assert record is not None
        os.kill(record.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):  # it may have been killed meanwhile
                os.kill(record.pid, signal.SIGCONT)

    # Looking.

    def rows(self, query: str, *values: object, database: str = "state.db") -> list[Row]:
        """Read from a database of the platform or, as `sim/sim.db`, of the simulation."""
        db = sqlite3.connect(f"file:{self.data / database}?mode=ro", uri=True, timeout=30)
        try:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query, values)]
        finally:
            db.close()

    def open_sessions(self) -> dict[str, str]:
        """Give the state of every session that has not ended."""
        ended = ",".join(f"'{state}'" for state in sorted(TERMINAL))
        rows = self.rows(f"SELECT id, state FROM sessions WHERE state NOT IN ({ended})")
        return {row["id"]: row["state"] for row in rows}

    def open_in(self, state: str) -> list[str]:
        """Give the sessions that are in this state."""
        return [id for id, now in self.open_sessions().items() if now == state]

    async def until_true(self, condition: Callable[[], bool], what: str, within_s: float) -> None:
        """Wait for a condition; raises AssertionError with `what` where it does not come."""

        async def holds() -> bool:
            return condition()

        await self.until(holds, what, within_s)

    async def until(self, condition: Callable[[], Any], what: str, within_s: float) -> None:
        """Wait for a condition that has to be asked; raises AssertionError where it does not come."""
        try:
            async with asyncio.timeout(within_s):
                while not await condition():
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError:
            raise AssertionError(
                f"not within {within_s:.0f} s: {what}; open: {self.open_sessions()}; {self._tail(_LOG)}"
            ) from None

    # Visitors.

    async def let_cars_come(self) -> None:
        """Restart the simulation with visitors."""
        site_files.let_cars_come(self.site_dir)
        await self.kill("sim")
        await self.back()

    async def quiet(self, within_s: float) -> None:
        """Let nobody come any more, and wait until all sessions have ended and nothing is owed."""
        site_files.let_nobody_come(self.site_dir)
        await self.kill("sim")
        await self.back()
        await self.until_quiet(within_s)

    async def until_quiet(self, within_s: float) -> None:
        """Wait until all sessions have ended and nothing is owed."""
        await self.until_true(self._is_quiet, "every session has ended, nothing is owed", within_s)

    def _is_quiet(self) -> bool:
        owed = self.rows("SELECT number FROM effects WHERE done = 0")
        unsent = self.rows("SELECT seq FROM message", database="sim/sim.db")
        visits = self.rows("SELECT key FROM visit WHERE ended = 0", database="sim/sim.db")
        transfers = self.rows("SELECT ref FROM deposits WHERE settled = 0")
        transfers += self.rows("SELECT tx_hash FROM transfers WHERE deposit IS NULL")
        return not (self.open_sessions() or owed or unsent or visits or transfers)

    def _tail(self, log: str) -> str:
        path = self.data / log
        return path.read_text(errors="replace")[-1500:] if path.exists() else f"there is no {log}"


_LOG = "logs/platform.log"


def _is_stopped(pid: int) -> bool:
    """Say whether a process stands still, as the kernel has it (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
