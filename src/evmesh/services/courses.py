"""Power over time, as it may be at most: what a cabinet's connectors are added up in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby, pairwise

from evmesh.domain.stations import LimitPeriod, LimitProfile
from evmesh.domain.units import W


@dataclass(frozen=True, slots=True)
class Course:
    """From each instant on, until the next, at most so many W; the last holds for ever."""

    points: tuple[tuple[datetime, int], ...]

    def most(self, start: datetime, end: datetime | None = None) -> int:
        """Give the highest power in [start, end); without an end, from `start` on for ever."""
        found = 0
        for number, (begin, power) in enumerate(self.points):
            over = self.points[number + 1][0] if number + 1 < len(self.points) else None
            if (end is None or begin < end) and (over is None or over > start):
                found = max(found, power)
        return found

    def least(self, start: datetime, end: datetime | None = None) -> int:
        """Give the lowest power in [start, end); without an end, from `start` on for ever."""
        ends = [*(at for at, _ in self.points[1:]), None]
        return min(
            (
                power
                for (begin, power), over in zip(self.points, ends, strict=True)
                if (end is None or begin < end) and (over is None or over > start)
            ),
            default=0,
        )


def steady(now: datetime, power: int) -> Course:
    """Give the same power for ever."""
    return Course(((now, power),))


def course_of(profile: LimitProfile, otherwise: int, now: datetime) -> Course:
    """Give what a profile allows from `now` on, and `otherwise` where it says nothing."""
    instants = {now, profile.starts_at, profile.expires_at}
    instants |= {profile.starts_at + timedelta(seconds=period.offset_s) for period in profile.periods}
    points = []
    for at in sorted(at for at in instants if at >= now):
        limit = profile.limit_at(at)
        points.append((at, otherwise if limit is None else int(limit)))
    return Course(tuple(points))


def lowered(profile: LimitProfile, course: Course) -> LimitProfile:
    """Give a profile that asks for the same, but nowhere for more than a course has."""
    offsets = {0, *(period.offset_s for period in profile.periods)}
    for at, _ in course.points:
        offset = (at - profile.starts_at) // timedelta(seconds=1)
        offsets |= {one for one in (offset, offset + 1) if one > 0}
    starts = sorted(offsets)
    periods: list[LimitPeriod] = []
    for start_s, over_s in pairwise([*starts, starts[-1] + 1]):
        start, over = (profile.starts_at + timedelta(seconds=one) for one in (start_s, over_s))
        limit = min(profile.limit_at(start) or W(0), W(course.least(start, over)))
        if not periods or periods[-1].limit != limit:
            periods.append(LimitPeriod(start_s, limit))
    return replace(profile, periods=tuple(periods))


def highest(courses: Sequence[Course]) -> Course:
    """Give the highest of all at every instant."""
    return _merge(courses, max)


def total(courses: Sequence[Course]) -> Course:
    """Give the sum at every instant."""
    return _merge(courses, sum)


def fits(others: Course, before: Course, after: Course, capacity: Course) -> bool:
    """Say whether going from `before` to `after` beside `others` exceeds the capacity nowhere anew.

    Where it adds nothing it is no matter how much there is already.
    """
    over = _merge((others, before, after, capacity), lambda w: w[0] + w[2] - w[3] if w[2] > w[1] else 0)
    return all(power <= 0 for _, power in over.points)


def adds_nothing(before: Course, after: Course) -> bool:
    """Say whether `after` is nowhere above `before`."""
    return all(more <= 0 for _, more in _merge((before, after), lambda w: w[1] - w[0]).points)


def _merge(courses: Sequence[Course], fold: Callable[[list[int]], int]) -> Course:
    changes = sorted(
        (at, number, power) for number, course in enumerate(courses) for at, power in course.points
    )
    powers = [0] * len(courses)
    points: list[tuple[datetime, int]] = []
    for at, moved in groupby(changes, key=lambda change: change[0]):
        for _, number, power in moved:
            powers[number] = power
        points.append((at, fold(powers)))
    return Course(tuple(points))
