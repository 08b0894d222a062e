"""What PV is expected to give: as on the last days, corrected by today."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.units import Wh
from evmesh.planning.forecast import BLIND_STEPS, FADE_STEPS, expected_wh

PEAK = Wh(5_000)


def wh(*values: int) -> list[Wh]:
    return [Wh(one) for one in values]


def test_a_day_like_the_last_ones_is_expected_to_go_on_like_them() -> None:
    assert expected_wh(0, wh(1_000, 1_200), wh(900, 1_100), Wh(1_000), PEAK) == 1_100


@pytest.mark.parametrize(("ahead", "expected"), [(0, 500), (FADE_STEPS // 2, 750), (FADE_STEPS, 1_000)])
def test_a_cloudy_morning_counts_in_full_at_once_and_not_at_all_in_the_evening(
    ahead: int, expected: int
) -> None:
    assert expected_wh(ahead, wh(1_000), wh(800), Wh(400), PEAK) == expected


def test_a_night_says_nothing_about_the_day_after_it() -> None:
    assert expected_wh(3, wh(600), wh(0), Wh(0), PEAK) == 600


def test_without_an_earlier_day_the_present_sky_lasts_for_an_hour() -> None:
    assert [expected_wh(ahead, [], [], Wh(800), PEAK) for ahead in range(6)] == [800, 600, 400, 200, 0, 0]
    assert BLIND_STEPS == 4


@given(
    st.integers(0, 40),
    st.lists(st.integers(-10, 100_000).map(Wh), max_size=4),
    st.lists(st.integers(-10, 100_000).map(Wh), max_size=4),
    st.integers(-10, 100_000).map(Wh),
)
def test_nothing_is_expected_above_the_peak_or_below_nothing(
    ahead: int, then: list[Wh], before: list[Wh], last: Wh
) -> None:
    assert 0 <= expected_wh(ahead, then, before, last, PEAK) <= PEAK
