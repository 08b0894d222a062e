"""Payment by plain token transfer: what came to an EVSE's deposit address, and what becomes of it.

Transfers of one sender to one EVSE that are settled together are one `Deposit`. It is named by the
first of them, and so are the two payments that leave it: what is due, to the operator, and the
remainder, to the sender. Nothing is made or lost: received = due + returned + fee + kept.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal, Self

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.typed_data import Keccak

MAX_TRANSFERS: Final = 100
"""How many transfers one charge may stand on: its receipt names each."""

STAY: Final = timedelta(days=1)
"""How long a charge by transfer may take: nobody said when the car leaves."""

PER_ADDRESS: Final = 2**16
"""Transfers to one address that a transaction can have: more would not fit into a block."""

_PER_TRANSACTION: Final = 2**26
"""A thousand addresses of `PER_ADDRESS` each."""

Purpose = Literal["due", "return"]

_NONCE_LABEL: Final = b"evmesh.deposit/1:"
_REQUEST_LABEL: Final = b"evmesh.transfer/1"


@dataclass(frozen=True, slots=True, order=True)
class TransferRef:
    """One transfer: its transaction, and which of that transaction's transfers to this address it is, from 0.

    Those to the second of our addresses in one transaction are counted from 2^16, to the third from 2^17,
    so that no two have one name; `rank` is the number without that. The number of a log changes when a
    block is made anew with the same transaction; this does not.
    """

    tx_hash: bytes
    position: int

    @property
    def text(self) -> str:
        """Give the form of keys: `0x…:0`."""
        return f"0x{self.tx_hash.hex()}:{self.position}"

    @property
    def of_transaction(self) -> "TransferRef":
        """Give the transfer itself, where this is the name of a deposit that it opened again."""
        return replace(self, position=self.position % _PER_TRANSACTION)

    @property
    def rank(self) -> int:
        """Give which of its transaction's transfers to its own address it is, from 0."""
        return self.position % PER_ADDRESS

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` gives; raises InvalidInput."""
        tx_hash, _, position = text.partition(":")
        if len(tx_hash) != 66 or not position.isdecimal():
            raise InvalidInput("transfer.malformed_id", f"not a transfer: {text[:80]!r}")
        return cls(bytes.fromhex(tx_hash[2:]), int(position))

    def words(self) -> bytes:
        """Give hash and position as two words of 32 bytes."""
        return self.tx_hash + self.position.to_bytes(32, "big")

    def __str__(self) -> str:
        return self.text


class Aside(StrEnum):
    """Why a transfer counts for nothing; what it brought is shown to the operator, and stays where it is."""

    NOTHING = ""
    SHORT = "short"
    """Less arrived than the token announced: it takes a fee, or announces what it does not do."""
    TOO_LARGE = "too_large"
    """More than any budget can be, 2^96 - 1 units."""
    NO_SENDER = "no_sender"
    """From nobody, as a token is made: there is nobody to return anything to."""
    LOST = "lost"
    """The chain took it back after it was counted."""


@dataclass(frozen=True, slots=True)
class SeenTransfer:
    """A `Transfer` event of the token to one of our deposit addresses, as the node gives it."""

    ref: TransferRef
    log_index: int
    block: int
    sender: Address
    receiver: Address
    amount: int


@dataclass(frozen=True, slots=True)
class Transfer:
    """A transfer that is as deep in the chain as was asked for. `deposit` is what it is settled with."""

    ref: TransferRef
    log_index: int
    block: int
    sender: Address
    asset: int
    amount: int
    seen_at: datetime
    aside: Aside = Aside.NOTHING
    deposit: TransferRef | None = None

    @property
    def counted(self) -> int:
        """Give what it is worth, in token units."""
        return 0 if self.aside else self.amount


@dataclass(frozen=True, slots=True)
class Payout:
    """A payment out of a deposit address that is in a block; the hash is empty where only the slot tells."""

    amount: int
    tx_hash: bytes = b""
    block: int = 0


@dataclass(frozen=True, slots=True)
class Deposit:
    """Transfers that are settled together, for a session, or to be returned for `reason`.

    `fee` is what the return costs its receiver, stated when the deposit was opened. `salt` is in the
    nonce of the request that the session stands for, so that only who has the receipt finds its row.
    `terms` names the signed terms that hold for it, by `terms_hash`; `word` is the signed word on its return.
    """

    ref: TransferRef
    asset: int
    sender: Address
    fee: int
    salt: bytes
    opened_at: datetime
    session: SessionId | None = None
    reason: str = ""
    due: Payout | None = None
    returned: Payout | None = None
    settled: bool = False
    terms: str = ""
    word: bytes = b""


@dataclass(frozen=True, slots=True)
class Split:
    """What became of a deposit, in token units."""

    received: int
    due: int
    returned: int
    fee: int
    kept: int
    """Not worth the gas of returning it."""


@dataclass(frozen=True, slots=True)
class TransferQuote:
    """What a driver who pays by transfer has to know before: amounts in token units.

    Below `minimum` nothing starts and nothing is returned. `closed` is the code of why the way is not
    open at all, or empty.
    """

    minimum: int
    fee: int
    confirmations: int
    closed: str = ""


@dataclass(frozen=True, slots=True)
class TransferPolicy:
    """How transfers are taken.

    `native_price` is what one whole coin of the chain's gas currency (10^18 of its smallest units)
    costs, in token units; with it gas becomes token units. `least` is the least that a charge is worth.
    """

    enabled: bool = True
    confirmations: int = 1
    native_price: int = 200_000
    least: int = 100_000

    def fee(self, gas: int, gas_price: int) -> int:
        """Give what so much gas costs in token units, rounded up; at least 1."""
        return max(1, -(-gas * gas_price * self.native_price // 10**18))

    def minimum(self, fee: int) -> int:
        """Give the least that starts anything: a charge worth its gas, and its return."""
        return max(self.least, 2 * fee) + fee


def budget_of(received: int, fee: int) -> int:
    """Give what may be charged for: all but what a return of the remainder would cost."""
    return max(0, received - fee)


def split(received: int, due: int, fee: int) -> Split:
    """Divide a deposit exactly: the remainder goes back less the fee, where that leaves anything."""
    rest = received - due
    if rest < 0:
        raise ValueError(f"{due} is due of {received}")
    if rest <= fee:
        return Split(received, due, 0, 0, rest)
    return Split(received, due, rest - fee, fee, 0)


def payout_nonce(purpose: Purpose, first: TransferRef, keccak: Keccak) -> bytes:
    """Give the EIP-3009 nonce of a payment out of a deposit: the token takes each once, whatever we know."""
    return keccak(_NONCE_LABEL + purpose.encode() + first.words())


def named_again(opened_by: TransferRef, times: int) -> TransferRef:
    """Give the name of a deposit that one transfer opens again, when its first one is settled, 2^26 apart.

    No transaction has so many transfers, so neither names nor the nonces of payments meet.
    """
    return replace(opened_by, position=opened_by.position + times * _PER_TRANSACTION)


def request_nonce(salt: bytes, first: TransferRef, keccak: Keccak) -> bytes:
    """Give the nonce of the request that a deposit stands for."""
    return keccak(_REQUEST_LABEL + salt + first.words())


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by number and hash."""

    number: int
    hash: bytes = field(default=b"")
