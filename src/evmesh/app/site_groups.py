"""What a site file says of a group's cables: floor, fuses of three lines, parts that nest, who hangs where.

```toml
[[group]]
name = "yard"
capacity_w = 40000
floor_w = 4200                  # what a grid operator's cap leaves each charge point ...
floor_rule = "section_14a"      # ... or all of them together, by § 14a EnWG; "each": floor_w for each
other_w = 2000                  # what other equipment takes on the group's own cable at most
other_lines = [1]               # the lines that it loads, each as much; left out: all three
first_day = "crowded"           # until a day of it is known, use at once what is there; else "roomy"

[group.load], [group.pv], [group.battery]   # what tells what it does: site_equipment.py

[[group.part]]
name = "north"
capacity_w = 22000
fuse_ma = 32000                 # the fuse of each line
[group.part.load], [group.part.pv], [group.part.battery]    # the same on a part's own cable
[[group.part]]
name = "kiosk"
inside = "north"
capacity_w = 8000

[[group.station]]
part = "kiosk"
```
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from evmesh.app.site_equipment import equipment_of, simulated_in
from evmesh.domain.caps import FloorRule, floor_of
from evmesh.domain.equipment import NO_EQUIPMENT, Equipment
from evmesh.domain.errors import InvalidInput
from evmesh.domain.stations import Connector
from evmesh.domain.units import Milliamp, W
from evmesh.services.directory import ALL_LINES, NOTHING, Node

_LEAST_FUSE_MA = 6_000


class TableReader(Protocol):
    """What is needed of the site file's reader."""

    def has(self, key: str) -> bool: ...

    def text(self, key: str) -> str: ...

    def number(self, key: str, least: int, most: int = ...) -> int: ...

    def flag(self, key: str) -> bool: ...

    def raw(self, key: str) -> object: ...

    def tables(self, key: str) -> "Sequence[TableReader]": ...

    def table(self, key: str) -> "TableReader": ...

    def bad(self, key: str, what: str) -> InvalidInput: ...


@dataclass(frozen=True, slots=True)
class Wiring:
    """A group's cables, as its operator describes them."""

    floor: W = NOTHING
    """Of each charge point; 0 where the site file names none."""
    rule: FloorRule = FloorRule.SECTION_14A
    per_line: Milliamp | None = None
    other: W = NOTHING
    is_crowded: bool = False
    parts: tuple[Node, ...] = ()
    equipment: Equipment = NO_EQUIPMENT
    simulated: frozenset[str] = frozenset()
    """The names of equipment that the simulation makes, at parts too."""
    other_lines: tuple[int, ...] = ALL_LINES
    balanced: W = NOTHING
    """What of `other` loads all three lines in any case."""

    @property
    def all_equipment(self) -> tuple[Equipment, ...]:
        """Give what hangs on the group's own cable, then what hangs on those of its parts."""
        return (self.equipment, *(part.equipment for part in self.parts))

    def floor_in_all(self, charge_points: int) -> W:
        """Give what a grid operator's cap leaves the group at least."""
        return floor_of(self.rule, self.floor, charge_points) if self.floor else W(0)


PLAIN = Wiring()


def wiring_of(reader: TableReader) -> Wiring:
    """Read a group's cables; raises InvalidInput with the path of the wrong entry."""
    rule = FloorRule.SECTION_14A
    if reader.has("floor_rule"):
        said = reader.text("floor_rule")
        if said not in set(FloorRule):
            raise reader.bad("floor_rule", f"floor_rule is one of {', '.join(FloorRule)}")
        rule = FloorRule(said)
    parts: list[Node] = []
    simulated = simulated_in(reader)
    for one in reader.tables("part") if reader.has("part") else ():
        parts.append(_part(one, parts))
        simulated |= simulated_in(one)
    wiring = Wiring(
        floor=W(reader.number("floor_w", 1)) if reader.has("floor_w") else NOTHING,
        rule=rule,
        per_line=_fuse(reader),
        other=W(reader.number("other_w", 0)) if reader.has("other_w") else NOTHING,
        is_crowded=_is_crowded(reader),
        parts=tuple(parts),
        equipment=equipment_of(reader),
        simulated=simulated,
        other_lines=_other_lines(reader),
    )
    if reader.text("name") in {part.name for part in parts}:
        raise reader.bad("part", "a part has another name than its group")
    return wiring


def _part(reader: TableReader, before: Sequence[Node]) -> Node:
    name = reader.text("name")
    if "/" in name:
        raise reader.bad("name", "the name of a part has no slash")
    if name in {one.name for one in before}:
        raise reader.bad("name", f"{name} stands twice among the parts of its group")
    inside = reader.text("inside") if reader.has("inside") else ""
    if inside and inside not in {one.name for one in before}:
        raise reader.bad("inside", f"no part {inside} stands before this one")
    capacity, other = reader.number("capacity_w", 0), 0
    if reader.has("other_w"):
        other = reader.number("other_w", 0, capacity)
    lines, equipment = _other_lines(reader), equipment_of(reader)
    return Node(name, inside, W(capacity), _fuse(reader), W(other), other_lines=lines, equipment=equipment)


def _other_lines(reader: TableReader) -> tuple[int, ...]:
    """Read which lines other equipment loads; all three where nothing is said."""
    said = reader.raw("other_lines")
    if said is None:
        return ALL_LINES
    lines = lines_of(said, len(said)) if isinstance(said, list) and said else None
    if lines is None:
        raise reader.bad("other_lines", "other_lines names one or more of 1, 2, 3, none twice")
    return lines


def _is_crowded(reader: TableReader) -> bool:
    said = reader.text("first_day") if reader.has("first_day") else "roomy"
    if said not in ("crowded", "roomy"):
        raise reader.bad("first_day", "first_day is crowded or roomy")
    return said == "crowded"


def _fuse(reader: TableReader) -> Milliamp | None:
    return Milliamp(reader.number("fuse_ma", _LEAST_FUSE_MA)) if reader.has("fuse_ma") else None


def part_of(reader: TableReader, wiring: Wiring) -> str:
    """Read which part a station hangs on; empty is the group itself."""
    if not reader.has("part"):
        return ""
    part = reader.text("part")
    if part not in {one.name for one in wiring.parts}:
        raise reader.bad("part", f"the group has no part {part}")
    return part


def check_lines(reader: TableReader, connector: Connector, part: str, wiring: Wiring) -> None:
    """Refuse an outlet of which it must be known which line it loads, and is not."""
    parts, way = {one.name: one for one in wiring.parts}, [wiring.per_line]
    while part:
        way.append(parts[part].per_line)
        part = parts[part].parent
    if any(fuse is not None for fuse in way) and connector.phases == 1 and not connector.lines:
        raise reader.bad("lines", "lines says which line of the supply this outlet loads, as [1], [2] or [3]")


def lines_of(lines: object, phases: int) -> tuple[int, ...] | None:
    """Give the lines of an outlet, in the order of its phases, L1 as 1; None where it is wrong."""
    if not isinstance(lines, list) or any(type(one) is not int for one in lines):
        return None
    found = tuple(lines)
    return found if len(found) == phases == len(set(found)) and set(found) <= {1, 2, 3} else None
