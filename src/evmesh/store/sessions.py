"""Sessions, their journal and what they owe the outside, as rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, insert, select, update

from evmesh.domain.ids import Address, ConnectorRef, SessionId, StationId
from evmesh.domain.money import Price
from evmesh.domain.sessions import (
    TERMINAL,
    ChargeTerms,
    Effect,
    EffectKind,
    Event,
    JournalRow,
    Session,
    State,
    Way,
)
from evmesh.domain.units import Wh
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection

_OPEN = sorted(set(State) - TERMINAL)


class SessionRows:
    """The part of a unit of work that knows sessions."""

    _connection: SteadyConnection

    async def add_session(self, session: Session, cause: str) -> None:
        """Insert with its first journal row, an event that has no source."""
        await self._connection.execute(insert(schema.sessions).values(_row_of(session)))
        await self._write_journal(
            JournalRow(0, session.created_at, session.id, Event.RESERVE, None, session.state, cause)
        )

    async def save_session(
        self, session: Session, journal: JournalRow, effects: Sequence[EffectKind]
    ) -> None:
        """Write the row after a transition, its journal row, and what is owed."""
        await self.touch_session(session)
        await self._write_journal(journal)
        for kind in effects:
            await self._connection.execute(
                insert(schema.effects).values(
                    session=session.id.text, kind=kind, created_at=journal.at, attempts=0, done=False
                )
            )

    async def touch_session(self, session: Session) -> None:
        """Write facts that are no transition."""
        table = schema.sessions
        await self._connection.execute(
            update(table).where(table.c.id == session.id.text).values(_row_of(session))
        )

    async def session(self, session: SessionId) -> Session | None:
        """Give one session."""
        return await self._one_session(schema.sessions.c.id == session.text)

    async def session_of_tag(self, id_tag: str) -> Session | None:
        """Give the session whose idTag this is."""
        return await self._one_session(schema.sessions.c.id_tag == id_tag)

    async def session_of_request(self, payer: Address, nonce: bytes) -> Session | None:
        """Give the session that this very request made."""
        table = schema.sessions
        return await self._one_session((table.c.payer == payer.text) & (table.c.request_nonce == nonce))

    async def sessions(self, *, open_only: bool, limit: int = 1000) -> Sequence[Session]:
        """Newest first; `limit` never hides an open one."""
        table = schema.sessions
        query = select(table).order_by(table.c.id.desc())
        query = query.where(table.c.state.in_(_OPEN)) if open_only else query.limit(limit)
        rows = await self._connection.execute(query)
        return [_session_of(row) for row in rows.mappings()]

    async def expired(self, after: datetime) -> Sequence[Session]:
        """Give those that ended unpaid after an instant, oldest first."""
        table = schema.sessions
        ended = (table.c.state == State.EXPIRED) & (table.c.changed_at > after)
        rows = await self._connection.execute(select(table).where(ended).order_by(table.c.changed_at))
        return [_session_of(row) for row in rows.mappings()]

    async def refunded_transfers(self, after: datetime) -> Sequence[Session]:
        """Give those by transfer whose money goes back, or went back after an instant, oldest first."""
        table = schema.sessions
        is_refunded = table.c.state.in_([State.REFUNDING, State.REFUNDED]) & (table.c.changed_at > after)
        mine = is_refunded & (table.c.way == Way.TRANSFER)
        rows = await self._connection.execute(select(table).where(mine).order_by(table.c.changed_at))
        return [_session_of(row) for row in rows.mappings()]

    async def sessions_begun(self, start: datetime, end: datetime) -> Sequence[Session]:
        """Give those whose transaction began in [start, end), oldest first."""
        table = schema.sessions
        begun = (table.c.started_at >= start) & (table.c.started_at < end)
        rows = await self._connection.execute(select(table).where(begun).order_by(table.c.id))
        return [_session_of(row) for row in rows.mappings()]

    async def journals(self, sessions: Sequence[SessionId]) -> Mapping[SessionId, Sequence[JournalRow]]:
        """Give each session's transitions, oldest first."""
        table = schema.journal
        wanted = [session.text for session in sessions]
        rows = await self._connection.execute(
            select(table).where(table.c.session.in_(wanted)).order_by(table.c.number)
        )
        found: dict[SessionId, list[JournalRow]] = {session: [] for session in sessions}
        for row in rows.mappings():
            session = SessionId(row["session"])
            found[session].append(_journal_row_of(session, row))
        return found

    async def pending_effects(self) -> Sequence[Effect]:
        """Give what is owed, oldest first."""
        table = schema.effects
        rows = await self._connection.execute(
            select(table).where(table.c.done.is_(False)).order_by(table.c.number)
        )
        return [
            Effect(
                row["number"],
                SessionId(row["session"]),
                EffectKind(row["kind"]),
                row["created_at"],
                row["attempts"],
            )
            for row in rows.mappings()
        ]

    async def effect_tried(self, number: int) -> None:
        """Count an attempt."""
        table = schema.effects
        await self._connection.execute(
            update(table).where(table.c.number == number).values(attempts=table.c.attempts + 1)
        )

    async def effect_done(self, number: int) -> None:
        """Close what is known to have arrived."""
        table = schema.effects
        await self._connection.execute(update(table).where(table.c.number == number).values(done=True))

    async def last_instant(self) -> datetime | None:
        """Give the newest time in any record."""
        journal, connectors = schema.journal.c, schema.connectors.c
        newest: list[datetime] = []
        for query in (
            select(journal.at).order_by(journal.number.desc()).limit(1),  # written in the order of time
            select(func.max(connectors.status_at)),
            select(func.max(connectors.register_at)),
        ):
            found = (await self._connection.execute(query)).scalar()
            if found is not None:
                newest.append(found)
        return max(newest, default=None)

    async def _one_session(self, condition: Any) -> Session | None:
        rows = await self._connection.execute(select(schema.sessions).where(condition))
        row = rows.mappings().first()
        return None if row is None else _session_of(row)

    async def _write_journal(self, row: JournalRow) -> None:
        await self._connection.execute(
            insert(schema.journal).values(
                at=row.at,
                session=row.session.text,
                event=row.event,
                source=row.source,
                target=row.target,
                cause=row.cause,
            )
        )


_PLAIN = (
    "state",
    "id_tag",
    "request_signature",
    "request_nonce",
    "request_deadline",
    "max_cost",
    "offer_signature",
    "plan_sha256",
    "voucher_signature",
    "voucher_cumulative",
    "offered_energy",
    "offered_budget",
    "voucher_by",
    "created_at",
    "changed_at",
    "deadline",
    "transaction_id",
    "started_at",
    "stopped_at",
    "meter_start",
    "meter_last",
    "due",
    "refund",
    "cause",
)
"""Columns whose name and value are those of the session's field."""


def _row_of(session: Session) -> dict[str, Any]:
    terms = session.terms
    return {
        **{name: getattr(session, name) for name in _PLAIN},
        "id": session.id.text,
        "payer": terms.payer.text,
        "station": terms.connector.station.text,
        "connector": terms.connector.connector,
        "asset": terms.asset,
        "arrival": terms.arrival,
        "departure": terms.departure,
        "energy_wh": terms.energy,
        "flexible": terms.flexible,
        "price": terms.price,
        "budget": terms.budget,
        "base": terms.base,
        "epoch": terms.epoch,
        "escrow": terms.escrow.text,
        "way": terms.way,
        "flags": list(session.flags),
    }


def _session_of(row: RowMapping) -> Session:
    terms = ChargeTerms(
        payer=Address(row["payer"]),
        connector=ConnectorRef(StationId(row["station"]), row["connector"]),
        asset=row["asset"],
        arrival=row["arrival"],
        departure=row["departure"],
        energy=Wh(row["energy_wh"]),
        flexible=row["flexible"],
        price=Price(row["price"]),
        budget=row["budget"],
        base=row["base"],
        epoch=row["epoch"],
        escrow=Address(row["escrow"]),
        way=Way(row["way"]),
    )
    plain = {name: row[name] for name in _PLAIN}
    session = Session(id=SessionId(row["id"]), terms=terms, flags=tuple(row["flags"]), **plain)
    return replace(session, state=State(row["state"]))


def _journal_row_of(session: SessionId, row: RowMapping) -> JournalRow:
    return JournalRow(
        number=row["number"],
        at=row["at"],
        session=session,
        event=Event(row["event"]),
        source=State(row["source"]) if row["source"] else None,
        target=State(row["target"]),
        cause=row["cause"],
    )
