"""Less energy than was asked for is explained by what the car left, or the demo fails."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from evmesh.app.demo_outcome import Json, measured, outcome
from evmesh.app.demo_text import evidence_lines, session_line
from evmesh.domain.errors import IntegrityFailure

NINE = datetime(2026, 6, 1, 9, tzinfo=UTC)


def snapshot(minute: int, power: int, limit: int | None, wh: int = 9_000, **changes: Any) -> Json:
    at = None if limit is None else f"{NINE + timedelta(minutes=minute):%Y-%m-%dT%H:%M:%SZ}"
    session = {"id": "s", "code": "C", "state": "charging", "power_w": power, "limit_w": limit}
    session |= {"measured_at": at, "delivered_wh": wh}
    soc = changes.pop("soc", 98)
    others = {**session, "id": "t", "power_w": 1}
    points = [{"code": "C", "soc_percent": soc}]
    return {"sessions": [others, session | changes], "groups": [{"charge_points": points}]}


TAPERS = [snapshot(0, 7_000, 7_000, 8_000), snapshot(10, 5_000, 7_000), snapshot(60, 2_000, 2_100, 10_500)]


def test_a_pause_of_ours_does_not_hide_what_the_car_left() -> None:
    paused = snapshot(30, 0, 0)
    assert "the car took less" in said(
        [TAPERS[0], snapshot(0, 2_000, 7_000), snapshot(25, 2_000, 2_200), paused]
    )


def said(shown: list[Json], got: int = 10_500) -> str:
    return outcome(12_000, got, 7_000, measured(shown, "s"))


def test_the_sentence_says_since_when_the_car_took_less_and_how_full_it_was() -> None:
    assert said([*TAPERS, TAPERS[-1]]) == (
        "asked 12,000 Wh, got 10,500 Wh: the car took less; from 09:10 UTC on 1,666 Wh more were to be had;"
        " at 10:00 UTC its battery was at 98 % and it drew 2,000 W"
    )


def test_a_full_battery_explains_whatever_is_missing() -> None:
    shown = [snapshot(0, 7_000, 7_000), snapshot(5, 0, 7_000, soc=100), snapshot(10, 0, 0, soc=100)]
    assert said(shown, 900) == (
        "asked 12,000 Wh, got 900 Wh: the car took less, its battery was full by 09:05 UTC"
    )


def test_all_that_was_asked_for_needs_no_reason() -> None:
    assert said([], 12_003) == "asked 12,000 Wh, got 12,003 Wh"


@pytest.mark.parametrize(
    "shown",
    [
        [],
        [snapshot(0, 7_000, 7_000), snapshot(60, 2_000, 2_100)],  # at first it took all that it was given
        [snapshot(0, 5_000, 7_000), snapshot(60, 0, 0)],  # we held it back
        [snapshot(20, 5_000, 7_000), snapshot(60, 2_000, 2_100)],  # not for long enough
        [snapshot(0, 3_000, None), snapshot(60, 3_000, None)],
        [snapshot(0, 3_000, 7_000, state="metered"), snapshot(60, 3_000, 7_000, state="metered")],
    ],
)
def test_a_shortfall_that_the_car_does_not_explain_fails(shown: list[Json]) -> None:
    with pytest.raises(IntegrityFailure, match=r"demo\.our_shortfall"):
        said(shown)


def test_every_number_has_its_unit() -> None:
    evidence = {
        "rating_w": 7_360,
        "planned_wh": [1_656, 408],
        "its_lambda": [83_550, 75_000],
        "price": 350_000,
        "cost": "3610600",
        "value": "78784740",
        "latitude_udeg": 52_337_179,
        "size": 936,
        "topics": {"PowerOutput": 7_360, "StateOfCharge": None, "OperationState": "charging"},
        "limit_w": None,
    }
    assert evidence_lines(evidence) == [
        "rating_w: 7,360 W",
        "planned_wh: 1,656 408 Wh",
        "its_lambda: 0.08355 0.075 EUR per kWh",
        "price: 0.35 EUR per kWh",
        "cost: 3.6106 EUR",
        "value: 0.078784 EUR",
        "latitude_udeg: 52.337179°",
        "size: 936 leaves",
        "topics: PowerOutput 7360 W, StateOfCharge none, OperationState charging",
        "limit_w: none",
    ]
    passing = {
        "charge_point": "CP",
        "connector": 1,
        "state": "charging",
        "delivered_wh": 76,
        "energy_wh": 30_000,
    }
    assert session_line("2026-06-01T06:40:10Z", passing).endswith("charging   76 of 30,000 Wh")
