"""Every place that was ever registered, so that its sessions are known when the site has lost it."""

from collections.abc import Iterable

from sqlalchemy import RowMapping, delete, insert, select

from evmesh.domain.ids import Address, ConnectorRef, EvseId, StationId
from evmesh.domain.money import Price
from evmesh.domain.stations import Connector
from evmesh.domain.units import Milliamp, W
from evmesh.services.directory import Place
from evmesh.store import schema
from evmesh.store.database import Database


class PlaceBook:
    """Places by their registry numbers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, places: Iterable[Place]) -> None:
        """Store these as they are now; others stay as they were."""
        table = schema.places
        async with self._database.begin() as unit:
            for place in places:
                await unit.execute(delete(table).where(table.c.asset == place.asset))
                await unit.execute(insert(table).values(_row_of(place)))

    async def all(self) -> list[Place]:
        """Give every place that was ever kept; which group it belonged to is forgotten."""
        async with self._database.begin() as unit:
            rows = await unit.execute(select(schema.places).order_by(schema.places.c.asset))
            return [_place_of(row) for row in rows.mappings()]


def _row_of(place: Place) -> dict[str, int | str]:
    connector = place.connector
    return {
        "asset": place.asset,
        "name": place.name,
        "station": connector.ref.station.text,
        "connector": connector.ref.connector,
        "evse_id": connector.evse_id.text,
        "rating_w": connector.rating,
        "phases": connector.phases,
        "max_current_ma": connector.max_current,
        "latitude_udeg": connector.latitude_udeg,
        "longitude_udeg": connector.longitude_udeg,
        "price": connector.price,
        "deposit_address": place.deposit_address.text,
    }


def _place_of(row: RowMapping) -> Place:
    connector = Connector(
        ref=ConnectorRef(StationId(row["station"]), row["connector"]),
        evse_id=EvseId(row["evse_id"]),
        rating=W(row["rating_w"]),
        phases=row["phases"],
        max_current=Milliamp(row["max_current_ma"]),
        group="",
        latitude_udeg=row["latitude_udeg"],
        longitude_udeg=row["longitude_udeg"],
        price=Price(row["price"]),
    )
    return Place(row["asset"], row["name"], connector, Address(row["deposit_address"]))
