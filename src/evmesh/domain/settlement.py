"""What follows a receipt: the settlement, `evmesh.settlement/1`, when the money has moved or never will."""

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Self, get_args

from evmesh.domain.canonical import Json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.strict import StrictFields, checked_bytes, write_bytes

MAX_TRANSACTIONS: Final = 100

SettlementKind = Literal["claim", "loss", "refund"]
KINDS: Final[tuple[SettlementKind, ...]] = get_args(SettlementKind)


@dataclass(frozen=True, slots=True)
class TransactionRef:
    """A transaction that is in a block."""

    hash: bytes
    block: int

    def to_json(self) -> Json:
        return {"hash": write_bytes(self.hash), "block": self.block}

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        transaction = cls(members.bytes_of("hash", 32), members.integer("block"))
        members.done()
        return transaction


@dataclass(frozen=True, slots=True)
class Settlement(SignedDocument):
    """The claim of what was due, its loss, or the refund of what was not used; signed by the payee.

    `receipt_sha256` is over the receipt's file; None where money went back before anything was
    metered, so that there is no receipt. `amount` is what moved, in token units: to the payee in a
    claim, back to the payer in a refund. A claim of nothing has no transaction. A `loss` names what
    was due and can never be collected, since the payer's tab is in another epoch; it has none either.
    """

    FORMAT: ClassVar[str] = "evmesh.settlement/1"

    receipt_sha256: bytes | None
    session: SessionId
    chain: ChainRef
    kind: SettlementKind
    payer: Address
    amount: int
    transactions: tuple[TransactionRef, ...]
    payee: Address
    signature: bytes = b""
    deposit: DepositSplit | None = None
    """Of a charge by transfer: what became of all that was received."""

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        return {
            "receipt_sha256": None if self.receipt_sha256 is None else write_bytes(self.receipt_sha256),
            "session": self.session.text,
            "chain": self.chain.to_json(),
            "kind": self.kind,
            "payer": self.payer.text,
            "amount": str(self.amount),
            "transactions": [transaction.to_json() for transaction in self.transactions],
            "payee": self.payee.text,
            **({} if self.deposit is None else {"deposit": self.deposit.to_json()}),
        }

    @classmethod
    def parse(cls, raw: bytes) -> "Settlement":
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        kind = members.literal("kind", *KINDS)
        settlement = cls(
            receipt_sha256=members.parsed_or_none("receipt_sha256", _hash),
            session=members.parsed("session", SessionId.parse),
            chain=ChainRef.read(members.object("chain"), of_charge=True),
            kind=next(one for one in KINDS if one == kind),
            payer=members.address("payer"),
            amount=members.units("amount"),
            transactions=read_transactions(members),
            payee=members.address("payee"),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
            deposit=DepositSplit.read(members.object("deposit")) if members.has("deposit") else None,
        )
        members.done()
        if settlement.kind != "refund" and settlement.receipt_sha256 is None:
            raise InvalidInput("document.bad_value", f"a {kind} names its receipt", path="receipt_sha256")
        if settlement.kind == "loss" and settlement.transactions and settlement.deposit is None:
            raise InvalidInput("document.bad_value", "a loss has no transaction", path="transactions")
        return settlement


def read_transactions(members: StrictFields) -> tuple[TransactionRef, ...]:
    """Read the member `transactions`; each is named once, or what it moved would count twice."""
    found = dict[bytes, TransactionRef]()
    for item, path in members.array("transactions", MAX_TRANSACTIONS):
        one = TransactionRef.read(StrictFields(item, path))
        if one.hash in found:
            raise InvalidInput("document.bad_value", "the transaction is named twice", path=f"{path}.hash")
        found[one.hash] = one
    return tuple(found.values())


def _hash(text: str) -> bytes:
    return checked_bytes(text, 32, "")
