"""Power is never shown beside a limit of another moment, and never called too much for a moment's sake."""

from datetime import UTC, datetime, timedelta

import pytest

from evmesh.app.power_view import PowerView, power_view
from evmesh.domain.ids import ConnectorRef, EvseId, StationId
from evmesh.domain.money import Price
from evmesh.domain.stations import Connector, LimitPeriod, LimitProfile, MeterSample
from evmesh.domain.units import Milliamp, W
from evmesh.services.live import ConnectorLive

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONNECTOR = Connector(
    ConnectorRef(StationId("S-1"), 1),
    EvseId.parse("NL*EVM*E1"),
    W(7_360),
    1,
    Milliamp(32_000),
    "a",
    0,
    0,
    Price(350_000),
)


def held(*limits: tuple[int, int]) -> LimitProfile:
    """From so many minutes after noon on, so many W."""
    periods = tuple(LimitPeriod(minute * 60, W(limit)) for minute, limit in limits)
    return LimitProfile(NOON, NOON + timedelta(hours=1), periods, "plan")


def seen(
    minute: float, power: int, profile: LimitProfile | None, *, offered: int | None = None
) -> ConnectorLive:
    at = NOON + timedelta(minutes=minute)
    sample = MeterSample(at, None, W(power), None, None if offered is None else Milliamp(offered))
    live = ConnectorLive(sample=sample)
    live.profile = profile
    return live


def shown(live: ConnectorLive, since: datetime | None = None) -> PowerView:
    return power_view(live, CONNECTOR, since, NOON + timedelta(minutes=20))


def test_power_stands_beside_the_limit_of_the_moment_in_which_it_was_measured() -> None:
    live = seen(5, 7_300, held((0, 7_360), (10, 1_380)))  # now the limit is 1.38 kW
    assert shown(live) == PowerView(W(7_300), W(7_360), NOON + timedelta(minutes=5))


def test_the_station_s_own_word_of_what_it_offered_is_the_limit_of_that_moment() -> None:
    live = seen(5, 1_374, held((0, 7_360)), offered=6_000)
    assert shown(live) == PowerView(W(1_374), W(1_380), NOON + timedelta(minutes=5))


@pytest.mark.parametrize("offered", [None, 32_000])
def test_power_above_a_limit_that_has_held_for_a_minute_exceeds_it(offered: int | None) -> None:
    found = shown(seen(5, 7_300, held((0, 1_380)), offered=offered))
    assert (found.exceeds, found.limit) == (True, W(1_380))


@pytest.mark.parametrize("offered", [None, 6_000])
def test_power_that_has_yet_to_follow_a_limit_stands_beside_the_one_before(offered: int | None) -> None:
    found = shown(seen(5, 7_300, held((0, 7_360), (5, 1_380)), offered=offered))
    assert (found.exceeds, found.limit) == (False, W(7_360))


def test_power_above_a_limit_that_came_just_now_stands_alone() -> None:
    assert shown(seen(0.5, 7_300, held((0, 1_380)))) == PowerView(
        W(7_300), None, NOON + timedelta(seconds=30)
    )


def test_what_a_meter_of_its_class_may_show_too_much_exceeds_nothing() -> None:
    assert not shown(seen(5, 7_400, held((0, 7_360)))).exceeds


def test_what_was_measured_before_the_state_began_is_not_its_power() -> None:
    live = seen(5, 7_300, held((0, 7_360), (10, 1_380)))
    assert shown(live, since=NOON + timedelta(minutes=6)) == PowerView(W(0), W(1_380), None)
    assert shown(live, since=NOON + timedelta(minutes=5)).power == W(7_300)
