"""The public ledger in domain words: where contracts are, what tabs hold, what was sent and mined."""

from dataclasses import dataclass

from evmesh.domain.ids import Address


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
    """A signed transaction as it goes over the wire."""

    key: str
    sender: Address
    nonce: int
    raw: bytes
    tx_hash: str
    outcome: Mined | None = None
