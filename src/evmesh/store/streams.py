"""Leaves of the further streams, and drivers' countersignatures, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select

from evmesh.domain.commitment import Stream, StreamLeaf
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import TERMINAL
from evmesh.store import schema, schema_streams
from evmesh.store.steady import SteadyConnection


class StreamRows:
    """The part of a unit of work that knows streams."""

    _connection: SteadyConnection

    async def append_stream_leaf(self, leaf: StreamLeaf) -> None:
        """Add to a stream; the index must be the next one, or the insert fails."""
        if leaf.index != await self.stream_size(leaf.stream):
            raise ValueError(f"leaf {leaf.index} is not the next one of {leaf.stream}")
        await self._connection.execute(
            insert(schema_streams.stream_leaves).values(
                stream=leaf.stream.value,
                index=leaf.index,
                ref=leaf.ref,
                at=leaf.at,
                salt=leaf.salt,
                payload=leaf.payload,
                hash=leaf.hash,
            )
        )

    async def stream_size(self, stream: Stream) -> int:
        """Give how many leaves a stream has."""
        table = schema_streams.stream_leaves
        rows = await self._connection.execute(
            select(func.max(table.c.index)).where(table.c.stream == stream.value)
        )
        last = rows.scalar_one()
        return 0 if last is None else int(last) + 1

    async def stream_hashes(self, stream: Stream, start: int, end: int) -> Sequence[bytes]:
        """Leaf hashes [start, end), in order."""
        table = schema_streams.stream_leaves
        rows = await self._connection.execute(
            select(table.c.hash)
            .where(table.c.stream == stream.value, table.c.index >= start, table.c.index < end)
            .order_by(table.c.index)
        )
        return [row[0] for row in rows]

    async def stream_leaves_of(self, stream: Stream, ref: str) -> Sequence[StreamLeaf]:
        """The leaves that are found by `ref`, oldest first."""
        table = schema_streams.stream_leaves
        found = select(table).where(table.c.stream == stream.value, table.c.ref == ref)
        return await self._stream_leaves(found.order_by(table.c.index))

    async def add_stream_head(self, stream: Stream, size: int, root: bytes, seen_at: datetime) -> None:
        """Keep a head of ours that was seen on chain; the first time it was seen stays."""
        table = schema_streams.stream_heads
        here = (table.c.stream == stream.value) & (table.c.size == size)
        if (await self._connection.execute(select(table.c.size).where(here))).first() is None:
            row = {"stream": stream.value, "size": size, "root": root, "seen_at": seen_at}
            await self._connection.execute(insert(table).values(row))

    async def stream_head(self, stream: Stream, covering: int | None = None) -> tuple[int, bytes] | None:
        """(size, root) of the newest head on chain; or of the first one that covers leaf `covering`."""
        table = schema_streams.stream_heads
        query = select(table.c.size, table.c.root).where(table.c.stream == stream.value)
        if covering is None:
            query = query.order_by(table.c.size.desc())
        else:
            query = query.where(table.c.size > covering).order_by(table.c.size)
        row = (await self._connection.execute(query.limit(1))).first()
        return None if row is None else (row[0], row[1])

    async def add_countersignature(self, session: SessionId, signature: bytes, at: datetime) -> None:
        """Keep the driver's signature; the first one stays."""
        if await self.countersignature(session) is None:
            await self._connection.execute(
                insert(schema_streams.countersignatures).values(
                    session=session.text, at=at, signature=signature
                )
            )

    async def countersignature(self, session: SessionId) -> bytes | None:
        """Give what the driver signed of the session's record."""
        table = schema_streams.countersignatures
        rows = await self._connection.execute(
            select(table.c.signature).where(table.c.session == session.text)
        )
        row = rows.first()
        return None if row is None else bytes(row[0])

    async def unrecorded(self, receipt_format: str, ended_by: datetime, limit: int) -> Sequence[SessionId]:
        """Sessions with a receipt that ended and are in no record yet; those that ended first, first.

        Only those whose driver has signed, or that ended at `ended_by` or before.
        """
        sessions, documents, leaves = schema.sessions, schema.documents, schema_streams.stream_leaves
        recorded = select(leaves.c.ref).where(leaves.c.stream == Stream.RECORDS.value)
        signed = select(schema_streams.countersignatures.c.session)
        found = (
            select(sessions.c.id)
            .join(documents, documents.c.session == sessions.c.id)
            .where(
                sessions.c.state.in_([state.value for state in TERMINAL]),
                documents.c.format == receipt_format,
                sessions.c.id.not_in(recorded),
                sessions.c.id.in_(signed) | (sessions.c.changed_at <= ended_by),
            )
            .order_by(sessions.c.changed_at, sessions.c.id)
            .limit(limit)
        )
        return [SessionId(row[0]) for row in await self._connection.execute(found)]

    async def _stream_leaves(self, query: Any) -> list[StreamLeaf]:
        rows = await self._connection.execute(query)
        return [_leaf_of(row) for row in rows.mappings()]


def _leaf_of(row: RowMapping) -> StreamLeaf:
    return StreamLeaf(
        stream=Stream(row["stream"]),
        index=row["index"],
        ref=row["ref"],
        at=row["at"],
        salt=row["salt"],
        payload=row["payload"],
        hash=row["hash"],
    )
