"""The word that a transfer goes back: a true one holds, and each lie is found."""

from dataclasses import replace
from typing import Any

import pytest

from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfers import named_again, split
from evmesh.verify.chain_facts import NO_TRANSFER, DepositFacts, ReturnFacts, TransferLog
from evmesh.verify.report import Check, Status
from evmesh.verify.returns import verify_return
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import (
    CHAIN,
    DRIVER,
    OPERATOR,
    SIGNATURES,
    START,
    THIEF,
    make_trust,
    sign,
)
from tests.unit.verify.transfer_factory import (
    DEPOSIT,
    FACTS,
    FEE,
    FIRST,
    OTHER,
    PAID,
    TERMS,
    out,
    signed_terms,
)

ALL = sum(one.amount for one in PAID)
BACK = DepositSplit(DEPOSIT, FIRST, ALL, ALL - FEE, FEE, 0, TERMS, PAID)
KEPT = ReturnFacts(
    CHAIN.chain_id,
    replace(FACTS, due_made=False, due=None, returned=out(DRIVER.address, ALL - FEE)),
)


def word(key: Key = OPERATOR, *, split_of: dict[str, Any] | None = None, **changes: Any) -> TransferReturn:
    unsigned = TransferReturn(
        chain=CHAIN,
        station=TERMS.station,
        payer=DRIVER.address,
        why="station.occupied",
        decided_at=START,
        deposit=replace(BACK, **(split_of or {})),
        payee=OPERATOR.address,
    )
    changed = replace(unsigned, **changes)
    return changed.signed(sign(key, changed.to_sign(), changed.chain))


def checks(of: TransferReturn, chain: ReturnFacts | None = None) -> dict[str, Check]:
    report = verify_return(of.encode(), SIGNATURES, make_trust(), chain)
    return {one.name: one for one in report.checks}


def kept(**facts: Any) -> ReturnFacts:
    assert isinstance(KEPT.deposit, DepositFacts)
    return replace(KEPT, deposit=replace(KEPT.deposit, **facts))


def test_a_true_word_that_was_kept_is_ok_in_every_check() -> None:
    assert {one.status for one in checks(word(), KEPT).values()} == {Status.OK}
    assert TransferReturn.parse(word().encode()) == word()


def test_offline_it_says_that_only_a_node_can_tell_whether_it_was_kept() -> None:
    found = checks(word())
    assert {name for name, one in found.items() if one.status is Status.NOT_CHECKED} == {
        "terms",
        "transfers",
        "return",
    }


def test_what_came_again_after_it_was_settled_goes_back_under_the_same_transfer() -> None:
    assert checks(word(split_of={"opened_by": named_again(FIRST, 3)}))["amounts"].status is Status.OK


def test_what_came_again_is_not_called_ok_where_the_fee_eats_it() -> None:
    fee = ALL // 2
    eaten = word(
        split_of={
            "opened_by": named_again(FIRST, 1),
            "returned": ALL - fee,
            "fee": fee,
            "terms": signed_terms(fee=fee, minimum=3 * fee),
        }
    )
    assert {name: checks(eaten)[name].status for name in ("amounts", "fee")} == {
        "amounts": Status.OK,
        "fee": Status.NOT_CHECKED,
    }


@pytest.mark.parametrize("fee", [ALL // 3 + 1, ALL, 100 * ALL])
def test_terms_that_nobody_saw_do_not_make_a_fee_that_eats_the_return_true(fee: int) -> None:
    parts = split(ALL, 0, fee)
    greedy = word(
        split_of={
            "returned": parts.returned,
            "fee": parts.fee,
            "kept": parts.kept,
            "terms": signed_terms(fee=fee, minimum=3 * fee),
        }
    )
    assert checks(greedy)["amounts"].status is Status.OK
    assert checks(greedy)["fee"].code == "return.fee_too_high"


@pytest.mark.parametrize(
    ("lie", "check", "code"),
    [
        (word(THIEF), "payee signature", "signature.other_signer"),
        (word(THIEF, payee=THIEF.address), "trusted payee", "trust.unknown_payee"),
        (word(split_of={"returned": 0, "fee": 0, "kept": ALL}), "amounts", "return.split_differs"),
        (word(split_of={"returned": ALL - 2 * FEE, "fee": 2 * FEE}), "amounts", "return.split_differs"),
        (word(split_of={"transfers": PAID[:1]}), "amounts", "return.split_differs"),
        (word(split_of={"transfers": ()}), "amounts", "return.no_transfers"),
        (word(split_of={"opened_by": OTHER}), "amounts", "return.not_opened"),
        (word(payer=THIEF.address), "amounts", "return.other_sender"),
        (word(split_of={"terms": signed_terms(THIEF)}), "fee", "signature.other_signer"),
        (word(split_of={"address": THIEF.address}), "fee", "transfer.terms_deposit_address"),
        (
            word(station=replace(TERMS.station, asset=TERMS.station.asset + 1)),
            "fee",
            "transfer.terms_station",
        ),
    ],
)
def test_a_lie_that_shows_offline_is_found(lie: TransferReturn, check: str, code: str) -> None:
    assert checks(lie)[check].code == code


@pytest.mark.parametrize(
    ("facts", "check", "code"),
    [
        (kept(transfers=(NO_TRANSFER, FACTS.transfers[1])), "transfers", "return.transfer_differs"),
        (
            kept(transfers=(TransferLog(DRIVER.address, DEPOSIT, 1), FACTS.transfers[1])),
            "transfers",
            "return.transfer_differs",
        ),
        (kept(returned=out(DRIVER.address, 1)), "return", "return.other_payment"),
        (kept(returned=out(THIEF.address, ALL - FEE)), "return", "return.other_payment"),
        (replace(KEPT, chain_id=1), "return", "chain.other_chain"),
        (replace(KEPT, deposit=None), "return", "chain.not_the_contract"),
    ],
)
def test_a_lie_that_the_chain_shows_is_found(facts: ReturnFacts, check: str, code: str) -> None:
    assert checks(word(), facts)[check].code == code


@pytest.mark.parametrize("facts", [{"return_made": False, "returned": None}, {"returned": None}])
def test_a_word_that_was_not_kept_yet_is_not_called_ok(facts: dict[str, Any]) -> None:
    assert checks(word(), kept(**facts))["return"].status is Status.NOT_CHECKED


def test_a_document_that_cannot_be_read_is_false_and_nothing_else_is_checked() -> None:
    report = verify_return(word().encode() + b" ", SIGNATURES)
    assert [one.status for one in report.checks][:2] == [Status.FAILED, Status.NOT_CHECKED]
