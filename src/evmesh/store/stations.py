"""OCPP transactions and what connectors said last, as rows."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, insert, select, update

from evmesh.domain.ids import ConnectorRef, SessionId, StationId
from evmesh.domain.stations import ConnectorStatus, StartedTransaction, StoppedTransaction, Transaction
from evmesh.domain.units import Wh
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection


class StationRows:
    """The part of a unit of work that knows stations."""

    _connection: SteadyConnection

    async def start_transaction(self, start: StartedTransaction, session: SessionId | None) -> Transaction:
        """Give the transaction of exactly this content, made now if it is new.

        A station that heard no answer sends its start again, with another message id: only the
        content tells that it is the same start.
        """
        table = schema.ocpp_transactions
        content = {
            "station": start.connector.station.text,
            "connector": start.connector.connector,
            "id_tag": start.id_tag,
            "at": start.at,
            "meter_start": start.meter_start,
        }
        same = [table.c[name] == value for name, value in content.items()]
        found = (await self._connection.execute(select(table).where(*same))).mappings().first()
        if found is not None:
            return _transaction_of(found)
        result = await self._connection.execute(
            insert(table).values(**content, session=session.text if session else None)
        )
        return Transaction(int(result.inserted_primary_key[0]), start, session, None)  # type: ignore[index]

    async def transaction(self, station: StationId, transaction_id: int) -> Transaction | None:
        """Give a station's own transaction; another station's id is not found."""
        table = schema.ocpp_transactions
        rows = await self._connection.execute(
            select(table).where(table.c.id == transaction_id, table.c.station == station.text)
        )
        row = rows.mappings().first()
        return None if row is None else _transaction_of(row)

    async def stop_transaction(self, stop: StoppedTransaction) -> None:
        """Record the end; the first one that was recorded stays."""
        table = schema.ocpp_transactions
        await self._connection.execute(
            update(table)
            .where(
                table.c.id == stop.transaction_id,
                table.c.station == stop.station.text,
                table.c.stopped_at.is_(None),
            )
            .values(stopped_at=stop.at, meter_stop=stop.meter_stop, stop_reason=stop.reason)
        )

    async def set_status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None:
        """Keep what a connector said last."""
        await self._put(connector, {"status": status, "error": error, "status_at": at})

    async def statuses(self) -> Mapping[ConnectorRef, ConnectorStatus]:
        """Give what each connector said last."""
        table = schema.connectors
        rows = await self._connection.execute(select(table).where(table.c.status.is_not(None)))
        return {
            ConnectorRef(StationId(row["station"]), row["connector"]): ConnectorStatus(row["status"])
            for row in rows.mappings()
        }

    async def set_register(self, connector: ConnectorRef, at: datetime, register: Wh) -> None:
        """Keep the newest register of a connector."""
        await self._put(connector, {"register_wh": register, "register_at": at})

    async def meter_register(self, connector: ConnectorRef) -> tuple[datetime, Wh] | None:
        """Give the newest register that was stored."""
        table = schema.connectors
        rows = await self._connection.execute(
            select(table.c.register_at, table.c.register_wh).where(
                table.c.station == connector.station.text, table.c.connector == connector.connector
            )
        )
        row = rows.first()
        return None if row is None or row[1] is None else (row[0], Wh(row[1]))

    async def _put(self, connector: ConnectorRef, values: dict[str, Any]) -> None:
        table = schema.connectors
        key = {"station": connector.station.text, "connector": connector.connector}
        same = [table.c[name] == value for name, value in key.items()]
        changed = await self._connection.execute(update(table).where(*same).values(values))
        if changed.rowcount == 0:
            await self._connection.execute(insert(table).values(**key, **values))


def _transaction_of(row: RowMapping) -> Transaction:
    station = StationId(row["station"])
    start = StartedTransaction(
        ConnectorRef(station, row["connector"]), row["id_tag"], row["at"], Wh(row["meter_start"])
    )
    stop = None
    if row["stopped_at"] is not None:
        stop = StoppedTransaction(
            station, row["id"], row["stopped_at"], Wh(row["meter_stop"]), row["stop_reason"]
        )
    return Transaction(row["id"], start, SessionId(row["session"]) if row["session"] else None, stop)
