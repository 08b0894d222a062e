"""Answer a planning problem: a schedule of least cost, or a refusal; either with its certificate.

Ties are broken for the driver: of equally cheap schedules the group charges as early as it can,
and within a step requests are served in order of their id. The answer depends on the problem only,
not on the order of its rows, nor on whether numba is there. Exact in integers throughout.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache

import numpy as np

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, problem_sha256, write_problem
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.schedule import Refusal, Schedule, ScheduleRow
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning import greedy
from evmesh.planning.arrays import ProblemArrays, to_arrays
from evmesh.planning.fill import Fill
from evmesh.planning.shaped import solve_shaped


def solve(problem: Problem, *, sha256: str | None = None) -> Schedule | Refusal:
    """Give the cheapest schedule that serves every request in full, or the proof that none can.

    `sha256` is the hash of the file that the problem was read from; without it the answer is bound
    to the bytes that `write_problem` gives.
    """
    if isinstance(problem.shape, TreeShape):
        return solve_shaped(problem, problem.shape, sha256)
    sha256 = sha256 or problem_sha256(write_problem(problem))
    arrays = to_arrays(problem)
    beyond_window = beyond_own_window_wh(arrays)
    if beyond_window:
        # No set of steps is needed to see this: the empty one says which kind of no it is.
        return Refusal(sha256, (), Wh(min(beyond_window, MAX_DOCUMENT_INT)))
    filled = fill(arrays)
    if filled.cut.size:
        missing_wh = sum(filled.missing_wh.tolist())
        return Refusal(sha256, tuple(filled.cut.tolist()), Wh(min(missing_wh, MAX_DOCUMENT_INT)))
    return Schedule(
        problem_sha256=sha256,
        rows=_rows(problem, arrays, filled),
        step_price=tuple(map(Price, filled.step_price.tolist())),
        objective=filled.objective,
    )


def fill(arrays: ProblemArrays) -> Fill:
    """Place as much energy as there is room for, at least cost: compiled, where numba is."""
    return _fastest()(arrays)


@cache
def _fastest() -> Callable[[ProblemArrays], Fill]:
    # Imported when first needed: numba takes most of a second, and most commands plan nothing.
    try:
        from evmesh.planning import compiled
    except ImportError:
        return greedy.fill
    return compiled.fill


def prepare() -> None:
    """Compile the planner, or load what was compiled: seconds, the first time on a machine."""
    start = TimeGrid(datetime(2026, 1, 1, tzinfo=UTC), STEP_S, 1)
    request = Request("car", 0, 1, Wh(1), Wh(1))
    solve(Problem(start, (SupplySegment(0, Wh(1), Price(1)),), (request,)))


def beyond_own_window_wh(arrays: ProblemArrays) -> int:
    """Give the energy of all requests that not even their whole windows can hold."""
    window_wh = arrays.max_wh * (arrays.departure - arrays.arrival)
    return sum(np.maximum(arrays.energy_wh - window_wh, 0).tolist())


def _rows(problem: Problem, arrays: ProblemArrays, filled: Fill) -> tuple[ScheduleRow, ...]:
    """Give each request's row, from its first to its last step with energy, in the problem's order."""
    rows: list[ScheduleRow | None] = [None] * len(problem.requests)
    x_wh = filled.x_wh.tolist()
    begin = 0
    for number in arrays.order.tolist():
        request = problem.requests[number]
        end = begin + request.window_steps
        rows[number] = _row(request.id, request.arrival, x_wh[begin:end])
        begin = end
    return tuple(row for row in rows if row is not None)


def _row(request_id: str, arrival: int, wh: list[int]) -> ScheduleRow:
    used = [k for k, some in enumerate(wh) if some]
    if not used:
        return ScheduleRow(request_id, arrival, ())
    return ScheduleRow(request_id, arrival + used[0], tuple(wh[used[0] : used[-1] + 1]))
