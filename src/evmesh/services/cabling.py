"""A group's cables as the planner sees them: parts that nest, and lines of a supply, as a tree.

Cables that nest are a tree as they stand. Three lines are one only where no outlet loads more than one of
them. Where outlets with one phase and with three hang on the same fuses, each line is divided: so much of
it, the same on each, for those with three phases, the rest for its own. A plan that keeps to a division
keeps to the fuses; which division is best the planner tries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evmesh.domain.ids import ConnectorRef
from evmesh.domain.problem import SupplySegment
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.problem_tree_groups import Group as TreeGroup
from evmesh.domain.stations import Connector
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import (
    MIN_CURRENT,
    NOMINAL_VOLTAGE,
    Milliamp,
    W,
    energy_from_watts,
    watts_from_current,
)
from evmesh.planning.reserve import reserve_wh
from evmesh.services.directory import Group, Place
from evmesh.services.fuses import lines_of

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
    others = energy_from_watts(group.other, grid.step_s), energy_from_watts(group.others, grid.step_s)
    root = TreeGroup(group.name, None, tuple(wh + others[1] for wh in whole), (others[0],) * grid.steps)
    found = []
    for part in range(DIVISIONS + 1) if _is_divided(group) else (0,):
        cables = _cables(group, part)
        below = [root, *(_tree_group(one, group, grid, strays, keeps_reserve) for one in cables)]
        found.append(TreeShape(tuple(below), {id: _leaf(group, place) for id, place in places.items()}))
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


def _is_divided(group: Group) -> bool:
    return any(
        fuse is not None and len({one.phases for one in _at(group, name)}) > 1
        for name, _, _, fuse, _ in _parts(group)
    )


def _leaf(group: Group, place: Place) -> str:
    """Give the group of the tree that a place's requests are at."""
    name = place.node or group.name
    fuse = next(fuse for part, _, _, fuse, _ in _parts(group) if part == name)
    if fuse is not None:
        phases = place.connector.phases
        return f"{name}/3" if phases == 3 else f"{name}/L{lines_of(place.connector)[0]}"
    return f"{name}/own" if _has_inside(group, name) else name


def _cables(group: Group, part: int) -> list[_Cable]:
    """Give all groups of the tree but the root, each after the one that it hangs on."""
    found = []
    for name, parent, power, fuse, other in _parts(group):
        own = _at(group, name)
        if parent is not None:
            names = {one.name for one in group.nodes_below(name)}
            below = tuple(one.connector for one in group.places if one.node in names)
            found.append(_Cable(name, parent, power, other, below))
        if fuse is not None:
            found += _line_cables(name, own, fuse, part)
        elif own and _has_inside(group, name):
            found.append(_Cable(f"{name}/own", name, power, W(0), tuple(own)))
    return found


def _line_cables(name: str, outlets: Sequence[Connector], fuse: Milliamp, part: int) -> list[_Cable]:
    line = W(fuse * NOMINAL_VOLTAGE // 1_000_000)
    of_three = [one for one in outlets if one.phases == 3]
    of_one = [one for one in outlets if one.phases == 1]
    shared = W(line * part // DIVISIONS) if of_three and of_one else line if of_three else W(0)
    found = [_Cable(f"{name}/3", name, W(3 * shared), W(0), tuple(of_three))] if of_three else []
    for number in sorted({lines_of(one)[0] for one in of_one}):
        own = tuple(one for one in of_one if lines_of(one)[0] == number)
        found.append(_Cable(f"{name}/L{number}", name, W(line - shared), W(0), own))
    return found


def _tree_group(
    cable: _Cable, group: Group, grid: TimeGrid, strays: frozenset[ConnectorRef], keeps_reserve: bool
) -> TreeGroup:
    nodes = {one.name for one in group.nodes_below(cable.id)}
    other = sum(one.other for one in group.nodes if one.name in nodes)
    taken = sum(one.rating for one in cable.outlets if one.ref in strays)
    free = W(max(0, cable.power - other - taken))
    wh = energy_from_watts(free, grid.step_s)
    if keeps_reserve and cable.outlets:
        least = max(watts_from_current(MIN_CURRENT, one.phases) for one in cable.outlets)
        kept_back = reserve_wh(wh, free, [one.rating for one in cable.outlets], least)
        wh = type(wh)(max(0, wh - kept_back))
    carried = wh + energy_from_watts(W(other), grid.step_s)
    here = energy_from_watts(cable.other, grid.step_s)
    return TreeGroup(cable.id, cable.parent, (carried,) * grid.steps, (here,) * grid.steps)
