"""Why one request's plan is as it is: facts read off a certificate that has been checked.

Nothing is planned here. With λ from the schedule, each step of the request's window has one reason
for not giving it more; the refusal's set of steps says what had to fall there and what they supply.
Others appear as counts and energies only: whose they are is not this request's business.
"""

from dataclasses import dataclass
from typing import Literal

from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Offer, Refusal, Schedule, ScheduleRow

Binding = Literal["own_power", "capacity", "price", "nothing"]
"""Why a step gives no more: the car's power, the supply of the step is used up, what is left is dearer
than anything this car pays for, or nothing at all: the car just needs no more."""


@dataclass(frozen=True, slots=True)
class StepFacts:
    """One step of the window. Prices are micro-currency per kWh.

    `next_price` is that of the next Wh of the step's supply, None where all of it is used.
    `cheaper_wh` is its supply below the dearest λ that this request pays; all of that is in use.
    """

    step: int
    wh: int
    step_price: int
    load_wh: int
    cap_wh: int
    others: int
    others_wh: int
    others_at_limit: int
    next_price: int | None
    cheaper_wh: int
    binds: Binding


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """A yes, for one request.

    `dearest_used` is the greatest λ of the steps in which it charges, `cheapest_free` the least λ of
    those in which it could take more; None where there is no such step. One more Wh costs at least
    `cheapest_free`, and at most `more_at_most`, the price of unused supply within its reach.
    """

    request: Request
    steps: tuple[StepFacts, ...]
    dearest_used: int | None
    cheapest_free: int | None
    more_at_most: int | None


@dataclass(frozen=True, slots=True)
class RefusalFacts:
    """A no, as it looks to one request.

    `forced_wh` of its energy has no place but `steps`; `others` more requests force `others_wh` there.
    `fits_at_most_wh` bounds what it could have while all others keep theirs; None where the others
    alone are too much for the steps.
    """

    request: Request
    steps: tuple[int, ...]
    cap_wh: int
    forced_wh: int
    others: int
    others_wh: int
    deficit_wh: int
    fits_at_most_wh: int | None
    offers: tuple[Offer, ...]


def explain_schedule(problem: Problem, schedule: Schedule, request_id: str) -> PlanFacts:
    """Give the facts of one request; `schedule` must have been verified against `problem`.

    Raises InvalidInput `problem.unknown_id`.
    """
    request, row = problem.request(request_id), schedule.row(request_id)
    window = range(request.arrival, request.departure)
    priced = [(schedule.step_price[step], row.at(step)) for step in window]
    dearest_used = max((price for price, wh in priced if wh), default=None)
    segments = _segments(problem, window)
    crowd = _Crowd(problem, schedule, request)
    steps = tuple(
        _step(request, row, crowd, step, schedule.step_price[step], segments[step], dearest_used)
        for step in window
    )
    within_reach = [one.next_price for one in steps if one.wh < request.max_wh]
    return PlanFacts(
        request=request,
        steps=steps,
        dearest_used=dearest_used,
        cheapest_free=min((price for price, wh in priced if wh < request.max_wh), default=None),
        more_at_most=min((price for price in within_reach if price is not None), default=None),
    )


def _segments(problem: Problem, window: range) -> dict[int, list[SupplySegment]]:
    found: dict[int, list[SupplySegment]] = {step: [] for step in window}
    for segment in sorted(problem.supply, key=lambda one: one.price):
        if segment.step in found:
            found[segment.step].append(segment)
    return found


class _Crowd:
    """What all other requests do in each step of one request's window. Shape of each: [step]."""

    def __init__(self, problem: Problem, schedule: Schedule, request: Request) -> None:
        self.count = [0] * problem.steps
        self.wh = [0] * problem.steps
        self.at_limit = [0] * problem.steps
        limits = {one.id: one.max_wh for one in problem.requests}
        for row in schedule.rows:
            if row.id != request.id:
                self._add(row, limits[row.id], request)

    def _add(self, row: ScheduleRow, max_wh: int, request: Request) -> None:
        for step in range(max(row.first, request.arrival), min(row.end, request.departure)):
            wh = row.at(step)
            if wh:
                self.count[step] += 1
                self.wh[step] += wh
                self.at_limit[step] += wh == max_wh


def _step(
    request: Request,
    row: ScheduleRow,
    crowd: _Crowd,
    step: int,
    step_price: int,
    cheapest_first: list[SupplySegment],
    dearest_used: int | None,
) -> StepFacts:
    wh = row.at(step)
    load_wh = wh + crowd.wh[step]
    next_price = _next_price(load_wh, cheapest_first)
    return StepFacts(
        step=step,
        wh=wh,
        step_price=step_price,
        load_wh=load_wh,
        cap_wh=sum(one.cap_wh for one in cheapest_first),
        others=crowd.count[step],
        others_wh=crowd.wh[step],
        others_at_limit=crowd.at_limit[step],
        next_price=next_price,
        cheaper_wh=sum(
            one.cap_wh for one in cheapest_first if dearest_used is not None and one.price < dearest_used
        ),
        binds=_binds(wh, request.max_wh, next_price, dearest_used),
    )


def _next_price(load_wh: int, cheapest_first: list[SupplySegment]) -> int | None:
    for segment in cheapest_first:
        if load_wh < segment.cap_wh:
            return segment.price
        load_wh -= segment.cap_wh
    return None


def _binds(wh: int, max_wh: int, next_price: int | None, dearest_used: int | None) -> Binding:
    if wh == max_wh:
        return "own_power"
    if next_price is None:
        return "capacity"
    return "price" if dearest_used is not None and next_price > dearest_used else "nothing"


def explain_refusal(problem: Problem, refusal: Refusal, request_id: str) -> RefusalFacts:
    """Give what a refusal says about one request; it must have been verified against `problem`.

    Raises InvalidInput `problem.unknown_id`.
    """
    request = problem.request(request_id)
    named = set(refusal.steps)
    before = [0]
    for step in range(problem.steps):
        before.append(before[-1] + (step in named))
    forced = {one.id: _forced_wh(one, before) for one in problem.requests}
    cap_wh = sum(one.cap_wh for one in problem.supply if one.step in named)
    own_wh = forced.pop(request.id)
    others_wh = sum(forced.values())
    deficit_wh = own_wh + others_wh - cap_wh
    return RefusalFacts(
        request=request,
        steps=refusal.steps,
        cap_wh=cap_wh,
        forced_wh=own_wh,
        others=sum(wh > 0 for wh in forced.values()),
        others_wh=others_wh,
        deficit_wh=deficit_wh,
        fits_at_most_wh=request.energy_wh - deficit_wh if deficit_wh <= own_wh else None,
        offers=refusal.offers or (),
    )


def _forced_wh(request: Request, named_before: list[int]) -> int:
    """Give the energy that has no other place than the named steps."""
    named = named_before[request.departure] - named_before[request.arrival]
    return max(0, request.energy_wh - request.max_wh * (request.window_steps - named))
