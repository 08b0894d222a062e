"""An EVM node in memory, of one account, that forgets, repeats and restarts; and virtual time."""

import asyncio
import itertools
import selectors
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evmesh.domain.chain import JournaledTransaction, Mined
from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.answers import checked
from evmesh.ledger.rpc import JsonRpc, NodeRefused
from evmesh.ledger.signatures import keccak256
from evmesh.ledger.transactions import LegacyTransaction

LATENCY_S = 0.01


class VirtualLoop(asyncio.SelectorEventLoop):
    """Never waits: where it would, its time moves on."""

    def __init__(self) -> None:
        super().__init__(_Hurried(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class _Hurried(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everybody waits, and nobody for a time"
        self._loop.now += max(0.0, timeout)
        return super().select(0)


@dataclass(frozen=True)
class Sent:
    tx_hash: str
    transaction: LegacyTransaction


@dataclass(frozen=True)
class Block:
    block_hash: str
    sent: tuple[Sent, ...] = ()


class FaultyNode(JsonRpc):
    """One account's node; it makes blocks, and goes wrong, when it is told to.

    `is_strict` refuses every gas price but today's, as IOTA EVM does; else a block takes what pays today's
    price, and the pool takes one for another at 110 %, as geth does.
    """

    def __init__(self, *, is_strict: bool) -> None:
        self.is_strict = is_strict
        self.is_away = False
        self.price = 1_000
        self.pool: dict[int, Sent] = {}
        self.next_sends: deque[str] = deque()
        self.accepted: list[Sent] = []
        self._numbers = itertools.count()
        self.blocks = [self._block()]
        self._dumped = 1

    # What goes wrong

    def mine(self) -> None:
        taken, used = [], self.used
        while (held := self.pool.get(used)) and (self.is_strict or held.transaction.gas_price >= self.price):
            taken.append(self.pool.pop(used))
            used += 1
        self.blocks.append(self._block(taken))

    def reorganise(self, depth: int, *, forgets: bool) -> None:
        """Replace the newest blocks by one more of empty ones; what they held is pooled again, or lost."""
        depth = min(depth, len(self.blocks) - 1)
        gone = self.blocks[len(self.blocks) - depth :]
        self.blocks = self.blocks[: len(self.blocks) - depth] + [self._block() for _ in range(depth + 1)]
        self._dumped = min(self._dumped, len(self.blocks))
        for sent in itertools.chain.from_iterable(block.sent for block in gone):
            if not forgets:
                self.pool.setdefault(sent.transaction.nonce, sent)

    def dump(self) -> None:
        self._dumped = len(self.blocks)

    def restart(self) -> None:
        """Come back from the last dump, without a pool."""
        self.blocks = self.blocks[: self._dumped]
        self.pool = {}

    # What it holds

    @property
    def mined(self) -> list[LegacyTransaction]:
        return [sent.transaction for block in self.blocks for sent in block.sent]

    @property
    def used(self) -> int:
        return sum(len(block.sent) for block in self.blocks)

    # What it answers

    async def call(self, method: str, *params: object) -> Any:
        await asyncio.sleep(LATENCY_S)  # the world changes between any two questions
        if self.is_away:
            raise Unavailable("chain.away", "the node is away")
        answer = self._answers[method](self, *params)
        await asyncio.sleep(LATENCY_S)
        return checked(method, answer)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        return [await self.call(method, *params) for method, params in calls]

    def _send(self, raw: str) -> str:
        fault = self.next_sends.popleft() if self.next_sends else ""
        if fault == "lost":
            raise Unavailable("chain.away", "the request was lost")
        if fault == "refused":
            raise NodeRefused("eth_sendRawTransaction", "exceeds block gas limit")
        tx_hash = self._take(bytes.fromhex(raw[2:]))
        if fault == "repeated":
            self._take(bytes.fromhex(raw[2:]))
        if fault == "unanswered":
            raise Unavailable("chain.away", "the answer was lost")
        return tx_hash

    def _take(self, raw: bytes) -> str:
        sent = Sent("0x" + keccak256(raw).hex(), LegacyTransaction.decode(raw))
        nonce, price = sent.transaction.nonce, sent.transaction.gas_price
        held = self.pool.get(nonce)
        why = ""
        if nonce < self.used:
            why = "nonce too low"
        elif held is not None and held.tx_hash == sent.tx_hash:
            why = "already known"
        elif self.is_strict and price != self.price:
            why = "invalid gas price"
        elif held is not None and 100 * price < 110 * held.transaction.gas_price:
            why = "replacement transaction underpriced"
        if why:
            raise NodeRefused("eth_sendRawTransaction", why)
        self.pool[nonce] = sent
        self.accepted.append(sent)
        return sent.tx_hash

    def _receipt(self, tx_hash: str) -> dict[str, str] | None:
        for number, block in enumerate(self.blocks):
            if any(sent.tx_hash == tx_hash for sent in block.sent):
                return {
                    "status": "0x1",
                    "blockNumber": hex(number),
                    "blockHash": block.block_hash,
                    "transactionHash": tx_hash,
                    "gasUsed": hex(21_000),
                }
        return None

    def _transaction(self, tx_hash: str) -> dict[str, str] | None:
        known = [*self.pool.values(), *itertools.chain.from_iterable(block.sent for block in self.blocks)]
        found = next((one.transaction for one in known if one.tx_hash == tx_hash), None)
        if found is None:
            return None
        return {"to": str(found.to), "input": "0x" + found.data.hex(), "value": hex(found.value)}

    def _block(self, sent: Sequence[Sent] = ()) -> Block:
        return Block("0x" + next(self._numbers).to_bytes(32, "big").hex(), tuple(sent))

    _answers: dict[str, Callable[..., Any]] = {  # noqa: RUF012 - nobody changes it
        "eth_gasPrice": lambda self: hex(self.price),
        "eth_estimateGas": lambda self, _: hex(21_000),
        "eth_blockNumber": lambda self: hex(len(self.blocks) - 1),
        "eth_getTransactionCount": lambda self, _account, _block: hex(self.used),
        "eth_sendRawTransaction": _send,
        "eth_getTransactionReceipt": _receipt,
        "eth_getTransactionByHash": _transaction,
    }


class RememberedJournal:
    """The port `TransactionJournal` in memory: what was written outlives the process, a nonce goes once."""

    def __init__(self) -> None:
        self.rows: dict[str, JournaledTransaction] = {}

    async def find(self, key: str) -> JournaledTransaction | None:
        return self.rows.get(key)

    async def write(self, transaction: JournaledTransaction) -> None:
        await asyncio.sleep(LATENCY_S)
        others = [row for key, row in self.rows.items() if key != transaction.key]
        assert all(row.nonce != transaction.nonce for row in others), "two purposes with one nonce"
        self.rows[transaction.key] = transaction

    async def forget(self, key: str) -> None:
        self.rows.pop(key, None)

    async def unmined(self, sender: Address) -> Sequence[JournaledTransaction]:
        return self._in_order(lambda row: row.outcome is None)

    async def mined(self, key: str, outcome: Mined) -> bool:
        await asyncio.sleep(LATENCY_S)
        row = self.rows.get(key)
        if row is None or row.tx_hash != outcome.tx_hash:
            return False
        self.rows[key] = replace(row, outcome=outcome)
        return True

    async def since_block(self, sender: Address, block: int) -> Sequence[JournaledTransaction]:
        return self._in_order(lambda row: row.outcome is not None and row.outcome.block >= block)

    async def from_nonce(self, sender: Address, nonce: int) -> Sequence[JournaledTransaction]:
        return self._in_order(lambda row: row.nonce >= nonce)

    def _in_order(self, wanted: Callable[[JournaledTransaction], bool]) -> list[JournaledTransaction]:
        return sorted(filter(wanted, self.rows.values()), key=lambda row: row.nonce)
