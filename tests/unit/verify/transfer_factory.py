"""A charge by transfer as documents say it: 5.10 in two transfers, 3.20 due, the rest less the fee back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import StationRef
from evmesh.domain.receipt_payment import PaidTransfer, TransferPayment
from evmesh.domain.station_code import code_of
from evmesh.domain.strict import unix_seconds
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import TransferRef, request_nonce, split
from evmesh.ledger.signatures import keccak256
from evmesh.verify.chain_facts import DepositFacts, TransferLog
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check, Status
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import (
    ASSET,
    CHAIN,
    DRIVER,
    EVSE,
    OPERATOR,
    PRICE,
    SIGNATURES,
    START,
    STATION,
    make_chain_facts,
    make_entry,
    make_receipt,
    make_request,
    make_trust,
    sign,
)

FIRST = TransferRef(b"\7" * 32, 0)
SECOND = TransferRef(b"\7" * 32, 1)
OTHER = TransferRef(b"\6" * 32, 0)
SALT, FEE, DUE = b"\5" * 32, 100_000, 3_200_000
DEPOSIT = Address("0x" + "de" * 20)
PAID = (
    PaidTransfer(FIRST, 3, 40, DRIVER.address, 3_000_000),
    PaidTransfer(SECOND, 4, 40, DRIVER.address, 2_100_000),
)


def signed_terms(key: Key = OPERATOR, **changes: Any) -> TransferTerms:
    """The operator's terms in force from before the charge until after it; but for what is changed."""
    terms = TransferTerms(
        chain=CHAIN,
        station=StationRef(ASSET, code_of(ASSET), EVSE, STATION),
        deposit_address=DEPOSIT,
        price=PRICE,
        fee=FEE,
        minimum=3 * FEE,
        confirmations=1,
        valid_from=START - timedelta(hours=1),
        valid_until=START + timedelta(hours=5),
        payee=OPERATOR.address,
    )
    changed = replace(terms, **changes)
    return changed.signed(sign(key, changed.to_sign(), changed.chain))


TERMS = signed_terms()
PAYMENT = TransferPayment(DEPOSIT, FIRST, SALT, FEE, PAID, TERMS)
GREEDY = replace(PAYMENT, fee=5_100_000 - DUE, terms=signed_terms(fee=5_100_000 - DUE))
"""A fee that leaves nothing to return."""

PARTS = split(5_100_000, DUE, FEE)


def made(
    *, ask: dict[str, Any] | None = None, offer: dict[str, Any] | None = None, **changes: Any
) -> Receipt:
    """A true receipt of 8 kWh for 3.20, of 5.10 that came in two transfers; but for what is changed."""
    wish: dict[str, Any] = {
        "flexible": False,
        "max_cost": 5_000_000,
        "nonce": request_nonce(SALT, FIRST, keccak256),
    }
    request = make_request(**(wish | (ask or {})))
    terms = {"base": 0, "epoch": 0, "budget": 5_000_000} | (offer or {})
    values: dict[str, Any] = {"vouchers": (), "request_signature": b"", "payment": PAYMENT}
    return make_receipt(request=request, offer=terms, **(values | changes))


def out(receiver: Address, amount: int) -> TransferLog:
    return TransferLog(DEPOSIT, receiver, amount)


MADE = made()
FACTS = DepositFacts(
    transfers=tuple(TransferLog(one.sender, DEPOSIT, one.amount) for one in PAID),
    due_made=True,
    return_made=True,
    due=out(OPERATOR.address, DUE + FEE),
    returned=out(DRIVER.address, PARTS.returned),
    made_at=(unix_seconds(START) - 60,) * 2,
)


def checks(receipt: Receipt, deposit: DepositFacts | None = None, **entry: Any) -> dict[str, Check]:
    chain = None
    if deposit is not None:
        asset = make_entry(**({"deposit_address": DEPOSIT} | entry))
        chain = make_chain_facts(receipt, deposit=deposit, asset=asset, spent=0, epoch=0, moves=None)
    report = verify_receipt(receipt.encode(), SIGNATURES, make_trust(), chain=chain)
    return {one.name: one for one in report.checks}


def failed(receipt: Receipt, deposit: DepositFacts | None = None, **entry: Any) -> set[str]:
    found = checks(receipt, deposit, **entry).values()
    return {one.code for one in found if one.status is Status.FAILED}
