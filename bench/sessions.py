"""The real week that benchmarks replay: who came, what they said, what they really did.

Source and licence stand in `bench/data/README.md`. Instants are the site's wall clock, moved by whole weeks
to where `examples/prices.csv` begins, and written as UTC: nothing here depends on a zone.
"""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from evmesh.domain.money import Price
from evmesh.domain.units import W, Wh

HERE = Path(__file__).parent
SESSIONS = HERE / "data" / "acn_sample_sessions.csv"
PRICES = HERE.parent / "examples" / "prices.csv"
SHIFT = timedelta(weeks=365)
WEEK_START = datetime(2026, 6, 1, tzinfo=UTC)
RATED_POWER = W(6_656)
"""32 A at 208 V, single phase: what the charge points of these sessions give."""


@dataclass(frozen=True, slots=True)
class RealSession:
    """One visit: what the driver stated, and what came of it.

    A driver who stated nothing has what came of it as statement, as the source has it.
    """

    id: str
    site: str
    arrival: datetime
    departure: datetime
    stated_departure: datetime
    delivered: Wh
    stated: Wh

    @property
    def power(self) -> W:
        """Give the power that the car takes: the charge point's, or its own average where that was more."""
        stay_s = int((self.departure - self.arrival).total_seconds())
        return W(max(RATED_POWER, -(-self.delivered * 3_600 // stay_s)))


@cache
def real_sessions(site: str | None = None) -> tuple[RealSession, ...]:
    """Give the sessions of one site, or of both, by arrival."""
    with SESSIONS.open(encoding="utf-8", newline="") as file:
        found = [_session(number, row) for number, row in enumerate(csv.DictReader(file))]
    return tuple(
        sorted((one for one in found if site in (None, one.site)), key=lambda one: (one.arrival, one.id))
    )


def _session(number: int, row: dict[str, str]) -> RealSession:
    return RealSession(
        id=f"{number:03}",
        site=row["site"],
        arrival=_on_the_wall(row["arrival"]),
        departure=_on_the_wall(row["departure"]),
        stated_departure=_on_the_wall(row["estimated_departure"]),
        delivered=_wh(row["delivered_kWh"]),
        stated=_wh(row["requested_kWh"]),
    )


def _on_the_wall(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC) + SHIFT


def _wh(kwh: str) -> Wh:
    return Wh(round(float(kwh) * 1_000))


@cache
def hourly_prices() -> tuple[Price, ...]:
    """Give the price of each hour from WEEK_START on, in micro-currency per kWh; some are negative."""
    with PRICES.open(encoding="utf-8", newline="") as file:
        return tuple(Price(round(float(row["eur_per_mwh"]) * 1_000)) for row in csv.DictReader(file))


def price_at(instant: datetime) -> Price:
    """Give the price of an instant; the last hour of the file stands for all that follow."""
    prices = hourly_prices()
    return prices[min(int((instant - WEEK_START) // timedelta(hours=1)), len(prices) - 1)]
