"""Meter values: the numbers of one instant, as one sample in whole units.

Decimal arithmetic throughout; what is not whole is rounded down. A number that cannot be read, has
a unit that its measurand cannot have, or is signed data (which is opaque here) is left out.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from evmesh.csms.v16.instants import MalformedInstant, parse_instant
from evmesh.csms.v16.messages import MeterValue, SampledValue
from evmesh.domain.stations import MeterSample
from evmesh.domain.units import Milliamp, W, Wh

# Bounded, so that a number written as 1E999999999 costs nothing.
_NUMBER: Final = re.compile(r"\s*([+-]?\d{1,18}(?:\.\d{0,18})?(?:[eE][+-]?\d{1,2})?)\s*", re.ASCII)
_LARGEST: Final = 10**15

_PHASES: Final = (frozenset({"L1", "L2", "L3"}), frozenset({"L1-N", "L2-N", "L3-N"}))


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One measurand that we use: its units with their factor to ours, and how phases make a total."""

    measurand: str
    factors: dict[str | None, int]
    total: Callable[[Sequence[Decimal]], Decimal]


def _sum(numbers: Sequence[Decimal]) -> Decimal:
    return sum(numbers, Decimal(0))


_ENERGY: Final = _Quantity("Energy.Active.Import.Register", {"Wh": 1, "kWh": 1000, None: 1}, _sum)
_POWER: Final = _Quantity("Power.Active.Import", {"W": 1, "kW": 1000, None: 1}, _sum)
_SOC: Final = _Quantity("SoC", {"Percent": 1, None: 1}, min)
_OFFERED: Final = _Quantity("Current.Offered", {"A": 1000, None: 1000}, min)
"""What a cable may carry is said per phase: the least of them is what all can have."""


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
    register = _read(_ENERGY, value.sampled_value, lowest=0)
    power = _read(_POWER, value.sampled_value, lowest=-_LARGEST)
    soc = _read(_SOC, value.sampled_value, lowest=0, highest=100)
    offered = _read(_OFFERED, value.sampled_value, lowest=0)
    if register is None and power is None and soc is None and offered is None:
        return None
    return MeterSample(
        at,
        register=None if register is None else Wh(register),
        power=None if power is None else W(power),
        soc_percent=soc,
        offered=None if offered is None else Milliamp(offered),
    )


def _read(
    quantity: _Quantity, values: Sequence[SampledValue], *, lowest: int, highest: int = _LARGEST
) -> int | None:
    """Give the quantity in our unit; the total where there is one, else the phases' own total."""
    found = [value for value in values if value.measurand == quantity.measurand and value.format == "Raw"]
    if not found:
        return None
    totals = [value for value in found if value.phase is None]
    number = _number(quantity, max(totals, key=_rank)) if totals else _over_phases(quantity, found)
    if number is None:
        return None
    whole = int(number.to_integral_value(ROUND_FLOOR))
    return whole if lowest <= whole <= highest else None


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
