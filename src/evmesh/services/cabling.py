"""A group's cables as the planner sees them: parts that nest, and lines of a supply, as a tree.

Cables that nest are a tree as they stand. Three lines are one only where no outlet loads more than one of
them. Where outlets with one phase and with three hang on the same fuses, each line is divided: so much of
it, the same on each, for those with three phases, the rest for its own. A plan that keeps to a division
keeps to the fuses; which division is best the planner tries.

Where a part with fuses has parts inside, lines nest instead of parts: the lines of each inner part hang on
those of the part around it, and what its cable carries in all is divided among them. That is careful where
an inner cable carries less than its lines would; the control loop keeps to what each really carries
(`fuses.py`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evmesh.domain.ids import ConnectorRef
from evmesh.domain.problem import SupplySegment
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.problem_tree_groups import Group as TreeGroup
from evmesh.domain.stations import Connector
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Milliamp, W, energy_from_watts
from evmesh.planning.reserve import reserve_wh
from evmesh.services.directory import ALL_LINES, Group, Place
from evmesh.services.fuses import line_power, lines_of

DIVISIONS = 8
"""Of a line, into so many parts it may be divided between outlets with one phase and with three."""


@dataclass(frozen=True, slots=True)
class _Cable:
    """One group of the tree: where it hangs, what it carries, which outlets hang below it."""

    id: str
    parent: str | None
    power: W
    other: W
    outlets: tuple[Connector, ...]


def has_cables(group: Group) -> bool:
    """Tell whether a group is more than one limit for all of its charge points."""
    return bool(group.nodes) or group.per_line is not None


def shapes_of(
    group: Group,
    grid: TimeGrid,
    supply: Sequence[SupplySegment],
    places: Mapping[str, Place],
    strays: frozenset[ConnectorRef],
    *,
    keeps_reserve: bool,
) -> list[TreeShape]:
    """Give the trees that a group's supply may go through: one, or one for each division of its lines.

    `places` is where each request of the problem stands, by its id; `strays` draw where nobody steers them.
    With `keeps_reserve` no cable is promised to the last Wh (`planning/reserve.py`).
    """
    whole = [0] * grid.steps
    for one in supply:
        whole[one.step] += one.cap_wh
    here = group.others if group.name in _fused(group) else group.other  # else it is at the parts
    others = energy_from_watts(here, grid.step_s), energy_from_watts(group.others, grid.step_s)
    root = TreeGroup(group.name, None, tuple(wh + others[1] for wh in whole), (others[0],) * grid.steps)
    found = []
    for part in range(DIVISIONS + 1) if _is_divided(group) else (0,):
        cables = _cables(group, part)
        below = [root, *(_tree_group(one, group, grid, strays, keeps_reserve) for one in cables)]
        found.append(TreeShape(tuple(below), {id: leaf_of(group, place) for id, place in places.items()}))
    return found


def _parts(group: Group) -> list[tuple[str, str | None, W, Milliamp | None, W]]:
    """Give the group itself, then its parts: name, parent, power, fuse of a line, other equipment."""
    own = [(group.name, None, group.capacity, group.per_line, group.other)]
    return own + [
        (one.name, one.parent or group.name, one.capacity, one.per_line, one.other) for one in group.nodes
    ]


def _at(group: Group, name: str) -> list[Connector]:
    """Give the outlets that hang directly on a part."""
    return [one.connector for one in group.places if (one.node or group.name) == name]


def _has_inside(group: Group, name: str) -> bool:
    return any((one.parent or group.name) == name for one in group.nodes)


def _below(group: Group, name: str) -> list[tuple[str, list[Connector]]]:
    """Give a part and all parts inside it, the outer ones first, with the outlets at each of them."""
    inside = [one.name for one in (group.nodes if name == group.name else group.nodes_below(name))]
    return [(one, _at(group, one)) for one in dict.fromkeys([name, *inside])]


def _outlets_below(group: Group, name: str) -> list[Connector]:
    return [outlet for _, outlets in _below(group, name) for outlet in outlets]


def _fused(group: Group) -> list[str]:
    """Give the parts with fuses of lines that are inside no other such part."""
    found: list[str] = []
    inside: set[str] = set()
    for name, _, _, fuse, _ in _parts(group):
        if fuse is not None and name not in inside:
            found.append(name)
            inside |= {one for one, _ in _below(group, name)}
    return found


def _is_divided(group: Group) -> bool:
    return any(len({one.phases for one in _outlets_below(group, name)}) > 1 for name in _fused(group))


def _kind(outlet: Connector) -> str:
    """Name the lines that an outlet loads: all three, or one of them."""
    return "3" if outlet.phases == 3 else f"L{lines_of(outlet)[0]}"


def leaf_of(group: Group, place: Place) -> str:
    """Give the group of the tree that a place's requests are at."""
    name, kind = place.node or group.name, _kind(place.connector)
    inside = [one for _, outlets in _below(group, name)[1:] for one in outlets]
    if any(name in (one for one, _ in _below(group, top)) for top in _fused(group)):
        return f"{name}/{kind}/own" if any(_kind(one) == kind for one in inside) else f"{name}/{kind}"
    return f"{name}/own" if _has_inside(group, name) else name


def _cables(group: Group, part: int) -> list[_Cable]:
    """Give all groups of the tree but the root, each after the one that it hangs on."""
    found = []
    fused = _fused(group)
    by_line = {one for name in fused for one, _ in _below(group, name)}
    for name, parent, power, _, other in _parts(group):
        own = _at(group, name)
        if name in by_line and name not in fused:
            continue  # its lines hang on those of the part that it is inside
        if parent is not None:
            below = group.nodes_below(name)
            outlets = tuple(outlet for outlet in _outlets_below(group, name))
            here = W(sum(one.other for one in below)) if name in fused else other
            found.append(_Cable(name, parent, power, here, outlets))
        if name in fused:
            found += _line_cables(group, name, part)
        elif own and _has_inside(group, name):
            found.append(_Cable(f"{name}/own", name, power, W(0), tuple(own)))
    return found


def _line_cables(group: Group, top: str, part: int) -> list[_Cable]:
    """Give the lines of a part with fuses, and on each of them those of the parts inside it."""
    found = []
    for kind in ("3", "L1", "L2", "L3"):
        for name, own in _below(group, top):
            below = [one for one in _outlets_below(group, name) if _kind(one) == kind]
            if not below:
                continue
            parent = next(above for one, above, *_ in _parts(group) if one == name)
            power = _line_power(group, name, kind, part, is_top=name == top)
            on = top if name == top else f"{parent}/{kind}"
            found.append(_Cable(f"{name}/{kind}", on, power, W(0), tuple(below)))
            mine = tuple(one for one in own if _kind(one) == kind)
            if mine and len(mine) < len(below):
                found.append(_Cable(f"{name}/{kind}/own", f"{name}/{kind}", power, W(0), mine))
    return found


def _line_power(group: Group, name: str, kind: str, part: int, *, is_top: bool) -> W:
    """Give what a part's line carries for outlets of one kind, beside other equipment on it.

    What a part inside carries in all is divided among the lines that its outlets load. Those with three
    phases have as much of each line as the one has that other equipment loads most.
    """
    _, _, power, fuse, _ = next(one for one in _parts(group) if one[0] == name)
    kinds = {_kind(one) for one in _outlets_below(group, name)}
    lines = len(ALL_LINES) if "3" in kinds else len(kinds)

    def carried(line: int) -> int:
        whole = power if fuse is None else line_power(fuse, group.others_on(line, name))
        if is_top:
            return whole
        others = sum(one.other for one in group.nodes_below(name))
        return min(whole, max(0, power - others) // lines)

    least = min(carried(line) for line in ALL_LINES)
    shared = 0 if "3" not in kinds else least if kinds == {"3"} else least * part // DIVISIONS
    return W(3 * shared) if kind == "3" else W(carried(int(kind[1:])) - shared)


def _tree_group(
    cable: _Cable, group: Group, grid: TimeGrid, strays: frozenset[ConnectorRef], keeps_reserve: bool
) -> TreeGroup:
    nodes = {one.name for one in group.nodes_below(cable.id)}
    other = sum(one.other for one in group.nodes if one.name in nodes)
    taken = sum(one.rating for one in cable.outlets if one.ref in strays)
    free = W(max(0, cable.power - other - taken))
    wh = energy_from_watts(free, grid.step_s)
    if keeps_reserve and cable.outlets:
        least = max(one.least_power for one in cable.outlets)
        kept_back = reserve_wh(wh, free, [one.rating for one in cable.outlets], least)
        wh = type(wh)(max(0, wh - kept_back))
    carried = wh + energy_from_watts(W(other), grid.step_s)
    here = energy_from_watts(cable.other, grid.step_s)
    return TreeGroup(cable.id, cable.parent, (carried,) * grid.steps, (here,) * grid.steps)
