"""What is said on channels: canonical CBOR maps with a format, integers, and seconds since 1970."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from evmesh.domain.canonical import CborValue, canonical_cbor
from evmesh.domain.channel import HASH_SIZE, Position
from evmesh.domain.channel_cbor import CborFields
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.money import parse_units
from evmesh.domain.sessions import State
from evmesh.domain.units import W, Wh

STATUS: Final = "evmesh.status/1"
CAP: Final = "evmesh.cap/1"
NEED: Final = "evmesh.need/1"
METER_DATA: Final = "evmesh.meter-data/1"

MAX_POWER_W: Final = 2**31 - 1
MAX_ENERGY_WH: Final = 2**31 - 1
_LAST_SECOND: Final = 2**32 - 1
_MAX_WORD: Final = 64
_MAX_REASON: Final = 200


@dataclass(frozen=True, slots=True)
class Heard:
    """A message as a reader opened it. `late`: one with a higher number was read before."""

    at: Position
    body: bytes
    late: bool


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """How a charge is, as its driver is told."""

    at: datetime
    session: SessionId
    state: State
    power: W
    """Into the car."""
    limit: W | None
    energy: Wh
    """Delivered so far."""
    soc_percent: int | None
    cost: int
    """So far, in token units."""
    finish_at: datetime | None
    """When the energy is there, by the newest plan."""
    reason: str
    """Why the power is what it is, in one word: the `reason` of the HTTP API."""

    def encode(self) -> bytes:
        """Give the message."""
        return canonical_cbor(
            {
                "format": STATUS,
                "at": _second(self.at),
                "session": self.session.text,
                "state": self.state.value,
                "power_w": self.power,
                "limit_w": self.limit,
                "energy_wh": self.energy,
                "soc_percent": self.soc_percent,
                "cost": str(self.cost),
                "finish_at": _second_or_none(self.finish_at),
                "reason": self.reason,
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> "SessionStatus":
        """Read what `encode` gave; raises InvalidInput."""
        fields = _fields(body, STATUS)
        limit, soc = fields.whole_or_none("limit_w", MAX_POWER_W), fields.whole_or_none("soc_percent", 100)
        status = cls(
            at=_instant(fields.whole("at", _LAST_SECOND)),
            session=SessionId.parse(fields.text("session", 36)),
            state=_state(fields.text("state", _MAX_WORD)),
            power=W(fields.whole("power_w", MAX_POWER_W)),
            limit=None if limit is None else W(limit),
            energy=Wh(fields.whole("energy_wh", MAX_ENERGY_WH)),
            soc_percent=soc,
            cost=parse_units(fields.text("cost", 29), "cost"),
            finish_at=_instant_or_none(fields.whole_or_none("finish_at", _LAST_SECOND)),
            reason=fields.text("reason", _MAX_WORD),
        )
        fields.done()
        return status


@dataclass(frozen=True, slots=True)
class PowerCap:
    """A grid operator's word: what a group, or one EVSE, may draw in [starts_at, ends_at).

    Of one writer the newest message about a group or an EVSE counts, also where it allows more.
    """

    at: datetime
    """When it was written."""
    group: str | None
    evse: str | None
    """Exactly one of the two is named."""
    power: W | None
    """None takes an earlier one back."""
    starts_at: datetime
    ends_at: datetime
    reason: str

    def __post_init__(self) -> None:
        if (self.group is None) == (self.evse is None):
            raise InvalidInput("cap.no_target", "a cap names a group or an EVSE", path="group")
        if self.ends_at <= self.starts_at:
            raise InvalidInput("cap.no_time", "a cap ends after it begins", path="until")

    @property
    def target(self) -> str:
        """Say what it is about, in one word: what a later one with the same target takes the place of."""
        return f"group {self.group}" if self.group is not None else f"evse {self.evse}"

    def encode(self) -> bytes:
        """Give the message."""
        return canonical_cbor(
            {
                "format": CAP,
                "at": _second(self.at),
                "group": self.group,
                "evse": self.evse,
                "power_w": self.power,
                "from": _second(self.starts_at),
                "until": _second(self.ends_at),
                "reason": self.reason,
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> "PowerCap":
        """Read what `encode` gave; raises InvalidInput."""
        fields = _fields(body, CAP)
        power = fields.whole_or_none("power_w", MAX_POWER_W)
        cap = cls(
            at=_instant(fields.whole("at", _LAST_SECOND)),
            group=fields.text_or_none("group", _MAX_WORD),
            evse=fields.text_or_none("evse", _MAX_WORD),
            power=None if power is None else W(power),
            starts_at=_instant(fields.whole("from", _LAST_SECOND)),
            ends_at=_instant(fields.whole("until", _LAST_SECOND)),
            reason=fields.text("reason", _MAX_REASON),
        )
        fields.done()
        return cap


@dataclass(frozen=True, slots=True)
class CarNeed:
    """What a car says that it still needs."""

    at: datetime
    energy: Wh
    """Still wanted; 0 where it wants no more."""
    soc_percent: int | None
    departure: datetime | None

    def encode(self) -> bytes:
        """Give the message."""
        return canonical_cbor(
            {
                "format": NEED,
                "at": _second(self.at),
                "energy_wh": self.energy,
                "soc_percent": self.soc_percent,
                "departure": _second_or_none(self.departure),
            }
        )

    @classmethod
    def parse(cls, body: bytes) -> "CarNeed":
        """Read what `encode` gave; raises InvalidInput."""
        fields = _fields(body, NEED)
        need = cls(
            at=_instant(fields.whole("at", _LAST_SECOND)),
            energy=Wh(fields.whole("energy_wh", MAX_ENERGY_WH)),
            soc_percent=fields.whole_or_none("soc_percent", 100),
            departure=_instant_or_none(fields.whole_or_none("departure", _LAST_SECOND)),
        )
        fields.done()
        return need


@dataclass(frozen=True, slots=True)
class MeterData:
    """One leaf of the meter's stream: with it anybody who knows the tree head can check the reading."""

    index: int
    salt: bytes
    leaf: bytes
    """The canonical CBOR {meter, seq, prev_hash, payload} that the leaf's hash is over."""

    def encode(self) -> bytes:
        """Give the message."""
        values: dict[str, CborValue] = {"index": self.index, "salt": self.salt, "leaf": self.leaf}
        return canonical_cbor({"format": METER_DATA, **values})

    @classmethod
    def parse(cls, body: bytes) -> "MeterData":
        """Read what `encode` gave; raises InvalidInput."""
        fields = _fields(body, METER_DATA)
        data = cls(
            index=fields.whole("index", 2**63 - 1),
            salt=fields.octets("salt", HASH_SIZE),
            leaf=fields.some_octets("leaf", 16_384),
        )
        fields.done()
        return data


def _fields(body: bytes, format: str) -> CborFields:
    fields = CborFields(body)
    if fields.text("format", 40) != format:
        raise InvalidInput("channel.other_format", f"the message is no {format}", path="format")
    return fields


def _state(text: str) -> State:
    if text not in list(State):
        raise InvalidInput("cbor.bad_value", f"a session has no state {text!r}", path="state")
    return State(text)


def _second(instant: datetime) -> int:
    return int(instant.timestamp())


def _second_or_none(instant: datetime | None) -> int | None:
    return None if instant is None else _second(instant)


def _instant(second: int) -> datetime:
    return datetime.fromtimestamp(second, UTC)


def _instant_or_none(second: int | None) -> datetime | None:
    return None if second is None else _instant(second)
