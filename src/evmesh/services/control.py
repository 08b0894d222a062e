"""Every quarter of an hour, and at every event, a group is planned again and limits go out.

What is left of the present step follows the plan that was newest when it began; what that leaves
unused is handed on to cars that would else charge later at no lower price, or in what others will want
if as many come as on other days (`newcomers.py`). The result is cut into
minutes of 0 or 6 A and more (`planning/dispatch.py`), within what the connectors that nobody can
steer at present leave of the cabinet (`limits.py`).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from evmesh.domain.sessions import PROMISED, Session, State
from evmesh.domain.stations import Connector, LimitProfile
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import (
    W,
    Wh,
    energy_from_watts,
)
from evmesh.ports import ChargePoint, Clock, Unit
from evmesh.services.caps import GroupCaps
from evmesh.services.directory import Directory, Group, Place, Supply
from evmesh.services.dues import (
    PLANNER,
    SLOT_S,
    Due,
    cut_into_currents,
    limit_of,
    mean_of,
    profile_of,
    shared,
)
from evmesh.services.handing_on import spares_of
from evmesh.services.limits import FuseRoom, Limits, Times
from evmesh.services.live import LiveState, Placed
from evmesh.services.newcomers import PastStays
from evmesh.services.plan_in_force import Plan, step_start
from evmesh.services.plans import Planner
from evmesh.services.promises import dimmed_flags
from evmesh.services.sources import Sources
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
_HOLD_AFTER_STEP = timedelta(minutes=5)
"""How long planned limits hold past their step, should nothing new come; then the safe current rules."""

_CYCLE = timedelta(seconds=SLOT_S * 3 // 4)
"""Before the first slot of the limits ends: new ones arrive while a car that goes on still draws. Else its
station would pause for as long as they are on their way."""

_POLL_S = 0.2


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
        caps: GroupCaps,
        sources: Sources | None = None,
    ) -> None:
        self._caps = caps
        self._sources = sources
        self._counted: dict[str, tuple[W, ...]] = {}
        """What other equipment at each level of each group took when limits were last set."""
        self._transitions = transitions
        self._clock = clock
        self._directory = directory
        self._planner = planner
        self._supply = supply
        self._live = live
        self._at_risk: dict[str, set[str]] = {}
        """Sessions by group whose promise is short at present: logged when they change."""
        self._capacities: dict[str, tuple[object, ...]] = {}
        """What each group could draw from the last cycle on: when that changes it is planned again."""
        self._limits = Limits(transitions, clock, directory, live, stations, caps, self._at_present)
        self._past = PastStays(directory)

    async def run(self) -> None:
        """Control every group every 45 seconds of platform time, and whenever a session moves."""
        moved = self._transitions.moves()
        next_cycle = self._clock.now()
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = self._clock.now()
                if moved.is_set() or now >= next_cycle or self._has_less():
                    has_moved = moved.is_set()
                    moved.clear()
                    next_cycle = now + _CYCLE
                    if (change := self._caps.next_change(now)) is not None:
                        next_cycle = min(next_cycle, change)  # from that instant on
                    for group in self._directory.groups.values():
                        await self._cycle(group, has_moved)
                self._limits.start(tasks)
                try:
                    async with asyncio.timeout(_POLL_S):
                        await moved.wait()
                except TimeoutError:
                    pass  # a minute of platform time may have passed

    def _at_present(self, group: Group) -> Group:
        return group if self._sources is None else self._sources.at_present(group)

    def _has_less(self) -> bool:
        """Tell whether other equipment takes more than limits were set for: then they go out at once."""
        return any(
            now > before
            for group in self._directory.groups.values()
            for now, before in zip(
                self._at_present(group).counted, self._counted.get(group.name, ()), strict=False
            )
        )

    async def once(self, group: Group, *, has_moved: bool) -> None:
        """Control one group once, and wait until every station has answered."""
        await self._cycle(group, has_moved)
        async with asyncio.TaskGroup() as tasks:
            self._limits.start(tasks)

    def may_begin(self, session: Session) -> bool:
        """Tell whether the cabinet has room for a session to begin now."""
        return self._limits.may_begin(session)

    def carries(self, group: Group, until: datetime) -> bool:
        """Tell whether a group carries what its charge points may draw until then, beside all else."""
        return self._limits.carries(group, until)

    async def _cycle(self, group: Group, has_moved: bool) -> None:
        async with self._transitions.read() as unit:
            now = self._clock.now()
            self._counted[group.name] = self._at_present(group).counted
            newest = await self._planner.current(unit, group.name)
            capacity = self._caps.course(group, now)
            is_other = capacity.points[0][1:] + capacity.points[1:] != self._capacities.get(group.name)
            self._capacities[group.name] = capacity.points[0][1:] + capacity.points[1:]
            if has_moved or is_other or newest is None or newest.stored.start <= now:
                newest, short = await self._planner.replan(unit, group, now)
                if short.keys() != self._at_risk.get(group.name, set()):
                    self._at_risk[group.name] = set(short)
                    _log.info("promise.at_risk", group=group.name, at=now.isoformat(), missing_wh=dict(short))
            running = await self._planner.running(unit, group.name, now)
            await self._past.look(unit, now)
            found = [one for one in await unit.sessions(open_only=True) if self._is_in(group, one)]
            sessions = [await self._tell_hurt(unit, one, newest) for one in found]
        self._limits.look(group, sessions)  # strays that it assumes count from here on
        until = step_start(now) + timedelta(seconds=STEP_S) + _HOLD_AFTER_STEP
        self._limits.wish(self.limits(group, now, sessions, _Plans(running, newest)), until)

    async def _tell_hurt(self, unit: Unit, session: Session, newest: Plan) -> Session:
        """Flag a session that a cap takes promised energy from, and take the flag back when it is made up.

        In its last quarter of an hour no plan says anything new of it.
        """
        if session.state not in PROMISED or not newest.problem.grid.steps_ended_by(session.terms.departure):
            return session
        lack = self._planner.lack(session)
        flags = dimmed_flags(session, Wh(0) if lack is None else lack.by_cap)
        if flags == session.flags:
            return session
        _log.info("promise.dimmed", session=session.id.text, missing_wh=lack.by_cap if lack else 0)
        hurt = replace(session, flags=flags)
        await unit.touch_session(hurt)
        return hurt

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
        cut = self._cut(group, times, room, steered, plans, is_whole=True)
        for due in dues:
            if due not in steered:
                held = self._limits.held(group, due.place, times)
                cut |= self._cut(group, times, held, [due], plans)
        return cut

    def _cut(
        self,
        group: Group,
        times: Times,
        rooms: Sequence[FuseRoom],
        dues: Sequence[Due],
        plans: _Plans,
        *,
        is_whole: bool = False,
    ) -> dict[Session, LimitProfile]:
        """Share what there is: by the minute, then the next step's mean, then the safe limit."""
        left_s = max(1, int((times.end - times.now).total_seconds()))
        now = rooms[0].room.now  # the group's own limit comes first
        rest = replace(group, capacity=W(now + group.others), is_capped=False)
        here = self._supply(rest, TimeGrid(step_start(times.now), STEP_S, 1))
        places = {one.pseudonym: one.place for one in dues}
        spare = spares_of(
            here,
            times,
            dues,
            rooms[1:],
            plans.newest,
            lambda problem: self._past.foresee(group, problem, plans.newest, places, left_s),
        )
        cut = cut_into_currents(dues, spare, limit_of(rooms, dues), left_s)
        if is_whole:
            self._live.placed[group.name] = Placed(
                times.now, cut.due_wh, cut.placed_wh, cut.bound_wh, cut.gap_wh
            )
        means = shared(
            [(one.fuse, one.room.next) for one in rooms],
            [(due, mean_of(plans.newest, due, times.end)) for due in dues],
        )
        safes = shared(
            [(one.fuse, one.room.later) for one in rooms],
            [(due, min(due.rating.later, self._limits.safe(group, due.connector))) for due in dues],
        )
        return {
            due.session: replace(
                profile_of(times, cut.slot_s, cut.currents[due.pseudonym], due, mean, safe),
                source=self._source(group, due.connector, times.now),
            )
            for due, mean, safe in zip(dues, means, safes, strict=True)
        }

    def _source(self, group: Group, connector: Connector, now: datetime) -> str:
        """Name whose word the limits of a charge point are: a cap's, where one lowers it, else ours."""
        cap = self._caps.binding_at(group, connector, now) or self._caps.binding(group, now)
        return PLANNER if cap is None else cap.by

    def _due(self, session: Session, place: Place, times: Times, running: Plan | None) -> Due:
        planned = running.planned(session, times.now) if running else Wh(0)
        got = self._live.delivered_in_step(session, times.now)
        left = max(0, self._live.wanted(session) - self._live.got(session, times.now))
        left_s = max(1, int((times.end - times.now).total_seconds()))
        phases = self._live.phases(session, place.connector)
        group = self._directory.groups[place.connector.group]
        rating = self._limits.rating(group, place.connector, times)
        offer = min(self._live.offer(session, place.connector, times.now), rating.now)
        max_wh = energy_from_watts(W(offer * phases // place.connector.phases), left_s)
        return Due(
            session=session,
            place=place,
            pseudonym=self._planner.pseudonym(session),
            left=left,
            now_wh=Wh(min(left, max_wh, max(0, planned - got))),
            max_wh=max_wh,
            phases=phases,
            offer=offer,
            draws=self._draws(place.connector, times.now),
            rating=rating,
        )

    def _draws(self, connector: Connector, now: datetime) -> bool:
        """Tell whether a connector's limits let it draw until now."""
        profile = self._live.connector(connector.ref).profile
        return profile is not None and bool(profile.limit_at(now - timedelta(seconds=1)))
