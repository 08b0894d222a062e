"""The public ledger: assets, money, anchors, and the journal of what was sent."""

from collections.abc import Sequence
from typing import Protocol

from evmesh.domain.chain import AuthorizedDeposit, Claim, DepositOrder, JournaledTransaction, Mined, Tab
from evmesh.domain.ids import Address
from evmesh.domain.stations import AssetFacts


class TransactionJournal(Protocol):
    """The write-ahead journal of transactions: what stands here is sent until it is mined.

    `key` is the purpose (`claim:{session}`): the same key never becomes two transactions.
    """

    async def find(self, key: str) -> JournaledTransaction | None:
        """Give the transaction that was written for this purpose, if any."""

    async def write(self, transaction: JournaledTransaction) -> None:
        """Store before the first send; durable when this returns. Replaces the row of the same key."""

    async def forget(self, key: str) -> None:
        """Drop what no node took: its nonce is free again."""

    async def unmined(self, sender: Address) -> Sequence[JournaledTransaction]:
        """Give what is not known to be mined, in nonce order."""

    async def mined(self, key: str, outcome: Mined) -> bool:
        """Record the block, and say whether it is that of the transaction that stands here."""

    async def since_block(self, sender: Address, block: int) -> Sequence[JournaledTransaction]:
        """Give what was mined in `block` or later, in nonce order: to ask again for on a changed chain."""

    async def from_nonce(self, sender: Address, nonce: int) -> Sequence[JournaledTransaction]:
        """Give what was signed with `nonce` or a later one, mined or not, in nonce order."""


class Registry(Protocol):
    """`AssetRegistry`: who runs which EVSE, at what price."""

    async def find(self, asset: int) -> AssetFacts | None:
        """Read one asset; None where the counter is not in use."""


class Escrow(Protocol):
    """`ChargeTab`: the money."""

    async def tab(self, payee: Address, payer: Address) -> Tab:
        """Read one tab at the newest block."""

    async def deposit(self, order: DepositOrder, key: str) -> Mined:
        """Relay a driver's deposit; simulated first. Raises Refused with the contract's reason."""

    async def block_time(self) -> int:
        """Read the newest block's time, in seconds since 1970: what is read after this is no older."""

    async def window(self) -> int:
        """Read for how many seconds after an exit began the payee may still claim."""

    async def claim(self, claims: Sequence[Claim], key: str) -> Mined:
        """Claim for the operator; idempotent per `key`.

        Raises Refused `claim.` and the fate of the first row where none would be settled, or was.
        """

    async def claim_fates(self, claims: Sequence[Claim]) -> Sequence[str]:
        """Say what would become of each row now, in one word: `settled`, `other_epoch`, `stale`."""

    async def has_signed(self, key: str) -> bool:
        """Say whether a claim was signed for this purpose: then it is sent until it is mined."""

    async def settled_rows(self, mined: Mined, rows: int) -> Sequence[bool] | None:
        """Say which rows of a mined claim were settled; None where the node no longer has its receipt."""

    async def refund(self, payer: Address, tab: Tab, key: str) -> Mined:
        """Close the operator's tab with `payer` at what is spent already: the rest goes back.

        Idempotent per `key`, also where the tab is in its next epoch by then.
        """

    async def account(self, payee: Address) -> tuple[int, int]:
        """Read what a payee has earned and what of it was paid out, since the contract began."""

    async def payout(self, key: str) -> Mined:
        """Move what was claimed to the operator's account."""


class DriverRelay(Protocol):
    """What the operator sends for drivers beside plain deposits, so that none of them needs gas.

    Each is simulated first, and idempotent per `key`; raises Refused with the contract's reason.
    """

    async def deposit_authorized(self, order: AuthorizedDeposit, key: str) -> Mined:
        """Relay a deposit by EIP-3009."""

    async def begin_exit(self, payer: Address, epoch: int, signature: bytes, key: str) -> Mined:
        """Relay a driver's signed Exit from the operator's tab."""

    async def finish_exit(self, payer: Address, key: str) -> Mined:
        """Return to a driver what the tab has left, after the window."""

    async def close(
        self, payer: Address, epoch: int, amount: int, agreed: bytes | None, deadline: int, key: str
    ) -> Mined:
        """End the operator's tab with `payer` at a final total, and return the rest at once.

        The signed Close holds until `deadline`, in seconds since 1970 of the chain's time. `agreed` is the
        payer's signature of a Voucher of exactly `amount`, needed above what is spent.
        """


class Notary(Protocol):
    """`MeterNotary`: the newest tree head per (publisher, stream)."""

    async def anchor(self, stream: bytes, size: int, root: bytes, key: str) -> Mined:
        """Publish a head. A head that is already there, or older than the newest, is not sent again."""

    async def anchor_many(self, heads: Sequence[tuple[bytes, int, bytes]], key: str) -> Mined:
        """Publish (stream, size, root) of several streams in one transaction; each has to grow."""

    async def head(self, stream: bytes) -> tuple[int, bytes]:
        """Read (size, root) of our newest anchor; (0, zeros) before the first."""


class Wallet(Protocol):
    """A driver's money and keys, on the driver's own device."""

    @property
    def address(self) -> Address: ...

    def sign(self, digest: bytes) -> bytes:
        """Give the 64-byte EIP-2098 signature."""

    async def balance(self) -> int:
        """Token units the driver holds, outside the escrow."""

    async def spent(self, payee: Address) -> int:
        """What the payee has taken from the driver's tab in its epoch: a ceiling counts from 0."""

    async def deposit_order(
        self, payee: Address, ceiling: int, deadline: int, *, least: int = 0
    ) -> DepositOrder | None:
        """Sign what raises the tab to `ceiling`, or by `least` where that is more; None where it is there.

        Raises Refused `wallet.too_little` where the balance does not reach.
        """


class TokenSender(Protocol):
    """An account that pays its own gas: what any wallet can do, also one that knows nothing of evmesh."""

    @property
    def address(self) -> Address: ...

    async def send(self, to: Address, units: int, key: str) -> str:
        """Send tokens, once for `key`, and give the hash of the mined transaction (0x and hexadecimal)."""
