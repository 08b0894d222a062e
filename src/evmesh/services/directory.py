"""What stands where: the site's connectors with their registry numbers, and what energy costs them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from evmesh.domain.chain import Contracts
from evmesh.domain.equipment import NO_EQUIPMENT, Equipment
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, ConnectorRef
from evmesh.domain.problem import SupplySegment
from evmesh.domain.station_code import code_of, counter_of
from evmesh.domain.stations import Connector
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.typed_data import Domain
from evmesh.domain.units import Milliamp, W
from evmesh.ports import Signer

NOTHING = W(0)
ALL_LINES = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Place:
    """One connector as the public registry numbers it; `name` is its own on the site and in topics."""

    asset: int
    name: str
    connector: Connector
    deposit_address: Address
    node: str = ""
    """The part of the group that it hangs on; empty is the group itself."""

    @property
    def code(self) -> str:
        """What a driver types."""
        return code_of(self.asset)

    @property
    def meter(self) -> str:
        """The name of its meter in the notary's stream."""
        return f"{self.connector.evse_id}"


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a group with a cable of its own: a cabinet on a feeder, a feeder of a transformer."""

    name: str
    parent: str
    """The part that it hangs on; empty is the group itself."""
    capacity: W
    per_line: Milliamp | None = None
    """The fuse of each of its three lines."""
    other: W = NOTHING
    """What other equipment takes on it at most, as the site file says."""
    other_lines: tuple[int, ...] = ALL_LINES
    """The lines that other equipment loads, each of them as much."""
    balanced: W = NOTHING
    """What of `other` loads all three lines in any case: chargers that are looked at, a battery."""
    equipment: Equipment = NO_EQUIPMENT
    """What on it tells what it does."""


@dataclass(frozen=True, slots=True)
class Group:
    """The charge points behind one cabinet, or behind several that hang on one another."""

    name: str
    capacity: W
    places: tuple[Place, ...]
    floor: W = NOTHING
    """What a grid operator's cap leaves it at least."""
    floor_each: W = NOTHING
    """What a grid operator's cap leaves each charge point at least."""
    taken: W = NOTHING
    """What of the capacity flows where nobody can steer it."""
    is_capped: bool = True
    """Caps hold; False looks at it as if nobody had set one."""
    per_line: Milliamp | None = None
    """The fuse of each of its three lines."""
    nodes: tuple[Node, ...] = ()
    """Its parts, each after the one that it hangs on."""
    other: W = NOTHING
    """What other equipment takes at most on the group itself."""
    is_crowded: bool = False
    """Until a day of it is known, newcomers are thought to want all that it has."""
    equipment: Equipment = NO_EQUIPMENT
    """What on its own cable tells what it does."""
    other_lines: tuple[int, ...] = ALL_LINES
    """The lines that other equipment on its own cable loads, each of them as much."""
    balanced: W = NOTHING
    """What of `other` loads all three lines in any case: chargers that are looked at, a battery."""

    @property
    def others(self) -> W:
        """What other equipment takes at most, on the group itself and on all of its parts."""
        return W(self.other + sum(node.other for node in self.nodes))

    @property
    def counted(self) -> tuple[W, ...]:
        """What other equipment is counted with at each level, on all lines in any case and in all."""
        return tuple(power for one in self.levels for power in (one.balanced, one.other))

    @property
    def levels(self) -> "tuple[Group | Node, ...]":
        """The group itself, then its parts, each after the one that it hangs on."""
        return (self, *self.nodes)

    def at_or_below(self, name: str) -> "tuple[Group | Node, ...]":
        """Give a part and all that hang on it; the whole group by its own name."""
        return self.levels if name == self.name else self.nodes_below(name)

    def others_on(self, line: int, name: str) -> W:
        """Give what other equipment loads one line of a part with, its own and that of all below it."""
        return W(sum(_on_line(one, line) for one in self.at_or_below(name)))

    def path(self, place: Place) -> tuple[str, ...]:
        """Give the parts on the way from a place up to the group itself, the nearest first."""
        parents = {node.name: node.parent for node in self.nodes}
        found, at = [], place.node
        while at:
            found.append(at)
            at = parents[at]
        return tuple(found)

    def nodes_below(self, name: str) -> tuple[Node, ...]:
        """Give a part and all that hang on it."""
        below = {name}
        found = []
        for node in self.nodes:
            if node.name in below or node.parent in below:
                below.add(node.name)
                found.append(node)
        return tuple(found)


def _on_line(one: Group | Node, line: int) -> int:
    """Give what a level's own other equipment takes of one line, rounded up."""
    rest = max(0, one.other - one.balanced)
    uneven = -(-rest // len(one.other_lines)) if line in one.other_lines else 0
    return -(-one.balanced // len(ALL_LINES)) + uneven


Supply = Callable[[Group, TimeGrid], tuple[SupplySegment, ...]]
"""What a group can draw in each step, and at what price."""


class Directory:
    """Finds places by what a driver, a station or the registry calls them.

    `retired` are places of earlier days that the site file no longer has: nobody is offered one, but
    their sessions end, are paid and are shown.
    """

    def __init__(self, groups: tuple[Group, ...], retired: Iterable[Place] = ()) -> None:
        self.groups: Mapping[str, Group] = {group.name: group for group in groups}
        self.places = tuple(place for group in groups for place in group.places)
        self._by_asset = {place.asset: place for place in self.places}
        self._retired = {
            place.asset: replace(place, connector=replace(place.connector, group=""))
            for place in retired
            if place.asset not in self._by_asset
        }
        self._by_ref = {place.connector.ref: place for place in self.places}
        self.stations = frozenset(place.connector.ref.station for place in self.places)

    def by_code(self, code: str) -> Place:
        """Find what a driver typed; raises InvalidInput where it is mistyped or not ours."""
        place = self._by_asset.get(counter_of(code))
        if place is None:
            raise InvalidInput(
                "station.unknown_code",
                f"no charge point of this operator has the code {code[:20]}",
                do="compare the code with the charge point",
            )
        return place

    def by_ref(self, ref: ConnectorRef) -> Place | None:
        """Find a connector by its station's own count."""
        return self._by_ref.get(ref)

    def by_asset(self, asset: int) -> Place:
        """Find a connector that a session of ours is at; a retired one belongs to the group ""."""
        return self._by_asset.get(asset) or self._retired[asset]

    @property
    def all_places(self) -> tuple[Place, ...]:
        """Give the places of today and those of earlier days."""
        return (*self.places, *self._retired.values())

    @property
    def meters(self) -> frozenset[str]:
        """The names of all meters that ever were ours: receipts outlast places."""
        return frozenset(place.meter for place in self.all_places)


@dataclass(frozen=True, slots=True)
class Operator:
    """Who runs the site: the keys it signs with, and where its contracts are."""

    payee: Signer
    gateway: Signer
    notary: Address
    contracts: Contracts
    min_deposit: int = 0
    """Token units below which its relayer sends no deposit: that would not be worth the gas."""

    @property
    def domain(self) -> Domain:
        """The EIP-712 domain of all that is signed but what binds another money than the site's own."""
        return Domain(self.contracts.chain_id, self.contracts.charge_tab)
