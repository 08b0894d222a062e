"""Amounts as people type them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import MAX_UNITS, format_units, parse_amount


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("12.5", 12_500_000),
        ("0.000001", 1),
        (" 7 ", 7_000_000),
        ("007.10", 7_100_000),
        ("1.0000000", 1_000_000),
        (format_units(MAX_UNITS), MAX_UNITS),
    ],
)
def test_what_is_typed_becomes_units(text: str, units: int) -> None:
    assert parse_amount(text) == units


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("-1", "money.negative"),
        ("-0.5", "money.negative"),
        ("0.0000001", "money.too_many_decimals"),
        ("1.1234567", "money.too_many_decimals"),
        (format_units(MAX_UNITS + 1), "money.out_of_range"),
        ("9" * 40, "money.out_of_range"),
        ("0", "money.zero"),
        ("0.00", "money.zero"),
        ("", "money.not_an_amount"),
        ("ten", "money.not_an_amount"),
        ("1,5", "money.not_an_amount"),
        ("1e3", "money.not_an_amount"),
        (".5", "money.not_an_amount"),
        ("5.", "money.not_an_amount"),
        ("+5", "money.not_an_amount"),
        ("\N{ARABIC-INDIC DIGIT ONE}", "money.not_an_amount"),
        ("9" * 41, "money.not_an_amount"),
        ("NaN", "money.not_an_amount"),
    ],
)
def test_what_is_no_amount_is_refused_with_the_reason(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_amount(text)
    assert refused.value.code == code


@given(st.integers(1, MAX_UNITS))
def test_what_is_shown_can_be_typed(units: int) -> None:
    assert parse_amount(format_units(units)) == units
