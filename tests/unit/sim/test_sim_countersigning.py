"""A driver signs the record of a receipt that says what was agreed, and of no other."""

from dataclasses import replace
from typing import Any, cast

import pytest

from evmesh.domain.receipt import Receipt
from evmesh.domain.session_record import countersigned
from evmesh.domain.typed_data import digest
from evmesh.ports import Wallet
from evmesh.sim.countersigning import record_document
from evmesh.sim.progress import Accepted
from tests.unit.verify.keys import keccak256
from tests.unit.verify.receipt_factory import (
    BASE,
    BUDGET,
    DRIVER,
    EPOCH,
    OPERATOR,
    PRICE,
    SESSION,
    SIGNATURES,
    THIEF,
    make_receipt,
    make_request,
    resign,
)

ACCEPTED = Accepted(SESSION.text, OPERATOR.address.text, EPOCH, BASE, BUDGET, PRICE)
WALLET = cast("Wallet", DRIVER)


def signed(receipt: Receipt, accepted: Accepted = ACCEPTED) -> dict[str, Any] | None:
    return record_document(receipt.encode(), accepted, WALLET, SIGNATURES)


def test_a_true_receipt_is_countersigned_by_its_driver() -> None:
    receipt = make_receipt()
    document = signed(receipt)
    assert document is not None
    value = digest(receipt.chain.domain, countersigned(receipt, receipt.encode()), keccak256)
    signature = bytes.fromhex(document["signature"][2:])
    assert SIGNATURES.recover(value, signature) == DRIVER.address


@pytest.mark.parametrize(
    "receipt",
    [
        resign(make_receipt(), THIEF),
        make_receipt(cost=3_200_001),
        make_receipt(due=3_200_001),
        make_receipt(price=PRICE + 1),
        make_receipt(curve=()),
        make_receipt(request=make_request(payer=THIEF.address)),
    ],
    ids=["another's signature", "another cost", "more due", "another price", "no curve", "another's request"],
)
def test_a_receipt_that_says_something_else_is_not(receipt: Receipt) -> None:
    assert signed(receipt) is None


def test_a_receipt_of_another_offer_is_not() -> None:
    for other in (
        replace(ACCEPTED, session="019ca000-0000-7000-8000-000000000000"),
        replace(ACCEPTED, payee=THIEF.address.text),
        replace(ACCEPTED, budget=1),
    ):
        assert signed(make_receipt(), other) is None
    assert record_document(b"{}\n", ACCEPTED, WALLET, SIGNATURES) is None
