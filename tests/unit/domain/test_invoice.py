from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.invoice import CENT, Invoice, Seller
from tests.unit.verify.receipt_factory import make_receipt, resign

SELLER = Seller("Seller", ("Street 1",), "NL0", "a@b", "EUR", "Europe/Amsterdam", 2_100, ())
RECEIPT = make_receipt()


def bill(vat: int | None = 2_100, number: str = "2026-1", **changes: Any) -> Invoice:
    seller = Seller("Seller", ("Street 1",), "NL0", "a@b", "EUR", "Europe/Amsterdam", vat, ())
    return Invoice.of(resign(RECEIPT, **changes).encode(), seller, number, date(2026, 3, 2))


def test_amounts_are_the_receipts_own() -> None:
    invoice = bill()
    assert (invoice.energy, invoice.duration) == (8_000, timedelta(minutes=45))
    assert (invoice.cost, invoice.total, invoice.forgone) == (RECEIPT.cost, RECEIPT.due, 0)
    assert bill(due=2_000_000).forgone == 1_200_000


@given(st.integers(0, 2**96 - 1), st.integers(0, 9_999) | st.none())
def test_net_and_vat_are_cents_and_add_up_to_the_total_in_cents(due: int, vat: int | None) -> None:
    invoice = bill(vat, due=due)
    assert invoice.total == due
    assert invoice.net + invoice.vat_amount == invoice.rounded
    assert all(amount % CENT == 0 for amount in (invoice.rounded, invoice.net, invoice.vat_amount))
    assert abs(2 * (invoice.rounded - due)) <= CENT
    parts = 10_000 + (vat or 0)
    assert abs(2 * (invoice.net * parts - invoice.rounded * 10_000)) <= parts * CENT


def test_half_a_cent_is_rounded_up_and_less_is_not() -> None:
    assert [bill(due=due).rounded for due in (4_999, 5_000, 354_999, 355_000)] == [
        0,
        10_000,
        350_000,
        360_000,
    ]


def test_without_vat_all_of_it_is_net() -> None:
    assert (bill(None).net, bill(None).vat_amount) == (3_200_000, 0)
    assert (bill(2_100).net, bill(2_100).vat_amount) == (2_640_000, 560_000)


@pytest.mark.parametrize("number", ["", "-1", "1-", "2026 1", "1" * 33, "№1", "a\n"])
def test_what_is_no_number_is_refused(number: str) -> None:
    with pytest.raises(InvalidInput, match=r"invoice\.bad_number"):
        bill(number=number)
