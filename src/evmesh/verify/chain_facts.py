"""What a node says on one receipt, as plain values. Whoever trusts the receipt's checks trusts this node."""

from dataclasses import dataclass
from typing import Final

from evmesh.domain.ids import Address


@dataclass(frozen=True, slots=True)
class Anchor:
    """A tree head on chain: its root, and its block's time in seconds since 1970, where the node has that."""

    root: bytes
    at: int | None


@dataclass(frozen=True, slots=True)
class AssetEntry:
    """One asset in the registry, as it is now.

    `changed` says whether the entry was changed since shortly before the charge; None where the node
    does not keep logs for that long. `record` is what the owner serves as the full record; None where
    nothing could be fetched, and `no_record` says why.
    """

    owner: Address
    price: int
    rating: int
    record_hash: bytes
    record: bytes | None
    no_record: str = ""
    changed: bool | None = False
    deposit_address: Address | None = None


@dataclass(frozen=True, slots=True)
class TabMove:
    """One step of a tab's total within an epoch, oldest first: a claim, or (`closes`) its end.

    `total` is what the tab had spent after it, `before` what before it, where that is known.
    `cumulative` is what the payer had signed for it; None where that cannot be read. `returned` is what
    a close gave back to the payer. `epoch` is the tab's, which a close ends.
    """

    total: int
    cumulative: int | None
    before: int | None = None
    closes: bool = False
    returned: int = 0
    transaction: str = ""
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class TransferLog:
    """A `Transfer` event of the token, in token units."""

    sender: Address
    receiver: Address
    amount: int


NO_TRANSFER: Final = TransferLog(Address("0x" + "00" * 20), Address("0x" + "00" * 20), 0)
"""Stands where the transaction is in a block, and has no such transfer."""


@dataclass(frozen=True, slots=True)
class DepositFacts:
    """What the chain says on a charge by transfer.

    `transfers` are those that the receipt names, in order: None where the node does not have the
    transaction, or has it in another block or place, and `NO_TRANSFER` where it brought no such. Whether the
    two payments out of the deposit address were made stands in a slot of the token, for ever; what they
    were in logs, so None where the node has pruned them. `made_at` are the times of the transfers' blocks,
    in seconds since 1970, None where the node does not tell.
    """

    transfers: tuple[TransferLog | None, ...]
    due_made: bool
    return_made: bool
    due: TransferLog | None = None
    returned: TransferLog | None = None
    made_at: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True)
class MoneyFacts:
    """What an escrow holds, and whose promise that is: None where nobody answers for the token."""

    token: Address
    issuer: Address | None


@dataclass(frozen=True, slots=True)
class ChainFacts:
    """What the chain says on one receipt.

    `contracts_answer` is False where something else, or nothing, is at the receipt's contracts; then
    the rest means nothing, as it does where `chain_id` is another. `newest_size` and `newest` are the
    newest head of the receipt's publisher and stream. `anchors` are those that logs show at the
    receipt's tree size, `moves` those of the tab in the offer's epoch; None where the logs could not
    be read (nodes prune them). `asset` is None where the registry has no such asset. `money` is of a
    charge that was paid in another money than the site's own.
    """

    chain_id: int
    contracts_answer: bool = False
    newest_size: int = 0
    newest: Anchor = Anchor(bytes(32), 0)
    anchors: tuple[Anchor, ...] | None = None
    asset: AssetEntry | None = None
    spent: int = 0
    epoch: int = 0
    moves: tuple[TabMove, ...] | None = None
    deposit: DepositFacts | None = None
    money: MoneyFacts | None = None


@dataclass(frozen=True, slots=True)
class MinedCall:
    """One transaction that a settlement names: its block, and what it did to the tab in question.

    Of a charge by transfer: what it `paid` out of the deposit address, for this very deposit.
    """

    block: int
    succeeded: bool
    moves: tuple[TabMove, ...]
    paid: tuple[TransferLog, ...] = ()


@dataclass(frozen=True, slots=True)
class SettlementFacts:
    """What the chain says on one settlement: the named transactions in order, None for one that is not there.

    `epoch` is the tab's now. Of a charge by transfer, `transfers` and `lost` are those that the
    settlement names as such, as in `DepositFacts`; `money` is as in `ChainFacts`. Where `chain_id` is
    another than the settlement's, or no such contract answers there, the rest means nothing.
    """

    chain_id: int
    contract_answers: bool = False
    calls: tuple[MinedCall | None, ...] = ()
    epoch: int = 0
    transfers: tuple[TransferLog | None, ...] = ()
    lost: tuple[TransferLog | None, ...] = ()
    money: MoneyFacts | None = None


@dataclass(frozen=True, slots=True)
class ReturnFacts:
    """What the chain says on a promised return; None where another chain, or no such token, answers."""

    chain_id: int
    deposit: DepositFacts | None = None


@dataclass(frozen=True, slots=True)
class FlexFacts:
    """What the chain says on one reward: whose promise its token is, and how much its holder was made of it.

    Where `chain_id` is another than the reward's, or no FlexToken answers, the rest means nothing.
    """

    chain_id: int
    contract_answers: bool = False
    issuer: Address | None = None
    made: int = 0
