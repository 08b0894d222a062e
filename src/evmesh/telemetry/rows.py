"""What the ingest hands to a store: readings as rows, and messages that are none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.topics import MAX_PAYLOAD_BYTES


@dataclass(frozen=True, slots=True)
class Row:
    """A reading as it is stored. Its identity says when two are the same; numbered ones can contradict."""

    value: TelemetryValue
    identity: str
    received_at: datetime
    topic: str
    payload: bytes
    boot: str | None = None
    seq: int | None = None


@dataclass(frozen=True, slots=True)
class SetAside:
    """A message that is no reading, and why."""

    topic: str
    payload: bytes
    code: str
    reason: str
    received_at: datetime

    @property
    def digest(self) -> bytes:
        """Give what makes it the same message when it comes again."""
        return hashlib.sha256(f"{self.code}\n{self.topic}\n".encode() + self.payload).digest()

    @property
    def kept_payload(self) -> bytes:
        """Give its bytes, or the first of them where it is too long to be any reading."""
        return self.payload[: MAX_PAYLOAD_BYTES + 1]


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a batch: every row is counted once."""

    stored: int
    duplicates: int
    contradicting: int
    """Set aside, since their identity is taken by a reading with other content."""


class ReadingWriter(Protocol):
    """What the ingest needs of a store."""

    async def write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        """Store all of it in one transaction; durable when this returns.

        Raises Unavailable, and InvalidInput `telemetry.unstorable` where a row is in it that this database
        can never hold.
        """


def unstorable(error: Exception) -> InvalidInput:
    """Say that a database can never hold what it was handed."""
    return InvalidInput("telemetry.unstorable", f"no database row can hold it: {error}"[:500])


def contradiction(row: Row, stored: str) -> SetAside:
    """Set a row aside whose number is taken by another reading."""
    reason = f"reading {row.identity} is stored with other content: {stored}"[:500]
    return SetAside(row.topic, row.payload, "telemetry.contradiction", reason, row.received_at)
