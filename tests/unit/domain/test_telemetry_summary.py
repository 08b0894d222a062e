"""Sums of readings, and energy per local hour, day and month."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from evmesh.domain.telemetry_summary import QUARTER_S, Period, coarser, energy_per, summarise

AT = datetime(2026, 10, 24, 22, tzinfo=UTC)
"""Midnight in Zurich, of the day that has 25 hours."""


def test_sums_do_not_depend_on_how_readings_are_cut_into_batches() -> None:
    draw = random.Random(3)
    readings = [(AT + timedelta(seconds=s), draw.randrange(-100, 100)) for s in range(0, 7_200, 7)]
    whole = summarise(readings, QUARTER_S)
    parts = summarise(readings[300:], QUARTER_S, summarise(readings[:300], QUARTER_S))
    assert parts == whole
    shuffled = draw.sample(readings, len(readings))
    assert dict(sorted(summarise(shuffled, QUARTER_S).items())) == whole
    assert coarser(whole.values(), 3_600) == list(summarise(readings, 3_600).values())


def test_times_before_1970_lie_in_the_stretch_that_holds_them() -> None:
    at = datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert list(summarise([(at, 1)], QUARTER_S)) == [datetime(1969, 12, 31, 23, 45, tzinfo=UTC)]


def test_a_day_with_25_hours_has_them_all() -> None:
    readings = [(AT + n * timedelta(minutes=15), n * 10) for n in range(100)]
    quarters = list(summarise(readings, QUARTER_S).values())
    zone = ZoneInfo("Europe/Zurich")
    hours = energy_per(Period.HOUR, quarters, -10, zone)
    assert [one.wh for one in hours] == [40] * 25
    assert [one.start.hour for one in hours][:5] == [0, 1, 2, 2, 3]
    (day,) = energy_per(Period.DAY, quarters, -10, zone)
    assert (day.wh, day.start.isoformat()) == (1_000, "2026-10-25T00:00:00+02:00")
    (month,) = energy_per(Period.MONTH, quarters, -10, zone)
    assert month.start.isoformat() == "2026-10-01T00:00:00+02:00"


def test_a_register_that_goes_back_is_said_and_never_negative() -> None:
    numbers = [1_000, 1_200, 50, 80]
    readings = [(AT + n * timedelta(minutes=15), number) for n, number in enumerate(numbers)]
    (day,) = energy_per(Period.DAY, summarise(readings, QUARTER_S).values(), 900, UTC)
    assert (day.wh, day.went_back) == (330, True)


def test_what_was_before_the_first_reading_is_not_guessed() -> None:
    (day,) = energy_per(Period.DAY, summarise([(AT, 5_000)], QUARTER_S).values(), None, UTC)
    assert (day.wh, day.went_back) == (0, False)


def test_a_swapped_meter_is_counted_from_its_own_first_register_be_it_lower_or_higher() -> None:
    numbers = [1_000, 1_200, 50_000, 50_030, 10, 25]
    readings = [(AT + n * timedelta(minutes=15), number) for n, number in enumerate(numbers)]
    swaps = [readings[2][0], readings[4][0]]
    hours = energy_per(Period.HOUR, summarise(readings, QUARTER_S).values(), 900, UTC, swaps)
    assert [(one.wh, one.went_back, one.swapped) for one in hours] == [(330, False, True), (15, False, True)]
