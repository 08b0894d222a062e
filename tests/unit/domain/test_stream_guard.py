"""What a driver signs while energy flows: the cost of what was metered and 100 Wh, and no more."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.money import Price, cost_of
from evmesh.domain.stream_guard import Distrust, Hold, Pay, StreamGuard
from evmesh.domain.units import W, Wh

PRICE = Price(350_000)
BASE = 7_000_000
BUDGET = 3_500_000
HOUR = timedelta(hours=1)


def guard(budget: int = BUDGET) -> StreamGuard:
    return StreamGuard(PRICE, BASE, budget, W(7_360))


def total(wh: int) -> int:
    return BASE + wh * PRICE // 1000


def test_the_first_voucher_is_for_100_wh_or_the_whole_budget() -> None:
    assert guard().first() == total(100)
    assert guard(budget=10_000).first() == BASE + 10_000


def test_what_is_wanted_is_signed_up_to_100_wh_ahead_and_no_further() -> None:
    assert guard().look(HOUR, Wh(1_000), total(1_100), total(100)) == Pay(total(1_100))
    assert guard().look(HOUR, Wh(1_000), total(1_100), total(1_100)) == Hold()
    more = guard().look(HOUR, Wh(1_000), total(1_100) + 1, total(100))
    assert isinstance(more, Distrust)
    assert more.code == "stream.wanted_too_much"


def test_energy_that_stops_ends_the_payment_within_100_wh() -> None:
    watched, signed = guard(), total(100)
    for metered in (500, 1_000, 1_000, 1_000):
        for wanted in (total(metered + 100), total(metered + 200)):
            decision = watched.look(HOUR, Wh(metered), wanted, signed)
            signed = max(signed, decision.cumulative) if isinstance(decision, Pay) else signed
    assert signed == total(1_100)


@pytest.mark.parametrize(
    ("elapsed", "metered", "received", "code"),
    [
        (timedelta(minutes=6), 2_000, None, "stream.too_fast"),
        (HOUR, 5_000, 4_000, "stream.not_received"),
    ],
)
def test_a_register_that_cannot_be_true_is_not_paid(
    elapsed: timedelta, metered: int, received: int | None, code: str
) -> None:
    got = None if received is None else Wh(received)
    decision = guard().look(elapsed, Wh(metered), total(metered + 100), total(100), got)
    assert isinstance(decision, Distrust)
    assert decision.code == code


def test_a_register_that_goes_back_is_not_paid() -> None:
    watched = guard()
    watched.look(HOUR, Wh(2_000), total(2_100), total(100))
    back = watched.look(HOUR, Wh(1_999), total(2_099), total(100))
    assert isinstance(back, Distrust)
    assert back.code == "stream.register_went_back"


def test_how_long_nothing_has_flowed_is_known() -> None:
    watched = guard()
    watched.look(HOUR, Wh(2_000), total(2_100), total(100))
    watched.look(2 * HOUR, Wh(2_000), total(2_100), total(2_100))
    assert watched.stalled(3 * HOUR) == 2 * HOUR


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 20_000_000)), max_size=30),
    st.integers(1, 5_000_000),
)
def test_whatever_is_said_no_more_is_signed_than_the_budget_and_100_wh_above_what_was_metered(
    said: list[tuple[int, int]], budget: int
) -> None:
    watched = guard(budget)
    signed = watched.first()
    metered_so_far = 0
    for metered, wanted in said:
        decision = watched.look(HOUR * 10, Wh(metered), BASE + wanted, signed)
        if isinstance(decision, Distrust):
            break
        metered_so_far = metered
        if isinstance(decision, Pay):
            assert decision.cumulative > signed
            signed = decision.cumulative
    assert signed <= BASE + budget
    assert signed <= BASE + max(1, cost_of(Wh(metered_so_far + 100), PRICE))
