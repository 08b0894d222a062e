"""A receipt as most drivers get one: four hours with a reading every 30 s, in a tree of 100,000 leaves."""

from dataclasses import replace
from datetime import timedelta

from evmesh.domain.readings import ReadingContext
from evmesh.domain.receipt import Receipt
from evmesh.domain.strict import unix_seconds
from evmesh.domain.units import Wh
from tests.unit.verify.receipt_factory import (
    START,
    entry_of,
    filed,
    make_plan,
    make_reading,
    make_receipt,
    make_request,
    resign,
)

LEAVES = 100_000
STAY = timedelta(hours=4)
EVERY_S, STEP_S = 30, 900
FIRST_REGISTER = 12_345_678
TAKEN = 8_000


def typical_receipt() -> Receipt:
    """A true receipt: 8 kWh in four hours, more slowly towards the end."""
    seconds = int(STAY.total_seconds())
    times = range(0, seconds + 1, EVERY_S)
    curve = tuple((at, Wh(FIRST_REGISTER + TAKEN * at * (2 * seconds - at) // seconds**2)) for at in times)
    departure = unix_seconds(START + STAY)
    request = make_request(departure=departure, energy_wh=TAKEN)
    begin = make_reading(ReadingContext.START, register=curve[0][1], seq=70_001)
    end = make_reading(ReadingContext.STOP, register=curve[-1][1], seq=70_000 + len(curve), at=START + STAY)
    steps = seconds // STEP_S
    plan = replace(make_plan(request)[0], wh=(TAKEN // steps,) * steps, step_price=(287_654,) * steps)
    receipt = make_receipt(request=request, offer={"end_by": departure}, start=begin, stop=end, plan=plan)
    return resign(receipt, curve=curve, **filed(entry_of(begin, 81_234), entry_of(end, 99_876), LEAVES))
