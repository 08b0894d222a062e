"""The full record of an asset, `evmesh.asset/1`: its owner serves it, the registry holds its SHA-256."""

from dataclasses import dataclass
from typing import ClassVar, Final

from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, EvseId, StationId
from evmesh.domain.strict import StrictFields, write_bytes
from evmesh.domain.units import Milliamp, W

MAX_RECORD_BYTES: Final = 16_384


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """One EVSE: where it is in its station, what it can give, and whose key signs its meter's readings.

    `ocmf_key` is the public key of a meter that signs itself, a DER SubjectPublicKeyInfo; empty, and no
    member of the record, where it does not.
    """

    FORMAT: ClassVar[str] = "evmesh.asset/1"

    charge_point: StationId
    connector: int
    evse_id: EvseId
    phases: int
    max_current: Milliamp
    rating: W
    meter: str
    meter_key: Address
    ocmf_key: bytes = b""

    def encode(self) -> bytes:
        """Give the canonical bytes that the hash is over."""
        return canonical_json(
            {
                "format": self.FORMAT,
                "charge_point": self.charge_point.text,
                "connector": self.connector,
                "evse_id": self.evse_id.text,
                "phases": self.phases,
                "max_current_ma": self.max_current,
                "rating_w": self.rating,
                "meter": self.meter,
                "meter_key": self.meter_key.text,
                **({"ocmf_key": write_bytes(self.ocmf_key)} if self.ocmf_key else {}),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> "AssetRecord":
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        if len(raw) > MAX_RECORD_BYTES:
            raise InvalidInput("document.too_large", f"{len(raw)} bytes are no record")
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        record = cls(
            charge_point=members.parsed("charge_point", StationId.parse),
            connector=members.integer("connector", 1),
            evse_id=members.parsed("evse_id", EvseId.parse),
            phases=members.integer("phases", 1, 3),
            max_current=Milliamp(members.integer("max_current_ma")),
            rating=W(members.integer("rating_w")),
            meter=members.text("meter"),
            meter_key=members.address("meter_key"),
            ocmf_key=members.key("ocmf_key") if members.has("ocmf_key") else b"",
        )
        members.done()
        return record
