"""Give back what a car does not draw: charge others earlier with it, where that costs no more.

Stated needs are often too high, so planned energy goes unused every few minutes. Between two
plans the group may hand it on: a car that is there now and has energy planned for later takes
some of it now. It is done only while a Wh now costs no more than the Wh that it replaces, by the
prices of the segments at the margin, so handing on never makes the plan dearer; at equal cost
earlier is better, since more cars leave early than late. What a later Wh is worth to those who are
still to come may be foreseen in those prices (`newcomers.py`), and differ from place to place.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule, ScheduleRow
from evmesh.domain.units import Wh

NOTHING: Final[Mapping[str, Sequence[int]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Extra:
    """Energy that a car takes now instead of in `from_step`."""

    id: str
    wh: Wh
    from_step: int


@dataclass(slots=True)
class Shared:
    """A limit between the supply and some cars, and what it has left in the step, in Wh.

    `shares` {id: (n, d)}: of each Wh that the car takes the limit carries n/d.
    """

    room: int
    shares: Mapping[str, tuple[int, int]]

    def most(self, id: str) -> int:
        """Give how much a car could take more."""
        times, parts = self.shares[id]
        return max(0, self.room) * parts // times

    def take(self, id: str, wh: int) -> None:
        """Count with so much more."""
        times, parts = self.shares[id]
        self.room -= -(-wh * times // parts)


def hand_on(
    problem: Problem,
    schedule: Schedule,
    step: int,
    draws: Mapping[str, Wh],
    surcharges: Mapping[str, Sequence[int]] = NOTHING,
    shared: Sequence[Shared] = (),
) -> tuple[Extra, ...]:
    """Share out what the step has unused, given what some cars will really draw in it.

    `draws` holds only cars that draw less than planned; they get nothing more. All others are
    taken to draw their plan. Dearest later step first, then the latest, then by id. The sum of
    Extra and plan stays within every request's max_wh and within the step's supply. `surcharges`
    {id: [step]} is what a Wh is worth more at a car's place than the supply says; `shared` are limits
    on the way, with what the plan leaves of them, and less when it returns.
    Raises InvalidInput `spare.bad_draw` for a car that draws more than its plan.
    """
    load = schedule.loads()
    rows = {row.id: row for row in schedule.rows}
    for request_id, drawn in draws.items():
        planned = rows[request_id].at(step) if request_id in rows else Wh(0)
        if not 0 <= drawn <= planned:
            raise InvalidInput("spare.bad_draw", f"{drawn} Wh of {planned} planned", path=request_id)
        load[step] -= planned - drawn
    segments = problem.segments_by_step()
    takers = [request for request in problem.requests if request.id not in draws]
    extras: list[Extra] = []
    room = {request.id: request.max_wh - rows[request.id].at(step) for request in takers}
    saved = [_next_down(segments[at], load[at])[0] for at in range(problem.steps)]
    here = _there_in_both(takers, step)
    places = [(request, surcharges.get(request.id, ())) for request in here]
    moves = [
        (-saved[at] - (more := dearer[at] if dearer else 0), -at, request.id, request, more)
        for request, dearer in places
        for at in range(max(step + 1, rows[request.id].first), min(problem.steps, rows[request.id].end))
    ]
    for _, before, _, request, more in sorted(moves, key=lambda one: one[:3]):
        later, limits = -before, [one for one in shared if request.id in one.shares]
        wish = min(room[request.id], rows[request.id].at(later), *(one.most(request.id) for one in limits))
        moved = _movable_wh(segments[step], load[step], segments[later], load[later], wish, more)
        if moved:
            room[request.id] -= moved
            load[step] += moved
            load[later] -= moved
            for one in limits:
                one.take(request.id, moved)
            extras.append(Extra(request.id, Wh(moved), later))
    return tuple(extras)


def _there_in_both(requests: list[Request], step: int) -> list[Request]:
    """Keep who is there now; a row is empty outside its window, so later needs no check."""
    return [request for request in requests if request.arrival <= step < request.departure]


def _movable_wh(
    now: list[SupplySegment],
    load_now: int,
    later: list[SupplySegment],
    load_later: int,
    wish: int,
    more: int,
) -> int:
    """Give how much of `wish` can move from later to now while each Wh costs no more than before.

    A Wh is worth `more` later than the supply says.
    """
    moved = 0
    while moved < wish:
        cost, room = _next_up(now, load_now + moved)
        saved, used = _next_down(later, load_later - moved)
        if not room or not used or cost > saved + more:
            break
        moved += min(room, used, wish - moved)
    return moved


def _next_up(cheapest_first: list[SupplySegment], load: int) -> tuple[int, int]:
    """Give the price of the next Wh on top of the load, and how many there are at that price."""
    for segment in cheapest_first:
        if load < segment.cap_wh:
            return segment.price, segment.cap_wh - load
        load -= segment.cap_wh
    return 0, 0


def _next_down(cheapest_first: list[SupplySegment], load: int) -> tuple[int, int]:
    """Give the price of the last Wh of the load, and how many there are at that price."""
    last = (0, 0)
    for segment in cheapest_first:
        if load <= 0:
            break
        last = (segment.price, min(load, segment.cap_wh)) if segment.cap_wh else last
        load -= segment.cap_wh
    return last


def row_with(row: ScheduleRow, step: int, extras: tuple[Extra, ...]) -> ScheduleRow:
    """Give a car's row with its extras moved from their steps to `step`."""
    mine = [extra for extra in extras if extra.id == row.id]
    if not mine:
        return row
    first, end = min(step, row.first), max(step + 1, row.end)
    wh = [row.at(at) for at in range(first, end)]
    for extra in mine:
        wh[step - first] = Wh(wh[step - first] + extra.wh)
        wh[extra.from_step - first] = Wh(wh[extra.from_step - first] - extra.wh)
    return ScheduleRow(row.id, first, tuple(wh))
