"""One reading of an OCMF record: this register of the meter at this time.

Registers are kept in whole milliwatt-hours, the finest that meters in the field write
(0.2596 kWh is 259 600 mWh); what is finer is refused rather than rounded.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NewType

from evmesh.domain.canonical import Json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ocmf_json import OcmfFields
from evmesh.domain.ocmf_words import (
    CurrentType,
    EnergyUnit,
    ErrorFlag,
    MeterState,
    ReadingReason,
    TimeStatus,
)

MilliWh = NewType("MilliWh", int)
"""Energy; a thousandth of a Wh."""

MAX_READINGS: Final = 10_000
MAX_REGISTER: Final = MilliWh(10**18)
"""A petawatt-hour: what is past it is no register."""

_POWER_TO_MWH: Final = {EnergyUnit.KILOWATT_HOUR: 6, EnergyUnit.WATT_HOUR: 3}
_INHERITED: Final = ("TM", "TX", "RI", "RU", "RT", "EF", "ST")
"""What a reading leaves out where it is as in the reading before. A value is always of its own reading."""

_TIME: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}),([0-9]{3})([+-][0-9]{2})([0-9]{2}) ([UISR])"
)
_OBIS: Final = re.compile(
    r"([0-9a-f]{1,2})-([0-9a-f]{1,2}):([0-9a-f]{1,2})\.([0-9a-f]{1,2})\.([0-9a-f]{1,2})(?:[*.][0-9a-f]{1,3})?",
    re.IGNORECASE,
)
_IMPORT: Final = frozenset({0x01, 0x98, 0x9E, 0xB0, 0xB1, 0xB2, 0xB3})
_COMPENSATED: Final = frozenset({0x98, 0xB1, 0xB3})
_ELECTRICITY, _ENERGY = 1, 8


@dataclass(frozen=True, slots=True)
class Obis:
    """Which register was read, `RI`: A-B:C.D.E*F, hexadecimal as OCMF writes it."""

    text: str
    medium: int
    quantity: int
    processing: int

    @classmethod
    def parse(cls, text: str, path: str) -> "Obis":
        """Raises InvalidInput where `text` is no OBIS code."""
        found = _OBIS.fullmatch(text)
        if found is None:
            raise InvalidInput("ocmf.bad_obis", f"{text!r} is not an OBIS code", path=path)
        return cls(text, int(found[1], 16), int(found[3], 16), int(found[4], 16))

    @property
    def is_import(self) -> bool:
        """Whether it counts energy into the car: C is 1, or B0 to B3, or the vendors' 98 and 9E."""
        return (self.medium, self.processing) == (_ELECTRICITY, _ENERGY) and self.quantity in _IMPORT

    @property
    def is_compensated(self) -> bool:
        """Whether losses of the cable have been taken off, so that it is what the car got."""
        return self.quantity in _COMPENSATED


@dataclass(frozen=True, slots=True)
class OcmfReading:
    """One reading. `value` is None where only an event of the meter is told; `loss` is that of the cable."""

    at: datetime
    time_status: TimeStatus
    reason: ReadingReason | None
    value: MilliWh | None
    register: Obis | None
    unit: EnergyUnit | None
    current: CurrentType | None
    loss: MilliWh | None
    errors: frozenset[ErrorFlag]
    status: MeterState

    @property
    def register_text(self) -> str:
        """The register as the record writes it; empty where an event is told."""
        return "" if self.register is None else self.register.text

    @classmethod
    def read(cls, members: OcmfFields) -> "OcmfReading":
        """Read a reading that has got what it left out."""
        at, time_status = _time(members.bounded_text("TM"), members.path("TM"))
        obis = members.optional_text("RI")
        unit = members.optional_word("RU", EnergyUnit)
        reading = cls(
            at=at,
            time_status=time_status,
            reason=members.optional_word("TX", ReadingReason),
            value=_energy(members, "RV", unit),
            register=None if obis is None else Obis.parse(obis, members.path("RI")),
            unit=unit,
            current=members.optional_word("RT", CurrentType),
            loss=_energy(members, "CL", unit),
            errors=_errors(members.optional_text("EF", 8) or "", members.path("EF")),
            status=members.word("ST", MeterState),
        )
        members.done()
        return reading


def read_readings(members: OcmfFields) -> tuple[OcmfReading, ...]:
    """Read the field `RD`; a reading inherits from the one before what it does not say."""
    items, at = members.items("RD"), members.path("RD")
    if not 0 < len(items) <= MAX_READINGS:
        raise InvalidInput("ocmf.no_readings", f"a record has 1 to {MAX_READINGS} readings", path=at)
    before: Json = {}
    readings = []
    for number, item in enumerate(items):
        path = f"{at}[{number}]"
        if not isinstance(item, dict):
            raise InvalidInput("document.bad_type", "an object must stand here", path=path)
        if ("RI" in item) != ("RU" in item):
            raise InvalidInput("ocmf.half_a_group", "RI and RU stand together or not at all", path=path)
        whole = {**before, **item}
        before = {key: whole[key] for key in _INHERITED if key in whole}
        readings.append(OcmfReading.read(OcmfFields(whole, path)))
    return tuple(readings)


def _time(text: str, path: str) -> tuple[datetime, TimeStatus]:
    found = _TIME.fullmatch(text)
    if found is None:
        what = f"{text!r} is no time such as 2018-07-24T13:22:04,000+0200 S"
        raise InvalidInput("ocmf.bad_time", what, path=path)
    try:
        at = datetime.fromisoformat(f"{found[1]}.{found[2]}{found[3]}:{found[4]}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput("ocmf.bad_time", f"{text!r}: {error}", path=path) from error
    return at, TimeStatus(found[5])


def _energy(members: OcmfFields, key: str, unit: EnergyUnit | None) -> MilliWh | None:
    if not members.has(key):
        return None
    path, numeral = members.path(key), members.numeral(key)
    if unit is None:
        raise InvalidInput("ocmf.no_unit", f"{numeral.text} has no unit", path=path)
    value = numeral.scaled(_POWER_TO_MWH[unit], path)
    if not 0 <= value <= MAX_REGISTER:
        raise InvalidInput("ocmf.bad_register", f"{numeral.text} {unit} is no register", path=path)
    return MilliWh(value)


def _errors(text: str, path: str) -> frozenset[ErrorFlag]:
    try:
        return frozenset(ErrorFlag(letter) for letter in text)
    except ValueError as error:
        raise InvalidInput(
            "document.bad_value", f"{text!r} has letters besides E and t", path=path
        ) from error
