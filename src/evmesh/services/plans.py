"""A group's plan: what every car that was promised energy gets, in which quarter of an hour.

The problem always begins at the next boundary of the grid, so all of its steps lie whole in the
future; what is left of the present step is governed by the plan that was newest when it began
(`control.py`). A promise once given stays in the problem until the car has its energy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.evidence import StoredPlan
from evmesh.domain.problem import Problem, Request, write_problem
from evmesh.domain.receipt_parts import pseudonym_of
from evmesh.domain.schedule import write_schedule
from evmesh.domain.sessions import FUNDED_TIMEOUT, PLUGGED, PROMISED, RESERVATION_TTL, Session
from evmesh.domain.signed_types import ChargeRequest
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.typed_data import Keccak, hash_struct
from evmesh.domain.units import W, Wh, energy_from_watts
from evmesh.planning.admission import Accepted, RefusedRequest, admit, as_soon_as_possible
from evmesh.planning.battery import Storage, plan_with_batteries, with_batteries
from evmesh.planning.reserve import UNSHOWN_POWER_PERCENT
from evmesh.planning.shortfall import Served, in_full, lacking_wh, serve
from evmesh.ports import Unit
from evmesh.services.batteries import storages_of
from evmesh.services.cabling import has_cables, shapes_of
from evmesh.services.caps import GroupCaps
from evmesh.services.directory import Directory, Group, Supply
from evmesh.services.live import LiveState
from evmesh.services.plan_in_force import Lack, Plan, parse_plan, step_start
from evmesh.services.sources import Sources
from evmesh.services.stream_log import ScheduleLog
from evmesh.services.supply import promisable

LOOK_AHEAD = timedelta(hours=12)
"""How much later than asked an offered departure may be."""


START_ALLOWANCE = RESERVATION_TTL + FUNDED_TIMEOUT
"""What a promise leaves out: its window begins at the first boundary this long after it was given.

It covers the whole time in which the driver may pay, and the longest that a start may wait after that:
whoever pays in time finds the problem of that moment beginning no later than the promised window.
"""


@dataclass(frozen=True, slots=True)
class Promised:
    """One session as the planner sees it: how much is left, and how fast it can go."""

    session: Session
    pseudonym: str
    left: Wh
    max_wh: Wh
    until: datetime
    """The departure; of an opt-out driver the end of the shortest stay that was promised."""


class Planner:
    """Builds a group's problem from what is stored and metered, and solves it."""

    def __init__(
        self,
        directory: Directory,
        supply: Supply,
        live: LiveState,
        keccak: Keccak,
        caps: GroupCaps,
        log: ScheduleLog,
        sources: Sources | None = None,
    ) -> None:
        self._sources = sources
        self._caps = caps
        self._log = log
        self._directory = directory
        self._supply = supply
        self._live = live
        self._keccak = keccak
        self._parsed: dict[str, Plan] = {}
        self._lacks: dict[str, Lack] = {}
        """By session id, as of each group's newest plan."""

    async def current(self, unit: Unit, group: str, start: datetime | None = None) -> Plan | None:
        """Give the newest plan of a group, or the newest that begins at `start`."""
        stored = await unit.plan(group, start)
        return None if stored is None else self._parse(stored)

    async def running(self, unit: Unit, group: str, now: datetime) -> Plan | None:
        """Give the plan that governs the present step: the newest that was made before it began.

        After an outage that may be an old one, whose later steps still say what was promised.
        """
        stored = await unit.plan(group, step_start(now), or_before=True)
        return None if stored is None else self._parse(stored)

    async def admit(
        self, unit: Unit, group: Group, now: datetime, candidate: Session
    ) -> "Admission | RefusedRequest":
        """Decide about one more session; the plan of a yes is not stored yet.

        What draws and cannot be steered may go on for ever: its power is no part of what is promised.
        """
        promised = await self._promised(unit, group, now)
        mine = self._view(candidate, now, Wh(0), candidate.terms.departure)
        if mine is None:
            raise ValueError(f"session {candidate.id} is at no place of group {group.name}")
        grid = self._grid(now, [one.session for one in promised] + [candidate], LOOK_AHEAD)
        request = self._request(mine, grid)
        first, *others = self._serve(self._steered(group), now, grid, promised, mine)
        problem = first.accepted.problem
        posed, answer = await self._decide(unit, now, problem, request)
        for other in others:  # another division of the lines
            if isinstance(answer, Accepted):
                break
            problem = other.accepted.problem
            posed, answer = await self._decide(unit, now, problem, request)
        if isinstance(answer, RefusedRequest):
            return answer
        if not candidate.terms.flexible:
            answer = as_soon_as_possible(problem, answer, mine.pseudonym)
        stored = self._store_form(group, now, Served(answer, None), [*promised, mine])
        await self._log.keep(unit, posed, stored)
        return Admission(stored, answer)

    async def _decide(
        self, unit: Unit, now: datetime, problem: Problem, request: Request
    ) -> tuple[str, Accepted | RefusedRequest]:
        """Commit to the problem with one more request, answer it; give the problem's hash and the answer."""
        posed = await self._log.pose(unit, now, problem.with_requests([*problem.requests, request]))
        answer = admit(problem, request)
        if isinstance(answer, RefusedRequest):
            await self._log.refuse(unit, now, posed, answer.certificate)
        return posed, answer

    async def replan(self, unit: Unit, group: Group, now: datetime) -> tuple[Plan, Mapping[str, Wh]]:
        """Plan the group again; give the plan and, by session id, what of a promise no longer fits.

        Nothing is taken from a promise while everything fits. Where reality broke one (a cap, a car that
        draws less than it could, a station that was away), as little as possible is left out in all, with
        its proof beside the plan; the older promise goes first.
        """
        promised = await self._promised(unit, group, now)
        grid = self._grid(now, [one.session for one in promised], timedelta(0))
        asked = self._problems(self._steered(group), grid, promised, keeps_reserve=True)[0]
        asked = asked.with_requests([self._request(one, grid) for one in promised])
        running = await self.running(unit, group.name, now)
        storages = self._storages(group, grid, running, asked) if promised else ()
        posing = with_batteries(asked, group.name, storages) if storages else asked
        posed = await self._log.pose(unit, now, posing, group.name)
        served = self._serve(self._steered(group), now, grid, promised)[0]
        if storages and served.shortfall is None:  # no promise depends on it
            better = plan_with_batteries(served.accepted.problem, group.name, storages)
            served = served if better is None else Served(better, None)
        stored = self._store_form(group, now, served, promised)
        if (last := await unit.plan(group.name)) is None or last.problem_sha256 != stored.problem_sha256:
            await unit.save_plan(stored)
            await self._log.keep(unit, posed, stored)
        plan = self._parse(stored)
        lacking = plan.lacking
        leaving = {
            one.session.id.text for one in promised if not grid.steps_ended_by(one.session.terms.departure)
        }
        self._lacks = {
            id: lack for id, lack in self._lacks.items() if lack.group != group.name or id in leaving
        }
        if lacking:
            by_cap = self._by_cap(group, now, grid, promised, lacking)
            self._lacks |= {id: Lack(group.name, wh, by_cap.get(id, Wh(0))) for id, wh in lacking.items()}
        return plan, lacking

    def _storages(
        self, group: Group, grid: TimeGrid, running: Plan | None, asked: Problem
    ) -> tuple[Storage, ...]:
        if self._sources is None:
            return ()
        return storages_of(group, self._sources, grid.start, running, asked.shape)

    def lack(self, session: Session) -> "Lack | None":
        """Give what of a session's promise does not fit by the newest plan."""
        return self._lacks.get(session.id.text)

    def _by_cap(
        self,
        group: Group,
        now: datetime,
        grid: TimeGrid,
        promised: Sequence[Promised],
        lacking: Mapping[str, Wh],
    ) -> dict[str, Wh]:
        """Give what of it would fit if no cap was in force."""
        without = self._serve(self._steered(replace(group, is_capped=False)), now, grid, promised)[
            0
        ].shortfall
        anyway = {} if without is None else without.missing_wh
        ids = {one.session.id.text: one.pseudonym for one in promised}
        less = {id: Wh(wh - anyway.get(ids[id], 0)) for id, wh in lacking.items()}
        return {id: wh for id, wh in less.items() if wh > 0}

    async def _promised(self, unit: Unit, group: Group, now: datetime) -> list[Promised]:
        """Give the group's promises, oldest first, that still have a whole step before departure."""
        running = await self.running(unit, group.name, now)
        found = []
        for session in reversed(await unit.sessions(open_only=True)):
            place = self._directory.by_ref(session.terms.connector)
            if place is not None and place.connector.group == group.name and session.state in PROMISED:
                due = running.planned(session, now) if running and session.state in PLUGGED else Wh(0)
                in_step = Wh(max(0, due - self._live.delivered_in_step(session, now)))
                found.append(self._view(session, now, in_step, await self._until(unit, session)))
        return [one for one in found if one is not None]

    def _serve(
        self,
        group: Group,
        now: datetime,
        grid: TimeGrid,
        promised: Sequence[Promised],
        candidate: Promised | None = None,
    ) -> list[Served]:
        """Serve everybody; an opt-out car that its shortest stay cannot hold any more has all of its stay.

        Where not all of it fits the reserve goes first, then, in all, as little of the promises as possible.
        There is one way to serve them, or one for each division of the lines under which all are, the
        cheapest first; `candidate` has a place in each, but nothing is served to it.
        """
        floors = self._floors(group, now, promised)
        requests = [self._request(one, grid) for one in promised]
        known = promised if candidate is None else [*promised, candidate]
        with_reserve = self._problems(group, grid, known, keeps_reserve=True)
        if found := in_full([serve(problem, requests, floors) for problem in with_reserve]):
            return found
        whole = self._problems(group, grid, known, keeps_reserve=False)
        served = [serve(problem, requests, floors) for problem in whole]
        if found := in_full(served):
            return found
        least = min(served, key=lacking_wh)
        missing = {} if least.shortfall is None else least.shortfall.missing_wh
        late = [one.pseudonym in missing and not one.session.terms.flexible for one in promised]
        if any(late):
            longer = [
                replace(one, until=one.session.terms.departure) if is_late else one
                for one, is_late in zip(promised, late, strict=True)
            ]
            requests = [self._request(one, grid) for one in longer]
            served = [serve(problem, requests, floors) for problem in whole]
        return in_full(served) or [min(served, key=lacking_wh)]

    def _floors(self, group: Group, now: datetime, promised: Sequence[Promised]) -> dict[str, Wh]:
        """Give what everybody has before anybody has more: its share of the floor, for its whole stay.

        For the whole stay, not for the rest of it: who waited now has more to come.
        """
        if not group.floor:
            return {}
        floors = {}
        for one in promised:
            stay = one.until - (one.session.started_at or now)
            whole = energy_from_watts(W(group.floor // len(group.places)), stay // timedelta(seconds=1))
            floors[one.pseudonym] = Wh(max(0, whole - (one.session.terms.energy - one.left)))
        return floors

    async def _until(self, unit: Unit, session: Session) -> datetime:
        stored = None if session.terms.flexible else await unit.plan_of(session.plan_sha256)
        if stored is None:
            return session.terms.departure
        problem = self._parse(stored).problem
        request = problem.request(stored.pseudonyms[session.id.text])
        return problem.grid.start + request.departure * problem.grid.length

    def _view(self, session: Session, now: datetime, in_step: Wh, until: datetime) -> Promised | None:
        place = self._directory.by_ref(session.terms.connector)
        if place is None:
            return None
        left = Wh(max(0, self._live.wanted(session) - self._live.got(session, now) - in_step))
        shown = self._live.shown_power(session, place.connector, now)
        phases = self._live.phases(session, place.connector)
        rating = place.connector.rating * phases // place.connector.phases
        power = shown or W(rating * UNSHOWN_POWER_PERCENT // 100)
        return Promised(session, self.pseudonym(session), left, energy_from_watts(power, STEP_S), until)

    def pseudonym(self, session: Session) -> str:
        """Give the id of a session in published problems."""
        return pseudonym_of(hash_struct(request_of(session), self._keccak))

    def _grid(self, now: datetime, sessions: Sequence[Session], more: timedelta) -> TimeGrid:
        start = step_start(now) + timedelta(seconds=STEP_S)
        last = max((one.terms.departure for one in sessions), default=start)
        steps = max(1, -((start - last - more) // timedelta(seconds=STEP_S)))
        return TimeGrid(start, STEP_S, steps)

    def _steered(self, group: Group) -> Group:
        counted = group if self._sources is None else self._sources.to_promise(group)
        return replace(counted, taken=self._live.taken(place.connector for place in group.places))

    def _problems(
        self, group: Group, grid: TimeGrid, known: Sequence[Promised], *, keeps_reserve: bool
    ) -> list[Problem]:
        """Give the supply without requests: once, or once for each division of the group's lines."""
        supply = self._supply(group, grid)
        if keeps_reserve:
            supply = promisable(group, supply, grid.steps)
        if not has_cables(group):
            return [Problem(grid, supply, ())]
        places = {one.pseudonym: self._directory.by_asset(one.session.terms.asset) for one in known}
        strays = frozenset(self._live.unknown)
        shapes = shapes_of(group, grid, supply, places, strays, keeps_reserve=keeps_reserve)
        return [Problem(grid, supply, (), shape) for shape in shapes]

    def _request(self, one: Promised, grid: TimeGrid) -> Request:
        """Put a promise on the grid; a car that leaves before a whole step has passed gets nothing there.

        A plugged car's energy is cut to what it can take until it leaves: more is left only if it
        drew less than it could, and that must not make the others' problem infeasible. A car that
        is still to pay and to plug in has START_ALLOWANCE for that: no promise is made for it.
        """
        session = one.session
        departure = grid.steps_ended_by(one.until)
        if one.max_wh * departure < one.left:  # the shortest stay has passed, or the car draws less
            departure = max(departure, grid.steps_ended_by(session.terms.departure))
        if departure == 0:
            return Request(one.pseudonym, 0, 1, Wh(0), one.max_wh)
        if session.state in PLUGGED:
            energy = Wh(min(one.left, one.max_wh * departure))
            return Request(one.pseudonym, 0, departure, energy, one.max_wh)
        arrival = grid.first_step_from(session.created_at + START_ALLOWANCE)
        energy = Wh(min(one.left, MAX_DOCUMENT_INT))  # that much fits into no window, as its refusal shows
        return Request(one.pseudonym, min(arrival, departure - 1), departure, energy, one.max_wh)

    def _store_form(
        self, group: Group, now: datetime, served: Served, promised: Sequence[Promised]
    ) -> StoredPlan:
        answer, short = served.accepted, served.shortfall
        problem, schedule = write_problem(answer.problem), write_schedule(answer.schedule)
        return StoredPlan(
            problem_sha256=answer.schedule.problem_sha256,
            schedule_sha256=sha256(schedule).hexdigest(),
            group=group.name,
            made_at=now,
            start=answer.problem.grid.start,
            problem=problem,
            schedule=schedule,
            pseudonyms={one.session.id.text: one.pseudonym for one in promised},
            wanted=None if short is None else write_problem(short.wanted),
            shortfall=None if short is None else write_schedule(short.proof),
        )

    def _parse(self, stored: StoredPlan) -> Plan:
        plan = self._parsed.get(stored.schedule_sha256)
        if plan is None:
            if len(self._parsed) > 64:
                self._parsed.clear()
            plan = self._parsed[stored.schedule_sha256] = parse_plan(stored)
        return plan


@dataclass(frozen=True, slots=True)
class Admission:
    """A yes: the plan that holds it, in the form in which it is stored."""

    stored: StoredPlan
    answer: Accepted


def request_of(session: Session) -> ChargeRequest:
    """Give the request that the driver signed, or that a transfer stood for when the charge began."""
    return ChargeRequest(
        payer=session.terms.payer,
        asset=session.terms.asset,
        departure=int(session.terms.departure.timestamp()),
        energy_wh=session.terms.energy if session.offered_energy is None else session.offered_energy,
        flexible=session.terms.flexible,
        max_cost=session.max_cost,
        nonce=session.request_nonce,
        deadline=session.request_deadline,
    )
