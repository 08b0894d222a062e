"""The honest bill: every transaction of a site's week, by kind, divided by its sessions.

A compact replay of the demo site's week (`examples/sessions.csv`: 81 visits of 14 drivers) on the real
contracts, in the order of platform time and by the rules of the services:

- at a visit the driver's tab is raised by what it lacks of the budget, by permit, through the relayer;
- what ends within one minute is claimed together, and the meters' tree head anchored once for it;
- in each quarter of an hour with a visit one transaction anchors the schedules, and with them the session
  records where a session has ended and the released algorithm's hash once, at the beginning;
- in each hour with a claim the operator is paid out once.

Each transaction is mined, its gas is what the receipt says. Who never came or never paid costs nothing on
chain. The baseline is the plain way for the same visits: approve, open and close an escrow each time.
"""

import csv
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path

from bench.bench_ledger_gas import plain_session
from bench.figure import Figure
from tests.contract.chain import Chain, Person, running_anvil
from tests.contract.tab_world import EURO, Row, World

SESSIONS = Path(__file__).parent.parent / "examples" / "sessions.csv"
PRICE = 350
"""Token units per Wh, as the site file says; requests are rounded by nobody."""
MINUTE, QUARTER, HOUR, DAY = (timedelta(minutes=number) for number in (1, 15, 60, 1_440))
HEADS, PAYOUTS = "heads of schedules and records", "payouts"
METERS, SCHEDULES, RECORDS, ALGORITHM = (bytes([number]) * 32 for number in range(1, 5))
_FIRST = datetime(2026, 6, 1)  # noqa: DTZ001 - the file has local times


@dataclass(frozen=True)
class Visit:
    """One charge: when it was paid and over, what was vouched for and what it cost, in token units."""

    driver: str
    arrival: datetime
    departure: datetime
    budget: int
    cost: int


@dataclass
class Bill:
    """Gas and count of each kind."""

    gas: Counter[str]
    count: Counter[str]

    def add(self, kind: str, gas: int) -> None:
        self.gas[kind] += gas
        self.count[kind] += 1


def run() -> list[Figure]:
    """Replay the week as the services send it, and as it were if claims and meter heads went once a day."""
    visits = _visits()
    with running_anvil() as chain:
        world = World.build(chain)
        plain = plain_session(chain, world)
        bill = _replay(chain, world, visits, MINUTE)
        patient = _replay(chain, world, visits, DAY)
    sessions = len(visits)
    shared = bill.gas[HEADS] + bill.gas[PAYOUTS]
    daily = sum(patient.gas.values()) - patient.gas[HEADS] - patient.gas[PAYOUTS]

    def each(name: str, gas: int, baseline: float | None = None) -> Figure:
        return Figure(name, "gas", gas / sessions, baseline, "plain escrow" if baseline else "", exact=True)

    total = sum(bill.gas.values())
    return [
        Figure("sessions of the week", "sessions", sessions, exact=True),
        Figure("transactions a session", "sent", sum(bill.count.values()) / sessions, exact=True),
        each("a session, with all that the week sends", total, plain),
        each("a session, without what all sites of an operator share", total - shared, plain),
        each("the same, claims and meter heads once a day", daily, plain),
        *(each(f"{kind}, {bill.count[kind]} sent", gas) for kind, gas in bill.gas.most_common()),
    ]


def _replay(chain: Chain, world: World, visits: list[Visit], claims_every: timedelta) -> Bill:
    bill = Bill(Counter(), Counter())
    with chain.undone():
        _Week(chain, world, visits, bill, claims_every).play()
    return bill


class _Week:
    """Plays the week once."""

    def __init__(
        self, chain: Chain, world: World, visits: list[Visit], bill: Bill, claims_every: timedelta
    ) -> None:
        self._world, self._visits, self._bill, self._claims_every = world, visits, bill, claims_every
        self._notary = chain.deploy("MeterNotary", sender=world.operator.address)
        self._drivers = {name: _driver(world, name) for name in sorted({one.driver for one in visits})}
        self._owed: Counter[str] = Counter()
        self._rows: list[Row] = []
        self._ceiling: Counter[str] = Counter()
        self._leaves: Counter[bytes] = Counter()

    def play(self) -> None:
        events: list[tuple[datetime, str, Visit | None]] = [(one.arrival, "pay", one) for one in self._visits]
        events += [(one.departure, "end", one) for one in self._visits]
        events += [(_next(one.departure, self._claims_every), "claim", None) for one in self._visits]
        events += [(at, "streams", None) for at in _steps(self._visits)]
        events += [(at, "payout", None) for at in _hours(self._visits)]
        self._anchor_streams([ALGORITHM])
        ordered = sorted(events, key=lambda event: (event[0], event[1]))
        for (at, kind), same in groupby(ordered, key=lambda event: event[:2]):
            visits = [visit for _, _, visit in same if visit is not None]
            match kind:
                case "pay":
                    for visit in visits:
                        self._pay(visit)
                case "end":
                    for visit in visits:
                        self._end(visit)
                case "claim":
                    self._claim()
                case "streams":
                    ended = any(at - QUARTER < one.departure <= at for one in self._visits)
                    self._anchor_streams([SCHEDULES, RECORDS] if ended else [SCHEDULES])
                case _:
                    self._pay_out()

    def _pay(self, visit: Visit) -> None:
        needed = self._owed[visit.driver] + visit.budget
        if needed > self._ceiling[visit.driver]:
            missing = needed - self._ceiling[visit.driver]
            world = replace(self._world, driver=self._drivers[visit.driver])
            kind = "deposits" if self._ceiling[visit.driver] else "first deposits of a driver"
            self._bill.add(kind, world.deposit_with_permit(needed, permitted=missing).gas)
            self._ceiling[visit.driver] = needed

    def _end(self, visit: Visit) -> None:
        """Note what is owed now; the voucher was for what was owed before, and the budget."""
        driver = visit.driver
        vouched = self._owed[driver] + visit.budget
        self._owed[driver] += visit.cost
        self._rows.append(self._world.row(self._owed[driver], vouched, signer=self._drivers[driver]))

    def _claim(self) -> None:
        rows, self._rows = self._rows, []
        self._anchor("meter heads", [METERS])
        receipt = self._world.claim(*rows)
        assert not receipt.events("RowSkipped")
        self._bill.add("claims", receipt.gas)

    def _anchor_streams(self, streams: list[bytes]) -> None:
        self._anchor(HEADS, streams)

    def _anchor(self, kind: str, streams: list[bytes]) -> None:
        sender = self._world.relayer.address
        heads = []
        for stream in streams:
            self._leaves[stream] += 1
            heads.append((stream, self._leaves[stream], bytes([self._leaves[stream] % 255 + 1]) * 32))
        if len(heads) == 1:
            receipt = self._notary.send("anchor", *heads[0], sender=sender)
        else:
            receipt = self._notary.send("anchor_many", heads, sender=sender)
        self._bill.add(kind, receipt.gas)

    def _pay_out(self) -> None:
        payee = self._world.operator.address
        earned, paid = self._world.tab.call("account", payee)
        if earned > paid:
            self._bill.add(PAYOUTS, self._world.tab.send("payout", payee, sender=payee).gas)


def _visits() -> list[Visit]:
    with SESSIONS.open(encoding="utf-8", newline="") as file:
        return [
            Visit(
                row["driver"],
                datetime.fromisoformat(row["arrival"]),
                datetime.fromisoformat(row["departure"]),
                int(row["requested_wh"]) * PRICE,
                min(int(row["delivered_wh"]), int(row["requested_wh"])) * PRICE,
            )
            for row in csv.DictReader(file)
        ]


def _next(at: datetime, every: timedelta) -> datetime:
    """Give when what ended then is dealt with."""
    return _FIRST + -((_FIRST - at) // every) * every


def _steps(visits: list[Visit]) -> list[datetime]:
    """Give the boundaries of the grid at which somebody was there: then the group was planned anew."""
    last = max(one.departure for one in visits)
    steps = [_FIRST + number * QUARTER for number in range((last - _FIRST) // QUARTER + 2)]
    return [at for at in steps if any(one.arrival < at <= one.departure + QUARTER for one in visits)]


def _hours(visits: list[Visit]) -> list[datetime]:
    last = max(one.departure for one in visits)
    return [_FIRST + number * HOUR for number in range((last - _FIRST) // HOUR + 2)]


def _driver(world: World, name: str) -> Person:
    driver = Person.make(world.chain, name)
    world.token.send("mint", driver.address, 2_000 * EURO, sender=world.token.call("minter"))
    return driver
