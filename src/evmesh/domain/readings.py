"""Signed meter readings, and the notary leaves that carry them.

A reading is the statement of a meter, or of the gateway it hangs on: this register at this time.
Its leaf chains it to the meter's former leaf and hides it behind a salt: 30-second loads are
personal data, and a leaf's hash is public.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, Final

from evmesh.domain.canonical import Json, canonical_cbor, parse_canonical_json
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.merkle import leaf_hash
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.strict import StrictFields, write_instant
from evmesh.domain.units import W, Wh, energy_from_watts

NO_LEAF: Final = bytes(32)
"""`prev_hash` of a meter's first leaf."""

SALT_BYTES: Final = 32

METER_STREAM: Final = b"evmesh.meters/1".ljust(32, b"\0")
"""The one stream of a notary in which the tree of meter leaves is anchored; a second would be a fork."""

NO_REGISTER: Final = Wh(2**31 - 1)
"""What a meter shows, or more (0xFFFFFFFF), where it has no value: 2 TWh, which no connector counts."""

_OVER_RATING_PERCENT: Final = 110
_MARGIN: Final = Wh(200)
"""What registers may differ by because of rounding, and of clocks that are some seconds off."""


class ReadingContext(StrEnum):
    """Why a register was read."""

    START = "start"
    SAMPLE = "sample"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Reading(SignedDocument):
    """One register value, `evmesh.reading/1`, signed by `signer` (a meter, or the gateway for it).

    `seq` counts a meter's readings from 1 without gaps.
    """

    FORMAT: ClassVar[str] = "evmesh.reading/1"

    meter: str
    seq: int
    at: datetime
    register: Wh
    context: ReadingContext
    session: SessionId | None
    signer: Address
    signature: bytes = b""

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        return {
            "meter": self.meter,
            "seq": self.seq,
            "at": write_instant(self.at),
            "register_wh": self.register,
            "context": self.context.value,
            "session": None if self.session is None else self.session.text,
            "signer": self.signer.text,
        }

    @classmethod
    def parse(cls, raw: bytes) -> "Reading":
        """Read the very bytes that `encode` gives; raises InvalidInput on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        reading = cls(
            meter=members.text("meter"),
            seq=members.integer("seq", 1),
            at=members.instant("at"),
            register=Wh(members.integer("register_wh")),
            context=ReadingContext(members.literal("context", *ReadingContext)),
            session=members.parsed_or_none("session", SessionId.parse),
            signer=members.address("signer"),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
        )
        members.done()
        return reading


def meter_leaf_hash(meter: str, seq: int, salt: bytes, prev_hash: bytes, payload: bytes) -> bytes:
    """Give SHA-256(0x00 ‖ salt ‖ canonical CBOR {meter, seq, prev_hash, payload}).

    `payload` is the meter's signed bytes verbatim: the encoding of a `Reading`, or OCMF.
    """
    if len(salt) != SALT_BYTES or len(prev_hash) != 32:
        raise ValueError("salt and prev_hash have 32 bytes")
    content = canonical_cbor({"meter": meter, "seq": seq, "prev_hash": prev_hash, "payload": payload})
    return leaf_hash(salt + content)


def is_register(value: Wh) -> bool:
    """Tell whether a number can be a lifetime import register."""
    return 0 <= value < NO_REGISTER


def most_growth(rating: W, elapsed: timedelta) -> Wh:
    """Give the most that a connector's register can grow in a time: a tenth above its rating, and 200 Wh."""
    most = W(rating * _OVER_RATING_PERCENT // 100)
    return Wh(energy_from_watts(most, max(0, int(elapsed.total_seconds()))) + _MARGIN)


def most_between(rating: W, start: datetime, end: datetime) -> Wh:
    """Give the most that a register can grow from one reading to another, which carry whole seconds.

    From the first reading of a charge on, so that who bills allows what the check of the curve allows.
    """
    return most_growth(rating, end.replace(microsecond=0) - start.replace(microsecond=0))


def without_overshoot(readings: Sequence[Reading]) -> list[Reading]:
    """Give a session's readings without those above its last: there the meter had shown too much."""
    return [reading for reading in readings if reading.register <= readings[-1].register]
