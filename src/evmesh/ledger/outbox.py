"""An account's transactions on their way to the chain: signed, journaled, sent, in nonce order, no gap.

What the journal holds and the chain does not is sent again as it was signed. It is signed anew, with the
same nonce, only where the node refuses its gas price, or holds it while today's price is higher; what was
sent before stays known, since a node may still prefer it.
"""

import asyncio
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Final

from evmesh.domain.chain import JournaledTransaction
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.receipt_poll import ReceiptPoll
from evmesh.ledger.rpc import JsonRpc, NodeRefused, no_gas
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.transactions import LegacyTransaction
from evmesh.ports import Checkpoint, Signer, TransactionJournal

_TRANSFER_GAS: Final = 21_000
_GAS_MARGIN_PERCENT: Final = 125
_GAS_MARGIN: Final = 20_000
"""What others do between the estimate and the block may cost a little more gas."""

_REPLACES_PERCENT: Final = 110
"""Of a transaction's price: for this and more, nodes take another one of the same nonce instead (geth)."""


class Fate(Enum):
    """What became of a transaction that was sent."""

    MINED = auto()
    FAILED = auto()
    """In a block, and the contract refused it."""
    SUPERSEDED = auto()
    """Its nonce went to another transaction: it can never be mined."""
    PENDING = auto()


class Outbox:
    """What one account sends. Whoever signs or sends holds `lock`."""

    def __init__(
        self,
        rpc: JsonRpc,
        signer: Signer,
        journal: TransactionJournal,
        *,
        chain_id: int,
        checkpoint: Checkpoint,
    ) -> None:
        self.lock = asyncio.Lock()
        self._rpc = rpc
        self._signer = signer
        self._journal = journal
        self._chain_id = chain_id
        self._checkpoint = checkpoint
        self._poll = ReceiptPoll(rpc)
        self._next_nonce: int | None = None  # None: what was sent is not known, look first

    @property
    def address(self) -> Address:
        return self._signer.address

    async def draft(self, to: Address, data: bytes, value: int) -> LegacyTransaction:
        """Simulate a call and give it at today's price, without its nonce; raises Refused."""
        call = {"from": self.address.text, "to": to.text, "data": "0x" + data.hex(), "value": hex(value)}
        try:
            price = await self._gas_price()
            estimate = int(await self._rpc.call("eth_estimateGas", {**call, "gasPrice": hex(price)}), 16)
        except NodeRefused as error:
            raise self._explained(error) from error
        gas = estimate * _GAS_MARGIN_PERCENT // 100 + _GAS_MARGIN
        return LegacyTransaction(nonce=0, gas_price=price, gas=gas, to=to, data=data, value=value)

    async def sign_and_send(self, key: str, draft: LegacyTransaction) -> JournaledTransaction:
        """Give the purpose's one transaction, in the journal and at the node. Called under the lock.

        What the node refuses for good is forgotten, so that nothing waits behind it.
        """
        if self._next_nonce is None:
            await self.send_all_again()
        known = await self._journal.find(key)
        if known is not None and (known.outcome or await self.fate(known) in (Fate.MINED, Fate.PENDING)):
            return known  # somebody else was faster with the same purpose
        nonce = self._next_nonce
        assert nonce is not None  # noqa: S101 - send_all_again has set it
        row = await self._write(key, replace(draft, nonce=nonce))
        self._next_nonce = None  # until the node has said yes, nobody may build on this nonce
        try:
            row = await self._send(row)
        except NodeRefused as error:
            await self._journal.forget(key)
            raise self._explained(error) from error
        self._checkpoint("relayer.sent")
        self._next_nonce = nonce + 1
        return row

    async def send_all_again(self) -> list[JournaledTransaction]:
        """Send what the journal holds and the chain does not, in nonce order. Called under the lock.

        Gives the rows sent; afterwards the next nonce is known, and none before it is missing.
        """
        self._next_nonce = None
        used, rows = await self.outstanding()
        following = max(rows, default=used - 1) + 1
        for nonce in range(used, following):
            row = rows[nonce] if nonce in rows else await self._fill(nonce)
            if row.outcome is not None:  # mined once, in a block that the chain has lost
                row = replace(row, outcome=None)
                await self._journal.write(row)
            try:
                rows[nonce] = await self._send(row)
            except NodeRefused as error:
                raise self._explained(error) from error
        self._next_nonce = following
        return [rows[nonce] for nonce in sorted(rows)]

    async def outstanding(self) -> tuple[int, dict[int, JournaledTransaction]]:
        """Give the nonce that the chain wants next, and what the journal has from it on.

        The journal is read first: what stands there as mined was mined before the chain was asked.
        """
        reach = await self._used()
        while True:
            rows = await self._journal.from_nonce(self.address, reach)
            used = await self._used()
            if used >= reach:
                return used, {row.nonce: row for row in rows if row.nonce >= used}
            reach = used  # blocks were lost meanwhile

    async def fate(self, row: JournaledTransaction) -> Fate:
        """Say what became of a transaction, in whichever form it was mined."""
        fate = await self._in_a_block(row)
        if fate is not None:
            return fate
        if row.nonce >= await self._used():
            return Fate.PENDING
        # It may have been mined between the two questions, or be in a block whose receipts come later.
        fate = await self._in_a_block(row)
        if fate is not None:
            return fate
        for tx_hash in _hashes(row):
            if await self._rpc.call("eth_getTransactionByHash", tx_hash) is not None:
                return Fate.PENDING
        # Or in a block that is gone again.
        return Fate.PENDING if row.nonce >= await self._used() else Fate.SUPERSEDED

    async def mined_form(
        self, row: JournaledTransaction
    ) -> tuple[JournaledTransaction, dict[str, Any]] | None:
        """Give the row in the form that is in a block, and its receipt; None where none is."""
        forms, hashes = (row.raw, *row.earlier), _hashes(row)
        receipts = await self._poll.receipts(hashes)
        for raw, tx_hash, receipt in zip(forms, hashes, receipts, strict=True):
            if receipt is not None:
                others = tuple(other for other in forms if other != raw)
                return replace(row, raw=raw, tx_hash=tx_hash, earlier=others), receipt
        return None

    async def _in_a_block(self, row: JournaledTransaction) -> Fate | None:
        found = await self.mined_form(row)
        if found is None:
            return None
        return Fate.MINED if int(found[1]["status"], 16) else Fate.FAILED

    async def _send(self, row: JournaledTransaction) -> JournaledTransaction:
        """Send one row, and give it as it is afterwards: its price may have changed."""
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + row.raw.hex())
        except NodeRefused as error:
            if not error.has_it_already and not error.wants_another_price:
                raise
            price, signed_at = await self._gas_price(), LegacyTransaction.decode(row.raw).gas_price
            if error.has_it_already:
                if error.nonce_is_used or price <= signed_at:
                    return row
                price = max(price, -(-signed_at * _REPLACES_PERCENT // 100))
            elif price == signed_at:
                raise Unavailable(
                    "chain.gas_price", f"the node refuses its own gas price: {error.what}"
                ) from error
            return await self._send_at(price, row)
        return row

    async def _send_at(self, price: int, row: JournaledTransaction) -> JournaledTransaction:
        """Sign a row anew, with the same nonce, at another price; the journal keeps both forms."""
        raw, tx_hash = replace(LegacyTransaction.decode(row.raw), gas_price=price).sign(
            self._signer, self._chain_id
        )
        earlier = tuple(form for form in (*row.earlier, row.raw) if form != raw)
        self._checkpoint("relayer.signed")
        row = replace(row, raw=raw, tx_hash=tx_hash, earlier=earlier)
        await self._journal.write(row)
        self._checkpoint("relayer.written")
        try:
            await self._rpc.call("eth_sendRawTransaction", "0x" + raw.hex())
        except NodeRefused as error:
            # The price has moved again, or the node keeps the other form: the next round looks again.
            if not error.has_it_already and not error.wants_another_price:
                raise
        return row

    async def _fill(self, nonce: int) -> JournaledTransaction:
        """Sign a transaction that does nothing, for a nonce that the chain needs again.

        What used it has failed, on blocks that the chain has lost, and was signed anew since.
        """
        nothing = LegacyTransaction(nonce, await self._gas_price(), _TRANSFER_GAS, self.address, b"")
        return await self._write(f"filler:{self.address}:{nonce}", nothing)

    async def _write(self, key: str, transaction: LegacyTransaction) -> JournaledTransaction:
        raw, tx_hash = transaction.sign(self._signer, self._chain_id)
        row = JournaledTransaction(key, self.address, transaction.nonce, raw, tx_hash)
        self._checkpoint("relayer.signed")
        await self._journal.write(row)
        self._checkpoint("relayer.written")
        return row

    async def _used(self) -> int:
        """Give how many transactions of ours the newest block counts."""
        return int(await self._rpc.call("eth_getTransactionCount", self.address.text, "latest"), 16)

    async def _gas_price(self) -> int:
        return int(await self._rpc.call("eth_gasPrice"), 16)

    def _explained(self, error: NodeRefused) -> EvmeshError:
        return no_gas(self.address) if error.wants_gas else error


def _hashes(row: JournaledTransaction) -> tuple[str, ...]:
    """Give the hash of each form of a row, the newest first."""
    return (row.tx_hash, *("0x" + keccak256(raw).hex() for raw in row.earlier))
