"""One measured figure, beside the baseline that ran in the same minute on the same machine."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure to print and to keep.

    `baseline` is the same work done the plain way, in the same unit; None where nothing compares.
    `exact` says that the figure does not depend on the machine (gas, bytes), so that a changed
    snapshot is a changed program.
    """

    name: str
    unit: str
    value: float
    baseline: float | None = None
    baseline_name: str = ""
    better: Literal["lower", "higher"] = "lower"
    exact: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times better than the baseline; below 1 it is worse."""
        if self.baseline is None or not self.value or not self.baseline:
            return None
        return self.baseline / self.value if self.better == "lower" else self.value / self.baseline


def seconds_per_call(work: Callable[[], object], *, at_least_s: float = 0.2, rounds: int = 5) -> float:
    """Time one call: the best of `rounds`, each long enough for the clock not to matter."""
    calls, spent = 1, 0.0
    while spent < at_least_s / rounds:
        calls *= 2
        spent = _time(work, calls)
    return min(spent, *(_time(work, calls) for _ in range(rounds - 1))) / calls


def _time(work: Callable[[], object], calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        work()
    return time.perf_counter() - started
