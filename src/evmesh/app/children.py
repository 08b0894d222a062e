"""Processes that the supervisor keeps: found again after a kill, ended together, started again."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import structlog

from evmesh.ledger.child_process import ChildRecord, start_mark

_log = structlog.get_logger(__name__)
_FIRST_DELAY_S = 0.2
_MAX_DELAY_S = 10.0
_STEADY_S = 30.0
"""After this long a child counts as healthy, and the next restart is quick again."""


class Child:
    """One process; its pid file is `DIR/{name}.pid`, its output `DIR/logs/{name}.log`."""

    def __init__(self, name: str, argv: Sequence[str], data: Path, port: int = 0) -> None:
        self.name = name
        self._argv = argv
        self._port = port
        self._pid_file = data / f"{name}.pid"
        self._log_file = data / "logs" / f"{name}.log"
        self.restarts = 0

    async def end_leftover(self) -> None:
        """End the process that a killed supervisor left behind."""
        leftover = ChildRecord.load(self._pid_file)
        if leftover is not None and leftover.is_alive():
            await leftover.end()

    async def keep(self, on_start: Callable[[], Awaitable[object]], on_death: Callable[[], object]) -> None:
        """Run until cancelled; a child that ends by itself is started again, with back-off."""
        delay = _FIRST_DELAY_S
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._run_once(on_start)
            on_death()
            self.restarts += 1
            _log.warning("child.ended", child=self.name, log=str(self._log_file))
            if status == -signal.SIGKILL or loop.time() - began > _STEADY_S:
                delay = _FIRST_DELAY_S  # killed from outside: nothing says that it would fail again
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MAX_DELAY_S)

    async def _run_once(self, on_start: Callable[[], Awaitable[object]]) -> int:
        """Give how it ended: its exit code, or minus the signal that killed it."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the supervisor, which ends its children in order
            )
        record = ChildRecord(process.pid, start_mark(process.pid) or "", self._port)
        record.save(self._pid_file)
        try:
            async with asyncio.TaskGroup() as group:
                starting = group.create_task(_quietly(on_start))
                status = await process.wait()
                starting.cancel()
        finally:
            if process.returncode is None:
                await record.end()
                with contextlib.suppress(ProcessLookupError):
                    await process.wait()
            self._pid_file.unlink(missing_ok=True)
        return status


async def _quietly(start: Callable[[], Awaitable[object]]) -> None:
    await start()


def evmesh_argv(*arguments: str) -> list[str]:
    """Give the command that runs another part of evmesh with this interpreter."""
    return [sys.executable, "-m", "evmesh.app.main", *arguments]
