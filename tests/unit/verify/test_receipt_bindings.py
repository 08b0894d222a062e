"""Every binding between members, broken one at a time and signed anew by the very keys that may sign.

A receipt whose payee lies consistently is the hard case: all signatures hold, so only the check
of the one binding that is broken can refuse it, and it must be that check that does.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from evmesh.domain.ids import SessionId
from evmesh.domain.readings import ReadingContext
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import MeterKey, SignedVoucher
from evmesh.domain.strict import unix_seconds
from evmesh.domain.units import Wh
from evmesh.verify.case import PlanFiles
from evmesh.verify.receipt import verify_receipt
from tests.unit.verify.receipt_factory import (
    BASE,
    BUDGET,
    CURVE,
    DEPARTURE,
    DRIVER,
    EPOCH,
    GATEWAY,
    NOTARY,
    OPERATOR,
    SIGNATURES,
    START,
    STOP,
    THIEF,
    make_plan,
    make_reading,
    make_receipt,
    make_request,
    make_voucher,
    resign,
    sign,
)

OTHER_SESSION = SessionId.make(1_772_352_000_001, sha256(b"other").digest())
HASH = sha256(b"another").digest()
START_CONTEXT, STOP_CONTEXT = ReadingContext.START, ReadingContext.STOP
Case = tuple[str, Callable[[], Receipt], dict[str, str]]


def with_plan(**changes: object) -> Receipt:
    return make_receipt(plan=replace(make_receipt().plan, **changes))  # type: ignore[arg-type]


def with_entry(name: str, **changes: object) -> Receipt:
    receipt = make_receipt()
    entry = replace(getattr(receipt, name), **changes)
    return resign(receipt, **{name: entry})


def with_stop(**changes: Any) -> Receipt:
    return make_receipt(stop=make_reading(STOP_CONTEXT, **changes))


CASES: list[Case] = [
    (
        "the request is the thief's",
        lambda: make_receipt(request_signature=sign(THIEF, make_request())),
        {"charge request": "signature.other_signer"},
    ),
    (
        "the request names a payer who did not sign it",
        lambda: make_receipt(request=make_request(payer=THIEF.address)),
        {
            "charge request": "signature.other_signer",
            "offer binding": "offer.other_payer",
            "vouchers": "signature.other_signer",
        },
    ),
    (
        "the offer is not the operator's",
        lambda: make_receipt(offer_signature=sign(THIEF, make_receipt().offer)),
        {"session offer": "signature.other_signer"},
    ),
    (
        "the offer is for another session",
        lambda: make_receipt(offer={"session": OTHER_SESSION.to_bytes32()}),
        {"offer binding": "offer.other_session"},
    ),
    (
        "the offer is for another payer",
        lambda: make_receipt(offer={"payer": THIEF.address}),
        {"offer binding": "offer.other_payer"},
    ),
    (
        "the offer is for another payee",
        lambda: make_receipt(offer={"payee": THIEF.address}),
        {"offer binding": "offer.other_payee"},
    ),
    (
        "the offer is for another asset",
        lambda: make_receipt(offer={"asset": 18}),
        {"offer binding": "offer.other_asset"},
    ),
    (
        "the offer had another price",
        lambda: make_receipt(offer={"price": 399_999}),
        {"offer binding": "offer.other_price"},
    ),
    (
        "the offer answers another request",
        lambda: make_receipt(offer={"request": HASH}),
        {"offer binding": "offer.other_request"},
    ),
    (
        "the budget is above what the driver allowed",
        lambda: make_receipt(offer={"budget": 6_000_001}),
        {"offer binding": "offer.budget_above_request"},
    ),
    (
        "the tab had spent more than the offer says",
        lambda: make_receipt(offer={"base": BASE + BUDGET - 3_199_999}),
        {"vouchers": "voucher.out_of_order"},
    ),
    (
        "the offer is of another epoch",
        lambda: make_receipt(offer={"epoch": EPOCH + 1}),
        {"vouchers": "voucher.other_epoch"},
    ),
    (
        "it began after the offer's last start",
        lambda: make_receipt(offer={"start_by": unix_seconds(START) - 1}),
        {"deadlines": "offer.started_late"},
    ),
    (
        "it ended after the offer's end",
        lambda: make_receipt(offer={"end_by": unix_seconds(STOP) - 1}),
        {"deadlines": "offer.ended_late"},
    ),
    (
        "the station is another asset",
        lambda: make_receipt(station=replace(make_receipt().station, asset=18)),
        {"station code": "station.other_asset"},
    ),
    (
        "the code is another station's",
        lambda: make_receipt(station=replace(make_receipt().station, code="00000000")),
        {"station code": "station.other_code"},
    ),
    (
        "the session is another",
        lambda: make_receipt(session=OTHER_SESSION),
        {"offer binding": "offer.other_session", "readings": "reading.other_session"},
    ),
    (
        "the meter key is another",
        lambda: make_receipt(meter_key=MeterKey(THIEF.address, "meter")),
        {"readings": "reading.other_signer"},
    ),
    (
        "a reading is signed by a key that it does not name",
        lambda: make_receipt(stop=make_reading(STOP_CONTEXT, THIEF)),
        {"readings": "signature.other_signer"},
    ),
    (
        "a reading is signed under another chain's domain",
        lambda: make_receipt(chain=replace(make_receipt().chain, chain_id=1)),
        {
            "charge request": "signature.other_signer",
            "session offer": "signature.other_signer",
            "readings": "signature.other_signer",
            "vouchers": "signature.other_signer",
        },
    ),
    (
        "the stop is of another meter",
        lambda: with_stop(meter="SDM630-4712"),
        {"readings": "reading.other_station", "meter chain": "meter.other_meter"},
    ),
    (
        "a leaf names another meter than its reading",
        lambda: make_receipt(start_leaf={"meter": "x"}, stop_leaf={"meter": "x"}),
        {"readings": "reading.other_meter"},
    ),
    (
        "a leaf names another number than its reading",
        lambda: make_receipt(stop_leaf={"seq": 12}),
        {"readings": "reading.other_seq"},
    ),
    (
        "the stop has the number of the start",
        lambda: with_stop(seq=7),
        {"meter chain": "meter.out_of_order"},
    ),
    (
        "the stop was filed before the start",
        lambda: make_receipt(start_leaf={"index": 12}),
        {"meter chain": "meter.out_of_order"},
    ),
    (
        "the stop is filed where the start is",
        lambda: with_entry("stop", index=4),
        {"meter chain": "meter.out_of_order", "inclusion": "merkle.other_root"},
    ),
    (
        "a later reading follows none",
        lambda: make_receipt(stop_leaf={"prev_hash": bytes(32)}),
        {"meter chain": "meter.broken_chain"},
    ),
    (
        "a first reading follows another",
        lambda: make_receipt(start=make_reading(START_CONTEXT, seq=1)),
        {"meter chain": "meter.broken_chain"},
    ),
    (
        "the stop follows right on the start but does not name its leaf",
        lambda: with_stop(seq=8),
        {"meter chain": "meter.broken_chain"},
    ),
    (
        "the stop is before the start",
        lambda: with_stop(at=START - timedelta(seconds=1)),
        {"meter chain": "meter.out_of_order", "load curve": "curve.other_end"},
    ),
    (
        "the register went back",
        lambda: with_stop(register=Wh(41_199)),
        {
            "meter chain": "meter.register_went_back",
            "load curve": "curve.other_end",
            "energy": "energy.differs",
        },
    ),
    (
        "the start is a sample",
        lambda: make_receipt(start=make_reading(START_CONTEXT, context=ReadingContext.SAMPLE)),
        {"readings": "reading.other_context"},
    ),
    (
        "the stop reading is of another session",
        lambda: with_stop(session=OTHER_SESSION),
        {"readings": "reading.other_session"},
    ),
    (
        "the stop reading is of no session",
        lambda: with_stop(session=None),
        {"readings": "reading.other_session"},
    ),
    (
        "the salt is another",
        lambda: with_entry("start", salt=HASH),
        {"inclusion": "merkle.other_root"},
    ),
    (
        "the former leaf is another",
        lambda: with_entry("stop", prev_hash=HASH),
        {"inclusion": "merkle.other_root"},
    ),
    (
        "the index is another",
        lambda: with_entry("stop", index=10),
        {"inclusion": "merkle.other_root"},
    ),
    (
        "the index is outside the tree",
        lambda: with_entry("stop", index=13),
        {"inclusion": "merkle.malformed_proof"},
    ),
    (
        "the proof is too short",
        lambda: with_entry("stop", proof=make_receipt().stop.proof[:-1]),
        {"inclusion": "merkle.malformed_proof"},
    ),
    (
        "the proof is too long",
        lambda: with_entry("stop", proof=(*make_receipt().stop.proof, HASH)),
        {"inclusion": "merkle.malformed_proof"},
    ),
    (
        "the root is another",
        lambda: make_receipt(tree=replace(make_receipt().tree, root=HASH)),
        {"inclusion": "merkle.other_root"},
    ),
    (
        "the tree is of a stream that is anchored on the side",
        lambda: make_receipt(tree=replace(make_receipt().tree, stream=HASH)),
        {"inclusion": "merkle.other_stream"},
    ),
    (
        "the tree is larger",
        lambda: make_receipt(tree=replace(make_receipt().tree, size=29)),
        {"inclusion": "merkle.malformed_proof"},
    ),
    ("the curve is empty", lambda: make_receipt(curve=()), {"load curve": "curve.empty"}),
    (
        "the curve begins elsewhere",
        lambda: make_receipt(curve=CURVE[1:]),
        {"load curve": "curve.other_start"},
    ),
    (
        "the curve ends elsewhere",
        lambda: make_receipt(curve=CURVE[:-1]),
        {"load curve": "curve.other_end"},
    ),
    (
        "the curve stands still in time",
        lambda: make_receipt(curve=(CURVE[0], CURVE[1], CURVE[1], *CURVE[2:])),
        {"load curve": "curve.out_of_order"},
    ),
    (
        "the curve goes back",
        lambda: make_receipt(curve=(CURVE[0], (600, Wh(42_201)), *CURVE[1:])),
        {"load curve": "curve.register_went_back"},
    ),
    (
        "the energy is 1 Wh more than metered",
        lambda: make_receipt(energy=Wh(8_001), cost=3_200_400, due=3_200_400),
        {"energy": "energy.differs"},
    ),
    (
        "the cost is one unit more",
        lambda: make_receipt(cost=3_200_001, due=3_200_001),
        {"cost": "cost.differs"},
    ),
    ("more is due than it cost", lambda: make_receipt(due=3_200_001), {"due": "due.differs"}),
    ("less is due than it cost", lambda: make_receipt(due=3_199_999), {"due": "due.differs"}),
    (
        "more is due than the budget",
        lambda: make_receipt(offer={"budget": 3_000_000}),
        {"due": "due.differs", "vouchers": "voucher.too_much"},
    ),
    (
        "a voucher of a later session covers it",
        lambda: make_receipt(vouchers=(make_voucher(BASE + BUDGET + 1),)),
        {"vouchers": "voucher.too_much"},
    ),
    (
        "the vouchers do not cover it",
        lambda: make_receipt(vouchers=(make_voucher(BASE + 3_199_999),)),
        {"vouchers": "voucher.too_little"},
    ),
    ("there is no voucher", lambda: make_receipt(vouchers=()), {"vouchers": "voucher.too_little"}),
    (
        "a voucher is of another epoch",
        lambda: make_receipt(vouchers=(make_voucher(BASE + BUDGET, epoch=EPOCH - 1),)),
        {"vouchers": "voucher.other_epoch"},
    ),
    (
        "a voucher is the operator's own",
        lambda: make_receipt(vouchers=(make_voucher(BASE + BUDGET, key=OPERATOR),)),
        {"vouchers": "signature.other_signer"},
    ),
    (
        "a voucher's amount was raised",
        lambda: make_receipt(
            vouchers=(SignedVoucher(EPOCH, BASE + BUDGET + 1, make_voucher(BASE + BUDGET).signature),)
        ),
        {"vouchers": "signature.other_signer"},
    ),
    (
        "the vouchers are out of order",
        lambda: make_receipt(vouchers=(make_voucher(BASE + BUDGET), make_voucher(BASE + 1))),
        {"vouchers": "voucher.out_of_order"},
    ),
    (
        "a voucher stands twice",
        lambda: make_receipt(vouchers=(make_voucher(BASE + BUDGET),) * 2),
        {"vouchers": "voucher.out_of_order"},
    ),
    (
        "the row is another driver's",
        lambda: with_plan(id="0123456789abcdef"),
        {"plan row": "plan.other_row"},
    ),
    (
        "a price is missing",
        lambda: with_plan(step_price=(300_000, 300_000)),
        {"plan row": "plan.other_length"},
    ),
    (
        "the plan is empty",
        lambda: with_plan(wh=(), step_price=()),
        {"plan row": "plan.other_length"},
    ),
    (
        "the plan goes on after the departure",
        lambda: with_plan(first=2),
        {"plan row": "plan.after_departure"},
    ),
    (
        "the plan begins later",
        lambda: with_plan(start=DEPARTURE),
        {"plan row": "plan.after_departure"},
    ),
    (
        "the plan holds less than was asked for",
        lambda: with_plan(wh=(1_000, 5_500, 1_499)),
        {"plan row": "plan.other_energy"},
    ),
    (
        "the plan holds more than was asked for",
        lambda: with_plan(wh=(1_000, 5_500, 1_501)),
        {"plan row": "plan.other_energy"},
    ),
]


@pytest.mark.parametrize(
    ("receipt", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_lie_that_is_signed_anew_fails_the_check_that_is_for_it(
    receipt: Callable[[], Receipt], expected: dict[str, str]
) -> None:
    report = verify_receipt(receipt().encode(), SIGNATURES)
    assert {check.name: check.code for check in report.failed()} == expected
    assert all(check.path for check in report.failed())


def judged(receipt: Receipt, files: PlanFiles) -> dict[str, tuple[str, str]]:
    """Give what fails once the receipt names the hashes of these very files."""
    plan = replace(
        receipt.plan,
        problem_sha256=sha256(files.problem).digest(),
        schedule_sha256=sha256(files.schedule).digest(),
    )
    report = verify_receipt(resign(receipt, plan=plan).encode(), SIGNATURES, plan_files=files)
    return {check.name: (check.code, check.path) for check in report.failed()}


def rehashed(files: PlanFiles, problem: bytes) -> PlanFiles:
    """Put another problem under a schedule that names it."""
    old, new = (sha256(raw).hexdigest().encode() for raw in (files.problem, problem))
    return PlanFiles(problem, files.schedule.replace(old, new))


def test_the_certificate_of_the_named_schedule_must_hold() -> None:
    receipt = make_receipt()
    files = make_plan(receipt.request)[1]
    wrong = PlanFiles(files.problem, files.schedule.replace(b"400000]", b"400001]"))
    assert judged(receipt, files) == {}
    assert judged(receipt, wrong)["plan optimality"][0] == "schedule.price_above_unfilled"


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"start": START - timedelta(minutes=15)}, "plan.start"),
        ({"step_s": 600}, "plan.start"),
        ({"wh": (1_000, 5_499, 1_501)}, "plan.row"),
        ({"step_price": (300_000, 300_000, 299_999)}, "plan.step_price"),
    ],
)
def test_the_receipt_must_show_the_schedules_own_values(changes: dict[str, object], path: str) -> None:
    receipt = with_plan(**changes)
    files = make_plan(receipt.request)[1]
    assert judged(receipt, files) == {"plan optimality": ("plan.row_differs", path)}


def test_a_flexible_car_must_be_planned_until_the_departure_that_was_signed() -> None:
    later = make_request(departure=unix_seconds(DEPARTURE) + 900)
    receipt = make_receipt(request=later)
    files = make_plan(later)[1]
    longer = rehashed(files, files.problem.replace(b'"steps":4', b'"steps":5'))
    longer = PlanFiles(longer.problem, longer.schedule.replace(b"400000]", b"400000,300000]"))
    assert judged(receipt, longer) == {"plan optimality": ("plan.other_window", "plan.row")}
    opted_out = make_request(departure=unix_seconds(DEPARTURE) + 900, flexible=False)
    receipt, files = make_receipt(request=opted_out), make_plan(opted_out)[1]
    assert judged(receipt, files) == {}


def test_a_refusal_is_not_a_plan() -> None:
    receipt = make_receipt()
    files = make_plan(receipt.request)[1]
    problem = files.problem.replace(b'"max_wh":5500', b'"max_wh":1999')
    refusal = (
        b'{"deficit_wh":4,"format":"evmesh.schedule/1","problem_sha256":"%s",'
        b'"status":"infeasible","steps":[]}'
    )
    refused = PlanFiles(problem, refusal % sha256(problem).hexdigest().encode())
    assert judged(receipt, refused) == {"plan optimality": ("plan.refused", "plan.schedule_sha256")}


def test_a_departure_that_is_no_date_is_no_crash() -> None:
    far = make_request(departure=2**64 - 1)
    assert judged(make_receipt(request=far), make_plan(far)[1]) == {}


def test_the_roles_are_different_keys() -> None:
    assert len({key.address for key in (DRIVER, OPERATOR, GATEWAY, NOTARY, THIEF)}) == 5
