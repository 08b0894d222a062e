"""A receipt of a charge by transfer: a true one holds, and each lie about the money is found."""

from dataclasses import replace
from typing import Any

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.receipt_payment import DepositSplit, TransferPayment
from evmesh.domain.receipt_shortfall import Shortfall
from evmesh.domain.settlement import Settlement, TransactionRef
from evmesh.domain.units import Wh
from evmesh.verify.chain_facts import (
    NO_TRANSFER,
    MinedCall,
    SettlementFacts,
    TransferLog,
)
from evmesh.verify.followups import verify_settlement
from evmesh.verify.report import Check, Status
from tests.unit.verify.receipt_factory import (
    DRIVER,
    OPERATOR,
    SIGNATURES,
    THIEF,
    make_receipt,
    make_trust,
    resign,
    sign,
)
from tests.unit.verify.transfer_factory import (
    DEPOSIT,
    DUE,
    FACTS,
    FEE,
    FIRST,
    GREEDY,
    MADE,
    OTHER,
    PAID,
    PARTS,
    PAYMENT,
    SECOND,
    TERMS,
    checks,
    failed,
    made,
    out,
    signed_terms,
)


def test_a_true_receipt_holds_and_offline_says_that_only_a_node_can_tell_of_the_transfers() -> None:
    found = checks(made())
    assert not [one for one in found.values() if one.status is Status.FAILED]
    assert (found["vouchers"].status, found["settlement"].status) == (Status.NOT_CHECKED,) * 2


def test_with_a_node_the_transfers_and_both_payments_are_checked() -> None:
    found = checks(made(), FACTS)
    assert {found[name].status for name in ("charge request", "vouchers", "settlement")} == {Status.OK}


def test_a_receipt_reads_back_as_it_was_written() -> None:
    receipt = made()
    assert Receipt.parse(receipt.encode()) == receipt
    assert b'"request_signature":null' in receipt.encode()
    assert b"payment" not in make_receipt().encode()


@pytest.mark.parametrize(
    ("receipt", "code"),
    [
        (made(ask={"nonce": b"\1" * 32}), "transfer.other_request"),
        (made(ask={"flexible": True}), "transfer.flexible"),
        (made(ask={"max_cost": 6_000_000}), "transfer.other_budget"),
        (made(offer={"base": 1}), "transfer.in_a_tab"),
        (made(payment=replace(PAYMENT, salt=b"\6" * 32)), "transfer.other_request"),
        (made(payment=replace(PAYMENT, opened_by=SECOND)), "transfer.other_request"),
        (made(payment=replace(PAYMENT, transfers=PAID[1:])), "transfer.not_opened"),
        (
            made(payment=replace(PAYMENT, transfers=(replace(PAID[0], sender=THIEF.address), PAID[1]))),
            "transfer.other_sender",
        ),
        (made(due=DUE + 1), "due.differs"),
        (made(payment=replace(PAYMENT, fee=4_000_000)), "due.differs"),
        (
            made(payment=GREEDY, ask={"max_cost": DUE}, offer={"budget": DUE}),
            "transfer.fee_too_high",
        ),
        (made(vouchers=make_receipt().vouchers), "transfer.with_vouchers"),
    ],
)
def test_a_lie_that_shows_offline_is_found(receipt: Receipt, code: str) -> None:
    assert code in failed(receipt)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"transfers": (TransferLog(DRIVER.address, DEPOSIT, 1), FACTS.transfers[1])}, "transfer.differs"),
        ({"transfers": (out(DRIVER.address, 3_000_000), FACTS.transfers[1])}, "transfer.differs"),
        ({"transfers": (FACTS.transfers[0], NO_TRANSFER)}, "transfer.differs"),
        ({"due": out(OPERATOR.address, DUE + FEE + 1)}, "transfer.other_due"),
        ({"due": out(THIEF.address, DUE + FEE)}, "transfer.other_due"),
        ({"returned": out(DRIVER.address, PARTS.returned - 1)}, "transfer.other_returned"),
        ({"returned": out(THIEF.address, PARTS.returned)}, "transfer.other_returned"),
    ],
)
def test_a_lie_that_the_chain_shows_is_found(facts: dict[str, Any], code: str) -> None:
    assert failed(made(), replace(FACTS, **facts)) == {code}


def test_another_deposit_address_than_the_registrys_is_found() -> None:
    assert failed(made(), FACTS, deposit_address=THIEF.address) == {"transfer.other_address"}


@pytest.mark.parametrize(
    "facts",
    [
        {"return_made": False, "returned": None},
        {"due_made": False, "due": None},
        {"returned": None},
        {"due": None},
        {"transfers": (None, FACTS.transfers[1])},
    ],
)
def test_what_a_node_does_not_show_is_not_called_ok(facts: dict[str, Any]) -> None:
    found = checks(made(), replace(FACTS, **facts))
    assert not [one for one in found.values() if one.status is Status.FAILED]
    assert Status.NOT_CHECKED in (found["vouchers"].status, found["settlement"].status)


@pytest.mark.parametrize(
    "payment",
    [
        replace(PAYMENT, transfers=(PAID[0], PAID[0])),
        replace(PAYMENT, transfers=(PAID[0], replace(PAID[1], log_index=3))),
        replace(PAYMENT, transfers=PAID * 51),
    ],
)
def test_a_transfer_named_twice_or_too_many_are_refused(payment: TransferPayment) -> None:
    with pytest.raises(InvalidInput, match="document"):
        Receipt.parse(made(payment=payment).encode())


def test_a_signed_request_beside_a_transfer_is_refused() -> None:
    raw = made().encode().replace(b'"request_signature":null', b'"request_signature":"0x' + b"00" * 64 + b'"')
    with pytest.raises(InvalidInput, match="request of a transfer"):
        Receipt.parse(raw)


# --- the settlement


def settled(receipt: Receipt, **changes: Any) -> Settlement:
    settlement = Settlement(
        receipt_sha256=receipt_hash(receipt.encode()),
        session=receipt.session,
        chain=receipt.chain,
        kind="claim",
        payer=DRIVER.address,
        amount=DUE,
        transactions=(TransactionRef(b"\1" * 32, 50), TransactionRef(b"\2" * 32, 51)),
        payee=OPERATOR.address,
        deposit=DepositSplit(DEPOSIT, FIRST, 5_100_000, PARTS.returned, FEE, 0, TERMS, PAID),
    )
    changed = replace(settlement, **changes)
    return changed.signed(sign(OPERATOR, changed.to_sign(), changed.chain))


CALLS = (
    MinedCall(50, True, (), (out(OPERATOR.address, DUE + FEE),)),
    MinedCall(51, True, (), (out(DRIVER.address, PARTS.returned),)),
)


def settlement_codes(settlement: Settlement, *calls: MinedCall | None) -> set[str]:
    found = settlement_checks(settlement, *calls).values()
    return {one.code for one in found if one.status is Status.FAILED}


def settlement_checks(
    settlement: Settlement,
    *calls: MinedCall | None,
    receipt: Receipt | None = MADE,
    **facts: Any,
) -> dict[str, Check]:
    """Check a settlement; by a node, where it has transactions or `facts` on the transfers."""
    said = None
    if calls or facts:
        logs = {"transfers": FACTS.transfers} | facts
        said = SettlementFacts(settlement.chain.chain_id, True, calls, **logs)
    raw = None if receipt is None else receipt.encode()
    report = verify_settlement(settlement.encode(), SIGNATURES, raw, make_trust(), said)
    return {one.name: one for one in report.checks}


def test_a_true_settlement_holds_with_and_without_a_node() -> None:
    assert settlement_codes(settled(made())) == set()
    assert settlement_codes(settled(made()), *CALLS) == set()
    assert Settlement.parse(settled(made()).encode()).deposit == settled(made()).deposit


@pytest.mark.parametrize(
    ("split_of", "code"),
    [
        ({"returned": PARTS.returned - 1}, "settlement.split_differs"),
        ({"returned": PARTS.returned - 1, "kept": 1}, "settlement.split_differs"),
        ({"fee": FEE + 1, "returned": PARTS.returned - 1}, "settlement.split_differs"),
        ({"received": 5_100_001, "returned": PARTS.returned + 1}, "settlement.split_differs"),
        ({"transfers": PAID[:1]}, "settlement.split_differs"),
        ({"transfers": (PAID[0], replace(PAID[1], sender=THIEF.address))}, "settlement.other_sender"),
        ({"transfers": (PAID[0], replace(PAID[1], ref=OTHER))}, "settlement.other_transfers"),
        ({"transfers": (replace(PAID[0], ref=OTHER), PAID[1])}, "settlement.not_opened"),
        ({"address": THIEF.address}, "settlement.other_deposit"),
        ({"opened_by": SECOND}, "settlement.other_deposit"),
    ],
)
def test_a_unit_that_is_unaccounted_for_is_found(split_of: dict[str, Any], code: str) -> None:
    true = settled(made())
    assert true.deposit is not None
    lie = settled(made(), deposit=replace(true.deposit, **split_of))
    assert settlement_codes(lie) - {"settlement.fee_differs", "transfer.terms_deposit_address"} == {code}


@pytest.mark.parametrize(
    ("calls", "code"),
    [
        ((replace(CALLS[0], block=49), CALLS[1]), "settlement.other_block"),
        ((replace(CALLS[0], succeeded=False), CALLS[1]), "settlement.failed_transaction"),
        ((replace(CALLS[0], paid=()), CALLS[1]), "settlement.other_transaction"),
        ((replace(CALLS[0], paid=(out(THIEF.address, DUE),)), CALLS[1]), "settlement.moved_differs"),
        (
            (CALLS[0], replace(CALLS[1], paid=(out(DRIVER.address, PARTS.returned - 1),))),
            "settlement.moved_differs",
        ),
    ],
)
def test_payments_that_are_others_than_said_are_found(calls: tuple[MinedCall, ...], code: str) -> None:
    assert settlement_codes(settled(made()), *calls) == {code}


def test_a_settlement_that_is_silent_on_the_remainder_is_found() -> None:
    assert "settlement.no_split" in settlement_codes(settled(made(), deposit=None))


def test_a_settlement_of_a_transfer_beside_a_receipt_with_vouchers_is_found() -> None:
    prepaid = make_receipt()
    lie = settled(prepaid, amount=prepaid.due)
    report = verify_settlement(lie.encode(), SIGNATURES, prepaid.encode(), make_trust())
    assert "settlement.no_transfer" in {one.code for one in report.checks}


def test_a_changed_payment_breaks_the_payees_signature() -> None:
    receipt = made()
    forged = replace(receipt, payment=replace(PAYMENT, fee=FEE - 1))
    assert "signature.other_signer" in failed(forged)
    assert "signature.other_signer" not in failed(resign(receipt))


# --- a loss, and money that goes back without a charge

LEFT = DepositSplit(DEPOSIT, FIRST, 3_000_000, 0, 0, 0, TERMS, PAID[:1], PAID[1:])
"""Of a loss: the chain took the second transfer back, and the rest went to what is due."""

LEFT_CALL = MinedCall(50, True, (), (out(OPERATOR.address, 3_000_000),))


def lost(**changes: Any) -> Settlement:
    split_of = replace(LEFT, **changes)
    return settled(made(), kind="loss", deposit=split_of, transactions=(TransactionRef(b"\1" * 32, 50),))


@pytest.mark.parametrize("second", [None, NO_TRANSFER])
def test_a_true_loss_holds_and_what_the_chain_took_back_is_not_called_ok(second: TransferLog | None) -> None:
    found = settlement_checks(lost(), LEFT_CALL, transfers=FACTS.transfers[:1], lost=(second,))
    assert not [one for one in found.values() if one.status is Status.FAILED]
    assert found["stated amount"].status is Status.OK
    assert found["transactions"].status is Status.NOT_CHECKED


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"received": 5_100_000, "kept": 5_100_000 - DUE, "transfers": PAID, "lost": ()}, "not_lost"),
        ({"received": 5_100_000, "kept": 5_100_000 - DUE, "transfers": (), "lost": ()}, "not_lost"),
        ({"received": 5_100_000, "transfers": (), "lost": ()}, "split_differs"),
        ({"received": DUE, "transfers": (), "lost": ()}, "not_lost"),
        ({"lost": ()}, "other_transfers"),
        ({"lost": (replace(PAID[1], ref=OTHER),)}, "other_transfers"),
    ],
)
def test_a_loss_of_what_was_not_lost_is_found(changes: dict[str, Any], code: str) -> None:
    found = settlement_checks(lost(**changes))
    assert found["stated amount"].code == f"settlement.{code}"


def test_a_transfer_that_is_called_lost_and_stands_in_the_named_block_is_found() -> None:
    found = settlement_checks(lost(), LEFT_CALL, transfers=FACTS.transfers[:1], lost=FACTS.transfers[1:])
    assert found["transactions"].code == "settlement.not_lost"


BACK = DepositSplit(DEPOSIT, FIRST, 5_100_000, 5_000_000, FEE, 0, TERMS, PAID)
BACK_CALL = MinedCall(50, True, (), (out(DRIVER.address, 5_000_000),))


def given_back(deposit: DepositSplit = BACK, **changes: Any) -> Settlement:
    """No car came, so there is no receipt."""
    named = (TransactionRef(b"\1" * 32, 50),) if deposit.returned else ()
    values = {"amount": deposit.returned, "deposit": deposit, "transactions": named} | changes
    return settled(made(), kind="refund", receipt_sha256=None, **values)


def test_a_true_return_is_read_from_the_chain_and_its_fee_is_that_of_the_terms() -> None:
    found = settlement_checks(given_back(), BACK_CALL, receipt=None)
    assert (found["transactions"].status, found["fee"].status) == (Status.OK, Status.OK)


@pytest.mark.parametrize(
    ("deposit", "check", "code"),
    [
        (DepositSplit(DEPOSIT, FIRST, 5_100_000, 0, 0, 5_100_000, TERMS, PAID), "fee", "fee_differs"),
        (DepositSplit(DEPOSIT, FIRST, 5_100_000, 0, 0, 5_100_000, TERMS), "fee", "fee_differs"),
        (replace(BACK, fee=FEE + 1, returned=4_999_999), "fee", "fee_differs"),
        (
            replace(BACK, fee=1_800_000, returned=3_300_000, terms=signed_terms(fee=1_800_000)),
            "fee",
            "fee_too_high",
        ),
        (replace(BACK, terms=signed_terms(THIEF)), "fee", "signature.other_signer"),
        (replace(BACK, received=2_000_000, returned=1_900_000), "stated amount", "split_differs"),
        (
            replace(
                BACK,
                received=2_000_000,
                returned=1_900_000,
                transfers=(replace(PAID[0], amount=2_000_000),),
            ),
            "transactions",
            "transfer_differs",
        ),
    ],
)
def test_a_return_of_less_than_came_is_found(deposit: DepositSplit, check: str, code: str) -> None:
    call = replace(BACK_CALL, paid=(out(DRIVER.address, deposit.returned),))
    calls = (call,) if deposit.returned else ()
    found = settlement_checks(
        given_back(deposit), *calls, receipt=None, transfers=FACTS.transfers[: len(deposit.transfers)]
    )
    assert found[check].code == (code if "." in code else f"settlement.{code}")


def test_a_return_that_does_not_name_its_transfers_is_not_called_ok() -> None:
    found = settlement_checks(given_back(replace(BACK, transfers=())), BACK_CALL, receipt=None, transfers=())
    assert found["transactions"].status is Status.NOT_CHECKED


@pytest.mark.parametrize(("missing", "status"), [(12_500, Status.NOT_CHECKED), (12_501, Status.FAILED)])
def test_what_later_transfers_paid_for_may_be_missing_too_and_no_more(missing: int, status: Status) -> None:
    """5.00 pay for 12.5 kWh, where 8 kWh were offered."""
    stated = Shortfall(bytes(32), bytes(32), bytes(32), bytes(32), Wh(missing))
    assert checks(made(shortfall=stated))["shortfall"].status is status
