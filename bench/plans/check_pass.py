"""One pass of the checker, compiled: the four conditions of a certificate over the planner's own layout.

The unit in which a plan's cost is told: what it takes to look at every cell of it once. It checks what
`verify/schedule.py` checks, on the arrays rather than on the files.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

from evmesh.planning.arrays import Int64, ProblemArrays
from evmesh.planning.fill import Fill

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

LOWEST, HIGHEST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def _compiled(kernel: _Kernel) -> _Kernel:
    return cast(_Kernel, numba.njit(cache=True, error_model="numpy", boundscheck=False)(kernel))


def holds(arrays: ProblemArrays, filled: Fill) -> bool:
    """Tell whether the rows are a cheapest schedule by the prices that stand beside them."""
    cost = _cost(
        arrays.arrival,
        arrays.departure,
        arrays.energy_wh,
        arrays.max_wh,
        arrays.segment_step,
        arrays.segment_cap_wh,
        arrays.segment_price,
        filled.x_wh,
        filled.step_price,
    )
    return cost is not None and (int(cost[0]) << 32) + int(cost[1]) == filled.objective


@_compiled
def _cost(
    arrival: Int64,
    departure: Int64,
    energy_wh: Int64,
    max_wh: Int64,
    segment_step: Int64,
    segment_cap_wh: Int64,
    segment_price: Int64,
    x: Int64,
    step_price: Int64,
) -> tuple[int, int] | None:
    load = np.zeros(len(step_price), np.int64)
    cell = 0
    for i in range(len(arrival)):
        most, total = max_wh[i], np.int64(0)
        lowest, highest, dearest_used, cheapest_free = np.int64(0), most, LOWEST, HIGHEST
        for step in range(arrival[i], departure[i]):
            wh, price = x[cell], step_price[step]
            cell += 1
            load[step] += wh
            total += wh
            lowest, highest = min(lowest, wh), max(highest, wh)
            dearest_used = max(dearest_used, price if wh > 0 else LOWEST)
            cheapest_free = min(cheapest_free, price if wh < most else HIGHEST)
        if lowest < 0 or highest > most or total != energy_wh[i] or dearest_used > cheapest_free:
            return None
    if cell != len(x):
        return None
    high = low = np.int64(0)
    for segment in range(len(segment_step)):  # cheapest first, as the arrays have them
        step, cap, price = segment_step[segment], segment_cap_wh[segment], segment_price[segment]
        used = min(load[step], cap)
        load[step] -= used
        if (used and price > step_price[step]) or (used < cap and price < step_price[step]):
            return None
        cost = used * price
        high += cost >> 32
        low += cost & 0xFFFFFFFF
    for step in range(len(load)):
        if load[step]:
            return None
    return int(high), int(low)
