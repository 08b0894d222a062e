"""The full record of an asset that is no EVSE, `evmesh.asset/1` with a `kind`: what the registry hashes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from evmesh.domain.asset_record import MAX_RECORD_BYTES, AssetRecord
from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.strict import StrictFields
from evmesh.domain.units import W

FACTS: Final[Mapping[str, tuple[str, ...]]] = {
    "pv_inverter": ("phases", "peak_w"),
    "battery": ("phases", "capacity_wh"),
    "transformer": ("phases", "max_current_ma"),
    "household": ("phases", "max_current_ma"),
    "vehicle": ("phases", "max_current_ma", "capacity_wh"),
}
"""What each kind says beside its rating and its meter."""


@dataclass(frozen=True, slots=True)
class EquipmentRecord:
    """A PV inverter, a battery, a transformer, a household or a vehicle."""

    FORMAT: ClassVar[str] = AssetRecord.FORMAT

    kind: str
    rating: W
    """What it can give or take."""
    meter: str
    meter_key: Address
    facts: tuple[tuple[str, int], ...]
    """The members of `FACTS`, in that order."""

    def encode(self) -> bytes:
        """Give the canonical bytes that the hash is over."""
        return canonical_json(
            {
                "format": self.FORMAT,
                "kind": self.kind,
                "rating_w": self.rating,
                "meter": self.meter,
                "meter_key": self.meter_key.text,
                **dict(self.facts),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> "EquipmentRecord":
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        if len(raw) > MAX_RECORD_BYTES:
            raise InvalidInput("document.too_large", f"{len(raw)} bytes are no record")
        return cls.of(parse_canonical_json(raw))

    @classmethod
    def of(cls, document: dict[str, Any]) -> "EquipmentRecord":
        """Read the members, as a file or a form has them; raises InvalidInput with the path."""
        members = StrictFields(document)
        members.literal("format", cls.FORMAT)
        kind = members.literal("kind", *FACTS)
        record = cls(
            kind=kind,
            rating=W(members.integer("rating_w")),
            meter=members.text("meter"),
            meter_key=members.address("meter_key"),
            facts=tuple(
                (name, members.integer(name, 1, 3) if name == "phases" else members.integer(name))
                for name in FACTS[kind]
            ),
        )
        members.done()
        return record
