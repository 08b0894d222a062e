"""The terms of a transfer on the driver's device: what is kept, and what is refused before money moves."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from evmesh.app.wallet_book import Charge
from evmesh.app.wallet_place import Place
from evmesh.app.wallet_terms import keep_terms
from evmesh.domain.canonical import parse_canonical_json
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.transfer_terms import TransferTerms
from tests.unit.verify.receipt_factory import ASSET, CHAIN, OPERATOR, PRICE
from tests.unit.verify.transfer_factory import DEPOSIT, FEE, TERMS, signed_terms

PLACE = cast("Place", SimpleNamespace(trust=SimpleNamespace(chain=CHAIN), payee=OPERATOR.address))


def kept(terms: TransferTerms) -> Any:
    charge = SimpleNamespace(deposit_address=DEPOSIT.text, asset=ASSET, price=PRICE, terms="")
    keep_terms(PLACE, cast("Charge", charge), {"terms": parse_canonical_json(terms.encode())})
    return charge.terms


def test_the_operators_signed_terms_are_kept_as_they_are() -> None:
    assert kept(TERMS).encode() == TERMS.encode()


def test_a_signed_fee_of_more_than_a_third_of_what_starts_a_charge_is_paid_by_nobody() -> None:
    with pytest.raises(IntegrityFailure, match=r"operator\.bad_terms"):
        kept(signed_terms(fee=FEE + 1))
