"""Caps as rows: each word of each source, as it came."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from sqlalchemy import RowMapping, insert, select

from evmesh.domain.caps import Cap, CapKind
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.units import W
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection


class CapRows:
    """The part of a unit of work that knows caps."""

    _connection: SteadyConnection

    async def add_cap(self, cap: Cap, at: datetime) -> Cap:
        """Append, and give it with its number."""
        ref = cap.connector
        result = await self._connection.execute(
            insert(schema.caps).values(
                at=at,
                group=cap.group,
                station=ref.station.text if ref else None,
                connector=ref.connector if ref else None,
                source=cap.source,
                kind=cap.kind,
                power_w=cap.power,
                starts_at=cap.starts_at,
                expires_at=cap.expires_at,
                reason=cap.reason,
            )
        )
        return replace(cap, number=int(result.inserted_primary_key[0]))  # type: ignore[index]

    async def caps(self, group: str | None = None, *, until: datetime | None = None) -> Sequence[Cap]:
        """Oldest first; of one group, and only those that end after `until`, where these are given."""
        table = schema.caps
        query = select(table).order_by(table.c.number)
        if group is not None:
            query = query.where(table.c.group == group)
        if until is not None:
            query = query.where(table.c.expires_at > until)
        rows = await self._connection.execute(query)
        return [_cap_of(row) for row in rows.mappings()]


def _cap_of(row: RowMapping) -> Cap:
    station = row["station"]
    return Cap(
        group=row["group"],
        source=row["source"],
        power=None if row["power_w"] is None else W(row["power_w"]),
        starts_at=row["starts_at"],
        expires_at=row["expires_at"],
        reason=row["reason"],
        connector=None if station is None else ConnectorRef(StationId(station), row["connector"]),
        kind=CapKind(row["kind"]),
        number=row["number"],
    )
