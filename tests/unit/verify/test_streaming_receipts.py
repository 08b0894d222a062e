"""Receipts of charges paid as energy flowed: never more than was signed for, never less than is owed."""

import pytest

from evmesh.domain.receipt import Receipt
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check, Status
from tests.unit.verify.receipt_factory import BASE, SIGNATURES, make_receipt, make_voucher

COST = 3_200_000
SIGNED = 3_000_000


def checks_of(receipt: Receipt) -> dict[str, Check]:
    return {one.name: one for one in verify_receipt(receipt.encode(), SIGNATURES).checks}


def failed(receipt: Receipt) -> dict[str, str]:
    return {name: one.code for name, one in checks_of(receipt).items() if one.status is Status.FAILED}


def test_what_the_vouchers_do_not_reach_is_the_operators_loss() -> None:
    receipt = make_receipt(due=SIGNED, vouchers=(make_voucher(BASE + SIGNED),))
    assert failed(receipt) == {}
    assert "the payee's loss" in checks_of(receipt)["due"].what


def test_each_of_many_vouchers_is_looked_at_and_the_highest_counts() -> None:
    steps = tuple(make_voucher(BASE + units) for units in range(40_000, SIGNED + 1, 40_000))
    assert failed(make_receipt(due=SIGNED, vouchers=steps)) == {}
    assert failed(make_receipt(due=SIGNED, vouchers=steps[::-1])) == {"vouchers": "voucher.out_of_order"}


@pytest.mark.parametrize("due", [0, SIGNED - 1, SIGNED + 1, COST - 1, COST + 1])
def test_any_other_amount_is_false(due: int) -> None:
    receipt = make_receipt(due=due, vouchers=(make_voucher(BASE + SIGNED),))
    assert failed(receipt)["due"] == "due.differs"


def test_more_than_was_signed_for_is_never_due() -> None:
    receipt = make_receipt(due=COST, vouchers=(make_voucher(BASE + SIGNED),))
    assert failed(receipt) == {"vouchers": "voucher.too_little"}


def test_where_the_vouchers_reach_the_cost_is_due_and_no_less() -> None:
    receipt = make_receipt(due=COST - 1, vouchers=(make_voucher(BASE + COST + 40_000),))
    assert failed(receipt) == {"due": "due.differs"}
