"""Signed terms of transfers, as rows."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from evmesh.domain.transfer_terms import TransferTerms, terms_hash
from evmesh.store import schema, schema_transfers
from evmesh.store.steady import SteadyConnection


class TransferTermsRows:
    """The part of a unit of work that knows terms."""

    _connection: SteadyConnection

    async def add_transfer_terms(self, terms: TransferTerms) -> None:
        """Keep signed terms; what is there already stays."""
        raw = terms.encode()
        if await self.transfer_terms(terms_hash(raw)) is None:
            await self._connection.execute(
                insert(schema_transfers.transfer_terms).values(
                    sha256=terms_hash(raw),
                    asset=terms.station.asset,
                    valid_from=terms.valid_from,
                    valid_until=terms.valid_until,
                    raw=raw,
                )
            )

    async def transfer_terms(self, sha256: str) -> bytes | None:
        """Give terms by `terms_hash`, as the bytes of their file."""
        table = schema_transfers.transfer_terms
        rows = await self._connection.execute(select(table.c.raw).where(table.c.sha256 == sha256))
        row = rows.first()
        return None if row is None else bytes(row[0])

    async def transfer_terms_at(self, asset: int, at: datetime) -> Sequence[TransferTerms]:
        """Give those of one asset that were in force at an instant, the newest last."""
        table = schema_transfers.transfer_terms
        rows = await self._connection.execute(
            select(table.c.raw)
            .where(table.c.asset == asset, table.c.valid_until > at, table.c.valid_from <= at)
            .order_by(table.c.valid_from, table.c.sha256)
        )
        return [TransferTerms.parse(bytes(row[0])) for row in rows]

    async def forget_transfer_terms(self, before: datetime) -> None:
        """Drop those that ended before an instant and that no deposit names."""
        table = schema_transfers.transfer_terms
        named = select(schema.deposits.c.terms)
        await self._connection.execute(
            delete(table).where(table.c.valid_until < before, table.c.sha256.not_in(named))
        )
