"""What an operator can still not write about the money of a session, with every key of its own at hand.

Each settlement and reward here is signed by the payee as it stands, the receipt is true and the chain
says what happened: each document lies in one thing, and the whole report may be red in that one check.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from evmesh.domain.ids import Address
from evmesh.domain.readings import ReadingContext
from evmesh.domain.receipt import Receipt
from evmesh.domain.settlement import TransactionRef
from evmesh.domain.units import Wh
from evmesh.verify.chain_facts import MinedCall, SettlementFacts, TabMove
from evmesh.verify.followups import verify_reward, verify_settlement
from evmesh.verify.report import Check, Report, Status
from tests.unit.verify.followup_factory import TRANSACTION, make_reward, make_settlement
from tests.unit.verify.receipt_factory import (
    BASE,
    BUDGET,
    CHAIN,
    CURVE,
    EPOCH,
    SIGNATURES,
    START,
    THIEF,
    make_reading,
    make_receipt,
    make_request,
    make_trust,
)

RECEIPT = make_receipt()
DUE = RECEIPT.due
OTHER = TransactionRef(sha256(b"another transaction").digest(), 42)
REFUND: dict[str, Any] = {"kind": "refund", "amount": BUDGET}
LOSS: dict[str, Any] = {"kind": "loss", "transactions": ()}
TWO: dict[str, Any] = {"transactions": (TRANSACTION, OTHER)}


def rise(before: int | None, total: int, epoch: int = EPOCH, **changes: Any) -> TabMove:
    return replace(TabMove(total, BASE + BUDGET, before, epoch=epoch), **changes)


def back(total: int = BASE, epoch: int = EPOCH, returned: int = BUDGET, **changes: Any) -> TabMove:
    return replace(TabMove(total, None, closes=True, returned=returned, epoch=epoch), **changes)


def free() -> Receipt:
    stop = make_reading(ReadingContext.STOP, register=CURVE[0][1])
    curve = (CURVE[0], (2_700, CURVE[0][1]))
    return make_receipt(stop=stop, curve=curve, energy=Wh(0), cost=0, due=0)


def mined(*moves: TabMove, block: int = TRANSACTION.block, succeeded: bool = True) -> MinedCall:
    return MinedCall(block, succeeded, moves)


OWN = mined(rise(BASE, BASE + DUE))
FIRST_PART = mined(rise(BASE, BASE + 5))
SECOND_PART = mined(rise(BASE + 5, BASE + DUE), block=OTHER.block)


@dataclass
class Said:
    """A settlement, what its transactions did, and what is then said of them; no `code`: not checked."""

    of: str
    code: str = ""
    calls: tuple[MinedCall | None, ...] = (OWN,)
    document: dict[str, Any] = field(default_factory=dict)
    receipt: Callable[[], Receipt] = make_receipt
    check: str = "transactions"
    epoch: int = EPOCH
    with_receipt: bool = True
    chain_id: int = CHAIN.chain_id
    answers: bool = True

    def report(self) -> Report:
        receipt = self.receipt()
        facts = SettlementFacts(self.chain_id, self.answers, self.calls, self.epoch)
        raw = make_settlement(receipt, **self.document).encode()
        beside = receipt.encode() if self.with_receipt else None
        return verify_settlement(raw, SIGNATURES, beside, make_trust(), facts)

    def told(self) -> dict[str, Check]:
        return {check.name: check for check in self.report().checks if check.status is not Status.OK}


LIES = [
    Said(
        "the claim of the next session", "settlement.other_base", (mined(rise(BASE + DUE, BASE + 2 * DUE)),)
    ),
    Said("the claim of the session before", "settlement.other_base", (mined(rise(BASE - DUE, BASE)),)),
    Said(
        "a claim of this size in an earlier epoch",
        "settlement.other_epoch",
        (mined(rise(BASE, BASE + DUE, EPOCH - 1)),),
    ),
    Said("a claim of more", "settlement.moved_differs", (mined(rise(BASE, BASE + DUE + 1)),)),
    Said("a claim of less", "settlement.moved_differs", (mined(rise(BASE, BASE + DUE - 1)),)),
    Said(
        "a claim beside others that ended elsewhere",
        "settlement.moved_differs",
        (mined(rise(None, BASE + 2 * DUE)),),
    ),
    Said(
        "two claims with another's between them",
        "settlement.other_base",
        (FIRST_PART, mined(rise(BASE + 7, BASE + DUE + 2), block=OTHER.block)),
        TWO,
    ),
    Said(
        "two claims in the wrong order",
        "settlement.other_base",
        (replace(SECOND_PART, block=TRANSACTION.block), replace(FIRST_PART, block=OTHER.block)),
        TWO,
    ),
    Said(
        "a claim of which one part is of another epoch",
        "settlement.other_epoch",
        (FIRST_PART, mined(rise(BASE + 5, BASE + DUE, EPOCH + 1), block=OTHER.block)),
        TWO,
    ),
    Said(
        "a second part that went too far",
        "settlement.moved_differs",
        (None, mined(rise(BASE + 5, BASE + DUE + 1), block=OTHER.block)),
        TWO,
    ),
    Said("a second part that is none", "settlement.other_transaction", (None, mined(block=OTHER.block)), TWO),
    Said("a claim in another block", "settlement.other_block", (replace(OWN, block=40),)),
    Said("a claim that failed", "settlement.failed_transaction", (replace(OWN, succeeded=False),)),
    Said("a transaction of somebody else", "settlement.other_transaction", (mined(),)),
    Said("a claim that moved nothing", "settlement.other_transaction", (mined(rise(BASE, BASE)),)),
    Said(
        "less than the claim took",
        "settlement.moved_differs",
        (mined(rise(BASE, BASE + DUE)),),
        {"amount": DUE - 1},
        with_receipt=False,
    ),
    Said(
        "one claim named twice",
        "document.bad_value",
        (OWN, OWN),
        {"transactions": (TRANSACTION, TRANSACTION)},
        check="form",
    ),
    Said("another chain", "chain.other_chain", chain_id=1),
    Said("a contract that is not there", "chain.not_the_contract", answers=False),
    Said("no transaction", "settlement.no_transaction", (), {"transactions": ()}, check="stated amount"),
    Said(
        "more than is due",
        "settlement.amount_differs",
        (None,),
        document={"amount": DUE + 1},
        check="stated amount",
    ),
    Said("another payer", "followup.other_payer", document={"payer": THIEF.address}, check="stated amount"),
    Said(
        "a refund of a charge",
        "settlement.refund_of_a_charge",
        (mined(back()),),
        REFUND,
        check="stated amount",
    ),
    Said(
        "the refund of a session of an earlier epoch",
        "settlement.other_epoch",
        (mined(back(epoch=EPOCH - 1)),),
        REFUND,
        free,
    ),
    Said(
        "the refund of a tab that had spent less",
        "settlement.other_base",
        (mined(back(BASE - 1)),),
        REFUND,
        free,
    ),
    Said("a refund of less", "settlement.moved_differs", (mined(back(returned=5)),), REFUND, free),
    Said(
        "a refund that took something",
        "settlement.other_transaction",
        (mined(back(cumulative=9)),),
        REFUND,
        free,
    ),
    Said("a refund that is a claim", "settlement.other_transaction", (OWN,), REFUND, free),
    Said("a loss that can be claimed", "settlement.not_lost", (), LOSS),
]

UNKNOWN = [
    Said("a claim, without the receipt", with_receipt=False),
    Said(
        "a claim of some other session, without the receipt",
        "",
        (mined(rise(7, 7 + DUE)),),
        with_receipt=False,
    ),
    Said("a refund, without the receipt", "", (mined(back()),), REFUND, free, with_receipt=False),
    Said("nothing, without the receipt", "", (), {"transactions": (), "amount": 0}, free, with_receipt=False),
    Said("a transaction that is not there", "", (None,)),
    Said("a part that is not there", "", (FIRST_PART, None), TWO),
    Said("a claim beside others", "", (mined(rise(None, BASE + DUE)),)),
    Said("a refund that is not there", "", (None,), REFUND, free),
    Said("a refund after other claims", "", (mined(back(BASE + 1)),), REFUND, free),
    Said("a loss of what may have been claimed before the close", "", (), LOSS, epoch=EPOCH + 1),
    Said("a loss, without the receipt", "", (), LOSS, epoch=EPOCH + 1, with_receipt=False),
]

TRUE = [
    Said("a claim"),
    Said("a claim in two parts", "", (FIRST_PART, SECOND_PART), TWO),
    Said("two claims in one transaction", "", (mined(rise(BASE, BASE + 5), rise(BASE + 5, BASE + DUE)),)),
    Said("nothing due, nothing claimed", "", (), {"transactions": ()}, free),
    Said("a refund", "", (mined(back()),), REFUND, free),
    Said("a refund of nothing", "", (), REFUND | {"amount": 0, "transactions": ()}, free),
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: lie.of)
def test_a_false_settlement_is_refused_in_that_one_check(lie: Said) -> None:
    failed = {check.name: check.code for check in lie.report().failed()}
    assert failed.pop(lie.check, "") == lie.code
    assert not failed or lie.code == "settlement.no_transaction", failed


@pytest.mark.parametrize("said", UNKNOWN, ids=lambda said: said.of)
def test_a_movement_that_nobody_can_place_is_not_called_ok(said: Said) -> None:
    assert said.report().failed() == ()
    assert said.told()["transactions"].status is Status.NOT_CHECKED


@pytest.mark.parametrize("said", TRUE, ids=lambda said: said.of)
def test_the_truth_passes_every_check(said: Said) -> None:
    assert said.told() == {}


@pytest.mark.parametrize("document", [{}, LOSS], ids=["a claim", "a loss"])
def test_without_a_node_no_movement_is_called_ok(document: dict[str, Any]) -> None:
    raw = make_settlement(RECEIPT, **document).encode()
    checks = {one.name: one for one in verify_settlement(raw, SIGNATURES, RECEIPT.encode()).checks}
    assert "amount" not in checks
    assert checks["stated amount"].what.startswith("the document says")
    assert checks["transactions"].status is Status.NOT_CHECKED


REWARD_LIES: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("a value of one's own", {"value": 450_000_001}, {"value": "reward.value_differs"}),
    ("a baseline of more energy", {"baseline_wh": (5_501, 2_500, 0)}, {"value": "reward.baseline_differs"}),
    ("a step without a price", {"step_price": (300_000, 200_000)}, {"value": "reward.other_length"}),
    ("more than all together", {"total": 449_999_999}, {"share": "reward.total_differs"}),
    ("one unit less", {"reward": 149_999}, {"share": "reward.differs"}),
    ("more than all that was earned", {"cumulative": 149_999}, {"share": "reward.cumulative_differs"}),
    ("somebody else's charge", {"holder": Address("0x" + "66" * 20)}, {"holder": "reward.other_holder"}),
    ("vested before the unplug", {"vested_at": START}, {"holder": "reward.other_end"}),
    (
        "energy that was not billed",
        {"metered_wh": (1_000, 5_500, 1_499), "baseline_wh": (5_500, 2_499, 0)},
        {"energy": "reward.energy_differs"},
    ),
    (
        "a load curve of one's own",
        {"metered_wh": (0, 6_000, 2_000), "value": 550_000_000, "reward": 183_333},
        {"energy": "reward.curve_differs"},
    ),
    (
        "a first step from before the charge",
        {"start": START - timedelta(seconds=900)},
        {"energy": "reward.other_start"},
    ),
    ("the flexibility of another day", {"day": "2026-03-03"}, {"energy": "reward.other_day"}),
    ("another receipt", {"receipt_sha256": bytes(32)}, {"receipt": "followup.other_receipt"}),
]


@pytest.mark.parametrize(
    ("changes", "expected"), [row[1:] for row in REWARD_LIES], ids=[row[0] for row in REWARD_LIES]
)
def test_a_false_reward_is_refused_in_that_one_check(
    changes: dict[str, Any], expected: dict[str, str]
) -> None:
    raw = make_reward(RECEIPT, **changes).encode()
    report = verify_reward(raw, SIGNATURES, RECEIPT.encode(), make_trust())
    assert {check.name: check.code for check in report.failed()} == expected


def test_who_opted_out_has_no_value() -> None:
    opted_out = make_receipt(request=make_request(flexible=False))
    report = verify_reward(make_reward(opted_out).encode(), SIGNATURES, opted_out.encode(), make_trust())
    assert {check.name: check.code for check in report.failed()} == {"value": "reward.value_differs"}


def test_a_value_of_0_is_not_called_false_before_the_receipt_says_who_opted_out() -> None:
    opted_out = make_receipt(request=make_request(flexible=False))
    raw = make_reward(opted_out, value=0, reward=0, cumulative=0).encode()
    alone = {check.name: check.status for check in verify_reward(raw, SIGNATURES, None, make_trust()).checks}
    assert alone["value"] is Status.NOT_CHECKED
    together = verify_reward(raw, SIGNATURES, opted_out.encode(), make_trust())
    assert {check.name: check.status for check in together.checks}["value"] is Status.OK
