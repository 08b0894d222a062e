"""Transfers to deposit addresses and what they are settled with, as rows."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, Text, cast, func, insert, or_, select, update

from evmesh.domain.ids import Address, SessionId
from evmesh.domain.transfers import Aside, BlockRef, Deposit, Payout, Transfer, TransferRef
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection

_ONLY = 1
"""The cursor is one row."""


class TransferRows:
    """The part of a unit of work that knows transfers."""

    _connection: SteadyConnection

    async def deposit_cursor(self) -> BlockRef | None:
        """Give the last block whose transfers are stored."""
        row = (await self._connection.execute(select(schema.deposit_cursor))).mappings().first()
        return None if row is None else BlockRef(row["block"], row["hash"])

    async def set_deposit_cursor(self, block: BlockRef) -> None:
        """Write it, in the database transaction that stores the transfers."""
        await self._upsert(schema.deposit_cursor, "id", _ONLY, {"block": block.number, "hash": block.hash})

    async def transfer(self, ref: TransferRef) -> Transfer | None:
        """Give one transfer."""
        found = await self._transfers(_is(ref))
        return found[0] if found else None

    async def add_transfer(self, transfer: Transfer) -> None:
        """Insert; one that is there already fails on the primary key."""
        await self._connection.execute(insert(schema.transfers).values(_row_of(transfer)))

    async def save_transfer(self, transfer: Transfer) -> None:
        """Write a transfer again."""
        await self._connection.execute(
            update(schema.transfers).where(_is(transfer.ref)).values(_row_of(transfer))
        )

    async def waiting_transfers(self, most: int | None = None) -> Sequence[Transfer]:
        """Give those that count and are settled with nothing yet, or the newest so many; oldest first."""
        return await self._transfers(_waits(), most)

    async def waiting_of(self, sender: Address, asset: int, most: int) -> Sequence[Transfer]:
        """Give the largest so many of one sender's at one asset that wait, oldest first."""
        table = schema.transfers
        digits = cast(table.c.amount, Text)  # amounts are text on SQLite: the longer is the larger
        query = (
            select(table)
            .where(_waits() & (table.c.sender == sender.text) & (table.c.asset == asset))
            .order_by(func.length(digits).desc(), digits.desc(), table.c.block, table.c.log_index)
            .limit(most)
        )
        found = [_transfer_of(row) for row in (await self._connection.execute(query)).mappings()]
        return sorted(found, key=lambda one: (one.block, one.log_index))

    async def waiting_amounts(self) -> Mapping[tuple[Address, int], int]:
        """Give how much waits of each sender at each asset, in token units."""
        table = schema.transfers
        # Not summed by the database: on SQLite that would be a float.
        rows = await self._connection.execute(
            select(table.c.sender, table.c.asset, table.c.amount)
            .where(_waits())
            .order_by(table.c.block, table.c.log_index)
        )
        sums: dict[tuple[str, int], int] = {}
        for sender, asset, amount in rows:
            sums[sender, asset] = sums.get((sender, asset), 0) + amount
        return {(Address(sender), asset): amount for (sender, asset), amount in sums.items()}

    async def transfers_of(self, deposit: TransferRef) -> Sequence[Transfer]:
        """Give what a deposit is made of, oldest first."""
        return await self._transfers(schema.transfers.c.deposit == deposit.text)

    async def transfers_in(self, tx_hash: bytes) -> Sequence[Transfer]:
        """Give what one transaction brought."""
        return await self._transfers(schema.transfers.c.tx_hash == tx_hash)

    async def transfers_aside(self, most: int | None = None) -> Sequence[Transfer]:
        """Give what counts for nothing, or the newest so many of it; oldest first."""
        return await self._transfers(schema.transfers.c.aside != Aside.NOTHING, most)

    async def unsettled_transfers(self) -> Sequence[Transfer]:
        """Give those that wait, or whose deposit is not settled yet, oldest first."""
        deposits = schema.deposits
        unsettled = select(deposits.c.ref).where(deposits.c.settled.is_(False))
        column = schema.transfers.c.deposit
        return await self._transfers(or_(column.is_(None), column.in_(unsettled)))

    async def add_deposit(self, deposit: Deposit) -> None:
        """Insert."""
        await self._connection.execute(insert(schema.deposits).values(_row_of_deposit(deposit)))

    async def save_deposit(self, deposit: Deposit) -> None:
        """Write a deposit again."""
        table = schema.deposits
        await self._connection.execute(
            update(table).where(table.c.ref == deposit.ref.text).values(_row_of_deposit(deposit))
        )

    async def deposit(self, ref: TransferRef) -> Deposit | None:
        """Give one deposit."""
        found = await self._deposits(schema.deposits.c.ref == ref.text)
        return found[0] if found else None

    async def deposit_of(self, session: SessionId) -> Deposit | None:
        """Give the deposit that a session stands on."""
        found = await self._deposits(schema.deposits.c.session == session.text)
        return found[0] if found else None

    async def unsettled_deposits(self) -> Sequence[Deposit]:
        """Give those that something is still to be paid out of, oldest first."""
        return await self._deposits(schema.deposits.c.settled.is_(False))

    async def held(self) -> Mapping[int, int]:
        """Give what is known to lie at the deposit address of each asset."""
        return await self._amounts("held")

    async def add_held(self, asset: int, change: int) -> None:
        """Note that something came, or was paid out."""
        known = (await self.held()).get(asset, 0)
        await self._upsert(schema.deposit_addresses, "asset", asset, {"held": known + change})

    async def unseen(self) -> Mapping[int, int]:
        """Give what lies at deposit addresses and no event told of."""
        return {asset: amount for asset, amount in (await self._amounts("unseen")).items() if amount}

    async def set_unseen(self, asset: int, amount: int) -> None:
        """Note it."""
        await self._upsert(schema.deposit_addresses, "asset", asset, {"unseen": amount})

    async def _amounts(self, column: str) -> dict[int, int]:
        table = schema.deposit_addresses
        rows = await self._connection.execute(select(table.c.asset, table.c[column]))
        return {row[0]: row[1] or 0 for row in rows}

    async def _upsert(self, table: Any, key: str, value: int, columns: dict[str, Any]) -> None:
        mine = table.c[key] == value
        if (await self._connection.execute(select(table.c[key]).where(mine))).first() is None:
            await self._connection.execute(insert(table).values({key: value, **columns}))
        else:
            await self._connection.execute(update(table).where(mine).values(**columns))

    async def _transfers(self, condition: Any, most: int | None = None) -> list[Transfer]:
        table = schema.transfers
        order = (table.c.block.desc(), table.c.log_index.desc())
        query = select(table).where(condition).order_by(*order).limit(most)
        rows = await self._connection.execute(query)
        return [_transfer_of(row) for row in rows.mappings()][::-1]

    async def _deposits(self, condition: Any) -> list[Deposit]:
        table = schema.deposits
        rows = await self._connection.execute(select(table).where(condition).order_by(table.c.opened_at))
        return [_deposit_of(row) for row in rows.mappings()]


def _waits() -> Any:
    table = schema.transfers
    return table.c.deposit.is_(None) & (table.c.aside == Aside.NOTHING)


def _is(ref: TransferRef) -> Any:
    table = schema.transfers
    return (table.c.tx_hash == ref.tx_hash) & (table.c.position == ref.position)


def _row_of(transfer: Transfer) -> dict[str, Any]:
    return {
        "tx_hash": transfer.ref.tx_hash,
        "position": transfer.ref.position,
        "log_index": transfer.log_index,
        "block": transfer.block,
        "sender": transfer.sender.text,
        "asset": transfer.asset,
        "amount": transfer.amount,
        "seen_at": transfer.seen_at,
        "aside": transfer.aside,
        "deposit": transfer.deposit.text if transfer.deposit else None,
    }


def _transfer_of(row: RowMapping) -> Transfer:
    return Transfer(
        ref=TransferRef(row["tx_hash"], row["position"]),
        log_index=row["log_index"],
        block=row["block"],
        sender=Address(row["sender"]),
        asset=row["asset"],
        amount=row["amount"],
        seen_at=row["seen_at"],
        aside=Aside(row["aside"]),
        deposit=TransferRef.parse(row["deposit"]) if row["deposit"] else None,
    )


def _row_of_deposit(deposit: Deposit) -> dict[str, Any]:
    return {
        "ref": deposit.ref.text,
        "asset": deposit.asset,
        "sender": deposit.sender.text,
        "fee": deposit.fee,
        "salt": deposit.salt,
        "opened_at": deposit.opened_at,
        "session": deposit.session.text if deposit.session else None,
        "reason": deposit.reason,
        "settled": deposit.settled,
        "terms": deposit.terms,
        "word": deposit.word,
        **_row_of_payout("due", deposit.due),
        **_row_of_payout("returned", deposit.returned),
    }


def _deposit_of(row: RowMapping) -> Deposit:
    return Deposit(
        ref=TransferRef.parse(row["ref"]),
        asset=row["asset"],
        sender=Address(row["sender"]),
        fee=row["fee"],
        salt=row["salt"],
        opened_at=row["opened_at"],
        session=SessionId(row["session"]) if row["session"] else None,
        reason=row["reason"],
        due=_payout_of("due", row),
        returned=_payout_of("returned", row),
        settled=row["settled"],
        terms=row["terms"],
        word=bytes(row["word"]),
    )


def _row_of_payout(name: str, payout: Payout | None) -> dict[str, Any]:
    return {
        name: payout.amount if payout else None,
        f"{name}_tx": payout.tx_hash if payout else None,
        f"{name}_block": payout.block if payout else None,
    }


def _payout_of(name: str, row: RowMapping) -> Payout | None:
    if row[name] is None:
        return None
    return Payout(row[name], row[f"{name}_tx"], row[f"{name}_block"])
