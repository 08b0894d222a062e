"""What energy and vouchers may be apart: the figures of the bound, and that they are whole-unit bounds."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.money import Price, cost_of
from evmesh.domain.sessions import Way
from evmesh.domain.streaming import STEP, StreamRules
from evmesh.domain.units import W, Wh, energy_from_watts
from tests.unit.services.streaming_sessions import terms_of

RULES = StreamRules()


@pytest.mark.parametrize(
    ("rating", "grace_s"), [(3_680, 60), (7_360, 48), (22_080, 16), (150_000, 2), (1_000_000, 0)]
)
def test_the_grace_is_the_time_in_which_100_wh_can_flow_and_at_most_a_sample_interval(
    rating: int, grace_s: int
) -> None:
    assert RULES.grace(W(rating)) == timedelta(seconds=grace_s)


@given(st.integers(1, 400_000).map(W))
def test_no_more_than_100_wh_can_flow_in_the_grace(rating: W) -> None:
    seconds = int(RULES.grace(rating).total_seconds())
    assert energy_from_watts(rating, seconds) <= STEP


def test_the_risk_is_said_in_token_units_before_the_start() -> None:
    terms = terms_of(budget=1_750_000, price=350_000)
    risk = RULES.risk(Way.STREAMING, terms, W(7_360))
    overrun = 7_360 * 90 // 3_600 + 1  # W for a sample interval and the stop latency, rounded up to a Wh
    assert risk.driver == 35_000
    assert risk.operator == cost_of(Wh(100 + overrun), Price(350_000)) == 99_750
    assert RULES.risk(Way.PREPAID, terms, W(7_360)).driver == 1_750_000


@given(
    energy=st.integers(0, 50_000).map(Wh),
    price=st.integers(1, 2_000_000).map(Price),
    budget=st.integers(100_000, 10**9),
)
def test_who_pays_what_is_wanted_is_never_ahead_by_more_than_the_risk_says(
    energy: Wh, price: Price, budget: int
) -> None:
    terms = terms_of(budget=budget, price=price)
    wanted = min(budget, cost_of(Wh(energy + STEP), price))
    ahead = wanted - min(budget, cost_of(energy, price))
    assert ahead <= RULES.risk(Way.STREAMING, terms, W(7_360)).driver
    assert terms.base < RULES.first_cumulative(terms) <= terms.base + budget
