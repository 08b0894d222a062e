"""A planning problem as numpy arrays: what the algorithm works on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evmesh.domain.problem import Problem

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ProblemArrays:
    """All int64. Requests are in order of their id, segments in the order in which they open.

    That order is price, then step: so ties go to the earlier step. Shapes: `order` (where each
    request stands in the file), `arrival`, `departure`, `energy_wh` and `max_wh` are [request];
    `segment_step`, `segment_cap_wh` and `segment_price` are [segment].
    """

    steps: int
    order: Int64
    arrival: Int64
    departure: Int64
    energy_wh: Int64
    max_wh: Int64
    segment_step: Int64
    segment_cap_wh: Int64
    segment_price: Int64


def to_arrays(problem: Problem) -> ProblemArrays:
    """Give the arrays; ids compare by code point, whatever order the file has them in."""
    order = sorted(range(len(problem.requests)), key=lambda number: problem.requests[number].id)
    requests = [problem.requests[number] for number in order]
    supply = sorted(problem.supply, key=lambda one: (one.price, one.step))
    return ProblemArrays(
        steps=problem.steps,
        order=np.array(order, dtype=np.int64),
        arrival=np.array([one.arrival for one in requests], dtype=np.int64),
        departure=np.array([one.departure for one in requests], dtype=np.int64),
        energy_wh=np.array([one.energy_wh for one in requests], dtype=np.int64),
        max_wh=np.array([one.max_wh for one in requests], dtype=np.int64),
        segment_step=np.array([one.step for one in supply], dtype=np.int64),
        segment_cap_wh=np.array([one.cap_wh for one in supply], dtype=np.int64),
        segment_price=np.array([one.price for one in supply], dtype=np.int64),
    )
