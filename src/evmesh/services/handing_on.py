"""What the running quarter-hour has unused, and which of the cars that are there may have it.

First cars for which no later step holds what rounding and late values left over, then cars that shall charge
as soon as possible, whatever the price, then by price: what a later Wh costs, or will be worth to those who
are still to come (`planning/newcomers.py`). No limit on the way gives more than it has.
"""

from collections.abc import Callable, Sequence

from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule, ScheduleRow
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import SECONDS_PER_HOUR, Wh
from evmesh.planning.newcomers import Foreseen
from evmesh.planning.spare import Shared, hand_on
from evmesh.services.dues import Due, Spare, without
from evmesh.services.limits import FuseRoom, Times
from evmesh.services.plan_in_force import Plan, step_start

Foresee = Callable[[Problem], Foreseen]
"""Give a problem with what its later energy will be worth."""


class _Room:
    """What is left of each limit in the rest of the step, beside what is due and handed out already."""

    def __init__(self, own: int, rooms: Sequence[FuseRoom], dues: Sequence[Due], left_s: int) -> None:
        self.own = own
        """Of the supply."""
        self.shared = [
            Shared(
                one.room.now * left_s // SECONDS_PER_HOUR,
                {
                    due.pseudonym: (due.connector.phases, due.phases * one.fuse.shares[due.connector.ref])
                    for due in dues
                    if due.connector.ref in one.fuse.shares
                },
            )
            for one in rooms
        ]
        for due in dues:
            self.take(due, due.now_wh)

    def take(self, due: Due, wh: int) -> None:
        self.own -= due.load(wh)
        for one in self._behind(due):
            one.take(due.pseudonym, wh)

    def more(self, due: Due, wh: int) -> int:
        """Give what a car that gets `wh` in the rest of the step could take on top, as room allows."""
        least = min([due.reaches(max(0, self.own)), *(one.most(due.pseudonym) for one in self._behind(due))])
        return max(0, min(due.left - wh, due.max_wh - wh, least))

    def _behind(self, due: Due) -> list[Shared]:
        return [one for one in self.shared if due.pseudonym in one.shares]


def spares_of(
    here: Sequence[SupplySegment],
    times: Times,
    dues: Sequence[Due],
    rooms: Sequence[FuseRoom],
    newest: Plan,
    foresee: Foresee,
) -> dict[str, Spare]:
    """Hand out what the rest of this step has unused, of the whole step's supply `here`.

    `rooms` are the limits between the supply and the cars.
    """
    later = newest.problem
    grid = TimeGrid(step_start(times.now), STEP_S, later.steps + 1)
    if later.grid.start != grid.start + grid.length:
        return {}
    left_s = max(1, int((times.end - times.now).total_seconds()))
    supply = [SupplySegment(0, Wh(one.cap_wh * left_s // STEP_S), one.price) for one in here]
    room = _Room(sum(one.cap_wh for one in supply), rooms, dues, left_s)
    supply += [SupplySegment(one.step + 1, one.cap_wh, one.price) for one in later.supply]
    rows = {row.id: row for row in newest.schedule.rows}
    planned = [
        [row.at(n) for n in range(row.end)] if (row := rows.get(due.pseudonym)) else [] for due in dues
    ]
    found = {due.pseudonym: Spare() for due in dues}
    for due, wh in zip(dues, planned, strict=True):
        if not any(wh):
            found[due.pseudonym].owed = more = room.more(due, due.now_wh)
            room.take(due, more)
    requests, shifted = [], []
    for due, wh in zip(dues, planned, strict=True):
        spare = found[due.pseudonym]
        if any(wh) and not due.session.terms.flexible:
            spare.more = room.more(due, due.now_wh)
            room.take(due, spare.more)
        both = (Wh(due.now_wh + spare.owed + spare.more), *without(wh, spare.more))
        requests.append(Request(due.pseudonym, 0, len(both), Wh(sum(both)), Wh(max(due.max_wh, both[0]))))
        shifted.append(ScheduleRow(due.pseudonym, 0, both))
    cheapest = min((one.price for one in here), default=0)
    schedule = Schedule("", tuple(shifted), (cheapest, *newest.schedule.step_price), 0)  # type: ignore[arg-type]
    seen = foresee(Problem(grid, tuple(supply), tuple(requests)))
    for one in hand_on(seen.problem, schedule, 0, {}, seen.surcharges, room.shared):
        found[one.id].more += one.wh
    return found
