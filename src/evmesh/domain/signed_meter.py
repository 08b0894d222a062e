"""What a meter said for itself about one charge: its own signed bytes, beside the gateway's readings.

A record is known among a meter's leaves by its first bytes: the payload of such a leaf is the record,
byte for byte as the meter gave it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from evmesh.domain.canonical import Json
from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.evidence import NotaryLeaf
from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_charge import OcmfCharge
from evmesh.domain.ocmf_reading import MilliWh
from evmesh.domain.receipt_parts import MeterEntry
from evmesh.domain.strict import StrictFields, write_bytes
from evmesh.domain.units import Wh

OCMF_HEADER: Final = b"OCMF|"
MOST_RECORDS: Final = 8
"""Of one charge: a begin and an end, and what a station sends twice in other words."""

MAX_RECORD: Final = 4_000
"""Characters of a record: a leaf's payload is a text of at most so many in a receipt."""

_ROUNDING: Final = MilliWh(1_000)
"""What the register that the station tells in whole Wh may be off the meter's own."""


@dataclass(frozen=True, slots=True)
class SignedMeter:
    """The meter's public key, a DER SubjectPublicKeyInfo, and its records of the charge as leaves."""

    public_key: bytes
    records: tuple[MeterEntry, ...]

    def to_json(self) -> Json:
        return {
            "public_key": write_bytes(self.public_key),
            "records": [record.to_json() for record in self.records],
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        key = members.key("public_key")
        records = tuple(
            MeterEntry.read(StrictFields(item, path)) for item, path in members.array("records", MOST_RECORDS)
        )
        if not records:
            raise InvalidInput(
                "document.bad_value", "a meter that signs has a record", path=members.path("records")
            )
        members.done()
        return cls(key, records)


def is_record(payload: bytes) -> bool:
    """Tell a meter's own record from a reading that is signed for it."""
    return payload.startswith(OCMF_HEADER)


def records_of(leaves: Sequence[NotaryLeaf]) -> list[NotaryLeaf]:
    """Give the leaves that hold a meter's own records."""
    return [leaf for leaf in leaves if is_record(leaf.payload)]


def readings_only(leaves: Sequence[NotaryLeaf]) -> list[NotaryLeaf]:
    """Give the leaves that hold readings which are signed for the meter."""
    return [leaf for leaf in leaves if not is_record(leaf.payload)]


def begins_or_ends(raw: bytes) -> bool:
    """Tell whether a record may be needed: it begins or ends a charge, or cannot be read at all."""
    try:
        charge = OcmfCharge.of([OcmfRecord.parse(raw)])
    except EvmeshError:
        return True
    return bool(charge.begins or charge.ends)


def difference(charge: OcmfCharge, start: Wh, stop: Wh) -> str | None:
    """Say how a meter's own registers differ from those that are billed; None where they do not.

    To the Wh, for a station tells whole ones. Less may be billed than the meter has signed.
    """
    begin = charge.begins[0].value if charge.begins else None
    end = charge.ends[0].value if charge.ends else None
    if begin is None or end is None:
        return "the meter's records are not a whole charge"
    if abs(begin - start * 1000) > _ROUNDING:
        return f"the meter signed a begin at {begin} mWh, the charge began at {start} Wh"
    if stop * 1000 - end > _ROUNDING:
        return f"the meter signed an end at {end} mWh, billed is an end at {stop} Wh"
    return None
