"""Many readings of one value as a few numbers per stretch of time; and energy per hour, day or month.

Stretches begin at multiples of their width since 1970, UTC. Only whole numbers are summed up: words and
unknown values have no mean.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

QUARTER_S: Final = 900
DAY_S: Final = 86_400
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Summary:
    """What a value did in [at, at + width). `first` and `last` are in order of time."""

    at: datetime
    count: int
    total: int
    lowest: int
    highest: int
    first: int
    last: int
    first_at: datetime
    last_at: datetime

    @property
    def mean(self) -> int:
        """Give the mean of the readings, rounded down; it does not weigh how long each was true."""
        return self.total // self.count


class Period(StrEnum):
    """What energy is given for, in local time."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    def start_of(self, instant: datetime, zone: tzinfo) -> datetime:
        """Give when the period that holds `instant` begins, in that zone."""
        local = instant.astimezone(zone).replace(minute=0, second=0, microsecond=0)
        if self is Period.HOUR:
            return local
        # The first midnight of a day, also on one that has two of them.
        local = local.replace(hour=0, fold=0)
        return local if self is Period.DAY else local.replace(day=1)


@dataclass(frozen=True, slots=True)
class Energy:
    """What a register grew by in a period: a lower bound where it `went_back`, or its meter was `swapped`."""

    start: datetime
    wh: int
    went_back: bool
    swapped: bool = False


def summarise(
    readings: Iterable[tuple[datetime, int]], width_s: int, into: dict[datetime, Summary] | None = None
) -> dict[datetime, Summary]:
    """Sum (instant, number) pairs up, in any order; of two at one instant the later in order is the last."""
    width = timedelta(seconds=width_s)
    stretches: dict[int, list[tuple[datetime, int]]] = {}
    for reading in readings:
        stretches.setdefault((reading[0] - _EPOCH) // width, []).append(reading)
    found = {} if into is None else into
    for place, some in stretches.items():
        start = _EPOCH + place * width
        one = _summary(start, some)
        known = found.get(start)
        found[start] = one if known is None else joined(known, one)
    return found


def _summary(start: datetime, readings: list[tuple[datetime, int]]) -> Summary:
    numbers = [number for _, number in readings]
    first_at, first = readings[0]
    last_at, last = readings[0]
    for at, number in readings:
        if at < first_at:
            first_at, first = at, number
        elif at >= last_at:
            last_at, last = at, number
    return Summary(
        start, len(numbers), sum(numbers), min(numbers), max(numbers), first, last, first_at, last_at
    )


def joined(earlier: Summary, later: Summary) -> Summary:
    """Join what is known of one stretch, or of two stretches into the first; `later` wins a tie."""
    first = later if later.first_at < earlier.first_at else earlier
    last = later if later.last_at >= earlier.last_at else earlier
    return Summary(
        min(earlier.at, later.at),
        earlier.count + later.count,
        earlier.total + later.total,
        min(earlier.lowest, later.lowest),
        max(earlier.highest, later.highest),
        first.first,
        last.last,
        first.first_at,
        last.last_at,
    )


def coarser(summaries: Iterable[Summary], width_s: int) -> list[Summary]:
    """Join short stretches, in order of time, into ones of `width_s`, a multiple of theirs."""
    width = timedelta(seconds=width_s)
    found: dict[datetime, Summary] = {}
    for one in summaries:
        start = one.at - (one.at - _EPOCH) % width
        moved = Summary(
            start,
            one.count,
            one.total,
            one.lowest,
            one.highest,
            one.first,
            one.last,
            one.first_at,
            one.last_at,
        )
        known = found.get(start)
        found[start] = moved if known is None else joined(known, moved)
    return list(found.values())


def energy_per(
    period: Period,
    quarters: Iterable[Summary],
    before: int | None,
    zone: tzinfo,
    swaps: Sequence[datetime] = (),
) -> list[Energy]:
    """Give what a lifetime register (Wh) grew by, from its quarter-hours in order of time.

    `before` is the register before the first of them; without it, what it grew by until the first reading is
    not known and not counted. What flowed between two readings counts where the second one lies. A register
    that goes back (a swapped meter) counts from where it went on, and the period says so.

    `swaps` are the instants, in order, from which on the register is another meter's: what lies before one
    and what lies after it are never compared. A quarter-hour that holds one comes in two parts.
    """
    found: dict[datetime, Energy] = {}
    register = before
    known_swaps = 0
    for one in quarters:
        start = period.start_of(one.at, zone)
        passed = sum(at <= one.first_at for at in swaps)
        swapped, known_swaps = passed > known_swaps, passed
        if swapped:
            register = None
        base = one.first if register is None else register
        back = one.first < base or one.last < one.first or one.lowest < one.first
        grown = max(0, one.first - base) + max(0, one.last - one.first)
        register = one.last
        key = start.astimezone(UTC)
        known = found.get(key, Energy(start, 0, went_back=False))
        found[key] = Energy(start, known.wh + grown, known.went_back or back, known.swapped or swapped)
    return list(found.values())
