import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.csms.v16.instants import MalformedInstant, parse_instant, write_instant

EIGHT = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-06-01T08:00:00Z", EIGHT),
        ("2026-06-01T08:00:00z", EIGHT),
        ("2026-06-01t08:00:00Z", EIGHT),
        ("2026-06-01 08:00:00Z", EIGHT),
        ("2026-06-01T10:00:00+02:00", EIGHT),
        ("2026-06-01T10:00:00+0200", EIGHT),
        ("2026-06-01T02:30:00-05:30", EIGHT),
        ("2026-06-01T08:00:00", EIGHT),
        ("2026-06-01T08:00:00.5Z", EIGHT + timedelta(milliseconds=500)),
        ("2026-06-01T08:00:00.123456789Z", EIGHT + timedelta(microseconds=123456)),
        ("2026-06-01T08:00:00.25", EIGHT + timedelta(milliseconds=250)),
    ],
)
def test_what_stations_write_is_read_as_utc(text: str, instant: datetime) -> None:
    assert parse_instant(text) == instant
    assert parse_instant(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-06-01",
        "20260601T080000Z",
        "2026-13-01T08:00:00Z",
        "2026-06-01T25:00:00Z",
        "2026-06-01T08:00Z",
        "2026-06-01T08:00:00+99:00",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "2026-06-01T08:00:00Z ",
        "٢٠٢٦-06-01T08:00:00Z",
        "0000-00-00T00:00:00Z",
    ],
)
def test_what_names_no_instant_is_malformed(text: str) -> None:
    with pytest.raises(MalformedInstant):
        parse_instant(text)


@given(st.text(max_size=40))
def test_any_text_is_an_instant_or_malformed(text: str) -> None:
    with contextlib.suppress(MalformedInstant):
        assert parse_instant(text).tzinfo is UTC


def test_we_write_utc_with_z_and_milliseconds_only_where_there_are_any() -> None:
    assert write_instant(EIGHT) == "2026-06-01T08:00:00Z"
    assert write_instant(EIGHT + timedelta(milliseconds=5)) == "2026-06-01T08:00:00.005Z"
    assert write_instant(EIGHT.astimezone(timezone(timedelta(hours=2)))) == "2026-06-01T08:00:00Z"


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_what_we_write_we_read_to_the_millisecond(naive: datetime) -> None:
    instant = naive.replace(tzinfo=UTC, microsecond=naive.microsecond // 1000 * 1000)
    assert parse_instant(write_instant(instant)) == instant
