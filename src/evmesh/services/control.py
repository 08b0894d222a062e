"""Every quarter of an hour, and at every event, a group is planned again and limits go out.

What is left of the present step follows the plan that was newest when it began; what that leaves
unused is handed on to cars that would else charge later at no lower price. The result is cut into
minutes of 0 or 6 A and more (`planning/dispatch.py`). This is the one writer of limits.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from evmesh.domain.errors import Unavailable
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
from evmesh.planning.dispatch import DispatchConnector, GroupLimit, dispatch
from evmesh.planning.spare import hand_on
from evmesh.ports import ChargePoint, Clock
from evmesh.services.directory import Directory, Group, Supply
from evmesh.services.live import LiveState
from evmesh.services.plans import Plan, Planner, step_start
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
SLOT_S = 60
_HOLD_AFTER_STEP = timedelta(minutes=5)
"""How long planned limits hold past their step, should nothing new come; then the safe current rules."""

_SAFE_AFTER_DEPARTURE = timedelta(days=1)
"""How long the safe current holds for a car that stays, should we be away for so long."""

_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class _Due:
    """One plugged session: what it may take in the rest of this step, and later."""

    session: Session
    connector: Connector
    pseudonym: str
    left: int
    now_wh: Wh
    max_wh: Wh


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
        self._stations = stations

    async def run(self) -> None:
        """Control every group once a minute of platform time, and whenever a session moves."""
        moved = self._transitions.moves()
        next_cycle = self._clock.now()
        while True:
            now = self._clock.now()
            if moved.is_set() or now >= next_cycle:
                has_moved = moved.is_set()
                moved.clear()
                next_cycle = now + timedelta(seconds=SLOT_S)
                for group in self._directory.groups.values():
                    await self._cycle(group, has_moved)
            try:
                async with asyncio.timeout(_POLL_S):
                    await moved.wait()
            except TimeoutError:
                pass  # a minute of platform time may have passed

    async def _cycle(self, group: Group, has_moved: bool) -> None:
        async with self._transitions.read() as unit:
            now = self._clock.now()
            newest = await self._planner.current(unit, group.name)
            if has_moved or newest is None or newest.stored.start <= now:
                newest, short = await self._planner.replan(unit, group, now)
                if short:
                    _log.info("promise.at_risk", group=group.name, missing_wh=dict(short))
            running = await self._planner.current(unit, group.name, step_start(now))
            sessions = [
                one
                for one in await unit.sessions(open_only=True)
                if one.state in (State.CHARGING, State.SUSPENDED)
                and self._directory.by_asset(one.terms.asset).connector.group == group.name
            ]
        async with asyncio.TaskGroup() as sends:
            for session, profile in self.limits(group, now, sessions, running, newest).items():
                sends.create_task(self._send(session, profile))

    def limits(
        self,
        group: Group,
        now: datetime,
        sessions: list[Session],
        running: Plan | None,
        newest: Plan,
    ) -> Mapping[Session, LimitProfile]:
        """Give each charging session its limits until the step ends, and a little beyond."""
        end = step_start(now) + timedelta(seconds=STEP_S)
        left_s = max(1, int((end - now).total_seconds()))
        dues = [self._due(one, now, left_s, running) for one in sessions]
        extra = self._extra(group, now, left_s, dues, newest)
        cut = dispatch(
            [
                DispatchConnector(
                    id=due.pseudonym,
                    lines=(1, 2, 3) if due.connector.phases == 3 else (1 + due.connector.ref.connector % 3,),
                    max_current=due.connector.max_current,
                    due_wh=_whole_slot(due, due.now_wh + extra.get(due.pseudonym, 0), left_s),
                )
                for due in dues
            ],
            GroupLimit(power=group.capacity),
            left_s,
            SLOT_S,
        )
        return {
            due.session: _profile(
                now,
                end,
                cut.slot_s,
                cut.currents[due.pseudonym],
                due,
                newest,
                _safe_limit(group, due.connector),
            )
            for due in dues
        }

    def _due(self, session: Session, now: datetime, left_s: int, running: Plan | None) -> _Due:
        planned = running.planned(session, now) if running else Wh(0)
        got = self._live.delivered_in_step(session, now)
        left = max(0, session.terms.energy - session.delivered)
        connector = self._directory.by_asset(session.terms.asset).connector
        power = self._live.shown_power(session) or connector.rating
        return _Due(
            session=session,
            connector=connector,
            pseudonym=self._planner.pseudonym(session),
            left=left,
            now_wh=Wh(min(left, max(0, planned - got))),
            max_wh=energy_from_watts(power, left_s),
        )

    def _extra(
        self, group: Group, now: datetime, left_s: int, dues: list[_Due], newest: Plan
    ) -> dict[str, int]:
        """Hand what the rest of this step has unused to cars that are planned for later."""
        later = newest.problem
        grid = TimeGrid(step_start(now), STEP_S, later.steps + 1)
        if later.grid.start != grid.start + grid.length:
            return {}
        here = self._supply(group, TimeGrid(grid.start, STEP_S, 1))
        supply = [replace(one, cap_wh=Wh(one.cap_wh * left_s // STEP_S)) for one in here]
        supply += [SupplySegment(one.step + 1, one.cap_wh, one.price) for one in later.supply]
        rows = {row.id: row for row in newest.schedule.rows}
        requests, shifted = [], []
        for due in dues:
            row = rows.get(due.pseudonym)
            planned = tuple(row.at(step) for step in range(row.end)) if row else ()
            wh = (due.now_wh, *planned)
            requests.append(Request(due.pseudonym, 0, len(wh), Wh(sum(wh)), Wh(max(due.max_wh, due.now_wh))))
            shifted.append(ScheduleRow(due.pseudonym, 0, wh))
        cheapest = min((one.price for one in here), default=0)
        schedule = Schedule("", tuple(shifted), (cheapest, *newest.schedule.step_price), 0)  # type: ignore[arg-type]
        extra: dict[str, int] = {}
        for one in hand_on(Problem(grid, tuple(supply), tuple(requests)), schedule, 0, {}):
            extra[one.id] = extra.get(one.id, 0) + one.wh
        room: int = sum(one.cap_wh for one in supply if one.step == 0)
        room -= sum(due.now_wh for due in dues) + sum(extra.values())
        for due, row in zip(dues, shifted, strict=True):
            if not any(row.wh[1:]):  # no later step holds what rounding and late values left over
                more = max(0, min(due.left - due.now_wh, due.max_wh - due.now_wh, room))
                extra[due.pseudonym] = extra.get(due.pseudonym, 0) + more
                room -= more
        return extra

    async def _send(self, session: Session, profile: LimitProfile) -> None:
        live = self._live.connector(session.terms.connector)
        until = step_start(profile.starts_at) + timedelta(seconds=STEP_S) + _HOLD_AFTER_STEP
        if session.transaction_id is None or _same(live.profile, profile, until):
            return
        try:
            held = await self._stations.set_limit(session.terms.connector, session.transaction_id, profile)
        except Unavailable:
            return  # it hears the newest limits when it is back
        if held:
            live.profile = profile
            self._transitions.tell()
        else:
            _log.warning("limit.rejected", session=session.id.text, connector=str(session.terms.connector))


def _whole_slot(due: _Due, wh: int, left_s: int) -> Wh:
    """Round the last of a car's energy up: what is less than a slot at 6 A would never come."""
    least = watts_from_current(MIN_CURRENT, due.connector.phases)
    return Wh(max(wh, energy_from_watts(least, min(SLOT_S, left_s))) if 0 < due.left <= wh else wh)


def _profile(
    now: datetime, end: datetime, slot_s: int, currents: Sequence[Milliamp], due: _Due, plan: Plan, safe: W
) -> LimitProfile:
    """Put a connector's limits into one profile: minutes, then the next step's mean, then `safe`."""
    phases, rating = due.connector.phases, due.connector.rating
    limits = [
        (slot * slot_s, min(watts_from_current(current, phases), rating))
        for slot, current in enumerate(currents)
    ]
    mean = min(watts_from_energy(plan.planned(due.session, end), STEP_S), rating)
    left_s = max(len(currents) * slot_s, int((end - now).total_seconds()))
    limits.append((left_s, mean if current_from_watts(mean, phases) >= MIN_CURRENT else W(0)))
    limits.append((left_s + int(_HOLD_AFTER_STEP.total_seconds()), safe))
    periods: list[LimitPeriod] = []
    for offset_s, limit in limits:
        if not periods or periods[-1].limit != limit:
            periods.append(LimitPeriod(offset_s, limit))
    expires = max(due.session.terms.departure, end) + _SAFE_AFTER_DEPARTURE
    return LimitProfile(now, expires, tuple(periods), "planner")


def _safe_limit(group: Group, connector: Connector) -> W:
    """Give what a connector may draw when nobody tells it: 6 A, if all of them may at once; else none."""
    places = [place.connector for place in group.places]
    least = sum(watts_from_current(MIN_CURRENT, one.phases) for one in places)
    return watts_from_current(MIN_CURRENT, connector.phases) if least <= group.capacity else W(0)


def _same(held: LimitProfile | None, new: LimitProfile, until: datetime) -> bool:
    """Tell whether the limits already held say the same, minute by minute until then, or up to 2 % less.

    Never more: what one car keeps above its new limit, another has been given.
    """
    if held is None:
        return False
    minutes = int((until - new.starts_at) / timedelta(seconds=SLOT_S))
    for minute in range(minutes + 1):
        at = new.starts_at + timedelta(seconds=SLOT_S * minute)
        before, after = held.limit_at(at), new.limit_at(at)
        if before != after and (
            before is None or after is None or before > after or (after - before) * 50 > after
        ):
            return False
    return True
