"""The wire format of values: topics and payloads, both ways, without any I/O.

    chargers/{charger}/{Value}              one retained topic per value
    publishers/{publisher}/Availability     who publishes, with a last will
    {"timestamp": RFC 3339, "value": ..., "boot": id, "seq": n}

`boot` names one run of one publisher and `seq` counts its readings per charger from 1, so (charger, boot,
seq) is what a reading is known by. A foreign publisher may leave out both; then its topic, timestamp and
value are what it is known by. Sequence 0 is a last will: written before all others, delivered after them.
"""

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from evmesh.domain.errors import InvalidInput, ProtocolViolation
from evmesh.domain.telemetry import Availability, OperationState, TelemetryValue, ValueName

VALUE_FILTER: Final = "chargers/+/+"
PUBLISHER_FILTER: Final = "publishers/+/Availability"
MAX_PAYLOAD_BYTES: Final = 4096
MAX_TEXT: Final = 256

_CHARGERS: Final = "chargers"
_PUBLISHERS: Final = "publishers"
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT64: Final = 2**63
MOST_SEQ: Final = 2**62
"""A database that keeps numbers as half-open ranges of 64 bits needs room behind the last."""


_WORDS: Final[dict[str, frozenset[str]]] = {
    ValueName.OPERATION_STATE: frozenset(OperationState),
    ValueName.AVAILABILITY: frozenset(Availability),
}
_TEXTS: Final = frozenset({ValueName.CONNECTED_VEHICLE, ValueName.METER_ID})
_KNOWN: Final = frozenset(ValueName)


@dataclass(frozen=True, slots=True)
class Reading:
    """A value as it travels: with the run of its publisher and its number in that run.

    Both are None for a foreign publisher. `value.charger` is the publisher's own name where the topic
    is under `publishers/`.
    """

    value: TelemetryValue
    boot: str | None = None
    seq: int | None = None

    @property
    def is_last_will(self) -> bool:
        """Whether its timestamp is that of the connection, and not of what it tells."""
        return self.boot is not None and self.seq == 0

    @property
    def identity(self) -> str:
        """Give what makes it the same reading when it comes again, within its charger."""
        if self.boot is not None and self.seq:
            return f"{self.boot}/{self.seq}"
        content = (self.value.name, microseconds(self.value.at), self.value.value, self.boot)
        return "~" + hashlib.sha256(msgspec.json.encode(content)).hexdigest()[:32]


class _Payload(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    timestamp: Annotated[datetime, msgspec.Meta(tz=True)]
    value: int | str | None
    boot: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,96}$")] | None = None
    seq: Annotated[int, msgspec.Meta(ge=0, le=MOST_SEQ)] | None = None


_decoder: Final = msgspec.json.Decoder(_Payload)
_encoder: Final = msgspec.json.Encoder()


def new_boot(publisher: str) -> str:
    """Make the id of one run of `publisher`, who can be read from it again with `publisher_of`."""
    return f"{checked_name(publisher)}-{secrets.token_hex(8)}"


def publisher_of(boot: str) -> str:
    """Give the publisher whose run this is; empty where the id was not made by `new_boot`."""
    return boot.rpartition("-")[0]


def checked_name(name: str) -> str:
    """Give `name` if it can be one level of a topic. Raises InvalidInput."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "telemetry.bad_name",
            f"{name[:80]!r} cannot stand in a topic",
            do="use 1 to 64 of the characters a-z, 0-9 and -",
        )
    return name


def value_topic(charger: str, name: str) -> str:
    """Give the topic of one value of one charger. Raises InvalidInput for a name that is none of ours."""
    if name not in _KNOWN:
        raise InvalidInput(
            "telemetry.unknown_value",
            f"{name[:80]!r} is no value",
            do=f"use one of {', '.join(sorted(_KNOWN))}",
        )
    return f"{_CHARGERS}/{checked_name(charger)}/{name}"


def publisher_topic(publisher: str) -> str:
    """Give the topic that carries whether a publisher is there."""
    return f"{_PUBLISHERS}/{checked_name(publisher)}/{ValueName.AVAILABILITY}"


def is_publisher_topic(topic: str) -> bool:
    """Tell a publisher's own topic from a charger's."""
    return topic.startswith(_PUBLISHERS + "/")


def encode(reading: Reading) -> bytes:
    """Write the payload. Raises InvalidInput where the value is not one that readers would accept."""
    value = reading.value
    if value.at.tzinfo is None:
        raise InvalidInput("telemetry.naive_time", "a reading needs a time zone", path="at")
    if why := _why_not(value.name, value.value):
        raise InvalidInput("telemetry.bad_value", why, path=value.name)
    return _encoder.encode(_Payload(value.at.astimezone(UTC), value.value, reading.boot, reading.seq))


def decode(topic: str, payload: bytes) -> Reading:
    """Read one message, strictly. Raises ProtocolViolation whose `path` is the topic."""
    room, _, rest = topic.partition("/")
    owner, _, name = rest.partition("/")
    if room not in (_CHARGERS, _PUBLISHERS) or not _NAME.fullmatch(owner):
        raise ProtocolViolation("telemetry.bad_topic", f"{topic[:120]!r} is no topic of a value", path=topic)
    if name not in _KNOWN or (room == _PUBLISHERS and name != ValueName.AVAILABILITY):
        raise ProtocolViolation("telemetry.unknown_value", f"{name[:80]!r} is no value", path=topic)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ProtocolViolation(
            "telemetry.too_large", f"more than {MAX_PAYLOAD_BYTES} bytes are too many", path=topic
        )
    try:
        fields = _decoder.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ProtocolViolation("telemetry.bad_payload", str(error), path=topic) from error
    if (fields.boot is None) != (fields.seq is None):
        raise ProtocolViolation(
            "telemetry.bad_payload", "boot and seq come together or not at all", path=topic
        )
    if why := _why_not(name, fields.value):
        raise ProtocolViolation("telemetry.bad_value", why, path=topic)
    try:
        at = fields.timestamp.astimezone(UTC)
    except OverflowError as error:  # the first or the last day of all, with an offset
        raise ProtocolViolation("telemetry.bad_payload", "no such instant", path=topic) from error
    value = TelemetryValue(owner, name, at, fields.value)
    return Reading(value, fields.boot, fields.seq)


def received(reading: Reading, now: datetime) -> Reading:
    """Give the reading with the time it is to be shown at: a last will happens when it is delivered."""
    return replace(reading, value=replace(reading.value, at=now)) if reading.is_last_will else reading


def _why_not(name: str, value: int | str | None) -> str:
    """Say what is wrong with a value; empty where nothing is."""
    words = _WORDS.get(name)
    if words is not None:
        return "" if value in words else f"{_show(value)} is none of {', '.join(sorted(words))}"
    if value is None:
        return ""
    if name in _TEXTS:
        fits = isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()
        return "" if fits else f"{_show(value)} is not a text of 1 to {MAX_TEXT} printable characters"
    if not isinstance(value, int) or isinstance(value, bool):
        return f"{_show(value)} is not a whole number"
    return "" if -_INT64 <= value < _INT64 else "the number does not fit into 64 bits"


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def microseconds(instant: datetime) -> int:
    """Give whole microseconds since 1970, exactly: what the stores keep."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_microseconds(count: int) -> datetime:
    """Give the instant again."""
    seconds, rest = divmod(count, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
