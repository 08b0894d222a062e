"""What drivers were told that taking part is expected to earn, beside what it earned: a real week.

    .venv/bin/python -m bench.expected_rewards

The site, its prices and its visits are those of `examples/site.toml`; the services, the planner and the
rewards are the platform's own, on a database; cars draw minute by minute what their limits allow until their
battery is full. Drivers state what they stated, and come and go as they did.
"""

import asyncio
import csv
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median

from evmesh.app.config import GroupConfig, SiteConfig, load_site, load_tariff
from evmesh.domain.flex_voucher import EarnedReward
from evmesh.domain.money import cost_of
from evmesh.domain.sessions import State
from evmesh.domain.stations import MeterSample
from evmesh.domain.units import W, Wh
from evmesh.services.quotes import Quotes
from evmesh.services.request_checks import MIN_BUDGET
from evmesh.services.requests import NotPromised, Promise
from evmesh.services.reward_days import RewardDays
from evmesh.services.rewards import RewardBook
from evmesh.services.supply import flat_tariff_supply
from tests.drivers.clocks import HandClock
from tests.fakes.flex import FakeFlex
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, open_world
from tests.fakes.yard import MINUTE, SAMPLE_MINUTES, WATT_SECONDS_PER_WH, Car, Yard

EXAMPLES = Path(__file__).parents[1] / "examples"
_SETTLED = timedelta(days=2)


@dataclass
class Visit(Car):
    """A car of the week: what its battery takes, when it really leaves, and what it was told."""

    need: int = 0
    leaves_at: int = 0
    expected: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the battery takes no more."""
        return self.drawn >= self.need * WATT_SECONDS_PER_WH


@dataclass
class Week(Yard):
    """Runs the visits of one group."""

    quotes: Quotes | None = None
    visits: list[Visit] = field(default_factory=list)

    async def live(self) -> None:
        """Let the week pass; hours in which nobody is there are skipped."""
        self.world.live.awake |= self.world.directory.stations
        last = max((visit.leaves_at for visit in self.visits), default=0)
        while self.minute <= last + 1:
            coming = [visit for visit in self.visits if visit.comes_at == self.minute]
            for visit in coming:
                await self._come(visit)
            if self.plugged():
                await self._control()
                await self._pass()
            else:
                await self._skip()

    async def _come(self, visit: Visit) -> None:
        departure = int(self.world.at(minutes=visit.stays).timestamp())
        driver, bay = Driver(visit.name), self.world.places[visit.bay]
        answer = await self.world.ask(driver, bay, visit.wh, departure=departure)
        if isinstance(answer, NotPromised) and answer.record.offers:  # the most energy by that departure
            visit.wh = answer.record.offers[0][0]
            if cost_of(Wh(visit.wh), bay.connector.price) >= MIN_BUDGET:
                answer = await self.world.ask(driver, bay, visit.wh, departure=departure)
        if not isinstance(answer, Promise) or self.quotes is None:
            self.refused.append(visit)
            return
        visit.expected = await self.quotes.expected(answer.session, answer.plan)
        session = await self.world.pay(driver, answer.session)
        assert session.state is State.STARTING, session.cause
        assert (await self.world.begin(session)).accepted
        visit.session = await self.world.now(session)

    async def _skip(self) -> None:
        ahead = [visit.comes_at for visit in self.visits if visit.comes_at > self.minute]
        minutes = (min(ahead) if ahead else self.minute + 2) - self.minute
        self.world.clock.move(minutes * MINUTE)
        self.minute += minutes

    async def _pass(self) -> None:
        began = self.world.clock.now()
        self.world.clock.move(MINUTE)
        self.minute += 1
        for visit in self.visits:
            if visit.session is None or visit.left_with is not None:
                continue
            for second in range(0, 60, 10):
                limit = self.limit_of(visit, began + timedelta(seconds=second))
                visit.power = 0 if visit.is_full else min(limit, visit.takes)
                visit.drawn += 10 * visit.power
            leaves = self.minute >= visit.leaves_at or self._is_over(visit)
            if leaves or (self.minute + visit.bay) % SAMPLE_MINUTES == 0:
                await self._tell(visit, leaves=leaves)

    async def _tell(self, visit: Visit, *, leaves: bool) -> None:
        session = visit.session
        assert session is not None
        assert session.meter_start is not None
        register = Wh(session.meter_start + visit.drawn // WATT_SECONDS_PER_WH)
        sample = MeterSample(self.world.clock.now(), register, power=W(visit.power))
        connector = session.terms.connector
        await self.world.events.metered(connector, session.transaction_id, [sample])
        session = await self.world.now(session)
        if leaves or session.state is State.STOPPING:
            session = await self.world.end(session, register)
            visit.left_with = session.delivered
            self.world.stations.limits.pop(connector, None)
        visit.session = session


@dataclass(frozen=True, slots=True)
class Outcome:
    """One visit: what was expected of it and what it earned, in token units."""

    name: str
    expected: int
    earned: int
    full: bool
    """It stayed as long as was stated, and took what was asked for."""


async def replay(site: SiteConfig, group: GroupConfig) -> tuple[list[Outcome], int]:
    """Give the outcomes of a group's week, and how many visits were refused."""
    price_at = load_tariff(site.prices, site.time_zone).price_at
    names = [name for station in group.stations for name, _ in station.connectors]
    start = site.start.astimezone(UTC)
    visits = _visits(site, names, start)
    with tempfile.TemporaryDirectory() as directory:
        opened = open_world(
            Path(directory),
            bays=len(names),
            capacity=group.capacity,
            price_at=price_at,
            clock=HandClock(start),
        )
        async with opened as world:
            supply = flat_tariff_supply(price_at, world.caps)
            quotes = Quotes(world.transitions, world.directory, world.planner, supply, world.clock, bytes)
            week = Week(world=world, cars=list(visits), quotes=quotes, visits=visits)
            await week.live()
            world.clock.move(_SETTLED)
            earned = await _earned(world, site, visits)
            return [_outcome(visit, earned) for visit in visits if visit.session], len(week.refused)


async def _earned(world: World, site: SiteConfig, visits: Sequence[Visit]) -> dict[str, EarnedReward]:
    supply = flat_tariff_supply(load_tariff(site.prices, site.time_zone).price_at, world.caps)
    days = RewardDays(
        world.transitions,
        world.clock,
        world.directory,
        RewardBook(world.directory, OPERATOR, supply),
        world.receipts,
        OPERATOR,
        SIGNATURES,
        FakeFlex(OPERATOR.payee.address, CONTRACTS.flex),
        site.time_zone,
    )
    await days.close_days()
    async with world.database.begin() as unit:
        found = await unit.rewards_of([visit.session.id for visit in visits if visit.session])
    return {session.text: reward for session, reward in found.items()}


def _outcome(visit: Visit, earned: dict[str, EarnedReward]) -> Outcome:
    assert visit.session is not None
    terms = visit.session.terms
    stayed = visit.leaves_at >= visit.comes_at + visit.stays
    full = stayed and visit.session.delivered >= terms.energy * 9 // 10
    return Outcome(visit.name, visit.expected, earned[visit.session.id.text].units, full)


def _visits(site: SiteConfig, names: list[str], start: datetime) -> list[Visit]:
    assert site.sessions is not None

    def minute(text: str) -> int:
        at = datetime.fromisoformat(text).replace(tzinfo=site.time_zone)
        return int((at - start).total_seconds()) // 60

    found = []
    with site.sessions.open(newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            if row["connector"] not in names:
                continue
            comes = minute(row["arrival"])
            found.append(
                Visit(
                    name=f"visit {number}",
                    bay=names.index(row["connector"]),
                    comes_at=comes,
                    stays=minute(row["stated_departure"]) - comes,
                    wh=int(row["requested_wh"]),
                    need=int(row["delivered_wh"]),
                    leaves_at=minute(row["departure"]),
                )
            )
    return sorted(found, key=lambda visit: visit.comes_at)


def table(outcomes: Sequence[Outcome], refused: int) -> str:
    """Give the page's table: all visits, then those that did as they had said."""
    heading = ("who", "visits", "expected, cent", "earned, cent", "earned ÷ expected", "half are off by less")
    rows = [heading]
    for name, some in (
        ("all", list(outcomes)),
        ("stayed as stated, and took 9 tenths of what they asked for", [one for one in outcomes if one.full]),
        ("left before, or took less", [one for one in outcomes if not one.full]),
    ):
        expected, earned = sum(one.expected for one in some), sum(one.earned for one in some)
        off = median(abs(one.earned - one.expected) for one in some) if some else 0
        ratio = f"{earned * 100 // expected} %" if expected else "–"
        rows.append((name, str(len(some)), _cent(expected), _cent(earned), ratio, _cent(int(off))))
    rule = "| --- " + "| ---: " * (len(rows[0]) - 1) + "|"
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    last = f"{refused} visits were refused, with no offer for their departure."
    return "\n".join([lines[0], rule, *lines[1:], "", last])


def _cent(units: int) -> str:
    return f"{units / 10_000:.1f}"


async def example_week() -> str:
    """Give the table of the example site."""
    site, outcomes, refused = load_site(EXAMPLES / "site.toml"), list[Outcome](), 0
    for group in site.groups:
        some, turned_away = await replay(site, group)
        outcomes += some
        refused += turned_away
    return table(outcomes, refused)


if __name__ == "__main__":
    print(asyncio.run(example_week()))
