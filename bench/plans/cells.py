"""What the solvers share: the cells of a problem, and the form of their answers."""

from typing import NamedTuple

import numpy as np

from evmesh.planning.arrays import Int64, ProblemArrays


class Solved(NamedTuple):
    """The fastest method's time and objective; no objective where a limit came first."""

    seconds: float
    objective: float | None
    method: str


def cells(arrays: ProblemArrays) -> tuple[Int64, Int64]:
    """Give (car, step) of every cell, one window after the other."""
    lengths = arrays.departure - arrays.arrival
    car = np.repeat(np.arange(len(lengths)), lengths)
    first_cell = np.cumsum(lengths) - lengths
    return car, np.arange(len(car)) - first_cell[car] + arrays.arrival[car]
