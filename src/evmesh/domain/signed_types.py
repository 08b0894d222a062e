"""Every value that evmesh signs. The type strings are frozen: contracts and old signatures hold them.

The first six are what the escrow contract checks; the others are checked by people and by
`verify`. All are signed under an escrow's domain but `FlexVoucher`, which a `FlexToken` checks and
which is under that token's own. What binds money is under the domain of the escrow that it is in, all
else under that of the site's own (`receipt_parts.ChainRef`). Times are seconds since 1970, money is token
units, `session` is the UUID's 16 bytes and then zeros.
"""

from dataclasses import dataclass
from typing import ClassVar

from evmesh.domain.ids import Address
from evmesh.domain.typed_data import StructType, TypedStruct


@dataclass(frozen=True, slots=True)
class Voucher(TypedStruct):
    """The signer owes `payee` this much in total since this epoch began."""

    TYPE: ClassVar[StructType] = StructType.parse("Voucher(address payee,uint32 epoch,uint96 cumulative)")

    payee: Address
    epoch: int
    cumulative: int


@dataclass(frozen=True, slots=True)
class Refill(TypedStruct):
    """A voucher that also lets the ceiling be pulled up to `ceiling`."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "Refill(address payee,uint32 epoch,uint96 cumulative,uint96 ceiling,uint32 deadline)"
    )

    payee: Address
    epoch: int
    cumulative: int
    ceiling: int
    deadline: int


@dataclass(frozen=True, slots=True)
class TopUp(TypedStruct):
    """The signer's permit may be used to raise this tab's ceiling to `ceiling`, by anybody."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "TopUp(address payee,uint32 epoch,uint96 ceiling,uint256 deadline)"
    )

    payee: Address
    epoch: int
    ceiling: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Exit(TypedStruct):
    """The signer leaves this tab; the payee has the window to claim."""

    TYPE: ClassVar[StructType] = StructType.parse("Exit(address payee,uint32 epoch)")

    payee: Address
    epoch: int


@dataclass(frozen=True, slots=True)
class Close(TypedStruct):
    """The payee ends the tab of `payer` at the final `amount`, and the rest goes back."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "Close(address payer,uint32 epoch,uint96 amount,uint256 deadline)"
    )

    payer: Address
    epoch: int
    amount: int
    deadline: int


@dataclass(frozen=True, slots=True)
class Claim(TypedStruct):
    """The payee lets anybody submit the claim rows of this hash."""

    TYPE: ClassVar[StructType] = StructType.parse("Claim(bytes32 rows,uint256 deadline)")

    rows: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class ChargeRequest(TypedStruct):
    """A driver asks: this energy at this EVSE by this departure, for at most this cost."""

    TYPE: ClassVar[StructType] = StructType.parse(
        "ChargeRequest(address payer,uint256 asset,uint64 departure,uint32 energyWh,bool flexible,"
        "uint96 maxCost,bytes32 nonce,uint64 deadline)"
    )

    payer: Address
    asset: int
    departure: int
    energy_wh: int
    flexible: bool
    max_cost: int
    nonce: bytes
    deadline: int


@dataclass(frozen=True, slots=True)
class SessionOffer(TypedStruct):
    """An operator answers: this price up to this budget, to be started and ended by these times.

    `base` is what the payer's tab has spent already, `request` the struct hash of the ChargeRequest.
    """

    TYPE: ClassVar[StructType] = StructType.parse(
        "SessionOffer(bytes32 session,address payer,address payee,uint32 epoch,uint96 base,uint256 asset,"
        "uint32 price,uint96 budget,uint64 startBy,uint64 endBy,bytes32 request)"
    )

    session: bytes
    payer: Address
    payee: Address
    epoch: int
    base: int
    asset: int
    price: int
    budget: int
    start_by: int
    end_by: int
    request: bytes


@dataclass(frozen=True, slots=True)
class StopRequest(TypedStruct):
    """A driver's word to stop."""

    TYPE: ClassVar[StructType] = StructType.parse("StopRequest(bytes32 session,uint64 at)")

    session: bytes
    at: int


@dataclass(frozen=True, slots=True)
class SessionRecord(TypedStruct):
    """A driver's half of a session's record: this receipt, this energy, this much owed for it.

    `receipt` is the SHA-256 of the receipt's file.
    """

    TYPE: ClassVar[StructType] = StructType.parse(
        "SessionRecord(bytes32 session,bytes32 receipt,uint64 energyWh,uint96 due)"
    )

    session: bytes
    receipt: bytes
    energy_wh: int
    due: int


@dataclass(frozen=True, slots=True)
class Document(TypedStruct):
    """A JSON document by its format and the SHA-256 of its canonical bytes without `signature`."""

    TYPE: ClassVar[StructType] = StructType.parse("Document(string format,bytes32 sha256)")

    format: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class FlexVoucher(TypedStruct):
    """The issuer has rewarded `holder` with this much FLEX in total.

    `certificate` is the SHA-256 of the reward document that explains the newest part.
    """

    TYPE: ClassVar[StructType] = StructType.parse(
        "FlexVoucher(address holder,uint96 cumulative,bytes32 certificate)"
    )

    holder: Address
    cumulative: int
    certificate: bytes


@dataclass(frozen=True, slots=True)
class ChannelKey(TypedStruct):
    """What a wallet signs for itself: its keys on channels follow from the signature, shown to nobody."""

    TYPE: ClassVar[StructType] = StructType.parse("ChannelKey(address wallet)")

    wallet: Address


@dataclass(frozen=True, slots=True)
class ChannelAccess(TypedStruct):
    """A payer lets the owner of an X25519 key read a channel of the session, or no more.

    `channel` is `status` or `readings`.
    """

    TYPE: ClassVar[StructType] = StructType.parse(
        "ChannelAccess(bytes32 session,string channel,bytes32 reader,bool allowed,uint64 at)"
    )

    session: bytes
    channel: str
    reader: bytes
    allowed: bool
    at: int


@dataclass(frozen=True, slots=True)
class NeedChannel(TypedStruct):
    """A payer says on which channel the car tells its energy need during the session."""

    TYPE: ClassVar[StructType] = StructType.parse("NeedChannel(bytes32 session,bytes32 channel)")

    session: bytes
    channel: bytes
