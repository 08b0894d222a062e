"""Simulated time slows down when work lags, so that a fast day stays a consistent one.

Lag is a late event loop, an effect (a start, a claim) that has been owed for a while of wall time,
or a request of the API that is still to be answered. Time then runs slower, down to real time; it
recovers by itself and never jumps. It also runs in real time while a station of the site is
away, unless it stays away, so that nothing passes unseen while things start or start again.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from evmesh.app.clock import ClockMaster

_LOOK_S = 0.1
_LATE_LOOP_S = 0.15
_LATE_WORK_S = 0.3
_COMPLETE_WITHIN_S = 20.0


class Waiting:
    """Knows since when the oldest piece of work in hand has been waiting."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}
        self._number = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count what the block does as work in hand."""
        self._number += 1
        number = self._number
        self._since[number] = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            del self._since[number]

    @property
    def oldest_s(self) -> float:
        """Wall seconds; 0 where nothing waits."""
        now = asyncio.get_running_loop().time()
        return now - min(self._since.values(), default=now)


class Pacer:
    """Runs until cancelled; the only one who sets the rate while it runs."""

    name = "pacer"

    def __init__(
        self,
        clock: ClockMaster,
        speed: int,
        oldest_wait_s: Callable[[], float],
        is_complete: Callable[[], bool],
    ) -> None:
        """`is_complete` says whether all stations are connected; those that stay away hold up nobody."""
        self._is_complete = is_complete
        self._clock = clock
        self._full = speed * 1000
        self._oldest_wait_s = oldest_wait_s

    async def run(self) -> None:
        """Watch the lag and set the rate."""
        loop = asyncio.get_running_loop()
        complete_at = loop.time()
        while True:
            began = loop.time()
            await asyncio.sleep(_LOOK_S)
            now = loop.time()
            if self._is_complete():
                complete_at = now
            is_waited_for = complete_at < now < complete_at + _COMPLETE_WITHIN_S
            late = now - began - _LOOK_S > _LATE_LOOP_S or self._oldest_wait_s() > _LATE_WORK_S
            rate = self._clock.rate_permille
            if is_waited_for:
                wanted = 1000  # what a station keeps to tell would soon be minutes old
            elif late:
                wanted = max(1000, rate // 2)
            else:
                wanted = min(self._full, rate + max(1000, rate // 4))
            if wanted != rate:
                self._clock.set_rate(wanted)
