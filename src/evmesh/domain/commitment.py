"""Leaves of the further streams: records of sessions, commitments to plans, the verifier's source.

A stream is a list of statements that only grows. What is public of a statement is its leaf, a salted
hash; who has the statement and the salt can show that it stands there. The stream of meter readings
has leaves of its own (`readings.py`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Final, Self

from evmesh.domain.canonical import canonical_cbor, canonical_json, parse_canonical_json
from evmesh.domain.merkle import leaf_hash
from evmesh.domain.strict import StrictFields, checked_bytes, write_bytes, write_instant

SALT_BYTES: Final = 32


class Stream(StrEnum):
    """The further streams of an operator; values are the texts that the notary's 32 bytes spell."""

    RECORDS = "evmesh.records/1"
    SCHEDULES = "evmesh.schedules/1"
    ALGORITHMS = "evmesh.algorithms/1"

    @property
    def id(self) -> bytes:
        """The notary's name of the stream, padded with zeros."""
        return self.value.encode().ljust(32, b"\0")


STREAM_OF: Final[Mapping[bytes, Stream]] = {stream.id: stream for stream in Stream}


@dataclass(frozen=True, slots=True)
class StreamLeaf:
    """One statement in a stream; `index` counts from 0, `ref` is what it is found by."""

    stream: Stream
    index: int
    ref: str
    at: datetime
    salt: bytes
    payload: bytes
    hash: bytes


def stream_leaf_hash(stream: Stream, salt: bytes, payload: bytes) -> bytes:
    """Give the hash of a leaf: SHA-256(0x00 ‖ salt ‖ CBOR {"stream", "payload"})."""
    return leaf_hash(salt + canonical_cbor({"stream": stream.value, "payload": payload}))


@dataclass(frozen=True, slots=True)
class Commitment:
    """`evmesh.commitment/1`: this problem is about to be solved, and this verifier will accept the answer."""

    FORMAT: ClassVar[str] = "evmesh.commitment/1"

    at: datetime
    problem_sha256: bytes
    verifier_sha256: bytes

    def encode(self) -> bytes:
        """Give the canonical bytes."""
        return canonical_json(
            {
                "format": self.FORMAT,
                "at": write_instant(self.at),
                "problem_sha256": write_bytes(self.problem_sha256),
                "verifier_sha256": write_bytes(self.verifier_sha256),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the very bytes that `encode` gives; raises InvalidInput on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        commitment = cls(
            members.instant("at"),
            members.bytes_of("problem_sha256", 32),
            members.bytes_of("verifier_sha256", 32),
        )
        members.done()
        return commitment


@dataclass(frozen=True, slots=True)
class Answer:
    """`evmesh.answer/1`: the answer to a problem, a schedule or a refusal, with its certificate in it."""

    FORMAT: ClassVar[str] = "evmesh.answer/1"

    at: datetime
    problem_sha256: bytes
    schedule_sha256: bytes
    verifier_sha256: bytes

    def encode(self) -> bytes:
        """Give the canonical bytes."""
        return canonical_json(
            {
                "format": self.FORMAT,
                "at": write_instant(self.at),
                "problem_sha256": write_bytes(self.problem_sha256),
                "schedule_sha256": write_bytes(self.schedule_sha256),
                "verifier_sha256": write_bytes(self.verifier_sha256),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the very bytes that `encode` gives; raises InvalidInput on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        answer = cls(
            members.instant("at"),
            members.bytes_of("problem_sha256", 32),
            members.bytes_of("schedule_sha256", 32),
            members.bytes_of("verifier_sha256", 32),
        )
        members.done()
        return answer


@dataclass(frozen=True, slots=True)
class Algorithm:
    """`evmesh.algorithm/1`: the source of the verifier in a release, and the wheel where that is known."""

    FORMAT: ClassVar[str] = "evmesh.algorithm/1"

    version: str
    verifier_sha256: bytes
    wheel_sha256: bytes | None

    def encode(self) -> bytes:
        """Give the canonical bytes."""
        return canonical_json(
            {
                "format": self.FORMAT,
                "version": self.version,
                "verifier_sha256": write_bytes(self.verifier_sha256),
                "wheel_sha256": None if self.wheel_sha256 is None else write_bytes(self.wheel_sha256),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the very bytes that `encode` gives; raises InvalidInput on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        algorithm = cls(
            members.text("version", 64),
            members.bytes_of("verifier_sha256", 32),
            members.parsed_or_none("wheel_sha256", _hash),
        )
        members.done()
        return algorithm


def _hash(text: str) -> bytes:
    return checked_bytes(text, 32, "")
