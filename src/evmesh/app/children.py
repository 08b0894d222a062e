"""Processes that the supervisor keeps: found again after a kill, ended together, started again."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, IntegrityFailure, InvalidInput, Unavailable
from evmesh.ledger.child_process import ChildRecord, start_mark

_log = structlog.get_logger(__name__)
_FIRST_DELAY_S = 0.2
_MAX_DELAY_S = 10.0
_STEADY_S = 30.0
"""After this long a child counts as healthy, and the next restart is quick again."""

_TRIES = 3
"""As often in a row a child may end at once before that is reported."""

_HOPELESS: Final = (InvalidInput.exit_code, IntegrityFailure.exit_code)
"""Started again, it would find the same input and the same records."""

_CLASS_OF_EXIT: Final = {kind.exit_code: kind for kind in EvmeshError.__subclasses__()}
_TAIL_LINES: Final = 8
_TAIL_BYTES: Final = 4_000


class Child:
    """One process; its pid file is `DIR/{name}.pid`, its output `DIR/logs/{name}.log`."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        data: Path,
        port: int = 0,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`environment` is what it gets beside ours: secrets, which nobody shall read from its arguments."""
        self.name = name
        self._environment = environment or {}
        self._argv = argv
        self._port = port
        self._pid_file = data / f"{name}.pid"
        self._log_file = data / "logs" / f"{name}.log"
        self._log_begins = 0
        self._was_steady = False
        self.restarts = 0

    async def end_leftover(self) -> None:
        """End the process that a killed supervisor left behind."""
        leftover = ChildRecord.load(self._pid_file)
        if leftover is not None and leftover.is_alive():
            await leftover.end()

    async def keep(
        self,
        on_start: Callable[[], Awaitable[object]],
        on_death: Callable[[], object],
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Run until cancelled; a child that ends by itself is started again, with back-off.

        Raises what the child failed of, with the end of its log, where another start cannot help: it
        ended for wrong input or damaged records, or it never stayed up in three tries. One that did
        before is reported to `say`, and tried further.
        """
        delay, failures = _FIRST_DELAY_S, 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            status = await self._run_once(on_start)
            on_death()
            self.restarts += 1
            _log.warning("child.ended", child=self.name, status=status, log=str(self._log_file))
            if status in _HOPELESS:
                raise self._failure(status)
            if loop.time() - began > _STEADY_S:
                self._was_steady = True
                delay, failures = _FIRST_DELAY_S, 0
            elif status == -signal.SIGKILL:  # killed from outside: nothing says that it would fail again
                delay = _FIRST_DELAY_S
            else:
                failures += 1
            if failures == _TRIES:
                if not self._was_steady:
                    raise self._failure(status)
                say(f"{self._failure(status).what}\nIt is started again and again.")
            await asyncio.sleep(delay)
            delay = min(2 * delay, _MAX_DELAY_S)

    async def _run_once(self, on_start: Callable[[], Awaitable[object]]) -> int:
        """Give how it ended: its exit code, or minus the signal that killed it."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        with self._log_file.open("ab") as log:
            self._log_begins = log.tell()
            process = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment},
                start_new_session=True,  # Ctrl-C is for the supervisor, which ends its children in order
            )
        record = ChildRecord(process.pid, start_mark(process.pid) or "", self._port)
        try:
            record.save(self._pid_file)
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

    def _failure(self, status: int) -> EvmeshError:
        """Say how it ended, and what it said last, as an error of the class of its exit code."""
        kind = _CLASS_OF_EXIT.get(status, Unavailable)
        how = f"exit code {status}" if status >= 0 else f"signal {-status}"
        said = self._tail()
        return kind(
            f"{self.name}.ended",
            f"{self.name} ended by itself ({how})" + (f"; it said:\n{said}" if said else ""),
            do=f"see {self._log_file}",
        )

    def _tail(self) -> str:
        """Give the last lines of this run's log."""
        try:
            with self._log_file.open("rb") as log:
                end = log.seek(0, 2)
                log.seek(max(self._log_begins, end - _TAIL_BYTES))
                lines = log.read(_TAIL_BYTES).decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:])


async def _quietly(start: Callable[[], Awaitable[object]]) -> None:
    await start()


def evmesh_argv(*arguments: str) -> list[str]:
    """Give the command that runs another part of evmesh with this interpreter."""
    return [sys.executable, "-m", "evmesh.app.main", *arguments]
