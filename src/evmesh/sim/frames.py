"""OCPP-J frames: CALL, CALLRESULT and CALLERROR as JSON arrays (OCPP-J 1.6 section 4).

Numbers with a decimal point are read as Decimal and written with one decimal, so that no limit passes
through a binary float.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from evmesh.domain.errors import ProtocolViolation

_CALL: Final = 2
_RESULT: Final = 3
_ERROR: Final = 4
_MOST_BRACKETS: Final = 4_000
"""More than any OCPP message has. The decoder recurses, and libraries raise Python's limit on that."""


@dataclass(frozen=True, slots=True)
class Call:
    """A request of either side."""

    message_id: str
    action: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallResult:
    """A good answer."""

    message_id: str
    payload: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CallError:
    """An answer that says why there is none."""

    message_id: str
    code: str
    description: str


Frame = Call | CallResult | CallError


def parse_frame(raw: str | bytes) -> Frame:
    """Read a frame; raises ProtocolViolation where it is none."""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    if text.count("[") + text.count("{") > _MOST_BRACKETS:
        raise ProtocolViolation("ocpp.not_json", "a frame nests too deep or holds too much")
    try:
        frame = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ProtocolViolation("ocpp.not_json", "a frame is not JSON") from error
    match frame:
        case [int(kind), str(message_id), str(action), dict(payload)] if kind == _CALL:
            return Call(message_id, action, payload)
        case [int(kind), str(message_id), dict(payload)] if kind == _RESULT:
            return CallResult(message_id, payload)
        case [int(kind), str(message_id), str(code), str(description), *_] if kind == _ERROR:
            return CallError(message_id, code, description)
        case _:
            raise ProtocolViolation("ocpp.bad_frame", f"not an OCPP-J frame: {text[:80]}")


def write_frame(frame: Frame) -> str:
    """Write a frame as it goes over the wire."""
    parts: list[Any]
    match frame:
        case Call(message_id, action, payload):
            parts = [_CALL, message_id, action, payload]
        case CallResult(message_id, payload):
            parts = [_RESULT, message_id, payload]
        case CallError(message_id, code, description):
            parts = [_ERROR, message_id, code, description, {}]
    return json.dumps(parts, separators=(",", ":"), default=_decimal)


def _decimal(value: object) -> float:
    if isinstance(value, Decimal):
        return float(round(value, 1))
    raise TypeError(f"{type(value).__name__} does not go over the wire")


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
