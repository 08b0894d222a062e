"""The fee of a charge by transfer is the one of terms that the operator signed before."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.receipt import Receipt
from evmesh.domain.strict import unix_seconds
from evmesh.domain.transfer_terms import TransferTerms, terms_hash
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from tests.unit.verify.receipt_factory import (
    CHAIN,
    OPERATOR,
    SIGNATURES,
    START,
    THIEF,
    make_receipt,
)
from tests.unit.verify.transfer_factory import FACTS, FEE, PAYMENT, TERMS, checks, made, signed_terms

AT = unix_seconds(START)


def paid_by(**changes: Any) -> Receipt:
    """A receipt of a payment with other terms."""
    return made(payment=replace(PAYMENT, terms=signed_terms(**changes)))


def test_a_fee_as_the_signed_terms_say_is_ok_and_with_a_node_also_that_they_were_in_force() -> None:
    offline, online = checks(made()), checks(made(), FACTS)
    assert (offline["fee"].status, offline["terms"].status) == (Status.OK, Status.NOT_CHECKED)
    assert (online["fee"].status, online["terms"].status) == (Status.OK, Status.OK)
    assert {"fee", "terms"}.isdisjoint(
        one.name for one in verify_receipt(make_receipt().encode(), SIGNATURES).checks
    )


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        (paid_by(fee=FEE - 1), "transfer.terms_fee"),
        (paid_by(price=Price(1)), "transfer.terms_price"),
        (paid_by(deposit_address=THIEF.address), "transfer.terms_deposit_address"),
        (paid_by(station=replace(TERMS.station, asset=TERMS.station.asset + 1)), "transfer.terms_station"),
        (paid_by(key=THIEF), "signature.other_signer"),
        (paid_by(payee=THIEF.address), "transfer.terms_payee"),
        (paid_by(chain=replace(CHAIN, token=THIEF.address)), "transfer.terms_chain"),
        (paid_by(valid_from=START + timedelta(hours=2)), "transfer.terms_too_late"),
    ],
)
def test_terms_of_something_else_or_of_somebody_else_are_found(receipt: Receipt, code: str) -> None:
    found = checks(receipt)["fee"]
    assert (found.status, found.code) == (Status.FAILED, code)


@pytest.mark.parametrize(
    ("made_at", "status"),
    [
        ((AT - 7_200, AT - 60), Status.OK),
        ((AT - 3_600 - 599, None), Status.OK),  # clocks are not the same to the second
        ((AT - 3_600 - 601, AT - 7_200), Status.NOT_CHECKED),
        ((AT + 5 * 3_600 + 601,) * 2, Status.NOT_CHECKED),
        ((None, None), Status.NOT_CHECKED),
    ],
)
def test_terms_that_were_not_in_force_when_it_was_paid_are_not_called_ok(
    made_at: tuple[int | None, ...], status: Status
) -> None:
    assert checks(made(), replace(FACTS, made_at=made_at))["terms"].status is status


def test_terms_read_back_as_they_were_written_and_are_the_same_bytes_within_a_receipt() -> None:
    raw = TERMS.encode()
    assert TransferTerms.parse(raw) == TERMS
    assert raw in made().encode()
    assert terms_hash(raw) != terms_hash(signed_terms(fee=FEE + 1).encode())


def test_terms_that_end_before_they_begin_are_refused() -> None:
    with pytest.raises(InvalidInput, match="end before they begin"):
        TransferTerms.parse(signed_terms(valid_until=START - timedelta(hours=2)).encode())
    assert TERMS.payee == OPERATOR.address
