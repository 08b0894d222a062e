"""Payment by plain transfer: the token's events and payments, and what is kept of them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.chain import Mined
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.sessions import Session
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import BlockRef, Deposit, SeenTransfer, Transfer, TransferRef


class DepositChain(Protocol):
    """The deposit addresses on chain, whose keys this side holds."""

    async def why_closed(self) -> str:
        """Give the code of why the token cannot be paid out again (no EIP-3009); empty where it can.

        Raises Unavailable where the node could not ask the token.
        """

    async def head(self) -> int:
        """Give the newest block's number."""

    async def block_hash(self, number: int) -> bytes | None:
        """Give the hash of a block; None where the chain has none of that number."""

    async def block_time(self, number: int) -> datetime | None:
        """Give the time that a block carries; None where the chain does not have it any more."""

    async def transfers(self, first: int, last: int) -> tuple[Sequence[SeenTransfer], int]:
        """Give what came to our addresses from block `first` on, and up to which block that is known.

        Oldest first; the block reached is at most `last`, and `first - 1` where nothing is known. Blocks
        whose logs the node no longer has are left out.
        """

    async def of_transaction(self, tx_hash: bytes) -> tuple[int, Sequence[SeenTransfer]] | None:
        """Give the block of a transaction and what it brought; None where the chain does not have it."""

    async def balances(self, addresses: Sequence[Address]) -> Sequence[int]:
        """Read what each holds at the newest block, in token units."""

    async def gas_price(self) -> int:
        """Give the price of a unit of gas, in the smallest units of the chain's currency."""

    async def payout_of(self, address: Address, nonce: bytes) -> Mined | None:
        """Give the payment that used a nonce, with an empty hash where no log tells which; else None."""

    async def pay(self, source: Address, receiver: Address, amount: int, nonce: bytes, key: str) -> Mined:
        """Pay out of a deposit address; idempotent per `key`, and per nonce by the token itself.

        Raises Refused with the token's reason, also where the nonce is used.
        """


class TransferUnit(Protocol):
    """The part of a database transaction that knows transfers."""

    async def deposit_cursor(self) -> BlockRef | None:
        """The last block whose transfers are stored."""

    async def set_deposit_cursor(self, block: BlockRef) -> None: ...

    async def transfer(self, ref: TransferRef) -> Transfer | None: ...

    async def add_transfer(self, transfer: Transfer) -> None:
        """Insert; a transfer that is there already is an error of the database: nothing counts twice."""

    async def save_transfer(self, transfer: Transfer) -> None:
        """Write a transfer again."""

    async def waiting_transfers(self, most: int | None = None) -> Sequence[Transfer]:
        """Those that count and are settled with nothing yet, or the newest so many; oldest first."""

    async def waiting_of(self, sender: Address, asset: int, most: int) -> Sequence[Transfer]:
        """The largest so many of one sender's at one asset that wait, oldest first."""

    async def waiting_amounts(self) -> Mapping[tuple[Address, int], int]:
        """How much waits of each sender at each asset, in token units."""

    async def transfers_of(self, deposit: TransferRef) -> Sequence[Transfer]:
        """What a deposit is made of, oldest first; also what the chain took back."""

    async def transfers_in(self, tx_hash: bytes) -> Sequence[Transfer]:
        """What one transaction brought."""

    async def transfers_aside(self, most: int | None = None) -> Sequence[Transfer]:
        """What counts for nothing, or the newest so many of it; oldest first."""

    async def unsettled_transfers(self) -> Sequence[Transfer]:
        """Those that wait, or whose deposit is not settled yet, oldest first; also what was taken back."""

    async def add_deposit(self, deposit: Deposit) -> None: ...

    async def save_deposit(self, deposit: Deposit) -> None: ...

    async def deposit(self, ref: TransferRef) -> Deposit | None: ...

    async def deposit_of(self, session: SessionId) -> Deposit | None: ...

    async def unsettled_deposits(self) -> Sequence[Deposit]:
        """Those that something is still to be paid out of, oldest first."""

    async def add_transfer_terms(self, terms: TransferTerms) -> None:
        """Keep signed terms."""

    async def transfer_terms(self, sha256: str) -> bytes | None:
        """Give terms by `terms_hash`, as the bytes of their file."""

    async def transfer_terms_at(self, asset: int, at: datetime) -> Sequence[TransferTerms]:
        """Those of one asset that were in force at an instant, the newest last."""

    async def forget_transfer_terms(self, before: datetime) -> None:
        """Drop those that ended before an instant and that no deposit names."""

    async def refunded_transfers(self, after: datetime) -> Sequence[Session]:
        """Sessions by transfer whose money goes back, or went back after an instant: none began."""

    async def held(self) -> Mapping[int, int]:
        """What is known to lie at the deposit address of each asset, in token units."""

    async def add_held(self, asset: int, change: int) -> None:
        """Note that something came, or was paid out."""

    async def unseen(self) -> Mapping[int, int]:
        """What lies at deposit addresses and no event told of, in token units."""

    async def set_unseen(self, asset: int, amount: int) -> None: ...
