"""Every limit that the charge points of a group share: cables that nest, and the lines of a supply.

All of them are sums of the same powers: a cable carries the whole power of what hangs below it, a line
carries of each outlet what flows on that line. The one writer of limits keeps all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evmesh.domain.ids import ConnectorRef
from evmesh.domain.stations import Connector
from evmesh.domain.units import NOMINAL_VOLTAGE, Milliamp, W
from evmesh.services.courses import Course
from evmesh.services.directory import ALL_LINES, Group, Node, Place

ROOT = ""
"""The name of the group's own limit, which its caps lower."""


@dataclass(frozen=True, slots=True)
class Fuse:
    """What some charge points may draw together; `shares` says which part of an outlet's power it carries.

    A share of n is one n-th: of an outlet with three phases a line carries a third.
    """

    name: str
    capacity: W
    shares: Mapping[ConnectorRef, int]
    line: int | None = None

    def carried(self, ref: ConnectorRef, course: Course) -> Course:
        """Give what of a connector's power it carries, rounded up."""
        share = self.shares[ref]
        return (
            course if share == 1 else Course(tuple((at, -(-power // share)) for at, power in course.points))
        )

    def power(self, ref: ConnectorRef, room: int) -> W:
        """Give the power of a connector of which it carries so much."""
        return W(room * self.shares[ref])


def fuses_of(group: Group) -> tuple[Fuse, ...]:
    """Give a group's limits, its own first, then those of its cables and of their lines."""
    room = W(max(0, group.capacity - group.others))
    found = [Fuse(ROOT, room, {one.connector.ref: 1 for one in group.places})]
    found += _lines(ROOT, group, group, group.places)
    for node in group.nodes:
        below = [one for one in group.places if node.name in group.path(one)]
        room = W(max(0, node.capacity - sum(one.other for one in group.nodes_below(node.name))))
        found.append(Fuse(node.name, room, {one.connector.ref: 1 for one in below}))
        found += _lines(node.name, group, node, below)
    return tuple(one for one in found if one.shares or one.name == ROOT)


def _lines(name: str, group: Group, part: Group | Node, places: Sequence[Place]) -> list[Fuse]:
    """Give what each line of a part with such fuses has left beside other equipment on it and below it."""
    if part.per_line is None:
        return []
    found = []
    for line in ALL_LINES:
        loads = [one.connector for one in places if line in lines_of(one.connector)]
        shares = {one.ref: one.phases for one in loads}
        power = line_power(part.per_line, group.others_on(line, part.name))
        found.append(Fuse(f"{name}/L{line}", power, shares, line))
    return found


def line_power(fuse: Milliamp, others: W) -> W:
    """Give what a line with this fuse carries beside other equipment."""
    return W(max(0, fuse * NOMINAL_VOLTAGE // 1_000_000 - others))


def lines_of(connector: Connector) -> tuple[int, ...]:
    """Give the lines of the supply that an outlet loads, as it was installed.

    Where the site file does not say it of a single-phase one, no line has a limit, and any is as good.
    """
    if connector.lines:
        return connector.lines
    return (1, 2, 3) if connector.phases == 3 else (1 + connector.ref.connector % 3,)


def least_fits(fuses: tuple[Fuse, ...], connector: Connector, group: Group) -> bool:
    """Tell whether all that share a limit with a connector may draw the least that they can at once."""
    outlets = {one.connector.ref: one.connector for one in group.places}

    def least(ref: ConnectorRef, share: int) -> int:
        return -(-outlets[ref].least_power // share)

    behind = [fuse for fuse in fuses if connector.ref in fuse.shares]
    return all(
        sum(least(ref, share) for ref, share in fuse.shares.items()) <= fuse.capacity for fuse in behind
    )
