from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from evmesh.domain.units import Milliamp
from evmesh.sim.profiles import ChargingProfile, composite, install

T0 = datetime(2026, 6, 1, 8, tzinfo=UTC)
SAFE = Milliamp(6_000)


def raw(
    periods: list[tuple[int, object]],
    purpose: str = "TxProfile",
    kind: str = "Absolute",
    unit: str = "A",
    level: int = 0,
    **more: Any,
) -> dict[str, Any]:
    schedule = {
        "chargingRateUnit": unit,
        "chargingSchedulePeriod": [{"startPeriod": at, "limit": limit} for at, limit in periods],
    }
    schedule |= more.pop("schedule", {"startSchedule": "2026-06-01T08:00:00Z"})
    identity = {"chargingProfileId": more.pop("id", 1), "stackLevel": level}
    return (
        identity
        | {"chargingProfilePurpose": purpose, "chargingProfileKind": kind, "chargingSchedule": schedule}
        | more
    )


def at(profile: ChargingProfile, minutes: float, phases: int = 1) -> int | None:
    return profile.limit_at(T0 + timedelta(minutes=minutes), T0 + timedelta(minutes=5), phases)


def parse(*args: Any, **kwargs: Any) -> ChargingProfile:
    return ChargingProfile.parse(raw(*args, **kwargs))


def test_a_period_holds_until_the_next_begins() -> None:
    profile = parse([(0, 16), (900, Decimal("8.5")), (1800, 0)])
    assert [at(profile, minute) for minute in (-1, 0, 14.9, 15, 30, 600)] == [
        None,
        16_000,
        16_000,
        8_500,
        0,
        0,
    ]


def test_watts_become_current_over_the_phases_in_use_rounded_down() -> None:
    assert at(parse([(0, 7_360)], unit="W"), 0) == 32_000
    assert at(parse([(0, 11_000)], unit="W"), 0, phases=3) == 15_942
    assert at(parse([(0, 100)], unit="W"), 0) == 434


def test_duration_and_validity_end_a_profile() -> None:
    schedule = {"startSchedule": "2026-06-01T08:00:00Z", "duration": 600}
    assert at(parse([(0, 16)], schedule=schedule), 10) is None
    until = parse([(0, 16)], validFrom="2026-06-01T08:01:00Z", validTo="2026-06-01T08:02:00Z")
    assert [at(until, minute) for minute in (0, 1, 1.9, 2)] == [None, 16_000, 16_000, None]


def test_a_relative_profile_counts_from_the_start_of_the_transaction() -> None:
    profile = parse([(0, 10), (60, 20)], kind="Relative", schedule={})
    assert [at(profile, minute) for minute in (4, 5, 6)] == [None, 10_000, 20_000]


def test_a_daily_profile_comes_again_tomorrow() -> None:
    profile = parse([(0, 10), (3600, 20)], kind="Recurring", recurrencyKind="Daily")
    assert [at(profile, hours * 60) for hours in (0, 2, 24, 26)] == [10_000, 20_000, 10_000, 20_000]


def test_the_highest_stack_level_that_speaks_wins() -> None:
    low = parse([(0, 10)])
    high = parse([(0, 20)], level=1, id=2, validTo="2026-06-01T08:10:00Z")
    assert composite([low, high], T0, T0, 1, SAFE) == 20_000
    assert composite([low, high], T0 + timedelta(minutes=10), T0, 1, SAFE) == 10_000


def test_the_transactions_profile_stands_before_the_default_and_the_station_caps_both() -> None:
    default = parse([(0, 25)], purpose="TxDefaultProfile", id=2)
    station = parse([(0, 20)], purpose="ChargePointMaxProfile", id=3)
    assert composite([default], T0, T0, 1, SAFE) == 25_000
    assert composite([default, parse([(0, 30)])], T0, T0, 1, SAFE) == 30_000
    assert composite([default, station], T0, T0, 1, SAFE) == 20_000
    assert composite([default, station], T0, T0, 1, SAFE, sharing=2) == 10_000


def test_where_nothing_speaks_the_current_is_safe() -> None:
    assert composite([], T0, T0, 1, SAFE) == SAFE


def test_a_new_profile_replaces_one_of_its_id_or_of_its_level() -> None:
    first, second = parse([(0, 10)]), parse([(0, 20)], id=2)
    assert install([first], second) == [second]
    third = parse([(0, 30)], level=3)
    assert install([second], third) == [second, third]
    assert install([second, third], parse([(0, 5)], level=3)) == [second, parse([(0, 5)], level=3)]


@pytest.mark.parametrize(
    "wrong",
    [
        raw([(0, 16)], unit="kW"),
        raw([(0, 16)], kind="Sometimes"),
        raw([(0, 16)], purpose="MyProfile"),
        raw([(60, 16)]),
        raw([]),
        raw([(0, -1)]),
        raw([(0, "16")]),
        raw([(0, True)]),
        raw([(0, 16)], kind="Recurring"),
        raw([(0, 16)], validTo="tomorrow"),
        {},
    ],
)
def test_what_is_no_profile_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        ChargingProfile.parse(wrong)
