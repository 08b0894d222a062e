"""Money and physical quantities: whole numbers that never gain anything by being turned into one another."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import (
    MAX_UNITS,
    Price,
    TokenAmount,
    cost_of,
    energy_within,
    format_units,
    parse_units,
)
from evmesh.domain.units import (
    Milliamp,
    W,
    Wh,
    current_from_watts,
    energy_from_watts,
    watts_from_current,
    watts_from_energy,
)

energies = st.integers(0, 2**31 - 1).map(Wh)
prices = st.integers(0, 2**31 - 1).map(Price)
units = st.integers(0, MAX_UNITS)
seconds = st.integers(1, 100_000)
phases = st.sampled_from([1, 2, 3])


@given(energies, prices)
def test_a_cost_is_the_exact_product_rounded_down_for_the_driver(energy: Wh, price: Price) -> None:
    exact = Fraction(energy * price, 1000)
    assert cost_of(energy, price) <= exact < cost_of(energy, price) + 1


@given(energies, energies, prices)
def test_a_charge_in_two_parts_costs_a_driver_no_more_than_in_one(one: Wh, two: Wh, price: Price) -> None:
    apart = cost_of(one, price) + cost_of(two, price)
    whole = cost_of(Wh(one + two), price)
    assert apart <= whole <= apart + 1


@given(energies, st.integers(0, 10_000), prices)
def test_more_energy_never_costs_less(energy: Wh, more: int, price: Price) -> None:
    assert cost_of(energy, price) <= cost_of(Wh(energy + more), price)


@given(units, st.integers(1, 2**31 - 1).map(Price))
def test_the_energy_within_a_budget_is_the_most_that_it_pays_for(budget: int, price: Price) -> None:
    energy = energy_within(budget, price)
    assert energy is not None
    assert cost_of(energy, price) <= budget < cost_of(Wh(energy + 1), price)


@given(energies, st.integers(1, 2**31 - 1).map(Price))
def test_the_budget_of_an_energy_pays_for_it(energy: Wh, price: Price) -> None:
    within = energy_within(cost_of(energy, price), price)
    assert within is not None
    assert within >= energy


@pytest.mark.parametrize("price", [0, -1, -70_000])
def test_free_energy_has_no_bound(price: int) -> None:
    assert energy_within(1_000, Price(price)) is None


@given(units)
def test_units_come_back_from_their_decimal_string(amount: int) -> None:
    assert parse_units(str(amount)) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", "-1", "+1", "01", "1.0", "1e6", " 1", "1 ", "1_000", "٣", "0x10"),
        *(str(MAX_UNITS + 1), "9" * 5_000),
        *(1, 1.5, None, True, b"1", ["1"]),
    ],
)
def test_what_is_no_amount_is_refused_with_its_path(text: object) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_units(text, "order.value")
    assert (refused.value.code, refused.value.path) == ("money.not_units", "order.value")


@given(st.integers(-MAX_UNITS, MAX_UNITS))
def test_an_amount_is_written_exactly(amount: int) -> None:
    text = format_units(amount)
    assert Fraction(text) * 10**6 == amount
    assert len(text.split(".")[1]) >= 2


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0.00"), (1, "0.000001"), (1_250_000, "1.25"), (-500_000, "-0.50")]
)
def test_amounts_read_like_money(amount: int, text: str) -> None:
    assert format_units(amount) == text


@given(units, units)
def test_money_is_conserved_by_adding_and_taking_away(one: int, two: int) -> None:
    total = one + two
    if total > MAX_UNITS:
        with pytest.raises(InvalidInput, match=r"money\.out_of_range"):
            _ = TokenAmount(one, "EUR") + TokenAmount(two, "EUR")
        return
    added = TokenAmount(one, "EUR") + TokenAmount(two, "EUR")
    assert added == TokenAmount(total, "EUR")
    assert added - TokenAmount(two, "EUR") == TokenAmount(one, "EUR")


@given(units, units)
def test_nobody_owes_a_negative_amount(one: int, two: int) -> None:
    if one < two:
        with pytest.raises(InvalidInput, match=r"money\.out_of_range"):
            _ = TokenAmount(one, "EUR") - TokenAmount(two, "EUR")
    else:
        assert (TokenAmount(one, "EUR") - TokenAmount(two, "EUR")).units == one - two


def test_two_tokens_never_mix() -> None:
    with pytest.raises(InvalidInput, match=r"money\.other_token"):
        _ = TokenAmount(1, "EUR") + TokenAmount(1, "FLEX")
    with pytest.raises(InvalidInput, match=r"money\.other_token"):
        _ = TokenAmount(1, "EUR") - TokenAmount(1, "FLEX")
    assert str(TokenAmount(1_500_000, "EUR")) == "1.50 EUR"


@given(st.integers(0, 10**9).map(W), seconds)
def test_power_to_energy_and_back_never_grows(power: W, length: int) -> None:
    energy = energy_from_watts(power, length)
    assert energy * 3600 <= power * length < (energy + 1) * 3600
    assert watts_from_energy(energy, length) <= power


@given(energies, seconds)
def test_the_mean_power_of_an_energy_never_moves_more_than_it(energy: Wh, length: int) -> None:
    assert energy_from_watts(watts_from_energy(energy, length), length) <= energy


@given(st.integers(0, 10**7).map(W), phases)
def test_a_limit_in_amperes_never_exceeds_the_one_in_watts(power: W, lines: int) -> None:
    current = current_from_watts(power, lines)
    assert current * 230_000 * lines <= power * 1_000_000 < (current + 1) * 230_000 * lines
    assert watts_from_current(current, lines) <= power


@given(st.integers(0, 10**6).map(Milliamp), phases)
def test_a_limit_in_watts_never_exceeds_the_one_in_amperes(current: Milliamp, lines: int) -> None:
    assert current_from_watts(watts_from_current(current, lines), lines) <= current


def test_the_usual_sockets_have_their_usual_power() -> None:
    assert watts_from_current(Milliamp(16_000), 1) == 3_680
    assert watts_from_current(Milliamp(32_000), 3) == 22_080
    assert current_from_watts(W(11_000), 3) == 15_942
    assert energy_from_watts(W(7_360), 900) == 1_840
