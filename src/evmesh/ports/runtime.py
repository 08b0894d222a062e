"""What every part of a running platform needs: time, chance, a way to be restarted."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol


class AsyncService(Protocol):
    """Something that runs until it is cancelled."""

    name: str

    async def run(self) -> None:
        """Run for ever; raise Unavailable to be restarted, anything else to stop the platform."""


class Clock(Protocol):
    """Platform time: the only time that records, plans, deadlines and blocks carry."""

    def now(self) -> datetime:
        """Give aware UTC; it never goes back, not even over a restart."""

    def monotonic(self) -> float:
        """Give seconds of platform time for intervals."""

    async def sleep_until(self, instant: datetime) -> None:
        """Return once `now()` is at or past `instant`."""


Checkpoint = Callable[[str], None]
"""Called with the name of each point where a crash must be survivable; the kill tests crash there."""

Randomness = Callable[[int], bytes]
"""Gives so many bytes that nobody can guess (`secrets.token_bytes`)."""
