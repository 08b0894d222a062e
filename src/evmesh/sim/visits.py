"""Who comes when, wants what and leaves when: the sessions file, read as an itinerary without end.

The file is CSV with the columns driver, connector, arrival, stated_departure, departure, requested_wh,
delivered_wh, max_power_w where it is known, way (how it is paid; by default prepaid) and money (in what; by
default the site's token). Times are the site's wall clock, without offset.
"""

import csv
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from evmesh.domain.errors import InvalidInput
from evmesh.domain.sessions import Way
from evmesh.domain.units import W, Wh

WEEK: Final = timedelta(weeks=1)
DEFAULT_MAX_POWER: Final = W(7_360)
"""A single-phase on-board charger at 32 A and 230 V, where the file does not say."""
_COLUMNS: Final = (
    "driver",
    "connector",
    "arrival",
    "stated_departure",
    "departure",
    "requested_wh",
    "delivered_wh",
)


_Word = TypeVar("_Word", Way, "Money")


class Money(StrEnum):
    """What a driver pays with."""

    TOKEN = "token"  # noqa: S105 - of a ledger
    FLEX = "flex"
    """What flexibility earned at this operator."""


@dataclass(frozen=True, slots=True)
class Visit:
    """One car at one connector. Times are aware, in the site's zone: a week later is the same hour."""

    driver: str
    connector: str
    arrival: datetime
    stated_departure: datetime
    departure: datetime
    """When the driver really leaves: often not when stated."""
    requested: Wh
    need: Wh
    """What the battery really takes, at most."""
    max_power: W
    way: Way = Way.PREPAID
    """Who pays by streaming is a car that does so by itself."""
    money: Money = Money.TOKEN

    @property
    def key(self) -> str:
        """Name this visit for ever: the driver and the instant of arrival."""
        return f"{self.driver}@{self.arrival.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"

    def weeks_later(self, weeks: int) -> "Visit":
        """Give the same visit some weeks on, at the same hour of the site's wall clock."""
        shift = WEEK * weeks
        return replace(
            self,
            arrival=self.arrival + shift,
            stated_departure=self.stated_departure + shift,
            departure=self.departure + shift,
        )


def parse_visits(text: str, zone: ZoneInfo) -> tuple[Visit, ...]:
    """Read a sessions file; raises InvalidInput naming the row and the column."""
    rows = csv.DictReader(text.splitlines())
    missing = [column for column in _COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise InvalidInput("sessions.missing_column", f"there is no column {missing[0]}", path=missing[0])
    visits = [_visit(row, zone, f"row {number}") for number, row in enumerate(rows, 2)]
    return tuple(sorted(visits, key=lambda visit: (visit.arrival.astimezone(UTC), visit.connector)))


def itinerary(visits: Sequence[Visit], since: datetime) -> Iterator[Visit]:
    """Give every visit that arrives at or after `since`, by arrival; the file repeats each week for ever.

    Goes on without end, unless there are no visits at all.
    """
    if not visits:
        return iter(())
    first = min((since - visit.arrival) // WEEK for visit in visits) - 1
    rounds = (_endless(visit, first) for visit in visits)
    merged = heapq.merge(*rounds, key=lambda visit: (visit.arrival.astimezone(UTC), visit.key))
    return (visit for visit in merged if visit.arrival >= since)


def _endless(visit: Visit, first: int) -> Iterator[Visit]:
    """Give the visit in week `first` of the file's own and all after; never before the file begins."""
    weeks = max(0, first)
    while True:
        yield visit.weeks_later(weeks)
        weeks += 1


def _visit(row: dict[str, str], zone: ZoneInfo, where: str) -> Visit:
    visit = Visit(
        driver=_text(row, "driver", where),
        connector=_text(row, "connector", where),
        arrival=_time(row, "arrival", zone, where),
        stated_departure=_time(row, "stated_departure", zone, where),
        departure=_time(row, "departure", zone, where),
        requested=Wh(_whole(row["requested_wh"], "requested_wh", where)),
        need=Wh(_whole(row["delivered_wh"], "delivered_wh", where)),
        max_power=W(_whole(row.get("max_power_w") or str(DEFAULT_MAX_POWER), "max_power_w", where)),
        way=_one_of(Way, row.get("way") or Way.PREPAID.value, "way", "way to pay", where),
        money=_one_of(Money, row.get("money") or Money.TOKEN.value, "money", "money", where),
    )
    if visit.money is Money.FLEX and visit.way is Way.TRANSFER:
        raise InvalidInput("sessions.bad_money", "a transfer is in the site's token", path=f"{where}, money")
    if visit.departure <= visit.arrival or visit.stated_departure <= visit.arrival:
        raise InvalidInput(
            "sessions.leaves_before_arrival", "a departure is not after the arrival", path=where
        )
    return visit


def _text(row: dict[str, str], column: str, where: str) -> str:
    if not (row[column] or "").strip():
        raise InvalidInput("sessions.empty", "there must be a name", path=f"{where}, {column}")
    return row[column].strip()


def _time(row: dict[str, str], column: str, zone: ZoneInfo, where: str) -> datetime:
    try:
        value = datetime.fromisoformat(row[column] or "")
    except ValueError as error:
        raise InvalidInput(
            "sessions.bad_time", f"{row[column]!r} is not a time", path=f"{where}, {column}"
        ) from error
    if value.tzinfo is not None:
        raise InvalidInput(
            "sessions.bad_time",
            f"{row[column]!r} has an offset",
            do="write what the site's wall clock shows, e.g. 2026-06-01T08:31:00",
            path=f"{where}, {column}",
        )
    return value.replace(tzinfo=zone)


def _one_of(kind: type[_Word], text: str, column: str, what: str, where: str) -> _Word:
    if text not in list(kind):
        raise InvalidInput(
            f"sessions.bad_{column}",
            f"{text[:20]!r} is no {what}",
            do=f"write {', '.join(kind)}",
            path=f"{where}, {column}",
        )
    return kind(text)


def _whole(text: str, column: str, where: str) -> int:
    if not (text or "").isdecimal() or not 0 < int(text) < 2**31:
        raise InvalidInput(
            "sessions.bad_number", f"{text!r} is not a whole number above 0", path=f"{where}, {column}"
        )
    return int(text)
