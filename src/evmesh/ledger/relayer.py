"""Brings our transactions onto the chain, each purpose once, through any crash.

A transaction is written to the journal before it is sent. What stands there is sent again, as it
was signed, until it is mined: after a crash, after the node lost its pool, and after a development
chain came back without its last blocks. A purpose (`claim:{session}`) whose transaction is mined is
never signed again; one whose transaction failed on chain, or lost its nonce to another, is.

One process writes for an account at a time (`writer_lock`); nonces have no gaps.
"""

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.outbox import Fate, Outbox
from evmesh.ledger.reasons import FailedOnChain
from evmesh.ledger.rpc import JsonRpc
from evmesh.ports import Checkpoint, Signer, TransactionJournal


@dataclass(frozen=True, slots=True)
class Recovery:
    """What a start, or a chain that came back without its last blocks, made necessary."""

    resent: tuple[str, ...]
    failed: tuple[str, ...]
    """Purposes that the chain refused the second time: what they stood on was lost."""


@dataclass(frozen=True, slots=True)
class RelayerConfig:
    """How patient to be. `confirmations` counts the block itself."""

    confirmations: int = 1
    mined_within_s: float = 120
    send_again_after_s: float = 2
    poll_s: float = 0.05


class Relayer:
    """The transactions of one account."""

    def __init__(
        self,
        rpc: JsonRpc,
        signer: Signer,
        journal: TransactionJournal,
        *,
        chain_id: int,
        config: RelayerConfig | None = None,
        checkpoint: Checkpoint = lambda _: None,
    ) -> None:
        self.rpc = rpc
        self._journal = journal
        self._config = config or RelayerConfig()
        self._checkpoint = checkpoint
        self._outbox = Outbox(rpc, signer, journal, chain_id=chain_id, checkpoint=checkpoint)
        self._sent_again_at = float("-inf")

    @property
    def address(self) -> Address:
        """Give the account that sends."""
        return self._outbox.address

    async def submit(self, key: str, to: Address, data: bytes, *, value: int = 0) -> Mined:
        """Have a call mined for this purpose, now or long ago, and give its block.

        Simulated before it is signed. Raises Refused with the contract's reason, or `chain.no_gas`;
        Unavailable `chain.not_mined` where it takes too long: submit the same key again then.
        """
        known = await self._journal.find(key)
        if known is not None and known.outcome is not None:
            return known.outcome
        if known is None or await self._outbox.fate(known) in (Fate.FAILED, Fate.SUPERSEDED):
            draft = await self._outbox.draft(to, data, value)
            async with self._outbox.lock:
                known = await self._outbox.sign_and_send(key, draft)
        else:
            async with self._outbox.lock:
                await self._outbox.send_all_again()
        return await self._wait_mined(known)

    async def is_new(self, key: str) -> bool:
        """Say whether nothing was signed for this purpose yet."""
        return await self._journal.find(key) is None

    async def simulate(self, to: Address, data: bytes) -> bytes:
        """Give what the call would return now; raises Refused with the contract's reason."""
        return await self.rpc.read(to, data, sender=self.address)

    async def recover(self, *, from_block: int | None = None) -> Recovery:
        """Send again what the journal holds and the chain does not, and wait until it is mined.

        To be called once at the start, and where the chain has changed from a block on (`from_block`):
        what the journal has as mined there is asked for again. The chain has to be making blocks.
        """
        moved = [] if from_block is None else await self._forget_blocks_from(from_block)
        async with self._outbox.lock:
            again = await self._outbox.send_all_again()
        await self._record_mined()
        failed = []
        for transaction in {row.key: row for row in (*moved, *again)}.values():
            try:
                await self._wait_mined(transaction)
            except Refused:
                failed.append(transaction.key)
        return Recovery(tuple(row.key for row in again), tuple(failed))

    async def has_lost(self) -> bool:
        """Say whether the chain lacks something that the journal has as mined."""
        _, rows = await self._outbox.outstanding()
        return any(row.outcome is not None for row in rows.values())

    async def _forget_blocks_from(self, block: int) -> list[JournaledTransaction]:
        """Make what was mined in `block` or later count as sent only, where it is not there any more.

        Gives what is in another block now: it may have failed there.
        """
        moved = []
        for row in await self._journal.since_block(self.address, block):
            found = await self._outbox.mined_form(row)
            if found is not None and row.outcome == _outcome_of(*found) and int(found[1]["status"], 16):
                continue
            row = replace(row, outcome=None)
            await self._journal.write(row)
            if found is not None:
                moved.append(row)
        return moved

    async def _record_mined(self) -> None:
        """Tell the journal what was mined before a crash and after the last look."""
        for row in await self._journal.unmined(self.address):
            found = await self._outbox.mined_form(row)
            if found is not None and int(found[1]["status"], 16) and await self._is_deep_enough(found[1]):
                await self._record(*found)

    async def _wait_mined(self, row: JournaledTransaction) -> Mined:
        if row.outcome is not None:
            return row.outcome
        waited, since_sent, pause = 0.0, 0.0, self._config.poll_s / 4
        while True:
            found = await self._outbox.mined_form(row)
            if found is not None and await self._is_deep_enough(found[1]):
                return await self._record(*found)
            if waited > self._config.mined_within_s:
                raise Unavailable(
                    "chain.not_mined",
                    f"transaction {row.tx_hash} is in no block that is deep enough yet",
                    do="look at the node: it is sent again until it is mined",
                )
            if found is None and since_sent > self._config.send_again_after_s:
                since_sent = 0.0
                row = await self._nudge(row)
            await asyncio.sleep(pause)
            waited, since_sent = waited + pause, since_sent + pause
            pause = min(pause * 2, self._config.poll_s)

    async def _nudge(self, row: JournaledTransaction) -> JournaledTransaction:
        """Send again what is not mined yet, and give the row as it is now: its price may have changed."""
        async with self._outbox.lock:
            now = asyncio.get_running_loop().time()
            if now - self._sent_again_at >= self._config.send_again_after_s:  # for all who wait at once
                await self._outbox.send_all_again()
                self._sent_again_at = now
        row = await self._journal.find(row.key) or row
        if await self._outbox.fate(row) is Fate.SUPERSEDED:
            raise Unavailable(
                "chain.superseded",
                f"nonce {row.nonce} of {self.address} was used by somebody else",
                do="let nobody else send with this account; submit again",
            )
        return row

    async def _is_deep_enough(self, receipt: dict[str, Any]) -> bool:
        """Say whether enough blocks count, on the very chain that has the receipt."""
        if self._config.confirmations <= 1:
            return True
        head = await self.rpc.block_number()
        if head - int(receipt["blockNumber"], 16) + 1 < self._config.confirmations:
            return False
        # The head may be that of another chain than the receipt's, where the newest blocks were replaced.
        again = await self.rpc.call("eth_getTransactionReceipt", receipt["transactionHash"])
        return again is not None and again["blockHash"] == receipt["blockHash"]

    async def _record(self, row: JournaledTransaction, receipt: dict[str, Any]) -> Mined:
        outcome = _outcome_of(row, receipt)
        self._checkpoint("relayer.mined")
        if not int(receipt["status"], 16):
            # It stays in the journal without an outcome, so that the purpose may be tried again.
            why = await self._why_failed(row)
            raise FailedOnChain(why.code, why.what, do=why.do) from why
        if await self._journal.mined(row.key, outcome):
            return outcome
        known = await self._journal.find(row.key)
        if known is not None and row.raw in known.earlier:  # an earlier form was mined, at its price
            others = tuple(form for form in (known.raw, *known.earlier) if form != row.raw)
            await self._journal.write(
                replace(known, raw=row.raw, tx_hash=row.tx_hash, earlier=others, outcome=outcome)
            )
        return outcome

    async def _why_failed(self, row: JournaledTransaction) -> Refused:
        """Ask for the reason by doing it again; the receipt does not hold one."""
        found = await self.rpc.call("eth_getTransactionByHash", row.tx_hash)
        try:
            if found is not None:
                call = {"to": found["to"], "data": found["input"], "value": found["value"]}
                await self.rpc.call("eth_call", {"from": self.address.text, **call}, "latest")
        except Refused as error:
            return error
        except EvmeshError:
            pass
        return Refused(
            "chain.reverted",
            f"transaction {row.tx_hash} failed on chain",
            do="submit it again if it is wanted",
        )


def _outcome_of(row: JournaledTransaction, receipt: dict[str, Any]) -> Mined:
    return Mined(row.tx_hash, int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16))


@contextmanager
def writer_lock(path: Path) -> Iterator[None]:
    """Hold the right to write for the accounts of a data directory; freed by the system at a crash.

    Raises Refused `chain.other_writer` where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Refused(
                "chain.other_writer",
                f"another process sends transactions for {path.parent}",
                do="stop it first, or use another data directory",
            ) from error
        yield
