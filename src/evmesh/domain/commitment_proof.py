"""What is handed out of a stream: the list of its leaves, and proofs that statements stand in it.

Neither is signed: that it is true is shown by the head on chain. So any JSON encoding is read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

from evmesh.domain.canonical import Json, parse_json
from evmesh.domain.commitment import STREAM_OF, Stream
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import MAX_PROOF, ChainRef
from evmesh.domain.strict import StrictFields, checked_bytes, write_bytes

MAX_LIST: Final = 2_000_000
"""Hashes in one list: more would not be read in one piece."""

MAX_LEAVES: Final = 100
_MAX_PAYLOAD: Final = 16_000


@dataclass(frozen=True, slots=True)
class ProvenLeaf:
    """A statement, its salt, and the inclusion path of its leaf from the leaf upwards."""

    index: int
    salt: bytes
    payload: bytes
    path: tuple[bytes, ...]

    def to_json(self) -> Json:
        return {
            "index": self.index,
            "salt": write_bytes(self.salt),
            "payload": self.payload.decode(),
            "path": [write_bytes(node) for node in self.path],
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        leaf = cls(
            index=members.integer("index"),
            salt=members.bytes_of("salt", 32),
            payload=members.text("payload", _MAX_PAYLOAD).encode(),
            path=_hashes(members, "path", MAX_PROOF),
        )
        members.done()
        return leaf


@dataclass(frozen=True, slots=True)
class ProvenStream:
    """Leaves of one stream under one of its heads."""

    stream: Stream
    size: int
    root: bytes
    leaves: tuple[ProvenLeaf, ...]

    def to_json(self) -> Json:
        return {
            "stream": write_bytes(self.stream.id),
            "size": self.size,
            "root": write_bytes(self.root),
            "leaves": [leaf.to_json() for leaf in self.leaves],
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        found = cls(
            stream=_stream(members),
            size=members.integer("size", 1),
            root=members.bytes_of("root", 32),
            leaves=tuple(
                ProvenLeaf.read(StrictFields(item, path))
                for item, path in members.array("leaves", MAX_LEAVES)
            ),
        )
        members.done()
        return found


@dataclass(frozen=True, slots=True)
class StreamProof:
    """`evmesh.stream-proof/1`: statements in streams of one publisher, at most one head of each stream."""

    FORMAT: ClassVar[str] = "evmesh.stream-proof/1"

    chain: ChainRef
    publisher: Address
    streams: tuple[ProvenStream, ...]

    def of(self, stream: Stream) -> ProvenStream | None:
        """Give the part that speaks of one stream."""
        return next((one for one in self.streams if one.stream is stream), None)

    def to_json(self) -> Json:
        return {
            "format": self.FORMAT,
            "chain": self.chain.to_json(),
            "publisher": self.publisher.text,
            "streams": [one.to_json() for one in self.streams],
        }

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read strictly; raises InvalidInput with the path. Says nothing on whether it proves anything."""
        return cls.read(parse_json(raw))

    @classmethod
    def read(cls, document: Json) -> Self:
        """Read what JSON decodes to."""
        members = StrictFields(document)
        members.literal("format", cls.FORMAT)
        proof = cls(
            chain=ChainRef.read(members.object("chain")),
            publisher=members.address("publisher"),
            streams=tuple(
                ProvenStream.read(StrictFields(item, path))
                for item, path in members.array("streams", len(Stream))
            ),
        )
        members.done()
        if len({one.stream for one in proof.streams}) != len(proof.streams):
            raise InvalidInput("document.bad_value", "a stream stands twice", path="streams")
        return proof


@dataclass(frozen=True, slots=True)
class StreamList:
    """`evmesh.stream-list/1`: leaf hashes of a stream of `size` leaves, from the `start`th on."""

    FORMAT: ClassVar[str] = "evmesh.stream-list/1"

    chain: ChainRef
    publisher: Address
    stream: Stream
    size: int
    start: int
    hashes: tuple[bytes, ...]

    @property
    def is_whole(self) -> bool:
        """Whether every leaf is there, and not a page of them."""
        return self.start == 0 and len(self.hashes) == self.size

    def to_json(self) -> Json:
        return {
            "format": self.FORMAT,
            "chain": self.chain.to_json(),
            "publisher": self.publisher.text,
            "stream": write_bytes(self.stream.id),
            "size": self.size,
            "from": self.start,
            "hashes": [write_bytes(one) for one in self.hashes],
        }

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read strictly; raises InvalidInput with the path."""
        members = StrictFields(parse_json(raw))
        members.literal("format", cls.FORMAT)
        found = cls(
            chain=ChainRef.read(members.object("chain")),
            publisher=members.address("publisher"),
            stream=_stream(members),
            size=members.integer("size"),
            start=members.integer("from"),
            hashes=_hashes(members, "hashes", MAX_LIST),
        )
        members.done()
        return found


def read_path(document: Any, key: str) -> tuple[bytes, ...]:
    """Read the hashes of a proof that an answer of the API holds under `key`."""
    return _hashes(StrictFields(document), key, 2 * MAX_PROOF)


def write_path(path: Sequence[bytes]) -> list[str]:
    """Write the hashes of a proof."""
    return [write_bytes(node) for node in path]


def _stream(members: StrictFields) -> Stream:
    found = STREAM_OF.get(members.bytes_of("stream", 32))
    if found is None:
        raise InvalidInput("stream.unknown", "no stream of this name is known", path=members.path("stream"))
    return found


def _hashes(members: StrictFields, key: str, longest: int) -> tuple[bytes, ...]:
    return tuple(checked_bytes(item, 32, path) for item, path in members.array(key, longest))
