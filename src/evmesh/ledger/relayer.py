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
from enum import Enum, auto
from pathlib import Path
from typing import Any, Final

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.rpc import JsonRpc, NodeRefused, no_gas
from evmesh.ledger.transactions import LegacyTransaction
from evmesh.ports import Checkpoint, Signer, TransactionJournal

_TRANSFER_GAS: Final = 21_000
_GAS_MARGIN_PERCENT: Final = 125
_GAS_MARGIN: Final = 20_000
"""What others do between the estimate and the block may cost a little more gas."""


class Fate(Enum):
    """What became of a transaction that was sent."""

    MINED = auto()
    FAILED = auto()
    """In a block, and the contract refused it."""
    SUPERSEDED = auto()
    """Its nonce went to another transaction: it can never be mined."""
    PENDING = auto()


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
        self._signer = signer
        self._journal = journal
        self._chain_id = chain_id
        self._config = config or RelayerConfig()
        self._checkpoint = checkpoint
        self._lock = asyncio.Lock()
        self._sent_again_at = float("-inf")
        self._next_nonce: int | None = None  # None: what was sent is not known, look first

    @property
    def address(self) -> Address:
        """Give the account that sends."""
        return self._signer.address

    async def submit(self, key: str, to: Address, data: bytes, *, value: int = 0) -> Mined:
        """Have a call mined for this purpose, now or long ago, and give its block.

        Simulated before it is signed. Raises Refused with the contract's reason, or `chain.no_gas`;
        Unavailable `chain.not_mined` where it takes too long: submit the same key again then.
        """
        known = await self._journal.find(key)
        if known is not None and known.outcome is not None:
            return known.outcome
        if known is None or await self._fate(known) in (Fate.FAILED, Fate.SUPERSEDED):
            draft = await self._simulate(to, data, value)
            async with self._lock:
                known = await self._sign_and_send(key, draft)
        else:
            async with self._lock:
                await self._send_all_again()
        return await self._wait_mined(known)

    async def is_new(self, key: str) -> bool:
        """Say whether nothing was signed for this purpose yet."""
        return await self._journal.find(key) is None

    async def simulate(self, to: Address, data: bytes) -> bytes:
        """Give what the call would return now; raises Refused with the contract's reason."""
        return await self.rpc.read(to, data, sender=self.address)

    async def recover(self) -> Recovery:
        """Send again what the journal holds and the chain does not, and wait until it is mined.

        To be called once at the start. The chain has to be making blocks.
        """
        async with self._lock:
            again = await self._send_all_again()
        await self._record_mined()
        failed = []
        for transaction in again:
            try:
                await self._wait_mined(transaction)
            except Refused:
                failed.append(transaction.key)
        return Recovery(tuple(row.key for row in again), tuple(failed))

    async def _simulate(self, to: Address, data: bytes, value: int) -> LegacyTransaction:
        call = {"from": self.address.text, "to": to.text, "data": "0x" + data.hex(), "value": hex(value)}
        try:
            price = int(await self.rpc.call("eth_gasPrice"), 16)
            estimate = int(await self.rpc.call("eth_estimateGas", {**call, "gasPrice": hex(price)}), 16)
        except NodeRefused as error:
            raise self._explained(error) from error
        gas = estimate * _GAS_MARGIN_PERCENT // 100 + _GAS_MARGIN
        return LegacyTransaction(nonce=0, gas_price=price, gas=gas, to=to, data=data, value=value)

    async def _sign_and_send(self, key: str, draft: LegacyTransaction) -> JournaledTransaction:
        """Give the purpose's one transaction. Called under the lock."""
        if self._next_nonce is None:
            await self._send_all_again()
        known = await self._journal.find(key)
        if known is not None and (known.outcome or await self._fate(known) in (Fate.MINED, Fate.PENDING)):
            return known  # somebody else was faster with the same purpose
        nonce = self._next_nonce
        assert nonce is not None  # noqa: S101 - _send_all_again has set it
        row = await self._write(key, replace(draft, nonce=nonce))
        self._next_nonce = None  # until the node has said yes, nobody may build on this nonce
        await self._send(row)
        row = await self._journal.find(key) or row
        self._checkpoint("relayer.sent")
        self._next_nonce = nonce + 1
        return row

    async def _send(self, row: JournaledTransaction) -> None:
        try:
            await self.rpc.call("eth_sendRawTransaction", "0x" + row.raw.hex())
        except NodeRefused as error:
            if error.has_it_already:
                return
            if not error.wants_another_price:
                raise self._explained(error) from error
            await self._send_at_todays_price(row, error)

    async def _send_at_todays_price(self, row: JournaledTransaction, error: NodeRefused) -> None:
        """Sign a transaction that the node does not want at its price anew, with the same nonce."""
        if await self.rpc.call("eth_getTransactionByHash", row.tx_hash) is not None:
            return  # the node holds it after all: a second one could be mined in its place
        price = int(await self.rpc.call("eth_gasPrice"), 16)
        draft = LegacyTransaction.decode(row.raw)
        if draft.gas_price == price:
            raise Unavailable("chain.gas_price", f"the node refuses its own gas price: {error.what}")
        raw, tx_hash = replace(draft, gas_price=price).sign(self._signer, self._chain_id)
        row = replace(row, raw=raw, tx_hash=tx_hash)
        await self._journal.write(row)
        await self.rpc.call("eth_sendRawTransaction", "0x" + raw.hex())

    async def _send_all_again(self) -> list[JournaledTransaction]:
        """Send what the journal holds and the chain does not, in nonce order. Called under the lock.

        Gives the rows sent; afterwards the next nonce is known, and none before it is missing.
        """
        used = int(await self.rpc.call("eth_getTransactionCount", self.address.text, "latest"), 16)
        rows = {row.nonce: row for row in await self._lost(used)}
        for row in await self._journal.unmined(self.address):
            if row.nonce >= used:
                rows[row.nonce] = row
        self._next_nonce = max(rows, default=used - 1) + 1
        for nonce in range(used, self._next_nonce):
            if nonce not in rows:
                rows[nonce] = await self._fill(nonce)
            await self._send(rows[nonce])
        return [rows[nonce] for nonce in sorted(rows)]

    async def _fill(self, nonce: int) -> JournaledTransaction:
        """Sign a transaction that does nothing, for a nonce that the chain needs again.

        What used it has failed, on blocks that the chain has lost, and was signed anew since.
        """
        price = int(await self.rpc.call("eth_gasPrice"), 16)
        nothing = LegacyTransaction(nonce, price, _TRANSFER_GAS, self.address, b"")
        return await self._write(f"filler:{self.address}:{nonce}", nothing)

    async def _write(self, key: str, transaction: LegacyTransaction) -> JournaledTransaction:
        raw, tx_hash = transaction.sign(self._signer, self._chain_id)
        row = JournaledTransaction(key, self.address, transaction.nonce, raw, tx_hash)
        self._checkpoint("relayer.signed")
        await self._journal.write(row)
        self._checkpoint("relayer.written")
        return row

    async def _lost(self, used: int) -> list[JournaledTransaction]:
        """Give what was mined once in a block that the chain no longer has; the journal is told first."""
        head, reach = await self.rpc.block_number(), 1
        while True:
            first = max(0, head - reach + 2)
            rows = await self._journal.since_block(self.address, first)
            lost = [row for row in rows if row.nonce >= used]
            # Some row of an older nonce shows that we have looked back far enough.
            if len(lost) < len(rows) or first == 0:
                break
            reach *= 16
        lost = [replace(row, outcome=None) for row in lost]
        for row in lost:
            await self._journal.write(row)
        return lost

    async def _record_mined(self) -> None:
        """Tell the journal what was mined before a crash and after the last look."""
        for row in await self._journal.unmined(self.address):
            receipt = await self.rpc.call("eth_getTransactionReceipt", row.tx_hash)
            if receipt is not None and int(receipt["status"], 16) and await self._is_deep_enough(receipt):
                await self._record(row, receipt)

    async def _fate(self, row: JournaledTransaction) -> Fate:
        receipt = await self.rpc.call("eth_getTransactionReceipt", row.tx_hash)
        if receipt is not None:
            return Fate.MINED if int(receipt["status"], 16) else Fate.FAILED
        used = int(await self.rpc.call("eth_getTransactionCount", self.address.text, "latest"), 16)
        if row.nonce >= used:
            return Fate.PENDING
        # It may have been mined between the two questions, or be in a block whose receipts come later.
        receipt = await self.rpc.call("eth_getTransactionReceipt", row.tx_hash)
        if receipt is not None:
            return Fate.MINED if int(receipt["status"], 16) else Fate.FAILED
        if await self.rpc.call("eth_getTransactionByHash", row.tx_hash) is not None:
            return Fate.PENDING
        return Fate.SUPERSEDED

    async def _wait_mined(self, row: JournaledTransaction) -> Mined:
        if row.outcome is not None:
            return row.outcome
        waited, since_sent, pause = 0.0, 0.0, self._config.poll_s / 4
        while True:
            receipt = await self.rpc.call("eth_getTransactionReceipt", row.tx_hash)
            if receipt is not None and await self._is_deep_enough(receipt):
                return await self._record(row, receipt)
            if waited > self._config.mined_within_s:
                raise Unavailable(
                    "chain.not_mined",
                    f"transaction {row.tx_hash} is in no block yet",
                    do="look at the node: it is sent again until it is mined",
                )
            if receipt is None and since_sent > self._config.send_again_after_s:
                since_sent = 0.0
                row = await self._nudge(row)
            await asyncio.sleep(pause)
            waited, since_sent = waited + pause, since_sent + pause
            pause = min(pause * 2, self._config.poll_s)

    async def _nudge(self, row: JournaledTransaction) -> JournaledTransaction:
        """Send again what is not mined yet, and give the row as it is now: its price may have changed."""
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if now - self._sent_again_at >= self._config.send_again_after_s:  # for all who wait at once
                await self._send_all_again()
                self._sent_again_at = now
        row = await self._journal.find(row.key) or row
        if await self._fate(row) is Fate.SUPERSEDED:
            raise Unavailable(
                "chain.superseded",
                f"nonce {row.nonce} of {self.address} was used by somebody else",
                do="let nobody else send with this account; submit again",
            )
        return row

    async def _is_deep_enough(self, receipt: dict[str, Any]) -> bool:
        if self._config.confirmations <= 1:
            return True
        head = await self.rpc.block_number()
        return head - int(receipt["blockNumber"], 16) + 1 >= self._config.confirmations

    async def _record(self, row: JournaledTransaction, receipt: dict[str, Any]) -> Mined:
        outcome = Mined(row.tx_hash, int(receipt["blockNumber"], 16), int(receipt["gasUsed"], 16))
        self._checkpoint("relayer.mined")
        if int(receipt["status"], 16):
            await self._journal.mined(row.key, outcome)
            return outcome
        # It stays in the journal without an outcome, so that the purpose may be tried again.
        raise await self._why_failed(row)

    async def _why_failed(self, row: JournaledTransaction) -> Refused:
        """Ask for the reason by doing it again; the receipt does not hold one."""
        found = await self.rpc.call("eth_getTransactionByHash", row.tx_hash)
        call = {"from": self.address.text, "to": found["to"], "data": found["input"], "value": found["value"]}
        try:
            await self.rpc.call("eth_call", call, "latest")
        except Refused as error:
            return error
        except EvmeshError:
            pass
        return Refused(
            "chain.reverted",
            f"transaction {row.tx_hash} failed on chain",
            do="submit it again if it is wanted",
        )

    def _explained(self, error: NodeRefused) -> EvmeshError:
        return no_gas(self.address) if error.wants_gas else error


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
