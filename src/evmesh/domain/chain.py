"""The public ledger in domain words: where contracts are, what tabs hold, what was sent and mined."""

from dataclasses import dataclass
from datetime import datetime

from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt_parts import ChainRef, PaidIn
from evmesh.domain.typed_data import Domain


@dataclass(frozen=True, slots=True)
class Contracts:
    """Where the platform's contracts are. `flex_tab` is an escrow like `charge_tab`, of its FLEX."""

    chain_id: int
    registry: Address
    charge_tab: Address
    notary: Address
    token: Address
    status: Address
    flex: Address
    flex_tab: Address
    board: Address

    @property
    def flex_money(self) -> PaidIn:
        """Its FLEX as what charges are paid in."""
        return PaidIn(self.flex_tab, self.flex)

    def paid_in(self, escrow: Address) -> PaidIn | None:
        """Give what documents name of the money in an escrow; None for the site's own."""
        return self.flex_money if escrow == self.flex_tab else None

    def ref(self, escrow: Address | None = None) -> ChainRef:
        """Give the chain as documents name it; `escrow` is that of the charge, where they speak of one."""
        money = None if escrow is None else self.paid_in(escrow)
        return ChainRef(self.chain_id, self.charge_tab, self.registry, self.notary, self.token, money)

    def money(self, escrow: Address) -> Domain:
        """Give the EIP-712 domain of what is asked, offered and owed for in the money of an escrow."""
        return Domain(self.chain_id, escrow)


@dataclass(frozen=True, slots=True)
class TabRef:
    """Which tab: in which escrow, for whom, whose."""

    escrow: Address
    payee: Address
    payer: Address


@dataclass(frozen=True, slots=True)
class Tab:
    """One payer's escrow at one payee, in token units; exit_at is 0 while nobody leaves."""

    spent: int
    ceiling: int
    exit_at: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Mined:
    """A transaction that is in a block."""

    tx_hash: str
    block: int
    gas_used: int


@dataclass(frozen=True, slots=True)
class Claim:
    """One row of a batch claim: `amount` is the absolute total owed, at most the signed cumulative."""

    payer: Address
    epoch: int
    cumulative: int
    amount: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class DepositOrder:
    """A deposit that the payer signed and anybody may send: EIP-2612 permit and TopUp."""

    payer: Address
    payee: Address
    epoch: int
    ceiling: int
    value: int
    deadline: int
    permit_signature: bytes
    top_up_signature: bytes


@dataclass(frozen=True, slots=True)
class AuthorizedDeposit:
    """A deposit by EIP-3009 that the payer signed and anybody may send, within (valid_after, valid_before).

    The authorization's nonce is made of `payee` and the 32 bytes of `salt`, so it is good for one payee.
    """

    payer: Address
    payee: Address
    value: int
    valid_after: int
    valid_before: int
    salt: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class JournaledTransaction:
    """A signed transaction as it goes over the wire.

    `earlier` is what was signed and sent for the same purpose with the same nonce before, at other gas
    prices: a node may still put one of those into a block instead.
    """

    key: str
    sender: Address
    nonce: int
    raw: bytes
    tx_hash: str
    outcome: Mined | None = None
    earlier: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenTab:
    """A tab as it was seen, and for how many seconds an exit that began right then leaves to claim.

    `seen_at` is platform time before the chain was asked; `block_at` is the time of the newest block
    then, which may be old on a chain that makes blocks only for transactions. `is_fresh` says that the
    chain was asked just now; else it is what was remembered.
    """

    tab: Tab
    seen_at: datetime
    block_at: datetime
    window_s: int
    is_fresh: bool = True


@dataclass(frozen=True, slots=True)
class SignedRefill:
    """The payer's signature of a Refill: a voucher for `cumulative` that lets the tab be pulled up."""

    cumulative: int
    ceiling: int
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class RefillClaim:
    """One row: `amount` is the absolute total owed, at most the signed cumulative.

    The signature is the payer's, of a Refill: until `deadline` the tab may be pulled up to `ceiling`.
    """

    epoch: int
    cumulative: int
    amount: int
    ceiling: int
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class RefillOutcome:
    """What became of one row; a debt may be settled though nothing was pulled, and the other way round."""

    settled: bool
    pulled: bool


@dataclass(frozen=True, slots=True)
class RefillsMined:
    """The block, the outcome of each row in order, and what was pulled for all of them, in token units.

    `outcomes` is None where the node no longer has the receipt: the tabs say what was claimed.
    """

    mined: Mined
    outcomes: tuple[RefillOutcome, ...] | None
    credited: int


@dataclass(frozen=True, slots=True)
class ClaimRow:
    """A session's row in a claim, fixed before it is sent.

    `batch` is the purpose that the transaction is known by; None after one in which the row was not
    settled. `tries` counts those. With a refill `cumulative` and `signature` are the refill's.
    """

    session: SessionId
    claim: Claim
    batch: str | None
    tries: int = 0
    refill: SignedRefill | None = None
