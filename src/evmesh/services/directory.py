"""What stands where: the site's connectors with their registry numbers, and what energy costs them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from evmesh.domain.chain import Contracts
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, ConnectorRef
from evmesh.domain.problem import SupplySegment
from evmesh.domain.station_code import code_of, counter_of
from evmesh.domain.stations import Connector
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.typed_data import Domain
from evmesh.domain.units import W
from evmesh.ports import Signer


@dataclass(frozen=True, slots=True)
class Place:
    """One connector as the public registry numbers it; `name` is its own on the site and in topics."""

    asset: int
    name: str
    connector: Connector
    deposit_address: Address

    @property
    def code(self) -> str:
        """What a driver types."""
        return code_of(self.asset)

    @property
    def meter(self) -> str:
        """The name of its meter in the notary's stream."""
        return f"{self.connector.evse_id}"


@dataclass(frozen=True, slots=True)
class Group:
    """The charge points behind one cabinet."""

    name: str
    capacity: W
    places: tuple[Place, ...]


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
    def meters(self) -> frozenset[str]:
        """The names of all meters that ever were ours: receipts outlast places."""
        return frozenset(place.meter for place in (*self.places, *self._retired.values()))


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
        """The EIP-712 domain of everything that is signed."""
        return Domain(self.contracts.chain_id, self.contracts.charge_tab)
