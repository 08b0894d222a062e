"""A child that outlives a kill of its parent is found again by its pid file, and never mistaken."""

import asyncio
import contextlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_ENDS_WITHIN_S: Final = 10.0


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
            found = json.loads(path.read_text())
            return cls(int(found["pid"]), str(found["started"]), int(found["port"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

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
    """Give boot id and start time of a process; None where it does not run."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2 :].split()  # the name before may hold spaces and parentheses
    state, start_ticks = fields[0], fields[19]
    return None if state in ("Z", "X") else f"{boot}/{start_ticks}"
