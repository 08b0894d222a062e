"""What a charge would cost and its flexibility would earn, said before anybody decides anything.

A quote plans on a copy: nothing is promised, stored or kept free by it. The expected reward is computed by
the very function that computes the final one, from the plan's energies instead of the meter's: what would
be earned if everybody charged as planned and nobody else came. It is an expectation, and says so.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.evidence import StoredPlan
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import cost_of
from evmesh.domain.problem import Problem, SupplySegment
from evmesh.domain.receipt_parts import PlanRow
from evmesh.domain.schedule import Refusal
from evmesh.domain.sessions import ChargeTerms, Session, State
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import Wh
from evmesh.planning.admission import RefusedRequest
from evmesh.planning.flexibility import GroupDay, MeteredStay, rewards
from evmesh.ports import Clock, Randomness, Unit
from evmesh.services.directory import Directory, Group, Place, Supply
from evmesh.services.plan_in_force import Plan, parse_plan, step_start
from evmesh.services.plans import START_ALLOWANCE, Planner
from evmesh.services.receipts import plan_row
from evmesh.services.request_checks import LONGEST_STAY
from evmesh.services.rewards import SHARE_PER_MILLE
from evmesh.services.stream_log import ScheduleLog
from evmesh.services.transitions import Transitions

MOST_WH: Final = 1_000_000
_NOBODY: Final = Address("0x" + "0" * 40)


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to charge: the plan and what it is expected to earn, or what would be accepted instead."""

    flexible: bool
    plan: PlanRow | None
    expected_reward: int
    offers: tuple[tuple[Wh, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Quote:
    """Both choices for a wish, at an instant. `cost` is the most that the energy can cost."""

    place: Place
    at: datetime
    energy: Wh
    departure: datetime
    cost: int
    choices: tuple[Choice, ...]


class Unrecorded(ScheduleLog):
    """The schedule stream of a planner that only thinks aloud: nothing is committed to."""

    def __init__(self) -> None:
        """Keep nothing, so need nothing."""

    async def pose(self, unit: Unit, now: datetime, problem: Problem, group: str = "") -> str:
        """Commit to nothing."""
        return ""

    async def refuse(self, unit: Unit, now: datetime, posed: str, refusal: Refusal) -> None:
        """State nothing."""

    async def keep(self, unit: Unit, posed: str, plan: StoredPlan) -> None:
        """State nothing."""


class Quotes:
    """Says what could be; keeps nothing. Its planner is one whose log is `Unrecorded`."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        planner: Planner,
        supply: Supply,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._transitions = transitions
        self._directory = directory
        self._planner = planner
        self._supply = supply
        self._clock = clock
        self._randomness = randomness

    async def quote(self, code: str, energy: Wh, departure: datetime) -> Quote:
        """Plan a wish both ways; raises InvalidInput where no answer could be given to it."""
        place, now = self._directory.by_code(code), self._clock.now()
        _check(energy, departure, now)
        group = self._directory.groups[place.connector.group]
        async with self._transitions.read() as unit:
            choices = [
                await self._choice(unit, group, self._wish(place, energy, departure, now, flexible))
                for flexible in (True, False)
            ]
        cost = cost_of(energy, place.connector.price)
        return Quote(place, now, energy, departure, cost, tuple(choices))

    async def expected(self, session: Session, plan: Plan) -> int:
        """Give the token units that a promised session is expected to earn by the plan of its promise."""
        if not session.terms.flexible:
            return 0
        place = self._directory.by_asset(session.terms.asset)
        group = self._directory.groups.get(place.connector.group)
        if group is None:
            return 0  # its charge point has left the site
        async with self._transitions.read() as unit:
            return await self._expected(unit, group, plan, session)

    async def _choice(self, unit: Unit, group: Group, wish: Session) -> Choice:
        answer = await self._planner.admit(unit, group, self._clock.now(), wish)
        if isinstance(answer, RefusedRequest):
            grid = answer.problem.grid
            offers = [(one.energy_wh, grid.start + one.departure * grid.length) for one in answer.offers]
            return Choice(wish.terms.flexible, None, 0, tuple(offers))
        plan = parse_plan(answer.stored)
        earned = await self._expected(unit, group, plan, wish) if wish.terms.flexible else 0
        return Choice(wish.terms.flexible, plan_row(answer.stored, wish), earned)

    async def _expected(self, unit: Unit, group: Group, plan: Plan, mine: Session) -> int:
        opted_out = set[str]()
        for session_id, pseudonym in plan.stored.pseudonyms.items():
            session = await unit.session(SessionId.parse(session_id))
            if session is not None and not session.terms.flexible:
                opted_out.add(pseudonym)
        supply = self._supply(group, plan.problem.grid)
        return expected_reward(plan, supply, opted_out, plan.stored.pseudonyms[mine.id.text])

    def _wish(self, place: Place, energy: Wh, departure: datetime, now: datetime, flexible: bool) -> Session:
        """Give the session that a request for this would make; nobody's, and never stored."""
        terms = ChargeTerms(
            payer=_NOBODY,
            connector=place.connector.ref,
            asset=place.asset,
            arrival=now,
            departure=departure,
            energy=energy,
            flexible=flexible,
            price=place.connector.price,
            budget=cost_of(energy, place.connector.price),
            base=0,
            epoch=0,
            escrow=_NOBODY,
        )
        return Session(
            id=SessionId.make(int(now.timestamp() * 1000), self._randomness(10)),
            state=State.RESERVED,
            terms=terms,
            id_tag="",
            request_signature=b"",
            request_nonce=self._randomness(32),
            request_deadline=0,
            max_cost=terms.budget,
            offer_signature=b"",
            plan_sha256="",
            voucher_signature=None,
            created_at=now,
            changed_at=now,
        )


def expected_reward(
    plan: Plan, supply: tuple[SupplySegment, ...], opted_out: Collection[str], mine: str
) -> int:
    """Give the token units that `mine`, an id in the plan, earns if all goes as planned.

    A car is taken to plug in at the first step of its window, and to show the power that its plan reaches.
    """
    problem, grid = plan.problem, plan.problem.grid
    if all(segment.price == supply[0].price for segment in supply):
        return 0  # nothing is dearer than anything else: spares the search
    requests = {one.id: one for one in problem.requests}
    stays = []
    for row in plan.schedule.rows:
        request = requests[row.id]
        wh = tuple(row.at(step) for step in range(request.arrival, request.departure))
        arrival = grid.bounds(request.arrival)[0]
        stays.append(MeteredStay(row.id, arrival, wh, row.id in opted_out))
    day = GroupDay(grid, supply, tuple(plan.schedule.step_price), SHARE_PER_MILLE)
    return rewards(day, stays).by_id[mine]


def _check(energy: Wh, departure: datetime, now: datetime) -> None:
    if not 0 < energy <= MOST_WH:
        raise InvalidInput("quote.energy", f"ask for 1 to {MOST_WH} Wh", path="energy_wh")
    soonest = step_start(now + START_ALLOWANCE) + timedelta(seconds=2 * STEP_S)
    if not soonest <= departure <= now + LONGEST_STAY:
        raise InvalidInput(
            "quote.departure",
            f"{departure:%Y-%m-%d %H:%M} UTC leaves no whole quarter of an hour, or is more than"
            f" {LONGEST_STAY.days} days ahead",
            do=f"state a departure from {soonest:%H:%M} UTC on",
            path="departure",
        )
