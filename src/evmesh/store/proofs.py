"""Notary leaves, tree heads, plans and issued documents, as rows."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select

from evmesh.domain.evidence import NotaryLeaf, StoredPlan
from evmesh.domain.ids import SessionId
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection


class ProofRows:
    """The part of a unit of work that knows evidence."""

    _connection: SteadyConnection

    async def append_leaf(self, leaf: NotaryLeaf, session: SessionId | None) -> None:
        """Add to the meter stream; the index must be the next one, or the insert fails."""
        await self._connection.execute(
            insert(schema.notary_leaves).values(
                index=leaf.index,
                meter=leaf.meter,
                seq=leaf.seq,
                salt=leaf.salt,
                prev_hash=leaf.prev_hash,
                payload=leaf.payload,
                hash=leaf.hash,
                session=session.text if session else None,
            )
        )

    async def leaves_of(self, meter: str, limit: int = 1) -> Sequence[NotaryLeaf]:
        """The newest leaves of one meter, newest first."""
        table = schema.notary_leaves
        return await self._leaves(
            select(table).where(table.c.meter == meter).order_by(table.c.seq.desc()).limit(limit)
        )

    async def session_leaves(self, session: SessionId) -> Sequence[NotaryLeaf]:
        """The readings of one session, oldest first."""
        table = schema.notary_leaves
        return await self._leaves(
            select(table).where(table.c.session == session.text).order_by(table.c.index)
        )

    async def leaf_hashes(self, start: int = 0) -> Sequence[bytes]:
        """All leaf hashes from index `start`, in order."""
        table = schema.notary_leaves
        rows = await self._connection.execute(
            select(table.c.hash).where(table.c.index >= start).order_by(table.c.index)
        )
        return [row[0] for row in rows]

    async def save_head(self, session: SessionId, size: int, root: bytes) -> None:
        """Fix the tree head that a receipt will name."""
        await self._connection.execute(
            insert(schema.heads).values(session=session.text, size=size, root=root)
        )

    async def head_of(self, session: SessionId) -> tuple[int, bytes] | None:
        """Give the head that a session's receipt names."""
        table = schema.heads
        rows = await self._connection.execute(
            select(table.c.size, table.c.root).where(table.c.session == session.text)
        )
        row = rows.first()
        return None if row is None else (row[0], row[1])

    async def save_plan(self, plan: StoredPlan) -> None:
        """Keep a plan; a schedule that was in force before is in force again."""
        await self._connection.execute(
            insert(schema.plans).values(
                schedule_sha256=plan.schedule_sha256,
                problem_sha256=plan.problem_sha256,
                group=plan.group,
                made_at=plan.made_at,
                start=plan.start,
                problem=plan.problem,
                schedule=plan.schedule,
                pseudonyms=dict(plan.pseudonyms),
                wanted=plan.wanted,
                shortfall=plan.shortfall,
            )
        )

    async def plan(
        self, group: str, start: datetime | None = None, *, or_before: bool = False
    ) -> StoredPlan | None:
        """The newest plan of a group, or the newest that begins at `start`, or then or before."""
        table = schema.plans
        query = select(table).where(table.c.group == group).order_by(table.c.number.desc()).limit(1)
        if start is not None:
            query = query.where(table.c.start <= start if or_before else table.c.start == start)
        return await self._plan(query)

    async def plans(self, group: str, start: datetime, end: datetime) -> Sequence[StoredPlan]:
        """For each instant in [start, end) at which plans begin, the newest of them; in order of time."""
        table = schema.plans
        begins = (table.c.group == group) & (table.c.start >= start) & (table.c.start < end)
        newest = select(func.max(table.c.number)).where(begins).group_by(table.c.start)
        rows = await self._connection.execute(
            select(table).where(table.c.number.in_(newest)).order_by(table.c.start)
        )
        return [_plan_of(row) for row in rows.mappings()]

    async def plan_of(self, schedule_sha256: str) -> StoredPlan | None:
        """The newest plan with this schedule."""
        table = schema.plans
        query = select(table).where(table.c.schedule_sha256 == schedule_sha256)
        return await self._plan(query.order_by(table.c.number.desc()).limit(1))

    async def save_document(self, session: SessionId, format: str, raw: bytes) -> None:
        """Keep an issued document; the first one written stays, for it may be in somebody's hands."""
        if await self.document(session, format) is None:
            await self._connection.execute(
                insert(schema.documents).values(session=session.text, format=format, raw=raw)
            )

    async def document(self, session: SessionId, format: str) -> bytes | None:
        """Give an issued document's exact bytes."""
        table = schema.documents
        rows = await self._connection.execute(
            select(table.c.raw).where(table.c.session == session.text, table.c.format == format)
        )
        row = rows.first()
        return None if row is None else bytes(row[0])

    async def documented(self, sessions: Sequence[SessionId], format: str) -> frozenset[SessionId]:
        """Say which of these sessions have such a document."""
        table = schema.documents
        wanted = [session.text for session in sessions]
        rows = await self._connection.execute(
            select(table.c.session).where(table.c.format == format, table.c.session.in_(wanted))
        )
        return frozenset(SessionId(row[0]) for row in rows)

    async def _leaves(self, query: Any) -> list[NotaryLeaf]:
        rows = await self._connection.execute(query)
        return [_leaf_of(row) for row in rows.mappings()]

    async def _plan(self, query: Any) -> StoredPlan | None:
        row = (await self._connection.execute(query)).mappings().first()
        return None if row is None else _plan_of(row)


def _plan_of(row: RowMapping) -> StoredPlan:
    return StoredPlan(
        problem_sha256=row["problem_sha256"],
        schedule_sha256=row["schedule_sha256"],
        group=row["group"],
        made_at=row["made_at"],
        start=row["start"],
        problem=row["problem"],
        schedule=row["schedule"],
        pseudonyms=row["pseudonyms"],
        wanted=row["wanted"],
        shortfall=row["shortfall"],
    )


def _leaf_of(row: RowMapping) -> NotaryLeaf:
    return NotaryLeaf(
        index=row["index"],
        meter=row["meter"],
        seq=row["seq"],
        salt=row["salt"],
        prev_hash=row["prev_hash"],
        payload=row["payload"],
        hash=row["hash"],
    )
