"""Encrypted channels: one writer, many readers, numbered messages. Nouns only; no cryptography is here.

A channel's id is the hash of its mode, its writer's public key and its name, so whoever knows the id
cannot be shown another writer's messages. A channel runs in epochs. Each has a root key of its own, from
which follow the place where its frames are found and the key of every frame (`ledger/channels_keys.py`).
"""

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel_cbor import CborFields
from evmesh.domain.errors import InvalidInput

MAX_NUMBER: Final = 2**32 - 1
"""The highest epoch, and the highest seq in an epoch."""

HASH_SIZE: Final = 32
KEY_SIZE: Final = 32
PLACE_SIZE: Final = 16
NO_HASH: Final = bytes(HASH_SIZE)

SLOTS: Final = 256
"""A place keeps this many frames: that of seq n lies in slot n mod SLOTS until the next one takes it."""

MAX_BODY_BYTES: Final = 32_768
MAX_PACKET_BYTES: Final = 65_536
_MAX_NAME: Final = 64


class Mode(StrEnum):
    """Who can read."""

    PUBLIC = "public"
    """Whoever knows the channel."""
    PRIVATE = "private"
    """Whoever was granted access, from there on and for ever: nobody can be revoked."""
    RESTRICTED = "restricted"
    """Whoever was granted access, until an epoch begins that does not name them."""


@dataclass(frozen=True, slots=True)
class Channel:
    """What a channel is known by. `writer` is the Ed25519 public key of the only one who writes."""

    mode: Mode
    writer: bytes
    name: str

    def __post_init__(self) -> None:
        if len(self.writer) != KEY_SIZE:
            raise InvalidInput("channel.bad_writer", "the writer's key has 32 bytes", path="writer")
        if not 0 < len(self.name) <= _MAX_NAME or not self.name.isprintable():
            raise InvalidInput(
                "channel.bad_name", f"a channel's name has 1 to {_MAX_NAME} printable characters", path="name"
            )

    @property
    def id(self) -> bytes:
        """Give the 32 bytes that frames carry: SHA-256("evmesh.channel/1" ‖ `encode()`)."""
        return hashlib.sha256(b"evmesh.channel/1" + self.encode()).digest()

    def encode(self) -> bytes:
        """Give the canonical CBOR {mode, writer, name}."""
        return canonical_cbor({"mode": self.mode.value, "writer": self.writer, "name": self.name})

    @classmethod
    def parse(cls, raw: bytes) -> "Channel":
        """Read what `encode` gave; raises InvalidInput."""
        fields = CborFields(raw)
        mode, writer, name = (
            fields.text("mode", 16),
            fields.octets("writer", KEY_SIZE),
            fields.text("name", 64),
        )
        fields.done()
        if mode not in list(Mode):
            raise InvalidInput("channel.bad_mode", f"there is no mode {mode!r}", path="mode")
        return cls(Mode(mode), writer, name)


@dataclass(frozen=True, slots=True)
class Position:
    """One frame's place in its channel: `seq` counts from 0 in each epoch."""

    epoch: int
    seq: int

    def __post_init__(self) -> None:
        if not 0 <= self.epoch <= MAX_NUMBER or not 0 <= self.seq <= MAX_NUMBER:
            raise InvalidInput("channel.number_too_large", "epochs and seqs are below 2^32")


@dataclass(frozen=True, slots=True)
class Missing:
    """Frames of an epoch that were not seen. `last` is None where nobody told how far the epoch went."""

    epoch: int
    first: int
    last: int | None
