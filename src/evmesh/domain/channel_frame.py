"""A frame, the packet that carries it, and the statement of it that a stranger can check.

On the wire a frame shows nothing: a packet is [nonce, head, body], where `head` is the encrypted frame
with its signature and `body` the encrypted message. Whoever cannot read the epoch sees random bytes.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel import (
    HASH_SIZE,
    MAX_BODY_BYTES,
    MAX_NUMBER,
    MAX_PACKET_BYTES,
    Channel,
    Position,
)
from evmesh.domain.channel_cbor import CborFields, parse_canonical_cbor
from evmesh.domain.errors import InvalidInput

NONCE_SIZE: Final = 24
SIGNATURE_SIZE: Final = 64
TAG_SIZE: Final = 16
"""What XChaCha20-Poly1305 adds to a text."""
_MAX_HEAD: Final = 512


@dataclass(frozen=True, slots=True)
class Frame:
    """What is signed of a message besides its body; the associated data of the body's encryption."""

    channel: bytes
    at: Position
    prev_hash: bytes
    """The statement hash of the frame before, also over the end of an epoch; zeros before the first."""
    next_epoch_key_hash: bytes
    """Commits the writer to the next epoch's root key, so that nobody else can hand one out."""

    def encode(self) -> bytes:
        """Give the canonical CBOR {channel, epoch, seq, prev_hash, next_epoch_key_hash}."""
        return canonical_cbor(
            {
                "channel": self.channel,
                "epoch": self.at.epoch,
                "seq": self.at.seq,
                "prev_hash": self.prev_hash,
                "next_epoch_key_hash": self.next_epoch_key_hash,
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> "Frame":
        """Read what `encode` gave, and no other encoding of it; raises InvalidInput."""
        fields = CborFields(raw)
        frame = cls(
            channel=fields.octets("channel", HASH_SIZE),
            at=Position(fields.whole("epoch", MAX_NUMBER), fields.whole("seq", MAX_NUMBER)),
            prev_hash=fields.octets("prev_hash", HASH_SIZE),
            next_epoch_key_hash=fields.octets("next_epoch_key_hash", HASH_SIZE),
        )
        fields.done()
        return frame


@dataclass(frozen=True, slots=True)
class Statement:
    """A frame, the hash of its encrypted body, and the writer's signature of both.

    Anybody who knows the channel can check it, without being able to read the message.
    """

    frame: Frame
    body_hash: bytes
    """SHA-256(nonce ‖ encrypted body)."""
    signature: bytes

    @property
    def hash(self) -> bytes:
        """Give what is signed, and what the next frame names as `prev_hash`."""
        return statement_hash(self.frame, self.body_hash)

    def encode(self) -> bytes:
        """Give the canonical CBOR [frame, body hash, signature]; two of these are a proof of fraud."""
        return canonical_cbor([self.frame.encode(), self.body_hash, self.signature])

    @classmethod
    def parse(cls, raw: bytes) -> "Statement":
        """Read what `encode` gave; the signature is not looked at. Raises InvalidInput."""
        match parse_canonical_cbor(raw):
            case [bytes(frame), bytes(body_hash), bytes(signature)] if (
                len(body_hash) == HASH_SIZE and len(signature) == SIGNATURE_SIZE
            ):
                return cls(Frame.parse(frame), body_hash, signature)
        raise InvalidInput("channel.bad_statement", "these bytes are no statement of a channel's writer")

    def contradicts(self, other: "Statement") -> bool:
        """Say whether one honest writer can not have signed both."""
        if self.frame.channel != other.frame.channel or self.frame.at.epoch != other.frame.at.epoch:
            return False
        earlier, later = sorted((self, other), key=lambda one: one.frame.at.seq)
        distance = later.frame.at.seq - earlier.frame.at.seq
        if distance == 0:
            return earlier.hash != later.hash
        if earlier.frame.next_epoch_key_hash != later.frame.next_epoch_key_hash:
            return True
        return distance == 1 and later.frame.prev_hash != earlier.hash


def statement_hash(frame: Frame, body_hash: bytes) -> bytes:
    """Give SHA-256("evmesh.frame/1" ‖ SHA-256(frame) ‖ body hash)."""
    return hashlib.sha256(b"evmesh.frame/1" + hashlib.sha256(frame.encode()).digest() + body_hash).digest()


@dataclass(frozen=True, slots=True)
class Sent:
    """One thing to carry: `packet` into slot `slot` of `place`."""

    place: bytes
    slot: int
    packet: bytes


@dataclass(frozen=True, slots=True)
class Packet:
    """What is carried. `nonce` serves head and body, whose keys differ."""

    nonce: bytes
    head: bytes
    body: bytes

    @property
    def body_hash(self) -> bytes:
        return hashlib.sha256(self.nonce + self.body).digest()

    def encode(self) -> bytes:
        """Give the canonical CBOR [nonce, head, body]."""
        return canonical_cbor([self.nonce, self.head, self.body])

    @classmethod
    def parse(cls, raw: bytes) -> "Packet":
        """Read what `encode` gave; raises InvalidInput `channel.bad_packet` or `cbor.*`."""
        if len(raw) > MAX_PACKET_BYTES:
            raise InvalidInput("channel.bad_packet", f"a packet has at most {MAX_PACKET_BYTES} bytes")
        match parse_canonical_cbor(raw):
            case [bytes(nonce), bytes(head), bytes(body)] if (
                len(nonce) == NONCE_SIZE
                and SIGNATURE_SIZE + TAG_SIZE < len(head) <= _MAX_HEAD
                and TAG_SIZE <= len(body) <= MAX_BODY_BYTES + TAG_SIZE
            ):
                return cls(nonce, head, body)
        raise InvalidInput("channel.bad_packet", "these bytes are no packet")


def require_channel(frame: Frame, channel: Channel, epoch: int) -> None:
    """Raise InvalidInput `channel.other_channel` where a frame is not of this channel's epoch."""
    if frame.channel != channel.id or frame.at.epoch != epoch:
        raise InvalidInput("channel.other_channel", "the frame belongs to another channel or epoch")
