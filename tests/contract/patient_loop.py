"""An event loop whose clock stands still while the machine is busy, for tests of short timeouts.

A module that says `LOOP = PatientLoop` runs on it; `conftest.py` looks for that.
"""

import asyncio
import selectors
import time
from typing import Final

LOOK_EVERY_S: Final = 0.02
LONGEST_STEP_S: Final = 0.05


class _Looking(selectors.DefaultSelector):
    """Waits for no longer than LOOK_EVERY_S at a time."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Give what is ready, or nothing soon."""
        return super().select(LOOK_EVERY_S if timeout is None else min(timeout, LOOK_EVERY_S))


class PatientLoop(asyncio.SelectorEventLoop):
    """Looks every LOOK_EVERY_S; where it comes to that later, LONGEST_STEP_S of the time counts.

    What is asked and who answers are often on one loop. Where this process does not run for a second, a
    timeout of half a second would be over before an answer that lies there already is read: that tells of
    the machine, and not of what is tested.
    """

    def __init__(self) -> None:
        self._looked, self._passed = time.monotonic(), 0.0
        super().__init__(_Looking())

    def time(self) -> float:
        """Give the seconds in which this process ran."""
        now = time.monotonic()
        self._passed += min(now - self._looked, LONGEST_STEP_S)
        self._looked = now
        return self._passed
