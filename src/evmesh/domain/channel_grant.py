"""What lets somebody read: a grant from one position on, and the wraps of the next epoch's root key."""

from dataclasses import dataclass
from typing import Final

from evmesh.domain.canonical import CborValue, canonical_cbor
from evmesh.domain.channel import HASH_SIZE, KEY_SIZE, MAX_NUMBER, PLACE_SIZE, Channel, Position
from evmesh.domain.channel_cbor import CborFields, parse_canonical_cbor
from evmesh.domain.errors import InvalidInput

WRAP_SIZE: Final = 80
"""An HPKE encapsulated X25519 key (32), the root key (32) and a Poly1305 tag (16)."""

WRAPS_PER_PART: Final = 23
"""So that a part, signed and sealed, fits into a message of `MessageBoard`: at most 2,048 bytes."""

MAX_PARTS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Grant:
    """The keys of one epoch from one frame on. It tells nothing of the bodies before it."""

    channel: bytes
    at: Position
    """The first frame that can be read."""
    chain_key: bytes
    head_key: bytes
    place: bytes
    """Where the epoch's frames are."""
    wraps: bytes
    """Where the next epoch's wraps will be."""
    prev_hash: bytes
    """What the first readable frame names as the one before."""
    next_epoch_key_hash: bytes
    next_root: bytes | None
    """The next epoch's root key, on a private channel only: all later ones follow from it."""

    def encode(self) -> bytes:
        """Give its canonical CBOR; this is secret."""
        return canonical_cbor(
            {
                "channel": self.channel,
                "epoch": self.at.epoch,
                "seq": self.at.seq,
                "chain_key": self.chain_key,
                "head_key": self.head_key,
                "place": self.place,
                "wraps": self.wraps,
                "prev_hash": self.prev_hash,
                "next_epoch_key_hash": self.next_epoch_key_hash,
                "next_root": self.next_root,
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> "Grant":
        """Read what `encode` gave; raises InvalidInput."""
        fields = CborFields(raw)
        grant = cls(
            channel=fields.octets("channel", HASH_SIZE),
            at=Position(fields.whole("epoch", MAX_NUMBER), fields.whole("seq", MAX_NUMBER)),
            chain_key=fields.octets("chain_key", KEY_SIZE),
            head_key=fields.octets("head_key", KEY_SIZE),
            place=fields.octets("place", PLACE_SIZE),
            wraps=fields.octets("wraps", PLACE_SIZE),
            prev_hash=fields.octets("prev_hash", HASH_SIZE),
            next_epoch_key_hash=fields.octets("next_epoch_key_hash", HASH_SIZE),
            next_root=fields.octets_or_none("next_root", KEY_SIZE),
        )
        fields.done()
        return grant


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a writer hands to a reader: which channel, and the grant, sealed for that reader's key."""

    channel: Channel
    sealed: bytes


def encode_wraps(wraps: list[bytes]) -> list[bytes]:
    """Give the parts [index, parts, [wrap, …]] that carry an epoch's wraps; one empty part for no reader."""
    rows = [wraps[start : start + WRAPS_PER_PART] for start in range(0, len(wraps), WRAPS_PER_PART)] or [[]]
    if len(rows) > MAX_PARTS:
        raise InvalidInput(
            "channel.too_many_readers", f"{len(wraps)} readers are more than a channel carries"
        )
    return [canonical_cbor([index, len(rows), list[CborValue](row)]) for index, row in enumerate(rows)]


def parse_wraps(raw: bytes) -> tuple[int, int, list[bytes]]:
    """Read one part: its index, how many parts there are, and its wraps. Raises InvalidInput."""
    match parse_canonical_cbor(raw):
        case [int(index), int(parts), list(row)] if (
            0 <= index < parts <= MAX_PARTS and len(row) <= WRAPS_PER_PART
        ):
            wraps = [wrap for wrap in row if isinstance(wrap, bytes) and len(wrap) == WRAP_SIZE]
            if len(wraps) == len(row):
                return index, parts, wraps
    raise InvalidInput("channel.bad_wraps", "these bytes are no wraps of a root key")
