"""OCPP-J frames: what is on the wire, and what of it could be read.

    [2, id, action, payload]               a CALL asks
    [3, id, payload]                       a CALLRESULT answers
    [4, id, code, description, details]    a CALLERROR answers too

Pure: bytes in, one frame out, never an exception. OCPP-J 1.6 specification, section 4.
"""

import re
from enum import StrEnum
from typing import Any, Final

import msgspec

MAX_ID_CHARACTERS: Final = 255
"""The standard says 36; stations with longer ids exist, and an id is only ever echoed."""

MAX_DEPTH: Final = 32
"""Objects within arrays within objects: OCPP 1.6 needs 6."""

_MAX_DESCRIPTION: Final = 255
_SHOWN_BYTES: Final = 300


class ErrorCode(StrEnum):
    """OCPP-J 1.6 table 7, in its own spelling (`Occurence` has one r there)."""

    NOT_IMPLEMENTED = "NotImplemented"
    """The action is not known to the receiver."""
    NOT_SUPPORTED = "NotSupported"
    """The action is known and not served."""
    INTERNAL_ERROR = "InternalError"
    PROTOCOL_ERROR = "ProtocolError"
    """The payload is incomplete."""
    SECURITY_ERROR = "SecurityError"
    FORMATION_VIOLATION = "FormationViolation"
    """The frame or the payload does not have the shape of its kind."""
    PROPERTY_CONSTRAINT_VIOLATION = "PropertyConstraintViolation"
    """A field has an invalid value."""
    OCCURENCE_CONSTRAINT_VIOLATION = "OccurenceConstraintViolation"
    """A field stands too often or too rarely."""
    TYPE_CONSTRAINT_VIOLATION = "TypeConstraintViolation"
    """A field has the wrong data type."""
    GENERIC_ERROR = "GenericError"


class Call(msgspec.Struct, frozen=True):
    """A question; `payload` is a JSON object that no schema has seen yet."""

    id: str
    action: str
    payload: dict[str, Any]


class CallResult(msgspec.Struct, frozen=True):
    """The answer to the question with this id."""

    id: str
    payload: dict[str, Any]


class CallError(msgspec.Struct, frozen=True):
    """The other answer: why not."""

    id: str
    code: str
    description: str = ""
    details: dict[str, Any] = {}


class BadFrame(msgspec.Struct, frozen=True):
    """Bytes that are no frame. `id` is None where none could be read.

    `answerable` is False for a broken answer of the peer: an answer is never answered.
    """

    id: str | None
    why: str
    answerable: bool = True


Frame = Call | CallResult | CallError | BadFrame

_decoder: Final = msgspec.json.Decoder()
_encoder: Final = msgspec.json.Encoder()


def decode(raw: bytes) -> Frame:
    """Read one frame; what cannot be read comes back as a BadFrame that says why."""
    if _too_deep(raw):
        return BadFrame(None, f"nested deeper than {MAX_DEPTH}, or not closed")
    try:
        parts = _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return BadFrame(None, f"not JSON: {error}")
    if not isinstance(parts, list):
        return BadFrame(None, f"a frame is an array, this is {_json_kind(parts)}")
    if len(parts) < 2:
        return BadFrame(None, f"a frame has at least 3 items, this has {len(parts)}")
    kind, id_, rest = parts[0], parts[1], parts[2:]
    answerable = kind not in (3, 4)
    if not isinstance(id_, str) or not 0 < len(id_) <= MAX_ID_CHARACTERS:
        return BadFrame(_spelt(id_), "the id must be a text of 1 to 36 characters", answerable)
    if isinstance(kind, bool) or kind not in (2, 3, 4):
        return BadFrame(id_, f"the message type must be 2, 3 or 4, not {_shown(kind)}")
    if kind == 2:
        return _call(id_, rest)
    return _call_result(id_, rest) if kind == 3 else _call_error(id_, rest)


# An unclosed text matches to the end, and nothing is tried twice: linear in whatever is sent.
_TEXT: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_ONE_KIND: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


def _too_deep(raw: bytes) -> bool:
    """Say whether a frame is nested beyond MAX_DEPTH.

    The decoder recurses, and leans on Python's recursion limit; libraries raise that (`py_ecc`, of the
    Ethereum ones, to 100,000), and then 100 kB of brackets overflow the stack and end the process.
    """
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return False
    brackets = _TEXT.sub(b"", raw).translate(_ONE_KIND, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):  # each round takes the innermost level away
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return True


def _call(id_: str, rest: list[Any]) -> Call | BadFrame:
    if len(rest) != 2:
        return BadFrame(id_, f"a CALL has 4 items, this has {len(rest) + 2}")
    action, payload = rest
    if not isinstance(action, str):
        return BadFrame(id_, f"the action must be a text, not {_json_kind(action)}")
    if not isinstance(payload, dict):
        return BadFrame(id_, f"the payload must be an object, not {_json_kind(payload)}")
    return Call(id_, action, payload)


def _call_result(id_: str, rest: list[Any]) -> CallResult | BadFrame:
    if len(rest) == 1 and isinstance(rest[0], dict):
        return CallResult(id_, rest[0])
    return BadFrame(id_, "a CALLRESULT is [3, id, object]", answerable=False)


def _call_error(id_: str, rest: list[Any]) -> CallError | BadFrame:
    if not rest or not isinstance(rest[0], str) or len(rest) > 3:
        return BadFrame(id_, "a CALLERROR is [4, id, code, description, details]", answerable=False)
    # Stations leave description and details out, or send null: the code is what matters.
    code, description, details = (*rest, None, None)[:3]
    return CallError(
        id_,
        code,
        description if isinstance(description, str) else "",
        details if isinstance(details, dict) else {},
    )


def encode_call(id_: str, action: str, payload: object) -> bytes:
    """Write a CALL; `payload` is a msgspec Struct or a dict."""
    return _encoder.encode((2, id_, action, payload))


def encode_result(id_: str, payload: object) -> bytes:
    """Write a CALLRESULT; `payload` is a msgspec Struct or a dict."""
    return _encoder.encode((3, id_, payload))


def encode_error(error: CallError) -> bytes:
    """Write a CALLERROR, its description cut to the 255 characters that the standard allows."""
    return _encoder.encode((4, error.id, error.code, error.description[:_MAX_DESCRIPTION], error.details))


def shown(raw: bytes) -> str:
    """Give what a log may hold of a frame: its beginning, printable, and how long it is."""
    text = raw[:_SHOWN_BYTES].decode("utf-8", "backslashreplace")
    text = "".join(letter if letter.isprintable() else "�" for letter in text)
    return text if len(raw) <= _SHOWN_BYTES else f"{text}… ({len(raw)} bytes)"


def _spelt(id_: object) -> str | None:
    """Give the id to answer to where the peer wrote a number; None where nothing can be echoed."""
    if isinstance(id_, int) and not isinstance(id_, bool):
        return str(id_)[:MAX_ID_CHARACTERS]
    return None


def _shown(value: object) -> str:
    return msgspec.json.encode(value)[:40].decode("utf-8", "replace")


def _json_kind(value: object) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
