"""How instants, runs of steps and counts are said in explanations of plans."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import groupby
from typing import Protocol, TypeVar

from evmesh.domain.nouns import noun
from evmesh.domain.strict import write_instant
from evmesh.domain.time_grid import TimeGrid

PRICE = "micro-currency/kWh"


class AtStep(Protocol):
    """Facts of one step."""

    @property
    def step(self) -> int: ...


One = TypeVar("One", bound=AtStep)


class Times:
    """Names steps by their instants."""

    def __init__(self, grid: TimeGrid) -> None:
        self._grid = grid

    def begin(self, step: int) -> str:
        """Give the instant at which a step begins, or the horizon ends."""
        return write_instant(self._grid.start + timedelta(seconds=step * self._grid.step_s))

    def span(self, first: int, last: int) -> str:
        """Name consecutive steps, both ends included."""
        count = last - first + 1
        return f"{self.begin(first)} to {self.begin(last + 1)} ({many(count, 'step')})"


def runs(steps: Iterable[One], alike: Callable[[One], tuple[object, ...]]) -> list[list[One]]:
    """Put consecutive steps of one kind together."""
    grouped = groupby(enumerate(steps), key=lambda pair: (pair[1].step - pair[0], alike(pair[1])))
    return [[one for _, one in run] for _, run in grouped]


def many(count: int, what: str) -> str:
    """Count, with thousands set apart and the plural where it is not one."""
    return f"{count:,} {noun(count, what)}"
