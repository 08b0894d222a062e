"""Refusals with their certificates, as rows: one per request, and only the newest ones."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select

from evmesh.domain.evidence import RefusalRecord
from evmesh.domain.ids import Address
from evmesh.domain.units import Wh
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection

KEPT = 1_000
"""Anybody with a wallet may be refused as often as they like: older ones make room."""


class RefusalRows:
    """The part of a unit of work that knows refusals."""

    _connection: SteadyConnection

    async def add_refusal(self, refusal: RefusalRecord) -> None:
        """Keep a no with its certificate; of the same payer and nonce the first one stays."""
        if await self.refusal_of(refusal.payer, refusal.nonce) is not None:
            return
        table = schema.refusals
        result = await self._connection.execute(
            insert(table).values(
                at=refusal.at,
                asset=refusal.asset,
                payer=refusal.payer.text,
                nonce=refusal.nonce,
                energy_wh=refusal.energy,
                departure=refusal.departure,
                code=refusal.code,
                steps=list(refusal.steps),
                begins=refusal.begins,
                ends=refusal.ends,
                deficit_wh=refusal.deficit,
                offers=[[energy, departure.isoformat()] for energy, departure in refusal.offers],
                problem=refusal.problem,
                schedule=refusal.schedule,
            )
        )
        number = int(result.inserted_primary_key[0])  # type: ignore[index]
        await self._connection.execute(delete(table).where(table.c.number <= number - KEPT))

    async def refusals(self, limit: int) -> Sequence[RefusalRecord]:
        """Newest first."""
        table = schema.refusals
        rows = await self._connection.execute(select(table).order_by(table.c.number.desc()).limit(limit))
        return [_refusal_of(row) for row in rows.mappings()]

    async def refusal(self, number: int) -> RefusalRecord | None:
        """Give one refusal."""
        return await self._one_refusal(schema.refusals.c.number == number)

    async def refusal_of(self, payer: Address, nonce: bytes) -> RefusalRecord | None:
        """Give the refusal that this very request got."""
        table = schema.refusals
        return await self._one_refusal((table.c.payer == payer.text) & (table.c.nonce == nonce))

    async def _one_refusal(self, condition: Any) -> RefusalRecord | None:
        rows = await self._connection.execute(select(schema.refusals).where(condition))
        row = rows.mappings().first()
        return None if row is None else _refusal_of(row)


def _refusal_of(row: RowMapping) -> RefusalRecord:
    return RefusalRecord(
        at=row["at"],
        asset=row["asset"],
        payer=Address(row["payer"]),
        nonce=row["nonce"],
        energy=Wh(row["energy_wh"]),
        departure=row["departure"],
        code=row["code"],
        steps=tuple(row["steps"]),
        begins=row["begins"],
        ends=row["ends"],
        deficit=Wh(row["deficit_wh"]),
        offers=tuple((Wh(energy), datetime.fromisoformat(at)) for energy, at in row["offers"]),
        problem=row["problem"],
        schedule=row["schedule"],
        number=row["number"],
    )
