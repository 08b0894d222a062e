"""How an asset is packed into the registry's words; the layout is frozen in `docs/formats.md`."""

from dataclasses import dataclass
from enum import IntEnum

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.units import W


class AssetKind(IntEnum):
    """What an asset is. 0 is nothing; others are reserved."""

    EVSE = 1
    PV_INVERTER = 2
    BATTERY = 3
    TRANSFORMER = 4
    HOUSEHOLD = 5
    VEHICLE = 6


class Lifecycle(IntEnum):
    """Whether an asset works; how it is this minute is telemetry."""

    PLANNED = 0
    IN_SERVICE = 1
    OUT_OF_SERVICE = 2
    RETIRED = 3


class ConnectorKind(IntEnum):
    """What a car plugs into (IEC 62196)."""

    NONE = 0
    TYPE_1 = 1
    TYPE_2_SOCKET = 2
    TYPE_2_CABLE = 3
    CCS_1 = 4
    CCS_2 = 5
    CHADEMO = 6
    SCHUKO = 7


@dataclass(frozen=True, slots=True)
class NewAsset:
    """What is registered of an asset. `group` is a number that the owner chooses, 0 for none."""

    kind: AssetKind
    lifecycle: Lifecycle
    connector: ConnectorKind
    rating: W
    group: int
    deposit_address: Address
    latitude_udeg: int
    longitude_udeg: int
    price: Price
    record_hash: bytes

    def as_stored(self, owner: Address) -> "StoredAsset":
        """Give what the registry would read once it holds this asset for `owner`."""
        return StoredAsset.read(facts_word(self) | int.from_bytes(owner.to_bytes(), "big"), place_word(self))


def facts_word(asset: NewAsset) -> int:
    """Give the facts word with an empty owner, which the contract fills in."""
    return (
        _checked(asset.kind, 8, "kind") << 160
        | _checked(asset.lifecycle, 8, "lifecycle") << 168
        | _checked(asset.connector, 8, "connector") << 176
        | _checked(asset.rating, 32, "rating") << 184
        | _checked(asset.group, 40, "group") << 216
    )


def place_word(asset: NewAsset) -> int:
    """Give the place word: position in microdegrees shifted to be unsigned, price in micro-currency."""
    latitude, longitude = asset.latitude_udeg + 90_000_000, asset.longitude_udeg + 180_000_000
    if not (0 <= latitude <= 180_000_000 and 0 <= longitude <= 360_000_000):
        raise InvalidInput("registry.no_such_place", "the position is not on earth", path="latitude_udeg")
    return (
        int.from_bytes(asset.deposit_address.to_bytes(), "big")
        | latitude << 160
        | longitude << 188
        | _checked(asset.price, 32, "price") << 217
    )


@dataclass(frozen=True, slots=True)
class StoredAsset:
    """The registry's words, read."""

    owner: Address
    kind: int
    lifecycle: int
    connector: int
    rating: W
    group: int
    deposit_address: Address
    latitude_udeg: int
    longitude_udeg: int
    price: Price

    @classmethod
    def read(cls, facts: int, place: int) -> "StoredAsset":
        """Unpack; numbers that this version has no name for stay numbers."""
        return cls(
            owner=_address(facts),
            kind=_bits(facts, 160, 8),
            lifecycle=_bits(facts, 168, 8),
            connector=_bits(facts, 176, 8),
            rating=W(_bits(facts, 184, 32)),
            group=_bits(facts, 216, 40),
            deposit_address=_address(place),
            latitude_udeg=_bits(place, 160, 28) - 90_000_000,
            longitude_udeg=_bits(place, 188, 29) - 180_000_000,
            price=Price(_bits(place, 217, 32)),
        )


def _bits(word: int, shift: int, size: int) -> int:
    return word >> shift & (1 << size) - 1


def _address(word: int) -> Address:
    return Address.from_bytes(_bits(word, 0, 160).to_bytes(20, "big"))


def _checked(value: int, size: int, path: str) -> int:
    if not 0 <= value < 1 << size:
        raise InvalidInput("registry.out_of_range", f"{value} does not fit into {size} bits", path=path)
    return value
