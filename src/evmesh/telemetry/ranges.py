"""The ingest's word that readings are stored: `ack/{charger}` = {"boot", "ranges": [[from, to], ...]}.

A broker's PUBACK says that the broker has a message; this says that the database has it. An outbox may
delete what stands in a range, both ends included. Ranges rather than a watermark, since several consumers
may share the work and each has stored only its own part.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Final

import msgspec

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.telemetry import Ack
from evmesh.telemetry.topics import MOST_SEQ, Reading, checked_name

ACK_FILTER: Final = "ack/+"
RANGES_AT_MOST: Final = 1_000
"""In one word: more are said in several."""

MOST_ACK_BYTES: Final = 64 * 1024

_Number = Annotated[int, msgspec.Meta(ge=0, le=MOST_SEQ)]


class _AckPayload(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    boot: str
    ranges: Annotated[list[tuple[_Number, _Number]], msgspec.Meta(max_length=RANGES_AT_MOST)]
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_decoder: Final = msgspec.json.Decoder(_AckPayload)


def ack_topic(charger: str) -> str:
    """Give the topic on which a charger's publisher hears what is stored."""
    return f"ack/{checked_name(charger)}"


def encode_ack(ack: Ack) -> bytes:
    """Write the payload."""
    return msgspec.json.encode(_AckPayload(ack.boot, list(ack.ranges), ack.at))


def decode_ack(topic: str, payload: bytes) -> Ack:
    """Read one acknowledgement. Raises ProtocolViolation whose `path` is the topic."""
    room, _, charger = topic.partition("/")
    if room != "ack" or not charger or "/" in charger:
        raise ProtocolViolation("telemetry.bad_topic", f"{topic[:120]!r} acknowledges nothing", path=topic)
    if len(payload) > MOST_ACK_BYTES:
        raise ProtocolViolation("telemetry.too_large", f"{len(payload)} bytes are too many", path=topic)
    try:
        fields = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolViolation("telemetry.bad_payload", str(error), path=topic) from error
    if any(first > last for first, last in fields.ranges):
        raise ProtocolViolation("telemetry.bad_payload", "a range ends before it begins", path=topic)
    return Ack(charger, fields.boot, tuple(fields.ranges), fields.at)


def ranges_of(numbers: Iterable[int]) -> tuple[tuple[int, int], ...]:
    """Give the fewest ranges that hold exactly these numbers."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] + 1 == number:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return tuple(found)


@dataclass(slots=True)
class Acks:
    """What was committed and is not yet said."""

    _stored: dict[tuple[str, str], set[int]] = field(default_factory=dict)

    def add(self, reading: Reading) -> None:
        """Note one stored reading; those without a number need no word."""
        if reading.boot is not None and reading.seq:
            self._stored.setdefault((reading.value.charger, reading.boot), set()).add(reading.seq)

    def take(self, now: datetime) -> list[Ack]:
        """Give all, said at `now`, and forget them."""
        stored, self._stored = self._stored, {}
        said = []
        for (charger, boot), numbers in stored.items():
            ranges = ranges_of(numbers)
            parts = (ranges[at : at + RANGES_AT_MOST] for at in range(0, len(ranges), RANGES_AT_MOST))
            said += [Ack(charger, boot, part, now) for part in parts]
        return said
