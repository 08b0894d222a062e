"""Meter values: the numbers of one instant, as one sample in whole units.

Decimal arithmetic throughout; what is not whole is rounded down. A number that cannot be read, or has
a unit that its measurand cannot have, is left out. Signed data is opaque here, and passed on as it came.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from evmesh.csms.v16.instants import MalformedInstant, parse_instant
from evmesh.csms.v16.messages import MeterValue, SampledValue
from evmesh.csms.v16.signed_data import read_signed
from evmesh.domain.stations import MeterSample
from evmesh.domain.units import Milliamp, W, Wh

# Bounded, so that a number written as 1E999999999 costs nothing.
_NUMBER: Final = re.compile(r"\s*([+-]?\d{1,18}(?:\.\d{0,18})?(?:[eE][+-]?\d{1,2})?)\s*", re.ASCII)
_LARGEST: Final = 10**15

_PHASES: Final = (frozenset({"L1", "L2", "L3"}), frozenset({"L1-N", "L2-N", "L3-N"}))


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One measurand that we use: its units with their factor to ours, its bounds, how phases make a total."""

    factors: dict[str | None, int]
    total: Callable[[Sequence[Decimal]], Decimal]
    lowest: int = 0
    highest: int = _LARGEST


def _sum(numbers: Sequence[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))


_ENERGY: Final = "Energy.Active.Import.Register"
_POWER: Final = "Power.Active.Import"
_SOC: Final = "SoC"
_OFFERED: Final = "Current.Offered"
_CURRENT: Final = "Current.Import"

_QUANTITIES: Final = {
    _ENERGY: _Quantity({"Wh": 1, "kWh": 1000, None: 1}, _sum),
    _POWER: _Quantity({"W": 1, "kW": 1000, None: 1}, _sum, lowest=-_LARGEST),
    _SOC: _Quantity({"Percent": 1, None: 1}, min, highest=100),
    # What a cable may carry is said per phase: the least of them is what all can have.
    _OFFERED: _Quantity({"A": 1000, None: 1000}, min),
}

_LINE: Final = _Quantity({"A": 1000, None: 1000}, max)


def read_samples(values: Iterable[MeterValue]) -> Iterator[MeterSample]:
    """Give a sample for each instant that has a number we use. Raises MalformedInstant."""
    for value in values:
        if sample := read_sample(value):
            yield sample


def read_readable_samples(values: Iterable[MeterValue]) -> Iterator[MeterSample]:
    """Do the same, and pass over instants that cannot be read."""
    for value in values:
        try:
            sample = read_sample(value)
        except MalformedInstant:
            continue
        if sample:
            yield sample


def read_sample(value: MeterValue) -> MeterSample | None:
    """Give one instant's numbers; None where none is of use. Raises MalformedInstant."""
    at = parse_instant(value.timestamp)
    found: dict[str, list[SampledValue]] = {}
    for sampled in value.sampled_value:
        if sampled.measurand in _QUANTITIES and sampled.format == "Raw":
            found.setdefault(sampled.measurand, []).append(sampled)
    read = {
        measurand: whole
        for measurand, values in found.items()
        if (whole := _read(_QUANTITIES[measurand], values)) is not None
    }
    signed = read_signed(value.sampled_value)
    if not read and not signed:
        return None
    register, power, offered = read.get(_ENERGY), read.get(_POWER), read.get(_OFFERED)
    currents = _currents(value.sampled_value)
    return MeterSample(
        at,
        register=None if register is None else Wh(register),
        power=None if power is None else W(power),
        soc_percent=read.get(_SOC),
        offered=None if offered is None else Milliamp(offered),
        currents=currents,
        signed=signed,
    )


def _read(quantity: _Quantity, values: Sequence[SampledValue]) -> int | None:
    """Give the quantity in our unit; the total where there is one, else the phases' own total."""
    totals = [value for value in values if value.phase is None]
    if totals:
        number = _number(quantity, totals[0] if len(totals) == 1 else max(totals, key=_rank))
    else:
        number = _over_phases(quantity, values)
    if number is None:
        return None
    whole = int(number.to_integral_value(ROUND_FLOOR))
    return whole if quantity.lowest <= whole <= quantity.highest else None


def _currents(values: Sequence[SampledValue]) -> tuple[Milliamp, Milliamp, Milliamp] | None:
    """Give the current of each of three lines; None where any is not told."""
    by_phase = {
        value.phase: _number(_LINE, value)
        for value in values
        if value.measurand == _CURRENT and value.format == "Raw"
    }
    for lines in (("L1", "L2", "L3"), ("L1-N", "L2-N", "L3-N")):
        one, two, three = (by_phase.get(line) for line in lines)
        if one is not None and two is not None and three is not None:
            return Milliamp(abs(int(one))), Milliamp(abs(int(two))), Milliamp(abs(int(three)))
    return None


def _rank(value: SampledValue) -> tuple[bool, bool, bool]:
    """Order doubles of one instant: what leaves the outlet, as it stands now rather than at the begin."""
    return (
        value.location == "Outlet",
        value.context != "Transaction.Begin",
        value.context == "Transaction.End",
    )


def _over_phases(quantity: _Quantity, values: Sequence[SampledValue]) -> Decimal | None:
    """Add up the phases where each stands once and all can be read; a part is no total."""
    by_phase = {value.phase: _number(quantity, value) for value in values if value.phase != "N"}
    for phases in _PHASES:
        numbers = [by_phase[phase] for phase in phases & by_phase.keys()]
        readable = [number for number in numbers if number is not None]
        if readable and len(readable) == len(numbers):
            return quantity.total(readable)
    return None


def _number(quantity: _Quantity, value: SampledValue) -> Decimal | None:
    match = _NUMBER.fullmatch(value.value)
    factor = quantity.factors.get(value.unit)
    if match is None or factor is None:
        return None
    return Decimal(match[1]) * factor
