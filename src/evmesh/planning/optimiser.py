"""Answer a planning problem: a schedule of least cost, or a refusal; either with its certificate.

Ties are broken for the driver: of equally cheap schedules the group charges as early as it can,
and within a step requests are served in order of their id. The answer depends on the problem only,
not on the order of its rows. Exact in integers throughout.
"""

import numpy as np

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, problem_sha256, write_problem
from evmesh.domain.schedule import Refusal, Schedule, ScheduleRow
from evmesh.domain.units import Wh
from evmesh.planning.arrays import Int64, ProblemArrays, to_arrays
from evmesh.planning.greedy import Fill, fill


def solve(problem: Problem, *, sha256: str | None = None) -> Schedule | Refusal:
    """Give the cheapest schedule that serves every request in full, or the proof that none can.

    `sha256` is the hash of the file that the problem was read from; without it the answer is bound
    to the bytes that `write_problem` gives.
    """
    sha256 = sha256 or problem_sha256(write_problem(problem))
    arrays = to_arrays(problem)
    beyond_window = _beyond_own_window_wh(arrays)
    if beyond_window:
        # No set of steps is needed to see this: the empty one says which kind of no it is.
        return Refusal(sha256, (), Wh(min(beyond_window, MAX_DOCUMENT_INT)))
    filled = fill(arrays)
    if filled.cut:
        return Refusal(sha256, filled.cut, Wh(min(sum(filled.missing_wh.tolist()), MAX_DOCUMENT_INT)))
    return _schedule(problem, arrays, filled, sha256)


def _beyond_own_window_wh(arrays: ProblemArrays) -> int:
    window_wh = arrays.max_wh * (arrays.departure - arrays.arrival)
    return sum(np.maximum(arrays.energy_wh - window_wh, 0).tolist())


def _schedule(problem: Problem, arrays: ProblemArrays, filled: Fill, sha256: str) -> Schedule:
    load_wh = filled.x_wh.sum(axis=0)
    rows: list[ScheduleRow | None] = [None] * len(problem.requests)
    for number, x_wh in zip(arrays.order.tolist(), filled.x_wh, strict=True):
        request = problem.requests[number]
        rows[number] = _row(request.id, request.arrival, x_wh)
    return Schedule(
        problem_sha256=sha256,
        rows=tuple(row for row in rows if row is not None),
        step_price=_step_prices(problem, load_wh.tolist(), filled),
        objective=_objective(problem, load_wh.tolist()),
    )


def _row(request_id: str, arrival: int, x_wh: Int64) -> ScheduleRow:
    """Give the row from the first to the last step with energy; `x_wh` is [step]."""
    used = np.flatnonzero(x_wh)
    if not used.size:
        return ScheduleRow(request_id, arrival, ())
    return ScheduleRow(request_id, int(used[0]), tuple(x_wh[used[0] : used[-1] + 1].tolist()))


def _step_prices(problem: Problem, load_wh: list[int], filled: Fill) -> tuple[Price, ...]:
    """Give λ: the price at which a step froze; an idle step has that of its own next Wh.

    The first would do as a certificate for idle steps too, but says less: what a Wh would have
    cost there is what the flexibility reward needs.
    """
    prices = filled.frozen_at.tolist()
    for step, segments in enumerate(problem.segments_by_step()):
        with_room = [segment.price for segment in segments if segment.cap_wh]
        if not load_wh[step] and with_room:
            prices[step] = with_room[0]
    return tuple(Price(price) for price in prices)


def _objective(problem: Problem, load_wh: list[int]) -> int:
    """Give Σ Wh × price over the segments as the loads fill them, cheapest first."""
    total = 0
    for left, segments in zip(load_wh, problem.segments_by_step(), strict=True):
        for segment in segments:
            used = min(left, segment.cap_wh)
            total += used * segment.price
            left -= used
    return total
