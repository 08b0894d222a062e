"""The site's EVSEs in the public registry: each registered once, its number kept by the chain."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from evmesh.app.config import SiteConfig
from evmesh.domain.asset_record import AssetRecord
from evmesh.domain.ids import Address
from evmesh.domain.stations import Connector
from evmesh.ledger.asset_words import AssetKind, ConnectorKind, Lifecycle, NewAsset
from evmesh.ledger.keys import deposit_signer
from evmesh.ledger.registry import AssetOwner
from evmesh.services.directory import Directory, Group, Place
from evmesh.store.places import PlaceBook

CODES = "codes.json"
"""In the data directory: each connector's code by its name."""


async def register_site(
    site: SiteConfig, owner: AssetOwner, operator_secret: bytes, meter_key: Address, change: int
) -> Directory:
    """Register what is not registered yet; give the places with their numbers.

    Where the site file says anything else than the registry, the registry follows: the record that is
    served must have the hash that it holds. `change` is a number that no earlier change had, say the
    newest block's.
    """

    async def registered(connector: Connector, deposit: Address, group: int) -> int:
        asset = new_asset(connector, group, deposit, meter_key)
        counter = await owner.register(asset, f"register:{connector.evse_id}")
        await _follow(owner, counter, asset, change)
        return counter

    return await directory_of(site, operator_secret, registered)


async def directory_of(
    site: SiteConfig, operator_secret: bytes, number_of: Callable[[Connector, Address, int], Awaitable[int]]
) -> Directory:
    """Give the site's places; `number_of` gives the registry's of a connector, its address and its group."""
    groups = []
    for number, group in enumerate(site.groups, 1):
        places = []
        for station in group.stations:
            for name, connector in station.connectors:
                deposit = deposit_signer(operator_secret, connector.evse_id).address
                counter = await number_of(connector, deposit, number)
                places.append(Place(counter, name, connector, deposit, station.part))
        wiring = group.wiring
        groups.append(
            Group(
                group.name,
                group.capacity,
                tuple(places),
                floor=wiring.floor_in_all(len(places)),
                floor_each=wiring.floor,
                per_line=wiring.per_line,
                nodes=wiring.parts,
                other=wiring.other,
                is_crowded=wiring.is_crowded,
                equipment=wiring.equipment,
                other_lines=wiring.other_lines,
                balanced=wiring.balanced,
            )
        )
    return Directory(tuple(groups))


async def say_where(owner: AssetOwner, url: str, change: int) -> None:
    """See that the registry has the URL at which our records and our API are."""
    if await owner.registry.base_url(owner.address) != url:
        await owner.set_base_url(url, f"base_url:{change}")


async def with_retired(directory: Directory, book: PlaceBook) -> Directory:
    """Note the places of today; give the directory that also knows those of earlier days."""
    await book.keep(directory.places)
    return Directory(tuple(directory.groups.values()), await book.all())


def new_asset(connector: Connector, group: int, deposit: Address, meter_key: Address) -> NewAsset:
    """Give a connector as the registry takes it."""
    return NewAsset(
        kind=AssetKind.EVSE,
        lifecycle=Lifecycle.IN_SERVICE,
        connector=ConnectorKind.TYPE_2_SOCKET,
        rating=connector.rating,
        group=group,
        deposit_address=deposit,
        latitude_udeg=connector.latitude_udeg,
        longitude_udeg=connector.longitude_udeg,
        price=connector.price,
        record_hash=sha256(asset_record(connector, meter_key)).digest(),
    )


def asset_record(connector: Connector, meter_key: Address) -> bytes:
    """Give the full record, `evmesh.asset/1`, whose hash the registry holds."""
    return AssetRecord(
        charge_point=connector.ref.station,
        connector=connector.ref.connector,
        evse_id=connector.evse_id,
        phases=connector.phases,
        max_current=connector.max_current,
        rating=connector.rating,
        meter=connector.evse_id.text,
        meter_key=meter_key,
        ocmf_key=connector.ocmf_key,
    ).encode()


def write_codes(data: Path, directory: Directory) -> None:
    """Print the stickers: `DIR/codes.json` has each connector's code by its name."""
    fresh = data / f"{CODES}.new"
    fresh.write_text(json.dumps({place.name: place.code for place in directory.places}, indent=2) + "\n")
    fresh.replace(data / CODES)


def read_codes(data: Path) -> dict[str, str]:
    """Read the stickers."""
    codes: dict[str, str] = json.loads((data / CODES).read_text())
    return codes


async def _follow(owner: AssetOwner, counter: int, asset: NewAsset, change: int) -> None:
    read = await owner.registry.read(counter)
    if read is None:
        return
    stored, record_hash = read
    wanted = asset.as_stored(owner.address)
    if record_hash != asset.record_hash or replace(stored, price=wanted.price) != wanted:
        await owner.update(counter, asset, f"update:{counter}:{change}")
    elif stored.price != wanted.price:
        await owner.set_price(counter, wanted.price, f"price:{counter}:{change}")
