"""What a site file says of stations without OCPP: built from parts, or a Mennekes that is only looked at.

```toml
[[group.station]]
kind = "parts"                      # a station with one connector, driven from here and billed by its meter
id = "WS-PARTS"
vendor = "evmesh"
model = "SmartEVSE and a meter"
serial = "WS1"
lamp = "/sys/class/leds/rgb:status" # may be left out
controller = { driver = "smartevse-3", line = "/dev/ttyUSB0", unit = 2 }
meter = { driver = "eastron-sdm630", line = "tcp://10.0.0.5:502", unit = 1 }
contactor = { line = "/dev/ttyUSB0", unit = 3, coil = 0 }    # which a smartevse-2 needs

[[group.station]]
kind = "mennekes"                   # read by a gateway; its rating is kept free, nothing at it is billed
id = "amtron-1"                     # and so its values are named: lower case
vendor = "Mennekes"
model = "Amtron Xtra 11"
serial = "1"
rating_w = 11040
host = "10.0.0.21"
key_file = "amtron.pin"             # beside this file: one line, the APP-PIN
```

With `simulated = true` either has no lines, lamp, host and key: the simulation makes the hardware.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from evmesh.app.site_groups import Wiring, part_of
from evmesh.domain.errors import InvalidInput
from evmesh.domain.stations import BootInfo
from evmesh.domain.units import MIN_CURRENT, Milliamp, W
from evmesh.edge.parts_config import CoilAt, PartAt
from evmesh.edge.template import load_template

OCPP: Final = "ocpp"
PARTS: Final = "parts"
MENNEKES: Final = "mennekes"
KINDS: Final = (OCPP, PARTS, MENNEKES)

SMARTEVSE2: Final = "smartevse-2"
LEAST_CURRENTS: Final = {SMARTEVSE2: Milliamp(10_000), "smartevse-3": MIN_CURRENT}
"""Pilot controllers, and the least current that each can offer (docs/devices)."""

SIMULATED_METERS: Final = ("eastron-sdm630", "gavazzi-em340")
"""On pseudo-terminals, which have no parity: an ABB B23 wants an even one."""

MHCP_PORT: Final = 25_000
_MOST_PORT: Final = 65_535
_MOST_UNIT: Final = 255
_MOST_COIL: Final = 65_535
_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_ONLY_REAL: Final = ("line", "lamp", "host", "port", "key_file")
"""What is known of hardware that the simulation makes, and is therefore not said."""


@dataclass(frozen=True, slots=True)
class MadeOf:
    """What a station is built from; lines are empty where it is simulated."""

    controller: PartAt
    meter: PartAt
    contactor: CoilAt | None = None
    lamp: str = ""
    """A directory of Linux's multicolor class; empty without a lamp."""
    simulated: bool = False

    @property
    def has_own_line(self) -> bool:
        """The controller has a serial line of its own, and is no unit on a Modbus line."""
        return self.controller.driver == SMARTEVSE2

    @property
    def least_current(self) -> Milliamp:
        """The least current that its controller can offer."""
        return LEAST_CURRENTS[self.controller.driver]


@dataclass(frozen=True, slots=True)
class ObservedConfig:
    """A charger that is read by a gateway, and neither started nor billed by us."""

    name: str
    info: BootInfo
    rating: W
    part: str = ""
    """The part of its group that it hangs on; empty is the group itself."""
    host: str = ""
    port: int = MHCP_PORT
    key_file: Path | None = None
    simulated: bool = False


class PartsReader(Protocol):
    """What is needed of the site file's reader."""

    def has(self, key: str) -> bool: ...

    def text(self, key: str) -> str: ...

    def number(self, key: str, least: int, most: int = ...) -> int: ...

    def file_name(self, key: str) -> str: ...

    def flag(self, key: str) -> bool:
        """Give true or false; false where nothing is said."""

    def raw(self, key: str) -> object: ...

    def table(self, key: str) -> "PartsReader": ...

    def tables(self, key: str) -> "Sequence[PartsReader]": ...

    def bad(self, key: str, what: str) -> InvalidInput: ...


def kind_of(reader: PartsReader) -> str:
    """Give what kind of station a table describes; raises InvalidInput for an unknown one."""
    kind = reader.text("kind") if reader.has("kind") else OCPP
    if kind not in KINDS:
        raise reader.bad("kind", f"kind is one of {', '.join(KINDS)}")
    return kind


def made_of(reader: PartsReader) -> MadeOf:
    """Read what a station is built from; raises InvalidInput with the path of the wrong entry."""
    simulated = _is_simulated(reader)
    controller = _part(reader.table("controller"), simulated)
    if controller.driver not in LEAST_CURRENTS:
        raise reader.bad("controller.driver", f"driver is one of {', '.join(LEAST_CURRENTS)}")
    meter = _part(reader.table("meter"), simulated)
    _check_meter(reader, meter, simulated)
    contactor = _coil(reader.table("contactor"), simulated) if reader.has("contactor") else None
    if contactor is None and controller.driver == SMARTEVSE2:
        raise reader.bad("contactor", f"a {SMARTEVSE2} always offers a current: put a contactor behind it")
    lamp = reader.file_name("lamp") if reader.has("lamp") else ""
    made = MadeOf(controller, meter, contactor, lamp, simulated)
    _check_units(reader, made)
    return made


def observed(reader: PartsReader, wiring: Wiring, beside: Path) -> ObservedConfig:
    """Read a charger that is only looked at; raises InvalidInput with the path of the wrong entry."""
    name = reader.text("id")
    if not _NAME.fullmatch(name):
        raise reader.bad("id", "the id of a charger that is read has lower-case letters, digits and hyphens")
    if reader.has("connector"):
        raise reader.bad("connector", "nothing is billed by what such a charger says: it has no connectors")
    simulated = _is_simulated(reader)
    return ObservedConfig(
        name,
        BootInfo(reader.text("vendor"), reader.text("model"), reader.text("serial"), ""),
        W(reader.number("rating_w", 1)),
        part_of(reader, wiring),
        host="" if simulated else reader.text("host"),
        port=reader.number("port", 1, _MOST_PORT) if reader.has("port") else MHCP_PORT,
        key_file=None if simulated else beside / reader.file_name("key_file"),
        simulated=simulated,
    )


def with_observed(wiring: Wiring, chargers: Sequence[ObservedConfig]) -> Wiring:
    """Keep room for chargers that nobody steers: each may draw its rating at any time."""
    if not chargers:
        return wiring
    taken = {part: sum(one.rating for one in chargers if one.part == part) for part in ("", *_names(wiring))}
    parts = tuple(
        replace(one, other=W(one.other + taken[one.name]), balanced=W(one.balanced + taken[one.name]))
        for one in wiring.parts
    )
    other, balanced = W(wiring.other + taken[""]), W(wiring.balanced + taken[""])
    return replace(wiring, other=other, balanced=balanced, parts=parts)


def _names(wiring: Wiring) -> tuple[str, ...]:
    return tuple(one.name for one in wiring.parts)


def _is_simulated(reader: PartsReader) -> bool:
    if not reader.flag("simulated"):
        return False
    for key in _ONLY_REAL:
        if reader.has(key):
            raise reader.bad(key, f"{key} is not said of simulated hardware")
    return True


def _part(reader: PartsReader, simulated: bool) -> PartAt:
    unit = reader.number("unit", 0, _MOST_UNIT) if reader.has("unit") else None
    return PartAt(reader.text("driver"), _line(reader, simulated), unit)


def _coil(reader: PartsReader, simulated: bool) -> CoilAt:
    coil = reader.number("coil", 0, _MOST_COIL) if reader.has("coil") else 0
    return CoilAt(_line(reader, simulated), reader.number("unit", 0, _MOST_UNIT), coil)


def _line(reader: PartsReader, simulated: bool) -> str:
    if not simulated:
        return reader.file_name("line")
    if reader.has("line"):
        raise reader.bad("line", "line is not said of simulated hardware")
    return ""


def _check_units(reader: PartsReader, made: MadeOf) -> None:
    units = [("meter", made.meter.line, unit_of(made.meter))]
    if not made.has_own_line:
        units.append(("controller", made.controller.line, unit_of(made.controller)))
    if made.contactor is not None:
        units.append(("contactor", made.contactor.line, made.contactor.unit))
    for number, (name, *place) in enumerate(units):
        if place in ([line, unit] for _, line, unit in units[:number]):
            raise reader.bad(f"{name}.unit", f"two parts on one line have the unit {place[1]}")


def unit_of(part: PartAt) -> int:
    """Give a part's Modbus unit, its template's where the site file does not say it."""
    return load_template(part.driver).line.unit if part.unit is None else part.unit


def _check_meter(reader: PartsReader, meter: PartAt, simulated: bool) -> None:
    try:
        kind = load_template(meter.driver).kind
    except InvalidInput as error:
        raise reader.bad("meter.driver", error.what) from error
    if kind != "meter":
        raise reader.bad("meter.driver", f"{meter.driver} is no meter")
    if simulated and meter.driver not in SIMULATED_METERS:
        raise reader.bad("meter.driver", f"simulated are {', '.join(SIMULATED_METERS)}")
