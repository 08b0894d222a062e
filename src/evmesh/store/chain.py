"""The write-ahead journal of ledger transactions. Implements the port `TransactionJournal`."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.ids import Address
from evmesh.store import schema
from evmesh.store.database import Database


class ChainJournal:
    """Transactions by purpose, durable before they are sent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, key: str) -> JournaledTransaction | None:
        """Give the transaction that was written for this purpose, if any."""
        rows = await self._select(schema.chain_transactions.c.key == key)
        return rows[0] if rows else None

    async def write(self, transaction: JournaledTransaction) -> None:
        """Store before the first send; replaces the row of the same key."""
        table = schema.chain_transactions
        async with self._database.begin() as unit:
            await unit.execute(delete(table).where(table.c.key == transaction.key))
            await unit.execute(
                insert(table).values(
                    key=transaction.key,
                    kind=_kind_of(transaction.key),
                    sender=transaction.sender.text,
                    nonce=transaction.nonce,
                    raw=transaction.raw,
                    tx_hash=transaction.tx_hash,
                    earlier="\n".join(raw.hex() for raw in transaction.earlier) or None,
                    **_block_of(transaction.outcome),
                )
            )

    async def forget(self, key: str) -> None:
        """Drop what no node took."""
        table = schema.chain_transactions
        async with self._database.begin() as unit:
            await unit.execute(delete(table).where(table.c.key == key))

    async def unmined(self, sender: Address) -> Sequence[JournaledTransaction]:
        """Give what is not known to be mined, in nonce order."""
        table = schema.chain_transactions
        return await self._select((table.c.sender == sender.text) & table.c.block.is_(None))

    async def mined(self, key: str, outcome: Mined) -> bool:
        """Record the block, and say whether it is that of the transaction that stands here."""
        table = schema.chain_transactions
        this = (table.c.key == key) & (table.c.tx_hash == outcome.tx_hash)
        async with self._database.begin() as unit:
            done = await unit.execute(update(table).where(this).values(**_block_of(outcome)))
            return bool(done.rowcount)

    async def from_nonce(self, sender: Address, nonce: int) -> Sequence[JournaledTransaction]:
        """Give what was signed with `nonce` or a later one, in nonce order."""
        table = schema.chain_transactions
        return await self._select((table.c.sender == sender.text) & (table.c.nonce >= nonce))

    async def since_block(self, sender: Address, block: int) -> Sequence[JournaledTransaction]:
        """Give what was mined in `block` or later, in nonce order."""
        table = schema.chain_transactions
        return await self._select((table.c.sender == sender.text) & (table.c.block >= block))

    async def newest(self, kind: str, limit: int) -> Sequence[JournaledTransaction]:
        """Give what has been mined for one kind of purpose (`anchor`), newest first."""
        return await self._mined(schema.chain_transactions.c.kind == kind, limit)

    async def with_prefix(self, prefix: str, limit: int) -> Sequence[JournaledTransaction]:
        """Give what has been mined for the purposes that begin so (`salary:{address}:`), newest first."""
        return await self._mined(_begins(schema.chain_transactions.c.key, prefix), limit)

    async def newest_purpose(self, prefix: str) -> str | None:
        """Give the purpose of the newest transaction, mined or not, of those that begin so."""
        table = schema.chain_transactions
        query = select(table.c.key).where(_begins(table.c.key, prefix)).order_by(table.c.nonce.desc())
        async with self._database.begin() as unit:
            rows = await unit.execute(query.limit(1))
            found = rows.scalar()
            return None if found is None else str(found)

    async def _mined(self, condition: Any, limit: int) -> list[JournaledTransaction]:
        table = schema.chain_transactions
        query = select(table).where(condition, table.c.block.is_not(None))
        async with self._database.begin() as unit:
            rows = await unit.execute(query.order_by(table.c.nonce.desc()).limit(limit))
            return [_transaction_of(row) for row in rows.mappings()]

    async def _select(self, condition: Any) -> list[JournaledTransaction]:
        table = schema.chain_transactions
        async with self._database.begin() as unit:
            rows = await unit.execute(select(table).where(condition).order_by(table.c.nonce))
            return [_transaction_of(row) for row in rows.mappings()]


def _begins(key: Any, prefix: str) -> Any:
    return (key >= prefix) & (key < prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _kind_of(key: str) -> str:
    return key.partition(":")[0]


def _block_of(outcome: Mined | None) -> dict[str, int | None]:
    return {
        "block": outcome.block if outcome else None,
        "gas_used": outcome.gas_used if outcome else None,
    }


def _transaction_of(row: RowMapping) -> JournaledTransaction:
    outcome = None
    if row["block"] is not None:
        outcome = Mined(row["tx_hash"], row["block"], row["gas_used"])
    return JournaledTransaction(
        key=row["key"],
        sender=Address(row["sender"]),
        nonce=row["nonce"],
        raw=row["raw"],
        tx_hash=row["tx_hash"],
        outcome=outcome,
        earlier=tuple(map(bytes.fromhex, (row["earlier"] or "").split())),
    )
