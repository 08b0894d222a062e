from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.ids import SessionId
from evmesh.domain.reward import Reward, reward_of
from evmesh.domain.settlement import Settlement
from evmesh.verify.chain_facts import FlexFacts, MinedCall, SettlementFacts, TabMove
from evmesh.verify.followups import verify_reward, verify_settlement
from evmesh.verify.report import Report, Status
from tests.unit.verify.followup_factory import (
    TRANSACTION,
    make_flex_voucher,
    make_reward,
    make_settlement,
)
from tests.unit.verify.receipt_factory import (
    BASE,
    OPERATOR,
    SIGNATURES,
    START,
    THIEF,
    make_receipt,
    make_request,
    make_trust,
)

RECEIPT = make_receipt()
RAW = RECEIPT.encode()
OTHER_CHAIN = replace(RECEIPT.chain, chain_id=1)
OTHER_SESSION = SessionId.make(5, sha256(b"other").digest())


def codes(report: Report) -> dict[str, str]:
    return {check.name: check.code for check in report.failed()}


def settled(*keys: Any, **changes: Any) -> Report:
    return verify_settlement(make_settlement(RECEIPT, *keys, **changes).encode(), SIGNATURES, RAW)


def rewarded(*keys: Any, **changes: Any) -> Report:
    return verify_reward(make_reward(RECEIPT, *keys, **changes).encode(), SIGNATURES, RAW)


@pytest.mark.parametrize("check", [settled, rewarded])
def test_what_is_common_to_both_is_checked(check: Callable[..., Report]) -> None:
    assert check().ok
    assert codes(check(THIEF)) == {"payee signature": "signature.other_signer"}
    assert codes(check(THIEF, payee=THIEF.address)) == {"receipt": "followup.other_payee"}
    assert codes(check(receipt_sha256=bytes(32))) == {"receipt": "followup.other_receipt"}
    assert codes(check(session=OTHER_SESSION)) == {"receipt": "followup.other_session"}
    assert codes(check(chain=OTHER_CHAIN)) == {"receipt": "followup.other_chain"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"amount": RECEIPT.due + 1}, {"stated amount": "settlement.amount_differs"}),
        ({"transactions": ()}, {"stated amount": "settlement.no_transaction"}),
        ({"payer": THIEF.address}, {"stated amount": "followup.other_payer"}),
        ({"kind": "loss", "transactions": ()}, {}),
        ({"kind": "loss", "transactions": (), "amount": 1}, {"stated amount": "settlement.amount_differs"}),
        ({"kind": "loss"}, {"form": "document.bad_value"}),
        ({"kind": "loss", "transactions": (), "receipt_sha256": None}, {"form": "document.bad_value"}),
        ({"kind": "refund", "amount": 5}, {"stated amount": "settlement.refund_of_a_charge"}),
        (
            {"kind": "refund", "amount": 0, "transactions": ()},
            {"stated amount": "settlement.refund_of_a_charge"},
        ),
        (
            {"kind": "refund", "receipt_sha256": None},
            {"receipt": "followup.other_receipt", "stated amount": "settlement.refund_of_a_charge"},
        ),
    ],
)
def test_a_claim_moves_what_was_due(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert codes(settled(**changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"step_price": (300_000, 200_000)}, {"value": "reward.other_length"}),
        ({"baseline_wh": (5_500, 2_499, 0)}, {"value": "reward.baseline_differs"}),
        ({"value": 450_000_001}, {"value": "reward.value_differs"}),
        ({"total": 449_999_999}, {"share": "reward.total_differs"}),
        ({"reward": 150_001}, {"share": "reward.differs"}),
        ({"avoided": 400_100_000}, {"share": "reward.differs"}),
        ({"share_per_mille": 501}, {"share": "reward.differs"}),
        ({"cumulative": 149_999}, {"share": "reward.cumulative_differs"}),
        ({"cumulative": 150_000}, {}),
        ({"holder": THIEF.address}, {"holder": "reward.other_holder"}),
        ({"vested_at": START}, {"holder": "reward.other_end"}),
        ({"total": 450_000_000, "reward": 200_000}, {}),
        (
            {"metered_wh": (1_000, 5_500, 1_499), "baseline_wh": (5_500, 2_499, 0)},
            {"energy": "reward.energy_differs"},
        ),
        (
            {
                "metered_wh": (0, 6_000, 2_000),
                "value": 550_000_000,
                "reward": 183_333,
            },
            {"energy": "reward.curve_differs"},
        ),
        ({"start": START - timedelta(seconds=900)}, {"energy": "reward.other_start"}),
        ({"start": START - timedelta(seconds=899)}, {"energy": "reward.curve_differs"}),
        ({"start": START + timedelta(seconds=1)}, {"energy": "reward.other_start"}),
        ({"day": "2026-02-27"}, {"energy": "reward.other_day"}),
        ({"day": "2026-02-28"}, {}),
        ({"day": "2026-03-02"}, {"energy": "reward.other_day"}),
    ],
)
def test_a_reward_is_what_its_own_numbers_give(changes: dict[str, Any], expected: dict[str, str]) -> None:
    assert codes(rewarded(**changes)) == expected


def test_who_opted_out_of_smart_charging_earns_nothing() -> None:
    opted_out = make_receipt(request=make_request(flexible=False))
    reward = make_reward(opted_out)
    report = verify_reward(reward.encode(), SIGNATURES, opted_out.encode())
    assert codes(report) == {"value": "reward.value_differs"}
    nothing = make_reward(opted_out, value=0, reward=0)
    assert verify_reward(nothing.encode(), SIGNATURES, opted_out.encode()).ok


def test_rewards_are_scaled_down_together_and_never_up() -> None:
    assert reward_of(450_000_000, 600_000_000, 400_000_000, 500) == 150_000
    assert reward_of(450_000_999, 600_000_000, 10**12, 1_000) == 450_000
    assert reward_of(0, 0, 0, 500) == 0


def test_without_receipt_and_trust_both_say_what_they_could_not_check() -> None:
    for verify, document in (
        (verify_settlement, make_settlement(RECEIPT)),
        (verify_reward, make_reward(RECEIPT)),
    ):
        report = verify(document.encode(), SIGNATURES)
        assert report.ok
        assert {"trusted payee", "receipt"} <= {
            check.name for check in report.checks if check.status is Status.NOT_CHECKED
        }


def test_trust_names_the_operators() -> None:
    trust = replace(make_trust(), payees=frozenset({THIEF.address}))
    report = verify_settlement(make_settlement(RECEIPT).encode(), SIGNATURES, RAW, trust)
    assert codes(report) == {"trusted payee": "trust.unknown_payee"}
    moved = replace(make_trust(), chain=OTHER_CHAIN)
    report = verify_settlement(make_settlement(RECEIPT).encode(), SIGNATURES, RAW, moved)
    assert codes(report) == {"trusted payee": "trust.other_chain"}


def test_a_refund_before_metering_has_no_receipt_but_a_claim_has() -> None:
    refund = make_settlement(RECEIPT, kind="refund", receipt_sha256=None)
    assert verify_settlement(refund.encode(), SIGNATURES).ok
    claim = make_settlement(RECEIPT, receipt_sha256=None)
    assert codes(verify_settlement(claim.encode(), SIGNATURES)) == {"form": "document.bad_value"}


@pytest.mark.parametrize(
    ("document", "verify"),
    [(make_settlement(RECEIPT), verify_settlement), (make_reward(RECEIPT), verify_reward)],
)
def test_every_changed_byte_is_refused(document: Settlement | Reward, verify: Callable[..., Report]) -> None:
    raw = document.encode()
    assert type(document).parse(raw) == document
    for position in range(len(raw)):
        changed = bytearray(raw)
        changed[position] ^= 1
        assert not verify(bytes(changed), SIGNATURES).ok, position


def test_a_day_that_is_not_on_the_calendar_is_refused() -> None:
    content = parse_canonical_json(make_reward(RECEIPT).encode())
    for day in ("2026-02-30", "2026-2-3", "yesterday"):
        report = verify_reward(canonical_json(content | {"day": day}), SIGNATURES)
        assert [check.path for check in report.failed()] == ["day"]


EPOCH_OF = RECEIPT.offer.epoch
MOVE = TabMove(BASE + RECEIPT.due, BASE + 5_000_000, BASE, epoch=EPOCH_OF)
CALL = MinedCall(TRANSACTION.block, True, (MOVE,))
BACK = TabMove(BASE, None, closes=True, returned=RECEIPT.due, epoch=EPOCH_OF)


def on_chain(*calls: MinedCall | None, chain_id: int = RECEIPT.chain.chain_id, **changes: Any) -> Report:
    facts = SettlementFacts(chain_id, True, calls, RECEIPT.offer.epoch)
    document = make_settlement(RECEIPT, **changes)
    receipt = None if changes.get("kind") == "refund" else RAW
    return verify_settlement(document.encode(), SIGNATURES, receipt, chain=facts)


REFUND: dict[str, Any] = {"kind": "refund", "receipt_sha256": None}


@pytest.mark.parametrize(
    ("call", "changes", "code"),
    [
        (replace(CALL, block=42), {}, "settlement.other_block"),
        (replace(CALL, succeeded=False), {}, "settlement.failed_transaction"),
        (replace(CALL, moves=()), {}, "settlement.other_transaction"),
        (replace(CALL, moves=(replace(MOVE, total=MOVE.total + 1),)), {}, "settlement.moved_differs"),
        (CALL, REFUND, "settlement.other_transaction"),
        (replace(CALL, moves=(replace(BACK, returned=7),)), REFUND, "settlement.moved_differs"),
        (replace(CALL, moves=(replace(BACK, cumulative=9),)), REFUND, "settlement.other_transaction"),
    ],
)
def test_the_named_transactions_moved_this_amount(
    call: MinedCall, changes: dict[str, Any], code: str
) -> None:
    assert codes(on_chain(call, **changes)) == {"transactions": code}


def test_a_claim_that_the_chain_shows_is_ok_and_a_refund_without_receipt_not_checked() -> None:
    assert {"transactions"} <= {one.name for one in on_chain(CALL).checks if one.status is Status.OK}
    refund = on_chain(replace(CALL, moves=(BACK,)), **REFUND)
    found = next(one for one in refund.checks if one.name == "transactions")
    assert (found.status, found.what) == (
        Status.NOT_CHECKED,
        f"{RECEIPT.due} moved, in 1 transaction; whether for this session, only its receipt can tell",
    )
    assert codes(on_chain(CALL, chain_id=1)) == {"transactions": "chain.other_chain"}
    nobody = verify_settlement(
        make_settlement(RECEIPT).encode(), SIGNATURES, RAW, chain=SettlementFacts(RECEIPT.chain.chain_id)
    )
    assert codes(nobody) == {"transactions": "chain.not_the_contract"}


@pytest.mark.parametrize("call", [None, replace(CALL, moves=(replace(MOVE, before=None),))])
def test_what_the_chain_does_not_tell_is_not_checked(call: MinedCall | None) -> None:
    report = on_chain(call)
    assert [one.status for one in report.checks if one.name == "transactions"] == [Status.NOT_CHECKED]


def test_a_loss_is_none_while_it_can_be_claimed() -> None:
    loss = make_settlement(RECEIPT, kind="loss", transactions=())
    here, later = (
        SettlementFacts(RECEIPT.chain.chain_id, True, (), epoch) for epoch in (RECEIPT.offer.epoch, 3)
    )
    found = verify_settlement(loss.encode(), SIGNATURES, RAW, chain=here)
    assert codes(found) == {"transactions": "settlement.not_lost"}
    assert verify_settlement(loss.encode(), SIGNATURES, RAW, chain=later).ok


VOUCHER_LIES: list[tuple[dict[str, Any], str]] = [
    ({"holder": THIEF.address}, "holder"),
    ({"cumulative": 149_999}, "cumulative"),
    ({"certificate": bytes(32)}, "certificate"),
]


def test_a_voucher_pays_the_reward_that_it_names() -> None:
    reward = make_reward(RECEIPT)
    raw, voucher = reward.encode(), make_flex_voucher(reward)
    report = verify_reward(raw, SIGNATURES, RAW, voucher_raw=voucher.encode())
    assert report.ok
    assert {check.name for check in report.checks if check.status is Status.OK} >= {"holder", "voucher"}
    thiefs = make_flex_voucher(reward, THIEF).encode()
    found = verify_reward(raw, SIGNATURES, RAW, voucher_raw=thiefs)
    assert codes(found) == {"voucher": "signature.other_signer"}
    found = verify_reward(raw, SIGNATURES, RAW, voucher_raw=replace(voucher, flex=THIEF.address).encode())
    assert codes(found) == {"voucher": "reward.other_voucher"}


@pytest.mark.parametrize(("changes", "path"), VOUCHER_LIES)
def test_a_voucher_of_something_else_is_refused(changes: dict[str, Any], path: str) -> None:
    reward = make_reward(RECEIPT)
    report = verify_reward(
        reward.encode(), SIGNATURES, RAW, voucher_raw=make_flex_voucher(reward, **changes).encode()
    )
    assert [(check.code, check.path) for check in report.failed()] == [("reward.other_voucher", path)]


def test_a_reward_of_nothing_needs_no_voucher() -> None:
    reward = make_reward(RECEIPT, avoided=0, reward=0)
    assert verify_reward(reward.encode(), SIGNATURES, RAW).ok


def test_the_chain_says_whether_the_flex_was_made() -> None:
    raw = make_reward(RECEIPT).encode()

    def made(units: int, issuer: Any = OPERATOR.address, chain_id: int = RECEIPT.chain.chain_id) -> Report:
        facts = FlexFacts(chain_id, True, issuer, units)
        return verify_reward(raw, SIGNATURES, RAW, flex=facts)

    status = {check.name: check.status for check in made(250_000).checks}
    assert status["made"] is Status.OK
    late = {check.name: check for check in made(249_999).checks}["made"]
    assert late.status is Status.NOT_CHECKED
    assert "249999 of 250000 units" in late.what
    assert codes(made(250_000, THIEF.address)) == {"made": "reward.other_issuer"}
    assert codes(made(250_000, chain_id=1)) == {"made": "chain.other_chain"}
    nothing = verify_reward(raw, SIGNATURES, RAW, flex=FlexFacts(RECEIPT.chain.chain_id))
    assert codes(nothing) == {"made": "chain.not_the_contract"}
