"""What each plugged car may take in the rest of a step, and the limits that this comes to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from evmesh.domain.sessions import Session
from evmesh.domain.stations import Connector, LimitPeriod, LimitProfile
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import (
    SECONDS_PER_HOUR,
    Milliamp,
    W,
    Wh,
    current_from_watts,
    energy_from_watts,
    watts_from_current,
    watts_from_energy,
)
from evmesh.planning.board import Fuse as FuseLimit
from evmesh.planning.dispatch import DispatchConnector, Dispatched, GroupLimit, dispatch
from evmesh.services.directory import Place
from evmesh.services.fuses import Fuse, lines_of
from evmesh.services.limits import FuseRoom, Room, Times
from evmesh.services.plan_in_force import Plan

SLOT_S = 60
PLANNER = "planner"
"""The source of limits that follow from the plan alone."""

_SAFE_AFTER_DEPARTURE = timedelta(days=1)
"""How long the safe current holds for a car that stays, should we be away for so long."""

_LEAST_RUN_S = 5 * SLOT_S
"""For how long a car that is off must be able to charge for it to be begun with what is left over."""

_HIDDEN_WH = 2
"""What a register that counts whole Wh hides at a start, and again at an end."""


@dataclass(frozen=True, slots=True)
class Due:
    """One plugged session: what it may take in the rest of this step, and later."""

    session: Session
    place: Place
    pseudonym: str
    left: int
    now_wh: Wh
    max_wh: Wh
    phases: int
    """Over how many of the outlet's phases the car charges."""
    offer: W
    """The most that it is worth being offered, as the outlet's power."""
    draws: bool
    """Its limit let it draw until now."""
    rating: Room
    """What the outlet may give: less than it could while a cap of its own is in force."""

    @property
    def connector(self) -> Connector:
        return self.place.connector

    def load(self, wh: int) -> Wh:
        """Give the cabinet's energy that must be kept free for so much to reach the car, rounded up.

        A current may flow on all of the outlet's phases, whatever the car made of it so far.
        """
        return Wh(-(-wh * self.connector.phases // self.phases))

    def reaches(self, load: int) -> Wh:
        """Give what of so much reaches the car, rounded down."""
        return Wh(load * self.phases // self.connector.phases)


@dataclass(slots=True)
class Spare:
    """What a car may have of the unused rest of a step: what it is owed, and what it may have sooner."""

    owed: int = 0
    more: int = 0


def limit_of(rooms: Sequence[FuseRoom], dues: Sequence[Due]) -> GroupLimit:
    """Put what each shared limit has left into the words of the dispatch."""
    names = {due.connector.ref: due.pseudonym for due in dues}
    fuses = tuple(
        FuseLimit(
            one.room.now,
            frozenset(names[ref] for ref in one.fuse.shares if ref in names),
            one.fuse.line,
        )
        for one in rooms[1:]
    )
    return GroupLimit(power=rooms[0].room.now, fuses=fuses)


def cut_into_currents(
    dues: Sequence[Due], spare: Mapping[str, Spare], limit: GroupLimit, left_s: int
) -> Dispatched:
    """Cut energy into currents; what is handed out sooner takes from nobody what is due now.

    A cabinet that is full by energy may have no place for a car's blocks of 6 A.
    """
    owed = {due.pseudonym: due.now_wh + spare.get(due.pseudonym, Spare()).owed for due in dues}
    least = dispatch([_dispatched(due, owed[due.pseudonym], left_s) for due in dues], limit, left_s, SLOT_S)
    if not any(one.more for one in spare.values()):
        return least
    for quarters in (4, 3, 2, 1):
        more = {
            due.pseudonym: owed[due.pseudonym]
            + _worth_beginning(due, owed[due.pseudonym], spare[due.pseudonym].more * quarters // 4)
            for due in dues
        }
        cut = dispatch([_dispatched(due, more[due.pseudonym], left_s) for due in dues], limit, left_s, SLOT_S)
        if all(_carried(cut, due) >= min(_carried(least, due), owed[due.pseudonym]) for due in dues):
            return cut
    return least


def _worth_beginning(due: Due, owed: int, more: int) -> int:
    """Give what a car may have sooner; nothing for one that is off, if it would soon be off again.

    Hysteresis: a charger that goes on for a minute at 6 A, and off, and on, wears its relays and its car.
    """
    least = energy_from_watts(watts_from_current(due.connector.least_current, due.phases), _LEAST_RUN_S)
    return more if due.draws or owed or more >= min(least, due.left) else 0


def _carried(cut: Dispatched, due: Due) -> Wh:
    milliamp_slots = sum(cut.currents[due.pseudonym])
    return energy_from_watts(watts_from_current(Milliamp(milliamp_slots), due.phases), cut.slot_s)


def without(planned: Sequence[Wh], wh: int) -> list[Wh]:
    """Take energy out of the steps that come first."""
    rest = []
    for step in planned:
        taken = min(step, wh)
        rest.append(Wh(step - taken))
        wh -= taken
    return rest


def _dispatched(due: Due, wh: int, left_s: int) -> DispatchConnector:
    """Put a car on the board."""
    return DispatchConnector(
        id=due.pseudonym,
        lines=lines_of(due.connector),
        max_current=min(due.connector.max_current, current_from_watts(due.offer, due.connector.phases)),
        due_wh=due.load(_whole_slot(due, wh, left_s)),
        min_current=due.connector.least_current,
        draws=due.draws,
    )


def _whole_slot(due: Due, wh: int, left_s: int) -> Wh:
    """Round the last of a car's energy up: what is less than a slot at the least current would never come.

    A register shows whole Wh: what it still hides must not cost another slot.
    """
    if not 0 < due.left <= wh:
        return Wh(wh)
    least = watts_from_current(due.connector.least_current, due.phases)
    slot_wh = -(-least * min(SLOT_S, left_s) // SECONDS_PER_HOUR)  # rounded down it would be too little
    return Wh(max(wh + _HIDDEN_WH, slot_wh))


def mean_of(plan: Plan, due: Due, end: datetime) -> W:
    """Give the outlet's mean power in the step from `end` on, by the plan."""
    return min(watts_from_energy(due.load(plan.planned(due.session, end)), STEP_S), due.rating.next)


def shared(rooms: Sequence[tuple[Fuse, W]], wanted: Iterable[tuple[Due, W]]) -> list[W]:
    """Give each car what it wants while there is room at every limit it is behind; too little is nothing."""
    left = [int(room) for _, room in rooms]
    given = []
    for due, want in wanted:
        ref = due.connector.ref
        behind = [(number, fuse) for number, (fuse, _) in enumerate(rooms) if ref in fuse.shares]
        power = min([want, *(fuse.power(ref, left[number]) for number, fuse in behind)])
        if current_from_watts(power, due.connector.phases) < due.connector.least_current:
            power = W(0)
        given.append(power)
        for number, fuse in behind:
            left[number] -= -(-power // fuse.shares[ref])
    return given


def profile_of(
    times: Times, slot_s: int, currents: Sequence[Milliamp], due: Due, mean: W, safe: W
) -> LimitProfile:
    """Put a connector's limits into one profile."""
    phases, rating = due.connector.phases, due.rating.now
    limits = [
        (slot * slot_s, min(watts_from_current(current, phases), rating))
        for slot, current in enumerate(currents)
    ]
    left_s = max(len(currents) * slot_s, int((times.end - times.now).total_seconds()))
    limits.append((left_s, mean))
    limits.append((left_s + int((times.over - times.end).total_seconds()), safe))
    periods: list[LimitPeriod] = []
    for offset_s, limit in limits:
        if not periods or periods[-1].limit != limit:
            periods.append(LimitPeriod(offset_s, limit))
    expires = max(due.session.terms.departure, times.end) + _SAFE_AFTER_DEPARTURE
    return LimitProfile(times.now, expires, tuple(periods), PLANNER)
