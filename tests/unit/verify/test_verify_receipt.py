from dataclasses import replace
from typing import Any

import pytest

from evmesh.domain.readings import ReadingContext
from evmesh.domain.receipt import Receipt
from evmesh.domain.strict import unix_seconds
from evmesh.domain.units import Wh
from evmesh.verify.chain_facts import Anchor, ChainFacts
from evmesh.verify.receipt import CHECKS, verify_receipt
from evmesh.verify.report import Report, Status
from tests.unit.verify.commitment_factory import make_commitment
from tests.unit.verify.receipt_factory import (
    BASE,
    BUDGET,
    CURVE,
    OPERATOR,
    SIGNATURES,
    START,
    STOP,
    THIEF,
    leaf_of,
    make_chain_facts,
    make_entry,
    make_group,
    make_move,
    make_plan,
    make_reading,
    make_receipt,
    make_request,
    make_trust,
    make_voucher,
    resign,
)

TRUE_HEAD = Anchor(make_receipt().tree.root, unix_seconds(STOP) + 5)
FALSE_HEAD = replace(TRUE_HEAD, root=bytes(32))
OFFLINE = {
    "trusted chain",
    "trusted payee",
    "trusted publisher",
    "trusted meter",
    "plan optimality",
    "registry",
    "registered price",
    "registered meter",
    "power",
    "anchor",
    "settlement",
    "plan commitment",
}


def names(report: Report, status: Status) -> set[str]:
    return {check.name for check in report.checks if check.status is status}


def codes(report: Report) -> dict[str, str]:
    return {check.name: check.code for check in report.failed()}


def test_a_true_receipt_is_consistent_offline_and_says_what_it_could_not_check() -> None:
    report = verify_receipt(make_receipt().encode(), SIGNATURES)
    assert report.ok
    assert names(report, Status.NOT_CHECKED) == OFFLINE
    assert len(report.checks) == len(CHECKS) + 2


def test_with_trust_plan_files_and_chain_every_check_is_made() -> None:
    receipt = make_receipt()
    files = make_plan(receipt.request)[1]
    facts, commitment = make_chain_facts(receipt), make_commitment(receipt, files)
    report = verify_receipt(receipt.encode(), SIGNATURES, make_trust(), files, facts, commitment)
    assert names(report, Status.OK) == {check.name for check in report.checks}


def test_a_receipt_that_was_read_encodes_to_the_same_bytes() -> None:
    raw = make_receipt().encode()
    assert Receipt.parse(raw).encode() == raw


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "document.not_json"),
        (b"[]", "document.not_an_object"),
        (b"{}", "document.missing_key"),
        (b"\xff", "document.not_utf8"),
        (b'{"format":"evmesh.receipt/2"}', "document.bad_value"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "document.too_deep"),
        (b"[" * 100_000, "document.too_deep"),
        (b'{"format":1e5}', "document.not_an_integer"),
        (b'{"format":"' + b"a" * (1 << 20) + b'"}', "document.too_large"),
    ],
)
def test_what_is_no_receipt_is_refused_without_raising(raw: bytes, code: str) -> None:
    report = verify_receipt(raw, SIGNATURES)
    assert not report.ok
    assert [check.code for check in report.failed()] == [code]
    assert {name for name, _ in CHECKS} <= names(report, Status.NOT_CHECKED)


@pytest.mark.parametrize("depth", range(50, 1_100, 50))
def test_no_depth_of_nesting_makes_it_raise(depth: int) -> None:
    assert not verify_receipt(b'{"a":' + b"[" * depth + b"]" * depth + b"}", SIGNATURES).ok
    assert not verify_receipt(b'{"a":' * depth + b"1" + b"}" * depth, SIGNATURES).ok


def test_white_space_at_the_end_is_refused() -> None:
    report = verify_receipt(make_receipt().encode() + b"\n", SIGNATURES)
    assert codes(report)["canonical form"] == "document.not_canonical"


def test_a_receipt_signed_anew_by_a_thief_names_another_payee() -> None:
    report = verify_receipt(resign(make_receipt(), THIEF).encode(), SIGNATURES)
    assert codes(report) == {"payee signature": "signature.other_signer"}


def test_a_thief_who_takes_the_payees_place_everywhere_cannot_take_the_drivers_vouchers() -> None:
    stolen = resign(make_receipt(), THIEF, payee=THIEF.address)
    report = verify_receipt(stolen.encode(), SIGNATURES)
    assert codes(report) == {
        "session offer": "signature.other_signer",
        "offer binding": "offer.other_payee",
        "vouchers": "signature.other_signer",
    }


def test_only_trust_shows_that_a_consistent_receipt_is_from_a_stranger() -> None:
    trust = make_trust()
    stranger = replace(
        trust,
        chain=replace(trust.chain, chain_id=1),
        payees=frozenset({THIEF.address}),
        publishers=frozenset(),
        meters={},
    )
    raw = make_receipt().encode()
    assert verify_receipt(raw, SIGNATURES).ok
    assert codes(verify_receipt(raw, SIGNATURES, stranger)) == {
        "trusted chain": "trust.other_chain",
        "trusted payee": "trust.unknown_payee",
        "trusted publisher": "trust.unknown_publisher",
        "trusted meter": "trust.unknown_meter",
    }


@pytest.mark.parametrize("contract", ["charge_tab", "registry", "notary", "token"])
def test_each_contract_is_compared_with_the_trusted_one(contract: str) -> None:
    trust = make_trust()
    changes: dict[str, Any] = {contract: THIEF.address}
    other = replace(trust, chain=replace(trust.chain, **changes))
    [check] = verify_receipt(make_receipt().encode(), SIGNATURES, other).failed()
    assert (check.code, check.path) == ("trust.other_chain", f"chain.{contract}")


def test_a_charge_above_its_budget_owes_the_budget() -> None:
    receipt = make_receipt(
        offer={"budget": 3_000_000},
        due=3_000_000,
        vouchers=(make_voucher(BASE + 3_000_000),),
        plan=replace(make_plan(make_request())[0]),
    )
    assert verify_receipt(receipt.encode(), SIGNATURES).ok


def test_a_plan_may_hold_less_energy_only_where_the_budget_pays_for_no_more() -> None:
    plan = replace(make_plan(make_request())[0], wh=(0, 5_000, 0))
    poor = {"budget": 2_000_000}
    paid = (make_voucher(BASE + 2_000_000),)
    receipt = make_receipt(offer=poor, due=2_000_000, plan=plan, vouchers=paid)
    assert verify_receipt(receipt.encode(), SIGNATURES).ok
    rich = verify_receipt(make_receipt(plan=plan).encode(), SIGNATURES)
    assert codes(rich) == {"plan row": "plan.other_energy"}


def test_what_is_just_within_its_limit_is_true() -> None:
    request = make_request(max_cost=BUDGET)
    limits = {"start_by": unix_seconds(START), "end_by": unix_seconds(STOP)}
    exact = (make_voucher(BASE + 3_200_000),)
    pause = (*CURVE[:2], (901, CURVE[1][1]), *CURVE[2:])
    until_departure = replace(make_plan(request)[0], first=1)
    receipt = make_receipt(request=request, offer=limits, vouchers=exact, curve=pause, plan=until_departure)
    assert verify_receipt(receipt.encode(), SIGNATURES).ok


def test_a_charge_without_energy_needs_no_voucher() -> None:
    stop = make_reading(ReadingContext.STOP, register=CURVE[0][1], at=START)
    receipt = make_receipt(stop=stop, curve=CURVE[:1], energy=Wh(0), cost=0, due=0, vouchers=())
    assert verify_receipt(receipt.encode(), SIGNATURES).ok


def test_a_stop_right_after_the_start_names_the_starts_leaf() -> None:
    start = make_reading(ReadingContext.START, seq=1)
    stop = make_reading(ReadingContext.STOP, seq=2)
    first = {"prev_hash": bytes(32)}
    before = make_receipt(start=start, stop=stop, start_leaf=first)
    assert codes(verify_receipt(before.encode(), SIGNATURES)) == {"meter chain": "meter.broken_chain"}
    after = make_receipt(
        start=start, stop=stop, start_leaf=first, stop_leaf={"prev_hash": leaf_of(before.start)}
    )
    assert verify_receipt(after.encode(), SIGNATURES).ok


@pytest.mark.parametrize(
    ("changes", "check", "code"),
    [
        ({"chain_id": 1}, "registry", "chain.other_chain"),
        ({"chain_id": 1}, "anchor", "chain.other_chain"),
        ({"chain_id": 1}, "settlement", "chain.other_chain"),
        ({"contracts_answer": False}, "registry", "chain.not_the_contract"),
        ({"asset": make_entry(owner=THIEF.address)}, "registry", "registry.other_owner"),
        ({"asset": None}, "registry", "registry.unknown_asset"),
        ({"newest": FALSE_HEAD}, "anchor", "anchor.other_root"),
        ({"newest_size": 99, "anchors": (FALSE_HEAD,)}, "anchor", "anchor.other_root"),
        ({"newest_size": 99, "anchors": (TRUE_HEAD, FALSE_HEAD)}, "anchor", "anchor.other_root"),
        ({"epoch": 1}, "settlement", "settlement.unknown_epoch"),
    ],
)
def test_the_chain_contradicts_a_false_claim(changes: dict[str, object], check: str, code: str) -> None:
    receipt = make_receipt()
    report = verify_receipt(receipt.encode(), SIGNATURES, chain=make_chain_facts(receipt, **changes))
    assert codes(report)[check] == code


@pytest.mark.parametrize(
    ("changes", "check", "words"),
    [
        ({"newest_size": 0}, "anchor", "not anchored yet"),
        ({"newest_size": 99, "anchors": None}, "anchor", "no log shows"),
        ({"newest_size": 99, "anchors": ()}, "anchor", "no log shows"),
        ({"spent": BASE, "moves": ()}, "settlement", "not claimed yet"),
        ({"spent": BASE + 3_199_999, "moves": None}, "settlement", "not claimed yet"),
        ({"epoch": 3, "spent": 0}, "settlement", "closed since"),
    ],
)
def test_what_the_chain_does_not_show_is_not_called_ok(
    changes: dict[str, object], check: str, words: str
) -> None:
    receipt = make_receipt()
    report = verify_receipt(receipt.encode(), SIGNATURES, chain=make_chain_facts(receipt, **changes))
    [found] = [one for one in report.checks if one.name == check]
    assert found.status is Status.NOT_CHECKED
    assert words in found.what


def test_an_older_head_is_anchored_where_a_log_shows_it() -> None:
    receipt = make_receipt()
    facts: ChainFacts = make_chain_facts(receipt, newest_size=99, anchors=(TRUE_HEAD,))
    report = verify_receipt(receipt.encode(), SIGNATURES, chain=facts)
    assert "anchor" in names(report, Status.OK)


def test_what_was_spent_by_later_sessions_does_not_unsettle_this_one() -> None:
    receipt = make_receipt()
    later = make_move(BASE + receipt.due + 1, BASE + BUDGET + 1)
    mine = make_move(BASE + receipt.due)
    facts = make_chain_facts(receipt, spent=later.total, moves=(mine, later))
    report = verify_receipt(receipt.encode(), SIGNATURES, chain=facts)
    assert "settlement" in names(report, Status.OK)
    assert any("1 since, by vouchers for more" in check.what for check in report.checks)


def test_a_schedule_of_another_group_is_not_the_one_named() -> None:
    receipt = make_receipt()
    files = make_group("fedcba9876543210")
    assert codes(verify_receipt(receipt.encode(), SIGNATURES, plan_files=files)) == {
        "plan optimality": "plan.other_problem"
    }


def test_the_report_of_nothing_is_not_ok() -> None:
    assert not Report(()).ok
    assert OPERATOR.address != THIEF.address
