"""A group's plan: what every car that was promised energy gets, in which quarter of an hour.

The problem always begins at the next boundary of the grid, so all of its steps lie whole in the
future; what is left of the present step is governed by the plan that was newest when it began
(`control.py`). A promise once given stays in the problem until the car has its energy.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.evidence import StoredPlan
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment, parse_problem, write_problem
from evmesh.domain.receipt_parts import pseudonym_of
from evmesh.domain.schedule import Schedule, parse_schedule, write_schedule
from evmesh.domain.sessions import FUNDED_TIMEOUT, PLUGGED, PROMISED, RESERVATION_TTL, Session
from evmesh.domain.signed_types import ChargeRequest
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.typed_data import Keccak, hash_struct
from evmesh.domain.units import MIN_CURRENT, W, Wh, energy_from_watts, watts_from_current
from evmesh.planning.admission import Accepted, RefusedRequest, admit
from evmesh.planning.optimiser import solve
from evmesh.planning.reserve import UNSHOWN_POWER_PERCENT, reserve_wh
from evmesh.ports import Unit
from evmesh.services.directory import Directory, Group, Supply
from evmesh.services.live import LiveState

LOOK_AHEAD = timedelta(hours=12)
"""How much later than asked an offered departure may be."""


START_ALLOWANCE = RESERVATION_TTL + FUNDED_TIMEOUT
"""What a promise leaves out: its window begins at the first boundary this long after it was given.

It covers the whole time in which the driver may pay, and the longest that a start may wait after that:
whoever pays in time finds the problem of that moment beginning no later than the promised window.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule in force, with the problem it answers."""

    stored: StoredPlan
    problem: Problem
    schedule: Schedule

    def planned(self, session: Session, instant: datetime) -> Wh:
        """Give what the plan holds for a session in the step of `instant`."""
        wanted = self.stored.pseudonyms.get(session.id.text)
        grid = self.problem.grid
        if wanted is None or not grid.start <= instant < grid.end:
            return Wh(0)
        step = grid.index_of(instant)
        return next((row.at(step) for row in self.schedule.rows if row.id == wanted), Wh(0))


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

    def __init__(self, directory: Directory, supply: Supply, live: LiveState, keccak: Keccak) -> None:
        self._directory = directory
        self._supply = supply
        self._live = live
        self._keccak = keccak
        self._parsed: dict[str, Plan] = {}

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
        served, _ = self._serve(self._steered(group), grid, promised)
        problem = served.problem
        answer = admit(problem, self._request(mine, grid))
        if isinstance(answer, RefusedRequest):
            return answer
        if not candidate.terms.flexible:
            answer = _as_soon_as_possible(problem, answer, mine.pseudonym)
        return Admission(self._store_form(group, now, answer, [*promised, mine]), answer)

    async def replan(self, unit: Unit, group: Group, now: datetime) -> tuple[Plan, Mapping[str, Wh]]:
        """Plan the group again; give the plan and, by session id, what of a promise no longer fits.

        Nothing is taken from a promise while everything fits. Where reality broke one (a car that
        draws less than it could, a station that was away), the older promise goes first and every
        other gets the most that is left.
        """
        promised = await self._promised(unit, group, now)
        grid = self._grid(now, [one.session for one in promised], timedelta(0))
        answer, short = self._serve(group, grid, promised)
        by_pseudonym = {one.pseudonym: one.session.id.text for one in promised}
        stored = self._store_form(group, now, answer, promised)
        if (last := await unit.plan(group.name)) is None or last.problem_sha256 != stored.problem_sha256:
            await unit.save_plan(stored)
        return self._parse(stored), {by_pseudonym[name]: wh for name, wh in short.items()}

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
        self, group: Group, grid: TimeGrid, promised: Sequence[Promised]
    ) -> tuple[Accepted, dict[str, Wh]]:
        """Serve everybody; an opt-out car that its shortest stay cannot hold any more has all of its stay."""
        problem = self._problem(group, grid)
        answer, short = _serve(problem, [self._request(one, grid) for one in promised])
        if short:
            problem = problem.with_requests([])
            problem = replace(problem, supply=self._supply(group, grid))
            answer, short = _serve(problem, [self._request(one, grid) for one in promised])
        late = [one.pseudonym in short and not one.session.terms.flexible for one in promised]
        if any(late):
            longer = [
                replace(one, until=one.session.terms.departure) if is_late else one
                for one, is_late in zip(promised, late, strict=True)
            ]
            answer, short = _serve(problem, [self._request(one, grid) for one in longer])
        return answer, short

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
        left = Wh(max(0, session.terms.energy - self._live.got(session, now) - in_step))
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
        taken = self._live.taken(place.connector for place in group.places)
        return replace(group, capacity=W(max(0, group.capacity - taken)))

    def _problem(self, group: Group, grid: TimeGrid) -> Problem:
        return Problem(grid, _promisable(group, self._supply(group, grid), grid.steps), ())

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
        self, group: Group, now: datetime, answer: Accepted, promised: Sequence[Promised]
    ) -> StoredPlan:
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


def parse_plan(stored: StoredPlan) -> Plan:
    """Read a stored plan back."""
    schedule = parse_schedule(stored.schedule)
    if not isinstance(schedule, Schedule):
        raise ValueError("a stored plan is a schedule")
    return Plan(stored, parse_problem(stored.problem), schedule)


def step_start(instant: datetime) -> datetime:
    """Give the boundary of the grid at or before `instant`."""
    return TimeGrid.covering(instant, instant, STEP_S).start


def request_of(session: Session) -> ChargeRequest:
    """Give the request that the driver signed."""
    return ChargeRequest(
        payer=session.terms.payer,
        asset=session.terms.asset,
        departure=int(session.terms.departure.timestamp()),
        energy_wh=session.terms.energy,
        flexible=session.terms.flexible,
        max_cost=session.max_cost,
        nonce=session.request_nonce,
        deadline=session.request_deadline,
    )


def flat_tariff_supply(price_at: Callable[[datetime], int]) -> Supply:
    """Give the supply of groups that draw all from the grid at one price a step."""

    def supply(group: Group, grid: TimeGrid) -> tuple[SupplySegment, ...]:
        cap = energy_from_watts(W(group.capacity), grid.step_s)
        return tuple(
            SupplySegment(step, cap, Price(price_at(grid.bounds(step)[0]))) for step in range(grid.steps)
        )

    return supply


def _promisable(group: Group, supply: Sequence[SupplySegment], steps: int) -> tuple[SupplySegment, ...]:
    """Take the reserve out of each step, from its dearest segments."""
    least = max(watts_from_current(MIN_CURRENT, place.connector.phases) for place in group.places)
    ratings = [place.connector.rating for place in group.places]
    whole = [0] * steps
    for one in supply:
        whole[one.step] += one.cap_wh
    kept_back = [int(reserve_wh(Wh(wh), group.capacity, ratings, least)) for wh in whole]
    left: list[SupplySegment] = []
    for one in sorted(supply, key=lambda one: (one.step, -one.price)):
        taken = min(kept_back[one.step], one.cap_wh)
        kept_back[one.step] -= taken
        left.append(replace(one, cap_wh=Wh(one.cap_wh - taken)))
    return tuple(left)


def _serve(problem: Problem, requests: Sequence[Request]) -> tuple[Accepted, dict[str, Wh]]:
    """Serve everybody, or in order as much as fits; give the plan and what is short by request id."""
    whole = problem.with_requests(requests)
    answer = solve(whole)
    if isinstance(answer, Schedule):
        return Accepted(whole, answer), {}
    short: dict[str, Wh] = {}
    served = problem.with_requests([])
    schedule = solve(served)
    for request in requests:
        step = admit(served, request)
        if isinstance(step, RefusedRequest):
            most = [offer.energy_wh for offer in step.offers if offer.departure == request.departure]
            less = replace(request, energy_wh=most[0] if most else Wh(0))
            short[request.id] = Wh(request.energy_wh - less.energy_wh)
            step = admit(served, less)
        if isinstance(step, RefusedRequest):
            raise AssertionError("an offer of the planner was refused by the planner")
        served, schedule = step.problem, step.schedule
    if not isinstance(schedule, Schedule):
        raise AssertionError("the empty problem is feasible")
    return Accepted(served, schedule), short


def _as_soon_as_possible(problem: Problem, answer: Accepted, pseudonym: str) -> Accepted:
    """Give an opt-out driver no freedom: the shortest window that the others leave."""
    request = answer.problem.request(pseudonym)
    steps = max(1, -(-request.energy_wh // request.max_wh)) if request.max_wh else request.window_steps
    for departure in range(request.arrival + steps, request.departure):
        sooner = admit(problem, replace(request, departure=departure))
        if isinstance(sooner, Accepted):
            return sooner
    return answer
