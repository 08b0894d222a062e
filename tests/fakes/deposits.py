"""Deposit addresses on a chain in memory: blocks that can be taken back, logs that can be pruned.

It passes `tests/contract/test_deposit_chain_port.py`, as `DepositAddresses` on a real chain does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from itertools import count

from evmesh.domain.chain import Mined
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.transfers import SeenTransfer, TransferRef
from evmesh.ports import Clock


@dataclass
class FakeDepositChain:
    """Implements the port `DepositChain`; a transfer is a block of its own."""

    addresses: frozenset[Address]
    clock: Clock
    closed: str = ""
    price: int = 10**9
    away: bool = False
    lose_answers: int = 0
    """How many more payments are mined whose answer is lost on its way back."""
    pruned_before: int = 0
    blocks: list[tuple[bytes, tuple[SeenTransfer, ...]]] = field(default_factory=list)
    times: list[datetime] = field(default_factory=list)
    outside: dict[Address, int] = field(default_factory=dict)
    """What came without an event, or went."""
    paid: list[tuple[Address, Address, int]] = field(default_factory=list)
    used: dict[tuple[Address, bytes], Mined] = field(default_factory=dict)
    by_key: dict[str, Mined] = field(default_factory=dict)
    _number: "count[int]" = field(default_factory=count)

    def __post_init__(self) -> None:
        self.mine()

    def mine(self, *seen: SeenTransfer) -> None:
        """Add a block."""
        salt = next(self._number).to_bytes(8, "big")
        self.blocks.append((sha256(b"block" + salt).digest(), seen))
        self.times.append(self.clock.now().replace(microsecond=0))

    def send(
        self, sender: Address, receiver: Address, amount: int, *, arrives: int | None = None
    ) -> TransferRef:
        """Mine a block with a transfer, of which only `arrives` may arrive."""
        ref = TransferRef(sha256(b"transfer" + next(self._number).to_bytes(8, "big")).digest(), 0)
        self.mine(SeenTransfer(ref, 0, len(self.blocks), sender, receiver, amount))
        if arrives is not None:
            self.outside[receiver] = self.outside.get(receiver, 0) + arrives - amount
        return ref

    def take_back(self, blocks: int) -> list[tuple[SeenTransfer, ...]]:
        """Replace the newest blocks by empty ones; give what was in them."""
        taken = [seen for _, seen in self.blocks[-blocks:]]
        del self.blocks[-blocks:], self.times[-blocks:]
        for _ in taken:
            self.mine()
        return taken

    def held(self, address: Address) -> int:
        """What an address holds."""
        came = sum(one.amount for _, seen in self.blocks for one in seen if one.receiver == address)
        gone = sum(amount for source, _, amount in self.paid if source == address)
        return came - gone + self.outside.get(address, 0)

    def received_by(self, account: Address) -> int:
        """What was paid to an account out of deposit addresses."""
        return sum(amount for _, receiver, amount in self.paid if receiver == account)

    async def why_closed(self) -> str:
        self._reach()
        return self.closed

    async def head(self) -> int:
        self._reach()
        return len(self.blocks) - 1

    async def block_hash(self, number: int) -> bytes | None:
        self._reach()
        return self.blocks[number][0] if 0 <= number < len(self.blocks) else None

    async def block_time(self, number: int) -> datetime | None:
        self._reach()
        return self.times[number] if self.pruned_before <= number < len(self.times) else None

    async def transfers(self, first: int, last: int) -> tuple[Sequence[SeenTransfer], int]:
        self._reach()
        kept = self.blocks[max(first, self.pruned_before) : last + 1]
        return [one for _, seen in kept for one in seen if one.receiver in self.addresses], last

    async def of_transaction(self, tx_hash: bytes) -> tuple[int, Sequence[SeenTransfer]] | None:
        self._reach()
        for number, (_, seen) in enumerate(self.blocks):
            found = [one for one in seen if one.ref.tx_hash == tx_hash]
            if found:
                return number, found
        return None

    async def balances(self, addresses: Sequence[Address]) -> Sequence[int]:
        self._reach()
        return [self.held(one) for one in addresses]

    async def gas_price(self) -> int:
        self._reach()
        return self.price

    async def payout_of(self, address: Address, nonce: bytes) -> Mined | None:
        self._reach()
        return self.used.get((address, nonce))

    async def pay(self, source: Address, receiver: Address, amount: int, nonce: bytes, key: str) -> Mined:
        self._reach()
        if key in self.by_key:
            return self.by_key[key]
        if (source, nonce) in self.used:
            raise Refused("token.authorization_used", "the authorization was used or cancelled")
        if amount > self.held(source):
            raise Refused("token.balance_too_small", "the wallet does not hold that much")
        self.paid.append((source, receiver, amount))
        self.mine()
        mined = Mined(f"0x{len(self.paid):064x}", len(self.blocks) - 1, 72_000)
        self.by_key[key] = self.used[source, nonce] = mined
        if self.lose_answers:
            self.lose_answers -= 1
            raise Unavailable("chain.away", "the node went away before it answered")
        return mined

    def _reach(self) -> None:
        if self.away:
            raise Unavailable("chain.away", "no node answers")
