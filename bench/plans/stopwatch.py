"""The time that work takes, however busy the machine is: CPU time, or the clock's where that is less.

For work on one thread the two are the same on an idle machine; where a solver uses more threads, it is the
clock.
"""

import time
from collections.abc import Callable
from types import TracebackType


class Stopwatch:
    """`with Stopwatch() as watch: …`, then `watch.seconds`."""

    seconds = 0.0

    def __enter__(self) -> "Stopwatch":
        self._cpu, self._clock = time.process_time(), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        clock, cpu = time.perf_counter() - self._clock, time.process_time() - self._cpu
        self.seconds = min(clock, cpu)


def best_seconds(work: Callable[[], object], *, rounds: int = 40, round_s: float = 0.02) -> float:
    """Give the time of one call: the best of `rounds` short rounds, since other work only ever adds to it."""
    calls = 1
    with Stopwatch() as watch:
        work()
    if watch.seconds < round_s:
        calls = max(1, int(round_s / max(watch.seconds, 1e-6)))
    best = watch.seconds
    for _ in range(rounds):
        with Stopwatch() as watch:
            for _ in range(calls):
                work()
        best = min(best, watch.seconds / calls)
    return best
