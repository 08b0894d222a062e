"""Receipts of charges that nobody thought of: the true ones pass, and a changed bit never does."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.money import Price, cost_of
from evmesh.domain.readings import ReadingContext
from evmesh.domain.units import Wh
from evmesh.verify.receipt import verify_receipt
from tests.unit.verify.receipt_factory import (
    BASE,
    SIGNATURES,
    START,
    STOP,
    make_plan,
    make_reading,
    make_receipt,
    make_request,
    make_voucher,
)

RAW = make_receipt().encode()
rises = st.lists(st.integers(0, 20_000), min_size=1, max_size=40)


@given(rises, st.integers(0, 2**30), st.integers(0, 2_000_000), st.integers(0, 6_000_000), st.booleans())
def test_every_charge_that_adds_up_verifies(
    rises: list[int], register: int, price: int, budget: int, streamed: bool
) -> None:
    curve = [(0, Wh(register))]
    for number, rise in enumerate(rises, 1):
        curve.append((2_700 * number // len(rises), Wh(curve[-1][1] + rise)))
    energy = Wh(curve[-1][1] - register)
    due = min(cost_of(energy, Price(price)), budget)
    signed = due if streamed else budget
    affordable = min(8_000, (budget * 1000 + 999) // price) if price else 8_000
    wh = (min(affordable, 5_500), max(0, affordable - 5_500), 0)
    receipt = make_receipt(
        start=make_reading(ReadingContext.START, register=Wh(register)),
        stop=make_reading(ReadingContext.STOP, register=curve[-1][1], at=START + timedelta(seconds=2_700)),
        offer={"price": price, "budget": budget},
        curve=tuple(curve),
        energy=energy,
        price=Price(price),
        cost=cost_of(energy, Price(price)),
        due=due,
        vouchers=(make_voucher(BASE + signed),) if signed else (),
        plan=replace(make_plan(make_request())[0], wh=wh),
    )
    report = verify_receipt(receipt.encode(), SIGNATURES)
    assert report.ok, report.failed()
    assert timedelta(seconds=2_700) == STOP - START


@given(st.integers(0, len(RAW) * 8 - 1), st.integers(0, len(RAW) * 8 - 1))
def test_one_or_two_changed_bits_are_refused(one: int, two: int) -> None:
    changed = bytearray(RAW)
    for bit in {one, two}:
        changed[bit // 8] ^= 1 << bit % 8
    assert not verify_receipt(bytes(changed), SIGNATURES).ok


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(raw: bytes) -> None:
    assert not verify_receipt(raw, SIGNATURES).ok
