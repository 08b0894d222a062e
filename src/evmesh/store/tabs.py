"""Tabs as they were seen last, refills that came with vouchers, and the rows of claims."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select

from evmesh.domain.chain import Claim, ClaimRow, SeenTab, SignedRefill, Tab, TabRef
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.sessions import State, Way
from evmesh.store import schema, schema_tabs
from evmesh.store.steady import SteadyConnection

_LOOKED_BACK = 20
"""Sessions of one payer follow one another on the tab: the newest of an epoch owes the most."""


class TabRows:
    """The part of a unit of work that knows tabs."""

    _connection: SteadyConnection

    async def remember_tab(self, ref: TabRef, seen: SeenTab) -> None:
        """Keep what the chain said; what is remembered of a later block stays."""
        known = await self.tab_seen(ref)
        if known is not None and known.block_at > seen.block_at:
            return
        tab = seen.tab
        values = {
            "spent": tab.spent,
            "ceiling": tab.ceiling,
            "exit_at": tab.exit_at,
            "epoch": tab.epoch,
            "seen_at": seen.seen_at,
            "block_at": seen.block_at,
            "window_s": seen.window_s,
        }
        await self._replace(schema_tabs.tabs_seen, _key_of(ref), values)

    async def tab_seen(self, ref: TabRef) -> SeenTab | None:
        """Give what was seen last, as remembered."""
        row = await self._one(schema_tabs.tabs_seen, _key_of(ref))
        if row is None:
            return None
        tab = Tab(row["spent"], row["ceiling"], row["exit_at"], row["epoch"])
        return SeenTab(tab, row["seen_at"], row["block_at"], row["window_s"], is_fresh=False)

    async def keep_closing(self, ref: TabRef, epoch: int, deadline: int) -> None:
        """Keep that a Close of this epoch may be out; the latest deadline counts."""
        known = await self.closing_until(ref, epoch)
        key = {**_key_of(ref), "epoch": epoch}
        await self._replace(schema_tabs.closings, key, {"deadline": max(deadline, known or 0)})

    async def closing_until(self, ref: TabRef, epoch: int) -> int | None:
        """Give until which chain time a Close of this epoch may be mined; None where none was signed."""
        row = await self._one(schema_tabs.closings, {**_key_of(ref), "epoch": epoch})
        return None if row is None else int(row["deadline"])

    async def owed_on_tab(self, ref: TabRef, epoch: int) -> int:
        """Give the highest total that sessions on this tab have metered in an epoch; 0 for none."""
        table = schema.sessions
        metered = table.c.state.in_((State.METERED, State.SETTLED)) & table.c.due.is_not(None)
        query = select(table.c.base, table.c.due).where(
            (table.c.payer == ref.payer.text)
            & (table.c.escrow == ref.escrow.text)
            & (table.c.epoch == epoch)
            & (table.c.way != Way.TRANSFER)  # in no tab
            & metered
        )
        rows = await self._connection.execute(query.order_by(table.c.id.desc()).limit(_LOOKED_BACK))
        return max((row["base"] + row["due"] for row in rows.mappings()), default=0)

    async def has_flagged(self, payer: Address, flag: str, since: datetime) -> bool:
        """Tell whether a session of this payer that last moved at `since` or later carries the flag."""
        table = schema.sessions
        query = select(table.c.flags).where((table.c.payer == payer.text) & (table.c.changed_at >= since))
        rows = await self._connection.execute(query)
        return any(flag in row["flags"] for row in rows.mappings())

    async def keep_refill(self, session: SessionId, refill: SignedRefill) -> None:
        """Keep the refill that came with a session's voucher, in place of one before."""
        values = {
            "cumulative": refill.cumulative,
            "ceiling": refill.ceiling,
            "deadline": refill.deadline,
            "signature": refill.signature,
        }
        await self._replace(schema_tabs.refills, {"session": session.text}, values)

    async def refill_of(self, session: SessionId) -> SignedRefill | None:
        """Give the refill that came with a session's vouchers."""
        row = await self._one(schema_tabs.refills, {"session": session.text})
        return None if row is None else _refill_of(row)

    async def save_claim_row(self, row: ClaimRow) -> None:
        """Insert or replace a session's row."""
        claim, refill = row.claim, row.refill
        values = {
            "batch": row.batch,
            "tries": row.tries,
            "payer": claim.payer.text,
            "epoch": claim.epoch,
            "cumulative": claim.cumulative,
            "amount": claim.amount,
            "ceiling": refill.ceiling if refill else None,
            "deadline": refill.deadline if refill else None,
            "signature": claim.signature,
        }
        await self._replace(schema_tabs.claim_rows, {"session": row.session.text}, values)

    async def claim_row(self, session: SessionId) -> ClaimRow | None:
        """Give a session's row."""
        row = await self._one(schema_tabs.claim_rows, {"session": session.text})
        return None if row is None else _claim_row_of(row)

    async def claim_rows(self, batch: str) -> Sequence[ClaimRow]:
        """Give all rows of one batch, in the order in which they are sent."""
        table = schema_tabs.claim_rows
        query = select(table).where(table.c.batch == batch).order_by(table.c.session)
        return [_claim_row_of(row) for row in (await self._connection.execute(query)).mappings()]

    async def replace_document(self, session: SessionId, format: str, raw: bytes) -> None:
        """Keep another document in place of the one that was written."""
        await self._replace(schema.documents, {"session": session.text, "format": format}, {"raw": raw})

    async def _replace(self, table: Any, key: Mapping[str, str | int], values: dict[str, Any]) -> None:
        await self._connection.execute(delete(table).where(_is(table, key)))
        await self._connection.execute(insert(table).values(**key, **values))

    async def _one(self, table: Any, key: Mapping[str, str | int]) -> RowMapping | None:
        rows = await self._connection.execute(select(table).where(_is(table, key)))
        return rows.mappings().first()


def _key_of(ref: TabRef) -> dict[str, str | int]:
    return {"escrow": ref.escrow.text, "payee": ref.payee.text, "payer": ref.payer.text}


def _is(table: Any, key: Mapping[str, str | int]) -> Any:
    first, *others = (table.c[name] == value for name, value in key.items())
    for other in others:
        first &= other
    return first


def _refill_of(row: RowMapping) -> SignedRefill:
    return SignedRefill(row["cumulative"], row["ceiling"], row["deadline"], row["signature"])


def _claim_row_of(row: RowMapping) -> ClaimRow:
    claim = Claim(Address(row["payer"]), row["epoch"], row["cumulative"], row["amount"], row["signature"])
    return ClaimRow(
        SessionId(row["session"]),
        claim,
        row["batch"],
        row["tries"],
        None if row["ceiling"] is None else _refill_of(row),
    )
