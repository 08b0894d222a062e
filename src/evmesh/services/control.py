"""Every quarter of an hour, and at every event, a group is planned again and limits go out.

What is left of the present step follows the plan that was newest when it began; what that leaves
unused is handed on to cars that would else charge later at no lower price. The result is cut into
minutes of 0 or 6 A and more (`planning/dispatch.py`), within what the connectors that nobody can
steer at present leave of the cabinet (`limits.py`).
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule, ScheduleRow
from evmesh.domain.sessions import Session, State
from evmesh.domain.stations import Connector, LimitPeriod, LimitProfile
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import (
    MIN_CURRENT,
    Milliamp,
    W,
    Wh,
    current_from_watts,
    energy_from_watts,
    watts_from_current,
    watts_from_energy,
)
from evmesh.planning.dispatch import DispatchConnector, Dispatched, GroupLimit, dispatch
from evmesh.planning.spare import hand_on
from evmesh.ports import ChargePoint, Clock
from evmesh.services.directory import Directory, Group, Place, Supply
from evmesh.services.limits import Limits, Room, Times, safe_limit
from evmesh.services.live import LiveState
from evmesh.services.plans import Plan, Planner, step_start
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
SLOT_S = 60
_HOLD_AFTER_STEP = timedelta(minutes=5)
"""How long planned limits hold past their step, should nothing new come; then the safe current rules."""

_SAFE_AFTER_DEPARTURE = timedelta(days=1)
"""How long the safe current holds for a car that stays, should we be away for so long."""

_HIDDEN_WH = 2
"""What a register that counts whole Wh hides at a start, and again at an end."""

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class _Due:
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


@dataclass(frozen=True, slots=True)
class _Plans:
    """The plan that governs this step, and the one for what comes after it."""

    running: Plan | None
    newest: Plan


class Control:
    """Runs until cancelled: plans groups and sends limits."""

    name = "control"

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        directory: Directory,
        planner: Planner,
        supply: Supply,
        live: LiveState,
        stations: ChargePoint,
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._directory = directory
        self._planner = planner
        self._supply = supply
        self._live = live
        self._at_risk: dict[str, set[str]] = {}
        """Sessions by group whose promise is short at present: logged when they change."""
        self._limits = Limits(transitions, clock, directory, live, stations)

    async def run(self) -> None:
        """Control every group once a minute of platform time, and whenever a session moves."""
        moved = self._transitions.moves()
        next_cycle = self._clock.now()
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = self._clock.now()
                if moved.is_set() or now >= next_cycle:
                    has_moved = moved.is_set()
                    moved.clear()
                    next_cycle = now + timedelta(seconds=SLOT_S)
                    for group in self._directory.groups.values():
                        await self._cycle(group, has_moved)
                self._limits.start(tasks)
                try:
                    async with asyncio.timeout(_POLL_S):
                        await moved.wait()
                except TimeoutError:
                    pass  # a minute of platform time may have passed

    async def once(self, group: Group, *, has_moved: bool) -> None:
        """Control one group once, and wait until every station has answered."""
        await self._cycle(group, has_moved)
        async with asyncio.TaskGroup() as tasks:
            self._limits.start(tasks)

    def may_begin(self, session: Session) -> bool:
        """Tell whether the cabinet has room for a session to begin now."""
        return self._limits.may_begin(session)

    async def _cycle(self, group: Group, has_moved: bool) -> None:
        async with self._transitions.read() as unit:
            now = self._clock.now()
            newest = await self._planner.current(unit, group.name)
            if has_moved or newest is None or newest.stored.start <= now:
                newest, short = await self._planner.replan(unit, group, now)
                if short.keys() != self._at_risk.get(group.name, set()):
                    self._at_risk[group.name] = set(short)
                    _log.info("promise.at_risk", group=group.name, at=now.isoformat(), missing_wh=dict(short))
            running = await self._planner.running(unit, group.name, now)
            found = await unit.sessions(open_only=True)
        sessions = [one for one in found if self._is_in(group, one)]
        self._limits.look(group, sessions)  # strays that it assumes count from here on
        until = step_start(now) + timedelta(seconds=STEP_S) + _HOLD_AFTER_STEP
        self._limits.wish(self.limits(group, now, sessions, _Plans(running, newest)), until)

    def _is_in(self, group: Group, session: Session) -> bool:
        place = self._directory.by_ref(session.terms.connector)
        return place is not None and place.connector.group == group.name

    def limits(
        self, group: Group, now: datetime, sessions: Sequence[Session], plans: _Plans
    ) -> Mapping[Session, LimitProfile]:
        """Give each charging session its limits until the step ends, and a little beyond.

        Those that obey share what the others leave. Who did not do what it was last asked for is asked
        again, for no more than it may draw already.
        """
        end = step_start(now) + timedelta(seconds=STEP_S)
        times = Times(now, end, end + _HOLD_AFTER_STEP)
        dues = [
            self._due(one, place, times, plans.running)
            for one in sessions
            if one.state in (State.CHARGING, State.SUSPENDED)
            and one.transaction_id is not None
            and (place := self._directory.by_ref(one.terms.connector)) is not None
        ]
        steered = [due for due in dues if self._limits.is_steered(due.connector.ref)]
        room = self._limits.room(group, {due.connector.ref for due in steered}, times)
        cut = self._cut(group, times, room, steered, plans)
        for due in dues:
            if due not in steered:
                held = self._limits.held(group, due.place, times)
                cut |= self._cut(group, times, held, [due], plans)
        return cut

    def _cut(
        self, group: Group, times: Times, room: Room, dues: Sequence[_Due], plans: _Plans
    ) -> dict[Session, LimitProfile]:
        """Share a room among connectors: by the minute, then the next step's mean, then the safe limit."""
        left_s = max(1, int((times.end - times.now).total_seconds()))
        spare = self._spare(replace(group, capacity=room.now), times, left_s, dues, plans.newest)
        cut = _dispatch(dues, spare, room.now, left_s)
        means = _shared(room.next, ((due, _mean(plans.newest, due, times.end)) for due in dues))
        safes = _shared(room.later, ((due, safe_limit(group, due.connector)) for due in dues))
        return {
            due.session: _profile(times, cut.slot_s, cut.currents[due.pseudonym], due, mean, safe)
            for due, mean, safe in zip(dues, means, safes, strict=True)
        }

    def _due(self, session: Session, place: Place, times: Times, running: Plan | None) -> _Due:
        planned = running.planned(session, times.now) if running else Wh(0)
        got = self._live.delivered_in_step(session, times.now)
        left = max(0, session.terms.energy - self._live.got(session, times.now))
        left_s = max(1, int((times.end - times.now).total_seconds()))
        phases = self._live.phases(session, place.connector)
        offer = self._live.offer(session, place.connector, times.now)
        max_wh = energy_from_watts(W(offer * phases // place.connector.phases), left_s)
        return _Due(
            session=session,
            place=place,
            pseudonym=self._planner.pseudonym(session),
            left=left,
            now_wh=Wh(min(left, max_wh, max(0, planned - got))),
            max_wh=max_wh,
            phases=phases,
            offer=offer,
        )

    def _spare(
        self, group: Group, times: Times, left_s: int, dues: Sequence[_Due], newest: Plan
    ) -> dict[str, "_Spare"]:
        """Hand out what the rest of this step has unused.

        First to cars for which no later step holds what rounding and late values left over, then to
        cars that shall charge as soon as possible, whatever the price, then by price.
        """
        later = newest.problem
        grid = TimeGrid(step_start(times.now), STEP_S, later.steps + 1)
        if later.grid.start != grid.start + grid.length:
            return {}
        here = self._supply(group, TimeGrid(grid.start, STEP_S, 1))
        supply = [replace(one, cap_wh=Wh(one.cap_wh * left_s // STEP_S)) for one in here]
        room: int = sum(one.cap_wh for one in supply) - sum(due.load(due.now_wh) for due in dues)
        supply += [SupplySegment(one.step + 1, one.cap_wh, one.price) for one in later.supply]
        rows = {row.id: row for row in newest.schedule.rows}
        planned = [
            [row.at(n) for n in range(row.end)] if (row := rows.get(due.pseudonym)) else [] for due in dues
        ]
        found = {due.pseudonym: _Spare() for due in dues}
        for due, wh in zip(dues, planned, strict=True):
            if not any(wh):
                found[due.pseudonym].owed = more = _room_for(due, due.now_wh, room)
                room -= due.load(more)
        requests, shifted = [], []
        for due, wh in zip(dues, planned, strict=True):
            spare = found[due.pseudonym]
            if any(wh) and not due.session.terms.flexible:
                spare.more = _room_for(due, due.now_wh, room)
                room -= due.load(spare.more)
            both = (Wh(due.now_wh + spare.owed + spare.more), *_without(wh, spare.more))
            requests.append(Request(due.pseudonym, 0, len(both), Wh(sum(both)), Wh(max(due.max_wh, both[0]))))
            shifted.append(ScheduleRow(due.pseudonym, 0, both))
        cheapest = min((one.price for one in here), default=0)
        schedule = Schedule("", tuple(shifted), (cheapest, *newest.schedule.step_price), 0)  # type: ignore[arg-type]
        for one in hand_on(Problem(grid, tuple(supply), tuple(requests)), schedule, 0, {}):
            found[one.id].more += one.wh
        return found


@dataclass(slots=True)
class _Spare:
    """What a car may have of the unused rest of a step: what it is owed, and what it may have sooner."""

    owed: int = 0
    more: int = 0


def _dispatch(dues: Sequence[_Due], spare: Mapping[str, _Spare], room: W, left_s: int) -> Dispatched:
    """Cut energy into currents; what is handed out sooner takes from nobody what is due now.

    A cabinet that is full by energy may have no place for a car's blocks of 6 A.
    """
    limit = GroupLimit(power=room)
    owed = {due.pseudonym: due.now_wh + spare.get(due.pseudonym, _Spare()).owed for due in dues}
    least = dispatch([_dispatched(due, owed[due.pseudonym], left_s) for due in dues], limit, left_s, SLOT_S)
    if not any(one.more for one in spare.values()):
        return least
    for quarters in (4, 3, 2, 1):
        more = {name: wh + spare[name].more * quarters // 4 for name, wh in owed.items()}
        cut = dispatch([_dispatched(due, more[due.pseudonym], left_s) for due in dues], limit, left_s, SLOT_S)
        if all(_carried(cut, due) >= min(_carried(least, due), owed[due.pseudonym]) for due in dues):
            return cut
    return least


def _carried(cut: Dispatched, due: _Due) -> Wh:
    milliamp_slots = sum(cut.currents[due.pseudonym])
    return energy_from_watts(watts_from_current(Milliamp(milliamp_slots), due.phases), cut.slot_s)


def _room_for(due: _Due, wh: int, room: int) -> int:
    """Give what a car that gets `wh` in the rest of the step could take on top, as far as there is room."""
    return max(0, min(due.left - wh, due.max_wh - wh, due.reaches(room)))


def _without(planned: Sequence[Wh], wh: int) -> list[Wh]:
    """Take energy out of the steps that come first."""
    rest = []
    for step in planned:
        taken = min(step, wh)
        rest.append(Wh(step - taken))
        wh -= taken
    return rest


def _dispatched(due: _Due, wh: int, left_s: int) -> DispatchConnector:
    """Put a car on the board."""
    return DispatchConnector(
        id=due.pseudonym,
        lines=_lines(due),
        max_current=min(due.connector.max_current, current_from_watts(due.offer, due.connector.phases)),
        due_wh=due.load(_whole_slot(due, wh, left_s)),
    )


def _lines(due: _Due) -> tuple[int, ...]:
    """Give the lines that an outlet loads.

    Which one a single-phase outlet loads is not in the site file. It matters only where a line has a
    limit of its own, which a group here has not: one line after the other is as good as any.
    """
    return (1, 2, 3) if due.connector.phases == 3 else (1 + due.connector.ref.connector % 3,)


def _whole_slot(due: _Due, wh: int, left_s: int) -> Wh:
    """Round the last of a car's energy up: what is less than a slot at 6 A would never come.

    A register shows whole Wh: what it still hides must not cost another slot.
    """
    if not 0 < due.left <= wh:
        return Wh(wh)
    least = watts_from_current(MIN_CURRENT, due.phases)
    return Wh(max(wh + _HIDDEN_WH, energy_from_watts(least, min(SLOT_S, left_s))))


def _mean(plan: Plan, due: _Due, end: datetime) -> W:
    return min(watts_from_energy(due.load(plan.planned(due.session, end)), STEP_S), due.connector.rating)


def _shared(room: W, wanted: Iterable[tuple[_Due, W]]) -> list[W]:
    """Give each car what it wants while there is room; less than 6 A is nothing."""
    given = []
    for due, want in wanted:
        power = min(want, room)
        if current_from_watts(power, due.connector.phases) < MIN_CURRENT:
            power = W(0)
        given.append(power)
        room = W(room - power)
    return given


def _profile(
    times: Times, slot_s: int, currents: Sequence[Milliamp], due: _Due, mean: W, safe: W
) -> LimitProfile:
    """Put a connector's limits into one profile."""
    phases, rating = due.connector.phases, due.connector.rating
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
    return LimitProfile(times.now, expires, tuple(periods), "planner")
