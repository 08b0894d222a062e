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

    async def unmined(self, sender: Address) -> Sequence[JournaledTransaction]:
        """Give what is not known to be mined, in nonce order."""

    async def mined(self, key: str, outcome: Mined) -> None:
        """Record the block."""

    async def since_block(self, sender: Address, block: int) -> Sequence[JournaledTransaction]:
        """Give what was mined in `block` or later, in nonce order: to send again on a chain that lost it."""


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

    async def claim(self, claims: Sequence[Claim], key: str) -> Mined:
        """Claim for the operator; idempotent per `key`."""

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


class Notary(Protocol):
    """`MeterNotary`: the newest tree head per (publisher, stream)."""

    async def anchor(self, stream: bytes, size: int, root: bytes, key: str) -> Mined:
        """Publish a head. A head that is already there, or older than the newest, is not sent again."""

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

    async def deposit_order(
        self, payee: Address, ceiling: int, deadline: int, *, least: int = 0
    ) -> DepositOrder | None:
        """Sign what raises the tab to `ceiling`, or by `least` where that is more; None where it is there.

        Raises Refused `wallet.too_little` where the balance does not reach.
        """
