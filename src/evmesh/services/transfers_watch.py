"""Sees what comes to the deposit addresses, once it is deep enough in the chain, each transfer once.

What was seen is stored together with the block that was looked at last, so a crash between any two
steps counts nothing twice and leaves nothing out. Where the chain has lost that block, everything
that is not settled is asked for again. What no event told of (a node that pruned its logs while we
were away) shows in what the addresses hold, and is flagged to the operator.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Event as SessionEvent
from evmesh.domain.sessions import Session, State
from evmesh.domain.transfers import Aside, BlockRef, SeenTransfer, Transfer
from evmesh.ports import DepositChain
from evmesh.services.directory import Directory
from evmesh.services.live import LiveState
from evmesh.services.starts import WITHDRAWN, refund_once_heard
from evmesh.services.transfers import Transfers
from evmesh.services.transfers_books import DepositBooks, open_books
from evmesh.services.transfers_payout import TRANSFER_LOST
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)
_POLL_S: Final = 1.0
_REWIND: Final = 1_000
"""Blocks that are looked at again where the chain has lost the one that was looked at last."""

_NOBODY: Final = Address("0x" + 40 * "0")

_AT_ONCE: Final = 100
"""Transfers in one database transaction: whoever charges waits no longer than for so many."""

_BALANCES_EVERY: Final = 25
"""Looks between two comparisons of what addresses hold with what is known."""


class TransferWatch:
    """Runs until cancelled."""

    name = "transfer-watch"

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        chain: DepositChain,
        transfers: Transfers,
        live: LiveState,
        *,
        from_block: int,
    ) -> None:
        """`from_block` is where to begin on the first run: the block of the contracts."""
        self._transitions = transitions
        self._directory = directory
        self._chain = chain
        self._transfers = transfers
        self._live = live
        self._from_block = from_block
        self._asset_of = {place.deposit_address: place.asset for place in directory.all_places}
        self._surplus: dict[int, tuple[int, int]] = {}
        self._looks = 0

    async def run(self) -> None:
        """Look, decide, and look again, for ever."""
        while True:
            try:
                await self.look()
                await self._transfers.decide()
                if self._looks % _BALANCES_EVERY == 0:
                    await self.compare()
                self._looks += 1
            except Unavailable:
                raise
            except EvmeshError as error:
                _log.warning("transfer_watch.failed", code=error.code, what=error.what)
                await asyncio.sleep(1)
            await asyncio.sleep(_POLL_S)

    async def look(self) -> None:
        """Store everything that is deep enough by now."""
        quote = await self._transfers.quote()
        if quote.closed:
            return
        cursor = await self._cursor()
        last = await self._chain.head() - quote.confirmations + 1
        while cursor.number < last:
            before = await self._chain.block_hash(last)
            seen, reached = await self._chain.transfers(cursor.number + 1, last)
            found, after = await self._chain.block_hash(reached), await self._chain.block_hash(last)
            if found is None or before is None or before != after:
                return  # the chain moved under our eyes: look again
            cursor = BlockRef(reached, found)
            await self._store(seen, cursor)

    async def _cursor(self) -> BlockRef:
        async with self._transitions.read() as unit:
            cursor = await unit.deposit_cursor()
        if cursor is None:
            return BlockRef(self._from_block - 1)
        if cursor.number < 0 or await self._chain.block_hash(cursor.number) == cursor.hash:
            return cursor
        return await self._rewind(cursor)

    async def _rewind(self, cursor: BlockRef) -> BlockRef:
        """Ask again for all that is not settled, and begin to look some blocks before."""
        async with self._transitions.read() as unit:
            unsettled = await unit.unsettled_transfers()
        there = {one.ref: await self._is_there(one) for one in unsettled}
        head = await self._chain.head()
        back = max(self._from_block - 1, min(cursor.number, head) - _REWIND, -1)
        async with self._transitions.begin() as work:
            for one in unsettled:
                if one.aside is Aside.NOTHING and not there[one.ref]:
                    await self._lose(work, one)
            found = await self._chain.block_hash(back) if back >= 0 else b""
            moved = BlockRef(back, found or b"")
            await work.unit.set_deposit_cursor(moved)
        _log.warning("transfer_watch.chain_changed", block=cursor.number, again_from=back + 1)
        return moved

    async def _is_there(self, transfer: Transfer) -> bool:
        found = await self._chain.of_transaction(transfer.ref.tx_hash)
        return found is not None and any(one.ref == transfer.ref for one in found[1])

    async def _lose(self, work: Work, transfer: Transfer) -> None:
        """Take back what the chain has taken back; a charge that stands on it ends."""
        await work.unit.save_transfer(replace(transfer, aside=Aside.LOST))
        await work.unit.add_held(transfer.asset, -transfer.amount)
        _log.error(TRANSFER_LOST, tx_hash=transfer.ref.text, amount=transfer.amount)
        deposit = await work.unit.deposit(transfer.deposit) if transfer.deposit else None
        session = await work.unit.session(deposit.session) if deposit and deposit.session else None
        if session is None or deposit is None or session.due is not None:
            return
        flagged = replace(session, flags=session.flags_and(TRANSFER_LOST))
        await self._end(work, await self._transfers.rebudget(work, flagged, deposit))

    async def _end(self, work: Work, session: Session) -> None:
        if session.state in (State.CHARGING, State.SUSPENDED):
            await work.apply(session, SessionEvent.STOP, TRANSFER_LOST)
        elif session.state in (State.FUNDED, State.STARTING) and WITHDRAWN not in session.flags:
            await refund_once_heard(work, self._live, session, TRANSFER_LOST, flag=WITHDRAWN)

    async def _store(self, seen: Sequence[SeenTransfer], cursor: BlockRef) -> None:
        """Store what was seen, some at a time, and with the last of it how far we looked.

        What was stored before a crash is known when it is seen again, and counts once.
        """
        for begin in range(0, max(1, len(seen)), _AT_ONCE):
            some = seen[begin : begin + _AT_ONCE]
            holds = await self._holdings(some)
            self._transitions.checkpoint("transfers:before_commit")
            async with self._transitions.begin() as work:
                books = await open_books(work.unit, holds)
                for one in some:
                    await self._keep(work, one, books)
                await books.write(work.unit)
                if begin + _AT_ONCE >= len(seen):
                    await work.unit.set_deposit_cursor(cursor)
            self._transitions.checkpoint("transfers:after_commit")

    async def _holdings(self, seen: Sequence[SeenTransfer]) -> dict[Address, int]:
        addresses = sorted({one.receiver for one in seen})
        if not addresses:
            return {}
        return dict(zip(addresses, await self._chain.balances(addresses), strict=True))

    async def _keep(self, work: Work, seen: SeenTransfer, books: DepositBooks) -> None:
        asset = self._asset_of[seen.receiver]
        known = await work.unit.transfer(seen.ref)
        if known is not None:
            if known.aside is Aside.LOST:
                await self._restore(work, known, seen, books)
            elif (known.block, known.log_index) != (seen.block, seen.log_index):
                await work.unit.save_transfer(replace(known, block=seen.block, log_index=seen.log_index))
            return
        aside = books.why_aside(asset, seen.receiver, seen.amount)
        if seen.sender in (_NOBODY, seen.receiver):
            aside = Aside.NO_SENDER
        transfer = Transfer(
            ref=seen.ref,
            log_index=seen.log_index,
            block=seen.block,
            sender=seen.sender,
            asset=asset,
            amount=seen.amount,
            seen_at=work.now,
            aside=aside,
        )
        await work.unit.add_transfer(transfer)
        if aside is not Aside.SHORT:
            books.add(asset, seen.amount, waits=not aside)
        if aside:
            _log.error("transfer.set_aside", why=aside, tx_hash=seen.ref.text, amount=seen.amount)
        work.applied.append("transfer")

    async def _restore(self, work: Work, known: Transfer, seen: SeenTransfer, books: DepositBooks) -> None:
        """Count again what the chain has again; what is settled without it, is returned by itself."""
        back = replace(known, block=seen.block, log_index=seen.log_index, aside=Aside.NOTHING)
        await work.unit.save_transfer(back)
        books.add(known.asset, known.amount, waits=known.deposit is None)
        deposit = await work.unit.deposit(known.deposit) if known.deposit else None
        session = await work.unit.session(deposit.session) if deposit and deposit.session else None
        if deposit is not None and deposit.settled:
            await self._transfers.give_back(work, back, deposit)
        elif deposit is not None and session is not None and session.due is None:
            await self._transfers.rebudget(work, session, deposit)

    async def compare(self) -> None:
        """Flag what addresses hold and no event told of, once what came meanwhile must have been seen."""
        async with self._transitions.read() as unit:
            cursor = await unit.deposit_cursor()
        head, quote = await self._chain.head(), await self._transfers.quote()
        # Where the way is closed nobody looks at events: what came all the same is for the operator to see.
        seen_until = head if quote.closed or cursor is None else cursor.number
        holds = await self._chain.balances(list(self._asset_of))
        async with self._transitions.begin() as work:
            known, flagged = await work.unit.held(), await work.unit.unseen()
            for asset, amount in zip(self._asset_of.values(), holds, strict=True):
                unseen = self._lasting(asset, amount - known.get(asset, 0), head, seen_until)
                if unseen is not None and unseen != flagged.get(asset, 0):
                    await work.unit.set_unseen(asset, unseen)
                    _log.error("deposit.unseen", asset=asset, amount=unseen)

    def _lasting(self, asset: int, surplus: int, head: int, seen_until: int) -> int | None:
        """Give a surplus that was there before blocks whose events we know; None while it may be news."""
        if surplus <= 0:
            self._surplus.pop(asset, None)
            return 0
        least, since = self._surplus.get(asset, (surplus, head))
        least = min(least, surplus)
        self._surplus[asset] = (least, since)
        return least if seen_until >= since else None
