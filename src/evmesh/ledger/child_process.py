"""A child that outlives a kill of its parent is found again by its pid file, and never mistaken."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from evmesh.domain.canonical import refuse_deep_nesting
from evmesh.domain.errors import InvalidInput

_ENDS_WITHIN_S: Final = 10.0
_PROC: Final = Path("/proc")
_PORTS: Final = 2**16
_DEAD: Final = ("Z", "X")


@dataclass(frozen=True, slots=True)
class ChildRecord:
    """What the pid file holds. `started` is the kernel's own mark: pids are used again, pairs are not."""

    pid: int
    started: str
    port: int

    def save(self, path: Path) -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(self)) + "\n")
        fresh.replace(path)

    @classmethod
    def load(cls, path: Path) -> "ChildRecord | None":
        """Read; None where there is no file, or one that a crash cut short."""
        try:
            raw = path.read_bytes()
            refuse_deep_nesting(raw)
            found = json.loads(raw)
            record = cls(int(found["pid"]), str(found["started"]), int(found["port"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, InvalidInput):
            return None
        return (
            record if record.pid > 0 and 0 <= record.port < _PORTS else None
        )  # kill(0) and kill(-1) hit many

    def is_alive(self) -> bool:
        """Say whether this very process still runs; a zombie does not."""
        return start_mark(self.pid) == self.started

    async def end(self) -> None:
        """Ask it to end, then make it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self.is_alive():
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)
            waited = 0.0
            while self.is_alive() and waited < _ENDS_WITHIN_S:
                await asyncio.sleep(0.02)
                waited += 0.02


def start_mark(pid: int) -> str | None:
    """Give what tells this process from a later one with the same id; None where it does not run."""
    return _mark_by_kernel(pid) if (_PROC / "self").exists() else _mark_by_ps(pid)


def _mark_by_kernel(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before may hold spaces and parentheses
    state, start_ticks = fields[0], fields[19]
    return None if state in _DEAD else f"{boot}/{start_ticks}"


def _mark_by_ps(pid: int) -> str | None:
    """Ask `ps`, for systems without /proc; its start time has a resolution of a second."""
    ps = shutil.which("ps")
    if ps is None:
        return None
    found = subprocess.run(
        [ps, "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    )
    state, _, started = found.stdout.strip().partition(" ")
    return started.strip() if state and state[0] not in _DEAD else None
