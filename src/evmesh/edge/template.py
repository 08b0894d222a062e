"""A register device described in a TOML file: where each value lies, and how its number is written.

    [device]   make, model, kind (charger | meter | inverter | battery), grade, source
    [line]     what the wires need: protocol (rtu | tcp), unit, baud, parity, pause_ms, gap
    [layout]   base and models, for a SunSpec device, whose registers are found by walking its models
    [read.Value]    address (or model and offset), function, type, order, scale, exponent, none, least,
                    most, combine (sum | max of several addresses), words
    [serial]        address, function, type, order of the number that tells this meter from another
    [control]       model, for a SunSpec battery that takes a power (124: storage controls)
    [write.Value]   address, function, type, order, scale, least, most, pause, resume

`Value` is a name of the generic state (`domain/telemetry.py`), and so has its unit: raw x scale is whole
Wh, W, mA or percent. Every member is checked here, so that a driver never meets half a template.
"""

import tomllib
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from importlib import resources
from typing import Any, Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import OperationState, ValueName
from evmesh.edge.device import Grade
from evmesh.edge.words import WIDTH, Kind, WordOrder

KINDS: Final = ("charger", "meter", "inverter", "battery")
HOLDING: Final = 3
INPUT: Final = 4
WRITE_ONE: Final = 6
WRITE_MANY: Final = 16
MOST_REGISTERS: Final = 125
"""In one answer: Modbus Application Protocol 1.1b3, section 6.3."""

MOST_ADDRESS: Final = 65_535
CONTROLS: Final = (124,)
"""SunSpec models by which a power can be set here."""

_COMBINE: Final = ("one", "sum", "max")
_PARITIES: Final = ("N", "E", "O")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a number begins: at a fixed address, or at an offset into a SunSpec model."""

    address: int | None
    model: int | None = None
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a device and how to read it."""

    name: ValueName
    places: tuple[Place, ...]
    function: int
    kind: Kind
    order: WordOrder
    scale: Fraction
    exponent: Place | None
    """A register with the power of ten to scale by (SunSpec `sunssf`)."""
    none: frozenset[int]
    """Raw words that mean "not known"."""
    least: int
    most: int
    """What can be true, in the value's unit; anything else is not published."""
    combine: str
    words: dict[int, str]
    """What raw numbers mean, for a value that is a word."""


@dataclass(frozen=True, slots=True)
class WriteRule:
    """How a value is set: it is read back, and has to be what was written."""

    name: ValueName
    address: int
    function: int
    kind: Kind
    order: WordOrder
    scale: Fraction
    least: int
    most: int
    pause: tuple[int, int] | None = None
    """Register and value that let nothing flow, for a value below `least`."""
    resume: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class SerialRule:
    """Where a meter has its serial number."""

    address: int
    function: int
    kind: Kind
    order: WordOrder


@dataclass(frozen=True, slots=True)
class LineRule:
    """What the wires need."""

    protocol: str = "rtu"
    unit: int = 1
    baud: int = 9600
    parity: str = "N"
    pause_ms: int = 0
    """How long to leave the device in peace between two requests."""
    gap: int = 0
    """Registers between two values that may be read over, so that one request serves both."""


@dataclass(frozen=True, slots=True)
class Template:
    """A device as its file describes it."""

    id: str
    make: str
    model: str
    kind: str
    grade: Grade
    source: str
    line: LineRule
    points: tuple[Point, ...]
    writes: dict[ValueName, WriteRule] = field(default_factory=dict)
    base: int | None = None
    """Where a SunSpec device begins its list of models."""
    control: int | None = None
    """The SunSpec model by which its power is set."""
    serial: SerialRule | None = None
    """None for a meter that does not tell; SunSpec has its own place for it."""

    def point(self, name: ValueName) -> Point | None:
        """Give how a value is read; None where the device does not have it."""
        return next((one for one in self.points if one.name is name), None)


def template_ids() -> list[str]:
    """Give the ids of the templates that come with evmesh."""
    found = resources.files("evmesh.edge.templates").iterdir()
    return sorted(one.name.removesuffix(".toml") for one in found if one.name.endswith(".toml"))


def load_template(id: str) -> Template:
    """Read a template that comes with evmesh. Raises InvalidInput `template.unknown`."""
    if id not in template_ids():
        raise InvalidInput(
            "template.unknown", f"there is no template {id!r}", do=f"use one of {', '.join(template_ids())}"
        )
    return parse_template(id, resources.files("evmesh.edge.templates").joinpath(f"{id}.toml").read_text())


def parse_template(id: str, text: str) -> Template:
    """Read a template. Raises InvalidInput `template.bad` whose path is the member that is wrong."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InvalidInput("template.bad", f"{id} is not TOML: {error}") from error
    _only(raw, {"device", "line", "layout", "read", "write", "control", "serial"}, "")
    device = _table(raw, "device")
    _only(device, {"make", "model", "kind", "grade", "source"}, "device")
    base = None
    if "layout" in raw:
        layout = _table(raw, "layout")
        _only(layout, {"base"}, "layout")
        base = _whole(layout, "base", "layout", 0, 65_535)
    control = _control(raw, base is not None) if "control" in raw else None
    reads = _table(raw, "read")
    if not reads:
        raise _bad("a template reads something", "read")
    return Template(
        id,
        _text(device, "make", "device"),
        _text(device, "model", "device"),
        _choice(device, "kind", "device", KINDS),
        Grade(_choice(device, "grade", "device", tuple(Grade))),
        _text(device, "source", "device"),
        _line(_table(raw, "line") if "line" in raw else {}),
        tuple(_point(name, reads, base is not None) for name in reads),
        {
            rule.name: rule
            for rule in (
                _write(name, raw["write"]) for name in (_table(raw, "write") if "write" in raw else {})
            )
        },
        base,
        control,
        _serial(_table(raw, "serial")) if "serial" in raw else None,
    )


def _serial(raw: dict[str, Any]) -> SerialRule:
    _only(raw, {"address", "function", "type", "order"}, "serial")
    kind = Kind(_choice(raw, "type", "serial", tuple(Kind)))
    return SerialRule(
        _whole(raw, "address", "serial", 0, MOST_ADDRESS + 1 - WIDTH[kind]),
        _choice_of(raw, "function", "serial", (HOLDING, INPUT), HOLDING),
        kind,
        WordOrder(_choice(raw, "order", "serial", tuple(WordOrder), "big")),
    )


def _control(raw: dict[str, Any], is_sunspec: bool) -> int:
    control = _table(raw, "control")
    _only(control, {"model"}, "control")
    if not is_sunspec:
        raise _bad("only SunSpec has control models", "control")
    return _choice_of(control, "model", "control", CONTROLS)


def _line(raw: dict[str, Any]) -> LineRule:
    _only(raw, {"protocol", "unit", "baud", "parity", "pause_ms", "gap"}, "line")
    plain = LineRule()
    return LineRule(
        _choice(raw, "protocol", "line", ("rtu", "tcp"), plain.protocol),
        _whole(raw, "unit", "line", 0, 255, plain.unit),
        _whole(raw, "baud", "line", 300, 1_000_000, plain.baud),
        _choice(raw, "parity", "line", _PARITIES, plain.parity),
        _whole(raw, "pause_ms", "line", 0, 60_000, plain.pause_ms),
        _whole(raw, "gap", "line", 0, MOST_REGISTERS, plain.gap),
    )


_POINT_MEMBERS: Final = {
    *("address", "model", "offset", "function", "type", "order", "scale", "exponent", "none"),
    *("least", "most", "combine", "words"),
}


def _point(name: str, reads: dict[str, Any], is_sunspec: bool) -> Point:
    path = f"read.{name}"
    raw = _table(reads, name, path)
    _only(raw, _POINT_MEMBERS, path)
    value = _value_name(name, path)
    kind = Kind(_choice(raw, "type", path, tuple(Kind)))
    words = _words(raw.get("words", {}), value, path)
    return Point(
        value,
        _places(raw, path, is_sunspec, WIDTH[kind]),
        _choice_of(raw, "function", path, (HOLDING, INPUT), HOLDING),
        kind,
        WordOrder(_choice(raw, "order", path, tuple(WordOrder), "big")),
        _scale(raw, path),
        _exponent(raw, path, is_sunspec),
        frozenset(_list(raw, "none", path, 0, 2 ** (16 * WIDTH[kind]) - 1)),
        _whole(raw, "least", path, -(2**63), 2**63 - 1, 0),
        _whole(raw, "most", path, -(2**63), 2**63 - 1, 2**63 - 1),
        _choice(raw, "combine", path, _COMBINE, "one"),
        words,
    )


def _places(raw: dict[str, Any], path: str, is_sunspec: bool, width: int) -> tuple[Place, ...]:
    if is_sunspec:
        offsets = _list(raw, "offset", path, 0, 65_535)
        models = _list(raw, "model", path, 1, 65_535)
        places = tuple(Place(None, model, offset) for model in models for offset in offsets)
    else:
        places = tuple(Place(address) for address in _list(raw, "address", path, 0, MOST_ADDRESS + 1 - width))
    if not places:
        raise _bad("a value lies somewhere", f"{path}.{'offset' if is_sunspec else 'address'}")
    if len(places) > 1 and raw.get("combine", "one") == "one" and not is_sunspec:
        raise _bad("several registers need combine = sum or max", f"{path}.combine")
    return places


def _exponent(raw: dict[str, Any], path: str, is_sunspec: bool) -> Place | None:
    if "exponent" not in raw:
        return None
    if not is_sunspec:
        raise _bad("only SunSpec has exponent registers", f"{path}.exponent")
    return Place(None, None, _whole(raw, "exponent", path, 0, 65_535))


def _write(name: str, writes: dict[str, Any]) -> WriteRule:
    path = f"write.{name}"
    raw = _table(writes, name, path)
    _only(raw, {"address", "function", "type", "order", "scale", "least", "most", "pause", "resume"}, path)
    kind = Kind(_choice(raw, "type", path, tuple(Kind)))
    if kind is Kind.F32:
        raise _bad("floating point is read and never written", f"{path}.type")
    least = _whole(raw, "least", path, 0, 2**31)
    address = _whole(raw, "address", path, 0, MOST_ADDRESS + 1 - WIDTH[kind])
    return WriteRule(
        _value_name(name, path),
        address,
        _choice_of(raw, "function", path, (WRITE_ONE, WRITE_MANY), WRITE_ONE),
        kind,
        WordOrder(_choice(raw, "order", path, tuple(WordOrder), "big")),
        _scale(raw, path),
        least,
        _whole(raw, "most", path, least, 2**31),
        _register_and_value(raw, "pause", path),
        _register_and_value(raw, "resume", path),
    )


def _register_and_value(raw: dict[str, Any], key: str, path: str) -> tuple[int, int] | None:
    if key not in raw:
        return None
    found = _list(raw, key, path, 0, 65_535)
    if len(found) != 2:
        raise _bad(f"{key} is a register and its value", f"{path}.{key}")
    return found[0], found[1]


def _words(raw: Any, name: ValueName, path: str) -> dict[int, str]:
    if not isinstance(raw, dict):
        raise _bad("words is a table of raw number to word", f"{path}.words")
    if (name is ValueName.OPERATION_STATE) != bool(raw):
        raise _bad("OperationState, and nothing else, has words", f"{path}.words")
    for key, word in raw.items():
        if not key.isdecimal() or word not in tuple(OperationState):
            raise _bad(f"{key} = {word!r} is not a number and a state", f"{path}.words.{key}")
    return {int(key): str(word) for key, word in raw.items()}


def _scale(raw: dict[str, Any], path: str) -> Fraction:
    text = raw.get("scale", "1")
    try:
        if not isinstance(text, str):
            raise InvalidOperation
        scale = Fraction(Decimal(text))
    except (InvalidOperation, ValueError, OverflowError):
        raise _bad('a scale is a decimal in quotes, like "0.1"', f"{path}.scale") from None
    if not scale:
        raise _bad("a scale of 0 loses the value", f"{path}.scale")
    return scale


def _value_name(name: str, path: str) -> ValueName:
    if name not in tuple(ValueName):
        raise _bad(f"there is no value {name!r}", path)
    return ValueName(name)


def _list(raw: dict[str, Any], key: str, path: str, least: int, most: int) -> list[int]:
    found = raw.get(key, [])
    many = found if isinstance(found, list) else [found]
    return [_whole({key: one}, key, path, least, most) for one in many]


def _whole(
    raw: dict[str, Any], key: str, path: str, least: int, most: int, default: int | None = None
) -> int:
    found = raw.get(key, default)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
        raise _bad(f"{key} is a whole number from {least} to {most}, not {found!r}", f"{path}.{key}")
    return found


def _choice(
    raw: dict[str, Any], key: str, path: str, choices: tuple[str, ...], default: str | None = None
) -> str:
    found = raw.get(key, default)
    if found not in choices:
        raise _bad(f"{key} is one of {', '.join(choices)}, not {found!r}", f"{path}.{key}")
    return str(found)


def _choice_of(
    raw: dict[str, Any], key: str, path: str, choices: tuple[int, ...], default: int | None = None
) -> int:
    found = _whole(raw, key, path, min(choices), max(choices), default)
    if found not in choices:
        raise _bad(f"{key} is one of {', '.join(map(str, choices))}, not {found}", f"{path}.{key}")
    return found


def _text(raw: dict[str, Any], key: str, path: str) -> str:
    found = raw.get(key)
    if not isinstance(found, str) or not found.strip():
        raise _bad(f"{key} is a text", f"{path}.{key}")
    return found


def _table(raw: dict[str, Any], key: str, path: str | None = None) -> dict[str, Any]:
    found = raw.get(key)
    if not isinstance(found, dict):
        raise _bad(f"[{key}] is missing, or no table", path or key)
    return found


def _only(raw: dict[str, Any], known: set[str], path: str) -> None:
    for key in raw:
        if key not in known:
            raise _bad(f"{key} is not a member here", f"{path}.{key}".lstrip("."))


def _bad(what: str, path: str) -> InvalidInput:
    return InvalidInput("template.bad", what, do="mend the template", path=path)
