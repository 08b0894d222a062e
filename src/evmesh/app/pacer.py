"""Simulated time slows down when work lags, so that a fast day stays a consistent one.

Lag is a late event loop, or an effect (a start, a claim) that has been owed for a while of wall
time. Time then runs slower, down to real time; it recovers by itself and never jumps.
"""

import asyncio
from collections.abc import Callable

from evmesh.app.clock import ClockMaster

_LOOK_S = 0.1
_LATE_LOOP_S = 0.15
_LATE_EFFECT_S = 1.0


class Pacer:
    """Runs until cancelled; the only one who sets the rate while it runs."""

    name = "pacer"

    def __init__(self, clock: ClockMaster, speed: int, oldest_wait_s: Callable[[], float]) -> None:
        self._clock = clock
        self._full = speed * 1000
        self._oldest_wait_s = oldest_wait_s

    async def run(self) -> None:
        """Watch the lag and set the rate."""
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            await asyncio.sleep(_LOOK_S)
            late = loop.time() - began - _LOOK_S > _LATE_LOOP_S or self._oldest_wait_s() > _LATE_EFFECT_S
            rate = self._clock.rate_permille
            wanted = max(1000, rate // 2) if late else min(self._full, rate + max(1000, rate // 4))
            if wanted != rate:
                self._clock.set_rate(wanted)
