"""Check a schedule or a refusal against its problem, without planning anything.

A yes holds when four conditions do, each exact and in integers:
  1. every row stays within 0 and max_wh inside its window, and adds up to energy_wh;
  2. the load of each step fits into its segments, filled cheapest first;
  3. a segment in use costs at most λ of its step, one with room left at least λ;
  4. no request takes energy in a step whose λ is above that of a step where it could take more.
Complementary slackness makes them sufficient for least cost: against the prices λ, no request and
no segment could do better, so no other schedule costs less. They say nothing about which of
several equally cheap schedules was chosen; λ itself is not unique.

A no holds when the energy that cannot avoid the named steps exceeds all that they supply.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import Problem, Request, SupplySegment, parse_problem, problem_sha256
from evmesh.domain.schedule import Refusal, Schedule, ScheduleRow, parse_schedule


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a certificate holds; if not, a stable code and the path of what is false."""

    ok: bool
    code: str = ""
    path: str = ""


class _False(Exception):
    def __init__(self, code: str, path: str) -> None:
        super().__init__(code)
        self.verdict = Verdict(False, code, path)


def verify_schedule(problem_raw: bytes, schedule_raw: bytes) -> Verdict:
    """Check `evmesh.schedule/1` against `evmesh.problem/1`, both as the bytes of their files.

    Raises InvalidInput where the problem cannot be read: then there is nothing to hold an answer
    against. An answer that cannot be read is a false one.
    """
    problem = parse_problem(problem_raw)
    try:
        answer = parse_schedule(schedule_raw)
        if answer.problem_sha256 != problem_sha256(problem_raw):
            raise _False("schedule.other_problem", "problem_sha256")
        if isinstance(answer, Schedule):
            _check_yes(problem, answer)
        else:
            _check_no(problem, answer)
    except InvalidInput as error:
        return Verdict(False, error.code, error.path)
    except _False as found:
        return found.verdict
    return Verdict(True)


def _check_yes(problem: Problem, schedule: Schedule) -> None:
    if len(schedule.step_price) != problem.steps:
        raise _False("schedule.step_count", "step_price")
    load = [0] * problem.steps
    for request, row, path in _pairs(problem, schedule.rows):
        _check_row(request, row, path, problem.steps)
        for step, wh in enumerate(row.wh, row.first):
            load[step] += wh
    cost = 0
    for step, segments in enumerate(problem.segments_by_step()):
        cost += _check_step(step, load[step], segments, schedule.step_price[step])
    for request, row, path in _pairs(problem, schedule.rows):
        _check_no_cheaper_step(request, row, path, schedule)
    if cost != schedule.objective:
        raise _False("schedule.objective_differs", "objective")


def _pairs(problem: Problem, rows: tuple[ScheduleRow, ...]) -> Iterator[tuple[Request, ScheduleRow, str]]:
    """Join rows and requests one to one, in the order of the rows."""
    waiting = {request.id: request for request in problem.requests}
    for number, row in enumerate(rows):
        request = waiting.pop(row.id, None)
        if request is None:
            known = any(row.id == other.id for other in rows[:number])
            raise _False("schedule.row_twice" if known else "schedule.row_unknown", f"rows[{number}].id")
        yield request, row, f"rows[{number}]"
    if waiting:
        raise _False("schedule.row_missing", "rows")


def _check_row(request: Request, row: ScheduleRow, path: str, steps: int) -> None:
    """Condition 1: inside the window, between 0 and max_wh, and energy_wh in all."""
    if row.first < 0 or row.end > steps:
        raise _False("schedule.outside_horizon", f"{path}.first")
    for number, wh in enumerate(row.wh):
        at = f"{path}.wh[{number}]"
        if wh < 0:
            raise _False("schedule.negative", at)
        if wh > request.max_wh:
            raise _False("schedule.above_max", at)
        if wh and not request.arrival <= row.first + number < request.departure:
            raise _False("schedule.outside_window", at)
    if sum(row.wh) != request.energy_wh:
        raise _False("schedule.energy_differs", f"{path}.wh")


def _check_step(step: int, load_wh: int, cheapest_first: list[SupplySegment], price: int) -> int:
    """Conditions 2 and 3: fill the segments in price order; gives Σ Wh × price."""
    left, cost = load_wh, 0
    for segment in cheapest_first:
        used = min(left, segment.cap_wh)
        left -= used
        cost += used * segment.price
        if used and segment.price > price:
            raise _False("schedule.price_below_used", f"step_price[{step}]")
        if used < segment.cap_wh and segment.price < price:
            raise _False("schedule.price_above_unfilled", f"step_price[{step}]")
    if left:
        raise _False("schedule.over_capacity", f"supply of step {step}")
    return cost


def _check_no_cheaper_step(request: Request, row: ScheduleRow, path: str, schedule: Schedule) -> None:
    """Condition 4: the dearest step it uses is not above the cheapest where it could take more."""
    dearest_used = cheapest_free = None
    for step in range(request.arrival, request.departure):
        price, wh = schedule.step_price[step], row.at(step)
        if wh > 0 and (dearest_used is None or price > dearest_used):
            dearest_used = price
        if wh < request.max_wh and (cheapest_free is None or price < cheapest_free):
            cheapest_free = price
    if dearest_used is not None and cheapest_free is not None and dearest_used > cheapest_free:
        raise _False("schedule.not_cheapest", path)


def _check_no(problem: Problem, refusal: Refusal) -> None:
    previous = -1
    for number, step in enumerate(refusal.steps):
        if not previous < step < problem.steps:
            raise _False("refusal.bad_steps", f"steps[{number}]")
        previous = step
    deficit = _deficit_wh(problem, refusal.steps)
    if deficit <= 0:
        raise _False("refusal.no_deficit", "steps")
    if refusal.deficit_wh != min(deficit, MAX_DOCUMENT_INT):  # as far as a document's integers reach
        raise _False("refusal.deficit_differs", "deficit_wh")
    for number, offer in enumerate(refusal.offers or ()):
        if offer.energy_wh <= 0:
            raise _False("refusal.bad_offer", f"offers[{number}].energy_wh")
        if not 0 < offer.departure <= problem.steps:
            raise _False("refusal.bad_offer", f"offers[{number}].departure")


def _deficit_wh(problem: Problem, steps: tuple[int, ...]) -> int:
    """Σ max(0, energy − max_wh × steps of the window outside the set) − supply of the set."""
    named_before = [0] * (problem.steps + 1)
    for step in steps:
        named_before[step + 1] = 1
    for step in range(problem.steps):
        named_before[step + 1] += named_before[step]
    forced = 0
    for request in problem.requests:
        named = named_before[request.departure] - named_before[request.arrival]
        elsewhere = request.max_wh * (request.window_steps - named)
        forced += max(0, request.energy_wh - elsewhere)
    capacities = problem.capacities()
    return forced - sum(capacities[step] for step in steps)
