"""What an operator who holds the payee's, the notary's and the gateway's keys can still not write.

Every receipt here is signed as it stands by the very keys that may sign, the driver's request is the
driver's, and trust file, plan files and chain are all at hand: each lies in one thing. Settlements
and rewards are in `test_dishonest_followups.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import pytest

from evmesh.domain.canonical import canonical_json
from evmesh.domain.ids import EvseId, SessionId, StationId
from evmesh.domain.money import Price
from evmesh.domain.readings import Reading, ReadingContext
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.strict import unix_seconds
from evmesh.domain.units import W, Wh
from evmesh.verify.case import PlanFiles
from evmesh.verify.chain_facts import Anchor
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check, Status
from tests.unit.verify.commitment_factory import make_commitment
from tests.unit.verify.receipt_factory import (
    BASE,
    BUDGET,
    CHAIN,
    CURVE,
    DEPARTURE,
    METER,
    OPERATOR,
    SIGNATURES,
    START,
    STOP,
    THIEF,
    make_chain_facts,
    make_entry,
    make_move,
    make_plan,
    make_reading,
    make_receipt,
    make_record,
    make_request,
    make_trust,
    make_voucher,
    resign,
)

OTHER_SESSION = SessionId.make(1_772_352_000_001, sha256(b"other").digest())
START_CONTEXT, STOP_CONTEXT = ReadingContext.START, ReadingContext.STOP
OWED = BASE + 3_200_000
HOUR = timedelta(hours=1)


@dataclass
class Lie:
    """A receipt, what the chain then says, and the check that must tell; `code` is empty for not_checked."""

    of: str
    check: str
    code: str = ""
    receipt: Callable[[], Receipt] = make_receipt
    chain: dict[str, Any] = field(default_factory=dict)
    plan_files: PlanFiles | None = None

    def told(self) -> dict[str, Check]:
        receipt = self.receipt()
        files = self.plan_files or make_plan(receipt.request)[1]
        facts = make_chain_facts(receipt, **self.chain)
        commitment = make_commitment(receipt, files)
        report = verify_receipt(receipt.encode(), SIGNATURES, make_trust(), files, facts, commitment)
        return {check.name: check for check in report.checks if check.status is not Status.OK}


def charged(wh: int, minutes: int = 45, **changes: Any) -> Receipt:
    """A charge of so many Wh in so many minutes, billed within the budget."""
    last, stop = Wh(CURVE[0][1] + wh), START + timedelta(minutes=minutes)
    cost = wh * 400_000 // 1_000
    return make_receipt(
        stop=make_reading(STOP_CONTEXT, register=last, at=stop),
        curve=(CURVE[0], (minutes * 60, last)),
        energy=Wh(wh),
        cost=cost,
        due=min(cost, BUDGET),
        **changes,
    )


def priced(price: int) -> Receipt:
    cost = 8_000 * price // 1_000
    return make_receipt(offer={"price": price}, price=Price(price), cost=cost, due=cost)


def moved(by: timedelta) -> Receipt:
    start, stop = (
        make_reading(context, at=at + by) for context, at in ((START_CONTEXT, START), (STOP_CONTEXT, STOP))
    )
    return make_receipt(start=start, stop=stop)


def at_meter(meter: str) -> Receipt:
    start, stop = (make_reading(context, meter=meter) for context in (START_CONTEXT, STOP_CONTEXT))
    return make_receipt(start=start, stop=stop)


def planned(**changes: Any) -> Receipt:
    return make_receipt(plan=replace(make_receipt().plan, **changes))


def let_in_late() -> tuple[Receipt, PlanFiles]:
    """A problem in which our car arrives half an hour after it asked, so that others have the cheap steps."""
    receipt = make_receipt()
    prices = (300_000, 200_000, 250_000, 400_000)
    mine = {"id": receipt.plan.id, "arrival": 2, "departure": 4, "energy_wh": 8_000, "max_wh": 5_500}
    problem = canonical_json(
        {
            "format": "evmesh.problem/1",
            "start": "2026-03-01T08:00:00Z",
            "step_s": 900,
            "steps": 4,
            "supply": [{"step": step, "cap_wh": 6_000, "price": price} for step, price in enumerate(prices)],
            "requests": [mine],
        }
    )
    schedule = canonical_json(
        {
            "format": "evmesh.schedule/1",
            "problem_sha256": sha256(problem).hexdigest(),
            "status": "optimal",
            "rows": [{"id": receipt.plan.id, "first": 2, "wh": [5_500, 2_500]}],
            "step_price": list(prices),
            "objective": str(5_500 * 250_000 + 2_500 * 400_000),
        }
    )
    plan = replace(
        receipt.plan,
        problem_sha256=sha256(problem).digest(),
        schedule_sha256=sha256(schedule).digest(),
        first=2,
        wh=(5_500, 2_500),
        step_price=prices[2:],
    )
    return make_receipt(plan=plan), PlanFiles(problem, schedule)


def of_session(session: SessionId) -> Receipt:
    """Start and stop as they were filed for another session."""
    start, stop = (make_reading(context, session=session) for context in (START_CONTEXT, STOP_CONTEXT))
    return make_receipt(start=start, stop=stop)


def on_chain(chain: ChainRef) -> Receipt:
    return resign(make_receipt(), chain=chain)


def seconds(instant: Any) -> int:
    return unix_seconds(instant)


def head_at(instant: Any) -> Anchor:
    return Anchor(make_receipt().tree.root, unix_seconds(instant))


def free(**changes: Any) -> Receipt:
    stop = make_reading(STOP_CONTEXT, register=CURVE[0][1])
    curve = (CURVE[0], (2_700, CURVE[0][1]))
    return make_receipt(stop=stop, curve=curve, energy=Wh(0), cost=0, due=0, **changes)


LATE_ARRIVAL, LATE_FILES = let_in_late()

LIES: list[Lie] = [
    # price
    Lie(
        "a price that the registry never had",
        "registered price",
        "registry.other_price",
        lambda: priced(401_000),
    ),
    Lie(
        "a price since the registry was changed",
        "registered price",
        "",
        lambda: priced(401_000),
        {"asset": make_entry(price=400_000, changed=True)},
    ),
    Lie(
        "a registry that was set to the price afterwards",
        "registered price",
        "",
        lambda: priced(401_000),
        {"asset": make_entry(price=401_000, changed=True)},
    ),
    Lie(
        "a price, where the node has no logs",
        "registered price",
        "",
        make_receipt,
        {"asset": make_entry(changed=None)},
    ),
    Lie(
        "a price other than the driver was offered",
        "offer binding",
        "offer.other_price",
        lambda: make_receipt(price=Price(500_000), cost=4_000_000, due=4_000_000),
    ),
    # energy
    Lie("more energy than the connector can give", "power", "curve.above_rating", lambda: charged(20_000)),
    Lie(
        "all the energy in the first minute",
        "power",
        "curve.above_rating",
        lambda: make_receipt(curve=(CURVE[0], (60, CURVE[-1][1]), CURVE[-1])),
    ),
    Lie(
        "a rating that the record does not have",
        "registered meter",
        "record.other_rating",
        lambda: charged(20_000),
        {"asset": make_entry(rating=W(50_000))},
    ),
    Lie(
        "more energy than the registers",
        "energy",
        "energy.differs",
        lambda: make_receipt(energy=Wh(9_000), cost=3_600_000, due=3_600_000),
    ),
    # times
    Lie(
        "an offer without an end",
        "deadlines",
        "offer.ends_too_late",
        lambda: make_receipt(offer={"end_by": 2**64 - 1}),
    ),
    Lie(
        "an end an hour and a second after the departure",
        "deadlines",
        "offer.ends_too_late",
        lambda: make_receipt(offer={"end_by": seconds(DEPARTURE + HOUR) + 1}),
    ),
    Lie(
        "a start a second later than an offer may allow",
        "deadlines",
        "offer.starts_too_late",
        lambda: make_receipt(offer={"start_by": seconds(START + timedelta(minutes=15)) + 1}),
    ),
    Lie(
        "a charge that ended long after the driver had left",
        "deadlines",
        "offer.ended_late",
        lambda: make_receipt(stop=make_reading(STOP_CONTEXT, at=DEPARTURE + HOUR)),
    ),
    Lie(
        "a charge from before the driver asked", "deadlines", "offer.started_early", lambda: moved(-2 * HOUR)
    ),
    # meter
    Lie(
        "another of the operator's meters",
        "readings",
        "reading.other_station",
        lambda: at_meter("DE*ABC*E18*1"),
    ),
    Lie(
        "a key that is not the registered one",
        "registered meter",
        "record.other_key",
        make_receipt,
        {"asset": make_entry(record=make_record(meter_key=THIEF.address))},
    ),
    Lie(
        "a record of another EVSE",
        "registered meter",
        "record.other_evse",
        make_receipt,
        {"asset": make_entry(record=make_record(evse_id=EvseId.parse("DE*ABC*E18*1")))},
    ),
    Lie(
        "a record of another station",
        "registered meter",
        "record.other_station",
        make_receipt,
        {"asset": make_entry(record=make_record(charge_point=StationId.parse("cabinet-4")))},
    ),
    Lie(
        "a record of another meter",
        "registered meter",
        "record.other_meter",
        make_receipt,
        {"asset": make_entry(record=make_record(meter="SDM630-1"))},
    ),
    Lie(
        "a record that is not the registered one",
        "registered meter",
        "record.other_hash",
        make_receipt,
        {"asset": make_entry(record=make_record(), record_hash=bytes(32))},
    ),
    Lie(
        "a record that is none",
        "registered meter",
        "record.unreadable",
        make_receipt,
        {"asset": make_entry(record=b"[]")},
    ),
    Lie(
        "a record that is not served",
        "registered meter",
        "",
        make_receipt,
        {"asset": make_entry(record=None, no_record="answered 404")},
    ),
    Lie(
        "a key that was registered anew since",
        "registered meter",
        "",
        make_receipt,
        {"asset": make_entry(record=make_record(meter_key=THIEF.address), changed=True)},
    ),
    # plan
    Lie(
        "a plan that was over before the car came",
        "plan row",
        "plan.in_the_past",
        lambda: planned(start=START - 2 * HOUR),
    ),
    Lie(
        "a plan from just before the car can have come",
        "plan row",
        "plan.in_the_past",
        lambda: planned(start=START - timedelta(minutes=15, seconds=1)),
    ),
    Lie(
        "a plan of the next day", "plan row", "plan.after_departure", lambda: planned(start=START + 24 * HOUR)
    ),
    Lie(
        "a plan made for a later request",
        "plan row",
        "plan.not_of_this_charge",
        lambda: make_receipt(
            request=make_request(departure=seconds(DEPARTURE + 24 * HOUR)),
            plan=replace(
                make_plan(make_request(departure=seconds(DEPARTURE + 24 * HOUR)))[0],
                start=START + timedelta(minutes=31),
            ),
        ),
    ),
    Lie(
        "a car that the plan let in late",
        "plan optimality",
        "plan.other_window",
        lambda: LATE_ARRIVAL,
        {},
        LATE_FILES,
    ),
    # budget
    Lie(
        "a budget above what the driver allowed",
        "offer binding",
        "offer.budget_above_request",
        lambda: make_receipt(offer={"budget": 6_000_001}),
    ),
    Lie(
        "a base below the tab's",
        "vouchers",
        "voucher.too_much",
        lambda: make_receipt(offer={"base": BASE - 1}),
    ),
    Lie(
        "a base above the tab's",
        "settlement",
        "settlement.base_differs",
        lambda: make_receipt(offer={"base": BASE + 1}, vouchers=(make_voucher(BASE + BUDGET + 1),)),
        {"spent": BASE, "moves": ()},
    ),
    # curve
    Lie(
        "a curve that goes back",
        "load curve",
        "curve.register_went_back",
        lambda: make_receipt(curve=(CURVE[0], (600, Wh(42_201)), *CURVE[1:])),
    ),
    # cost, and what was claimed
    Lie(
        "a cost that was rounded up",
        "cost",
        "cost.differs",
        lambda: make_receipt(cost=3_200_001, due=3_200_001),
    ),
    Lie(
        "one unit more claimed than due",
        "settlement",
        "settlement.over_claimed",
        make_receipt,
        {"spent": OWED + 1, "moves": (make_move(OWED + 1),)},
    ),
    Lie(
        "the whole budget claimed afterwards",
        "settlement",
        "",
        make_receipt,
        {"spent": BASE + BUDGET, "moves": (make_move(OWED), make_move(BASE + BUDGET, before=OWED))},
    ),
    Lie(
        "the rest taken when the tab was closed",
        "settlement",
        "",
        make_receipt,
        {"spent": 0, "epoch": 3, "moves": (make_move(OWED), make_move(BASE + BUDGET, closes=True))},
    ),
    Lie(
        "more claimed, where the node has no logs",
        "settlement",
        "",
        make_receipt,
        {"spent": BASE + BUDGET, "moves": None},
    ),
    Lie(
        "more claimed, by calls that cannot be read",
        "settlement",
        "",
        make_receipt,
        {"spent": BASE + BUDGET, "moves": (make_move(OWED),)},
    ),
    Lie(
        "the budget claimed of a charge without energy",
        "settlement",
        "",
        free,
        {"spent": BASE + BUDGET, "moves": (make_move(BASE + BUDGET),)},
    ),
    Lie(
        "a claim together with another session's",
        "settlement",
        "",
        make_receipt,
        {"spent": OWED + 9, "moves": (make_move(OWED + 9, BASE + BUDGET + 9),)},
    ),
    Lie(
        "a claim beyond what is due, from nobody knows where",
        "settlement",
        "",
        make_receipt,
        {"spent": OWED + 9, "moves": (make_move(OWED + 9, before=None),)},
    ),
    # other session's leaves, other chain, anchor
    Lie(
        "the leaves of another session",
        "readings",
        "reading.other_session",
        lambda: of_session(OTHER_SESSION),
    ),
    Lie(
        "an anchor from before the stop",
        "anchor",
        "anchor.before_stop",
        make_receipt,
        {"newest": head_at(STOP - timedelta(minutes=11))},
    ),
    Lie("an anchor of the next day", "anchor", "", make_receipt, {"newest": head_at(STOP + 24 * HOUR)}),
    Lie(
        "an older anchor of the next day",
        "anchor",
        "",
        make_receipt,
        {"newest_size": 99, "anchors": (head_at(STOP + 24 * HOUR),)},
    ),
    Lie(
        "an anchor that nobody can date",
        "anchor",
        "",
        make_receipt,
        {"newest": Anchor(make_receipt().tree.root, None)},
    ),
]


@pytest.mark.parametrize("lie", LIES, ids=[lie.of for lie in LIES])
def test_a_lie_is_refused_or_not_called_true(lie: Lie) -> None:
    told = lie.told()
    assert lie.check in told, told
    status = Status.FAILED if lie.code else Status.NOT_CHECKED
    assert (told[lie.check].status, told[lie.check].code) == (status, lie.code)


def test_the_truth_passes_every_one_of_these_checks() -> None:
    assert Lie("nothing", "").told() == {}


def test_a_receipt_for_another_chain_has_nobodys_signature() -> None:
    told = Lie("the chain", "", receipt=lambda: on_chain(replace(CHAIN, chain_id=1))).told()
    assert {"trusted chain", "charge request", "vouchers", "registry", "anchor", "settlement"} <= set(told)


@pytest.mark.parametrize(
    "honest",
    [
        Lie("a base claim before", "", chain={"moves": (make_move(BASE, BASE), make_move(OWED))}),
        Lie("a claim in parts", "", chain={"moves": (make_move(BASE + 5), make_move(OWED, before=BASE + 5))}),
        Lie(
            "a tab that was closed at what is due",
            "",
            chain={"spent": 0, "epoch": 3, "moves": (make_move(OWED), make_move(OWED, None, closes=True))},
        ),
        Lie(
            "a tab that a close paid",
            "",
            chain={"spent": 0, "epoch": 3, "moves": (make_move(OWED, closes=True),)},
        ),
        Lie("no logs, and nothing claimed but what is due", "", chain={"moves": None}),
        Lie("nothing due, nothing claimed", "", "", free, {"spent": BASE, "moves": ()}),
        Lie("an anchor an hour later", "", chain={"newest": head_at(STOP + HOUR)}),
        Lie("an anchor by a clock that is slow", "", chain={"newest": head_at(STOP - timedelta(minutes=10))}),
        Lie(
            "the most that 22 kW can give",
            "",
            receipt=lambda: charged(18_350, vouchers=(make_voucher(BASE + BUDGET),)),
        ),
        Lie("the latest end", "", receipt=lambda: make_receipt(offer={"end_by": seconds(DEPARTURE + HOUR)})),
        Lie(
            "the latest start",
            "",
            receipt=lambda: make_receipt(offer={"start_by": seconds(START + timedelta(minutes=15))}),
        ),
    ],
    ids=lambda lie: lie.of,
)
def test_what_may_be_is_not_refused(honest: Lie) -> None:
    assert honest.told() == {}


def test_the_meter_is_the_stations() -> None:
    reading = Reading.parse(make_receipt().start.payload)
    assert reading.meter == METER == make_receipt().station.evse_id.text
    assert make_receipt().payee == OPERATOR.address
