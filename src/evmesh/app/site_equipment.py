"""What a site file says of the equipment beside a group's charge points.

```toml
[[group]]
other_w = 6000             # what other equipment takes at most: for promises, whatever the meter says

[group.load]               # the meter of that equipment
name = "hall-meter"        # publishes PowerOutput under chargers/hall-meter/…
headroom_w = 3000          # optional: counted above what is measured, instead of all of other_w

[group.pv]
name = "hall-roof"         # publishes GeneratedPower
peak_w = 20000
feed_in_price = 80000      # micro-currency: what a kWh earns that nobody takes

[group.battery]
name = "hall-battery"      # publishes BatteryPower and StateOfCharge, takes set/BatteryPower
capacity_wh = 20000
max_in_w = 8000
max_out_w = 8000
efficiency_per_mille = 920 # of 1,000 Wh that went in, so many come out
keep_wh = 4000             # optional: what cars leave in it, where it has so much
```

All of it hangs on the group's own cable. A part of a group may have the same on its own: `[group.part.load]`
and so on, after its `[[group.part]]`. A gateway somewhere publishes it; or, with `simulated = true`, the
simulation makes the device and a gateway of the platform's own reads it.
"""

import re
from typing import Final, Protocol

from evmesh.domain.equipment import NO_EQUIPMENT, Equipment, LoadMeter, Pv, StationaryBattery
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.problem_tree import LOSSLESS, MAX_PRICE
from evmesh.domain.units import W, Wh

_NAME: Final = re.compile(r"[a-z0-9-]{1,64}")
_MOST_W: Final = 10_000_000
_MOST_WH: Final = 100_000_000
_KEYS: Final = ("load", "pv", "battery")


class TableReader(Protocol):
    """What is needed of the site file's reader."""

    def has(self, key: str) -> bool: ...

    def text(self, key: str) -> str: ...

    def number(self, key: str, least: int, most: int = ...) -> int: ...

    def flag(self, key: str) -> bool: ...

    def table(self, key: str) -> "TableReader": ...

    def bad(self, key: str, what: str) -> InvalidInput: ...


def equipment_of(reader: TableReader) -> Equipment:
    """Read a group's or a part's equipment; raises InvalidInput with the path of the wrong entry."""
    if not any(reader.has(key) for key in _KEYS):
        return NO_EQUIPMENT
    equipment = Equipment(
        pv=_pv(reader.table("pv")) if reader.has("pv") else None,
        load=_load(reader, reader.table("load")) if reader.has("load") else None,
        battery=_battery(reader.table("battery")) if reader.has("battery") else None,
    )
    if len(set(equipment.names)) != len(equipment.names):
        raise reader.bad("name", "load, pv and battery have names of their own")
    return equipment


def simulated_in(reader: TableReader) -> frozenset[str]:
    """Give the names of the equipment that the simulation makes."""
    tables = [reader.table(key) for key in _KEYS if reader.has(key)]
    return frozenset(one.text("name") for one in tables if one.flag("simulated"))


def _pv(reader: TableReader) -> Pv:
    feed_in = Price(reader.number("feed_in_price", -MAX_PRICE, MAX_PRICE))
    return Pv(_name(reader), W(reader.number("peak_w", 1, _MOST_W)), feed_in)


def _load(group: TableReader, reader: TableReader) -> LoadMeter:
    if not group.has("other_w"):
        what = "other_w says what the metered equipment takes at most: no promise waits for its meter"
        raise group.bad("other_w", what)
    headroom = W(reader.number("headroom_w", 0, _MOST_W)) if reader.has("headroom_w") else None
    return LoadMeter(_name(reader), W(group.number("other_w", 0)), headroom)


def _battery(reader: TableReader) -> StationaryBattery:
    return StationaryBattery(
        _name(reader),
        Wh(reader.number("capacity_wh", 1, _MOST_WH)),
        W(reader.number("max_in_w", 0, _MOST_W)),
        W(reader.number("max_out_w", 0, _MOST_W)),
        reader.number("efficiency_per_mille", 1, LOSSLESS),
        Wh(reader.number("keep_wh", 0, _MOST_WH)) if reader.has("keep_wh") else Wh(0),
    )


def _name(reader: TableReader) -> str:
    name = reader.text("name")
    if not _NAME.fullmatch(name):
        raise reader.bad("name", "a name in topics has 1 to 64 of a-z, 0-9 and -")
    return name
