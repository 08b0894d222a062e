"""How a charge was paid, on its receipt, where that was not by vouchers: the transfers it stands on."""

from dataclasses import dataclass
from typing import Final, Self

from evmesh.domain.canonical import Json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.strict import StrictFields, write_bytes
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import MAX_TRANSFERS, TransferRef, budget_of

_WAY: Final = "transfer"
_MOST_LOGS: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PaidTransfer:
    """One `Transfer` event of the token, by its transaction and its log's number in the block."""

    ref: TransferRef
    log_index: int
    block: int
    sender: Address
    amount: int

    def to_json(self) -> Json:
        return {
            "hash": write_bytes(self.ref.tx_hash),
            "position": self.ref.position,
            "log_index": self.log_index,
            "block": self.block,
            "sender": self.sender.text,
            "amount": str(self.amount),
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        transfer = cls(
            ref=_read_ref(members),
            log_index=members.integer("log_index", 0, _MOST_LOGS),
            block=members.integer("block"),
            sender=members.address("sender"),
            amount=members.units("amount"),
        )
        members.done()
        return transfer


@dataclass(frozen=True, slots=True)
class TransferPayment:
    """What a receipt has instead of a signed request and vouchers.

    `opened_by` is the first transfer, which names the deposit and its payments; `salt` and it make the
    nonce of the request. `fee` is what a return costs its receiver: so much of what was received is no
    budget. `terms` are the operator's that were in force when it was paid, and have the same fee.
    """

    deposit_address: Address
    opened_by: TransferRef
    salt: bytes
    fee: int
    transfers: tuple[PaidTransfer, ...]
    terms: TransferTerms

    @property
    def received(self) -> int:
        """Give the sum of the transfers."""
        return sum(one.amount for one in self.transfers)

    @property
    def budget(self) -> int:
        """Give what may be charged for."""
        return budget_of(self.received, self.fee)

    def to_json(self) -> Json:
        return {
            "way": _WAY,
            "deposit_address": self.deposit_address.text,
            "opened_by": {"hash": write_bytes(self.opened_by.tx_hash), "position": self.opened_by.position},
            "salt": write_bytes(self.salt),
            "fee": str(self.fee),
            "transfers": [one.to_json() for one in self.transfers],
            "terms": self.terms.to_json(),
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        members.literal("way", _WAY)
        opened_by = members.object("opened_by")
        payment = cls(
            deposit_address=members.address("deposit_address"),
            opened_by=_read_ref(opened_by),
            salt=members.bytes_of("salt", 32),
            fee=members.units("fee"),
            transfers=_read_transfers(members, "transfers"),
            terms=TransferTerms.read(members.object("terms")),
        )
        opened_by.done()
        members.done()
        _require_distinct(payment.transfers, members.path("transfers"))
        return payment


@dataclass(frozen=True, slots=True)
class DepositSplit:
    """What became of a deposit, on the settlement: received = amount due + returned + fee + kept.

    `transfers` are those that were received; none where the chain changed while the settlement was
    written, so that it is not known which. `lost` are those that the chain took back: they count for nothing.
    `terms` are the operator's, by which the fee is taken.
    """

    address: Address
    opened_by: TransferRef
    received: int
    returned: int
    fee: int
    kept: int
    terms: TransferTerms
    transfers: tuple[PaidTransfer, ...] = ()
    lost: tuple[PaidTransfer, ...] = ()

    def to_json(self) -> Json:
        return {
            "address": self.address.text,
            "opened_by": {"hash": write_bytes(self.opened_by.tx_hash), "position": self.opened_by.position},
            "received": str(self.received),
            "returned": str(self.returned),
            "fee": str(self.fee),
            "kept": str(self.kept),
            "terms": self.terms.to_json(),
            "transfers": [one.to_json() for one in self.transfers],
            "lost": [one.to_json() for one in self.lost],
        }

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        opened_by = members.object("opened_by")
        split = cls(
            address=members.address("address"),
            opened_by=_read_ref(opened_by),
            received=members.units("received"),
            returned=members.units("returned"),
            fee=members.units("fee"),
            kept=members.units("kept"),
            terms=TransferTerms.read(members.object("terms")),
            transfers=_read_transfers(members, "transfers"),
            lost=_read_transfers(members, "lost"),
        )
        opened_by.done()
        members.done()
        _require_distinct(split.transfers + split.lost, members.path("transfers"))
        return split


def _read_transfers(members: StrictFields, key: str) -> tuple[PaidTransfer, ...]:
    return tuple(
        PaidTransfer.read(StrictFields(item, path)) for item, path in members.array(key, MAX_TRANSFERS)
    )


def _require_distinct(transfers: tuple[PaidTransfer, ...], path: str) -> None:
    """Refuse a transfer, or a log of one transaction, that is named twice: it would count twice."""
    refs = {one.ref for one in transfers}
    logs = {(one.ref.tx_hash, one.log_index) for one in transfers}
    if min(len(refs), len(logs)) < len(transfers):
        raise InvalidInput("document.bad_value", "a transfer is named twice", path=path)


def _read_ref(members: StrictFields) -> TransferRef:
    return TransferRef(members.bytes_of("hash", 32), members.integer("position", 0, _MOST_LOGS))
