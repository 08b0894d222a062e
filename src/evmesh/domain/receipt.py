"""The receipt, `evmesh.receipt/1`: one charge as a file that anybody can check.

Final when the meter is: what follows (claim, refund, reward) comes in documents of its own that
name the receipt's hash. `verify/receipt.py` says what must hold between the members.
"""

from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, Final

from evmesh.domain.canonical import Json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import Price
from evmesh.domain.receipt_parts import (
    ChainRef,
    MeterEntry,
    MeterKey,
    PlanRow,
    SignedVoucher,
    StationRef,
    TreeHead,
)
from evmesh.domain.receipt_payment import TransferPayment
from evmesh.domain.receipt_shortfall import Shortfall
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.signed_meter import SignedMeter
from evmesh.domain.signed_types import ChargeRequest, SessionOffer
from evmesh.domain.strict import StrictFields, checked_integer, write_bytes
from evmesh.domain.units import Wh

MAX_RECEIPT_BYTES: Final = 1 << 20
MAX_CURVE_POINTS: Final = 20_000
MAX_VOUCHERS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Receipt(SignedDocument):
    """One charge, signed by the payee.

    `curve` is the load curve as (seconds since the start, register); `price` is micro-currency
    per kWh; `cost` and `due` are token units, due is what the budget leaves of the cost. Of the
    vouchers the highest must be there, the others may be. A charge by transfer has a `payment` instead:
    no vouchers, and nobody signed its request, so `request_signature` is empty. `signed_meter` is there
    where the meter has signed the charge itself; `meter_key` is whose key signed the readings in any case.
    `shortfall` is there where a cap took some of what was promised, and it was not made up for.
    """

    FORMAT: ClassVar[str] = "evmesh.receipt/1"

    session: SessionId
    chain: ChainRef
    station: StationRef
    request: ChargeRequest
    request_signature: bytes
    offer: SessionOffer
    offer_signature: bytes
    start: MeterEntry
    stop: MeterEntry
    tree: TreeHead
    curve: tuple[tuple[int, Wh], ...]
    energy: Wh
    price: Price
    cost: int
    due: int
    vouchers: tuple[SignedVoucher, ...]
    plan: PlanRow
    payee: Address
    meter_key: MeterKey
    signature: bytes = b""
    payment: TransferPayment | None = None
    signed_meter: SignedMeter | None = None
    shortfall: Shortfall | None = None

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        return {
            "session": self.session.text,
            "chain": self.chain.to_json(),
            "station": self.station.to_json(),
            "request": self.request.to_document(),
            "request_signature": write_bytes(self.request_signature) if self.payment is None else None,
            "offer": self.offer.to_document(),
            "offer_signature": write_bytes(self.offer_signature),
            "start": self.start.to_json(),
            "stop": self.stop.to_json(),
            "tree": self.tree.to_json(),
            "curve": [list(point) for point in self.curve],
            "energy_wh": self.energy,
            "price": self.price,
            "cost": str(self.cost),
            "due": str(self.due),
            "vouchers": [voucher.to_json() for voucher in self.vouchers],
            "plan": self.plan.to_json(),
            "payee": self.payee.text,
            "meter_key": self.meter_key.to_json(),
            **({} if self.payment is None else {"payment": self.payment.to_json()}),
            **({} if self.signed_meter is None else {"signed_meter": self.signed_meter.to_json()}),
            **({} if self.shortfall is None else {"shortfall": self.shortfall.to_json()}),
        }

    @classmethod
    def parse(cls, raw: bytes) -> "Receipt":
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others.

        Says nothing on whether the receipt is true.
        """
        return cls.read(parse_receipt_json(raw))

    @classmethod
    def read(cls, document: Json) -> "Receipt":
        """Read what `parse_receipt_json` gives."""
        members = StrictFields(document)
        members.literal("format", cls.FORMAT)
        payment = TransferPayment.read(members.object("payment")) if members.has("payment") else None
        receipt = cls(
            session=members.parsed("session", SessionId.parse),
            chain=ChainRef.read(members.object("chain"), of_charge=True),
            station=StationRef.read(members.object("station")),
            request=ChargeRequest.from_document(members.take("request"), "request"),
            request_signature=_request_signature(members, payment),
            offer=SessionOffer.from_document(members.take("offer"), "offer"),
            offer_signature=members.bytes_of("offer_signature", SIGNATURE_BYTES),
            start=MeterEntry.read(members.object("start")),
            stop=MeterEntry.read(members.object("stop")),
            tree=TreeHead.read(members.object("tree")),
            curve=tuple(_point(item, path) for item, path in members.array("curve", MAX_CURVE_POINTS)),
            energy=Wh(members.integer("energy_wh")),
            price=Price(members.integer("price")),
            cost=members.units("cost"),
            due=members.units("due"),
            vouchers=tuple(
                SignedVoucher.read(StrictFields(item, path))
                for item, path in members.array("vouchers", MAX_VOUCHERS)
            ),
            plan=PlanRow.read(members.object("plan")),
            payee=members.address("payee"),
            meter_key=MeterKey.read(members.object("meter_key")),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
            payment=payment,
            signed_meter=_signed_meter(members),
            shortfall=Shortfall.read(members.object("shortfall")) if members.has("shortfall") else None,
        )
        members.done()
        if payment is not None and receipt.chain.paid_in is not None:
            raise InvalidInput(
                "document.bad_value", "a transfer is paid in the site's own money", path="chain.paid_in"
            )
        return receipt


def parse_receipt_json(raw: bytes) -> Json:
    """Decode canonical JSON that is short enough for a receipt; raises InvalidInput."""
    if len(raw) > MAX_RECEIPT_BYTES:
        raise InvalidInput("document.too_large", f"{len(raw)} bytes are no receipt")
    return parse_canonical_json(raw)


def receipt_hash(raw: bytes) -> bytes:
    """Give the SHA-256 by which settlement and reward name a receipt: over all bytes of the file."""
    return sha256(raw).digest()


def _signed_meter(members: StrictFields) -> SignedMeter | None:
    return SignedMeter.read(members.object("signed_meter")) if members.has("signed_meter") else None


def _request_signature(members: StrictFields, payment: TransferPayment | None) -> bytes:
    """Read the driver's signature; of a transfer there is none, and null says so."""
    if payment is None:
        return members.bytes_of("request_signature", SIGNATURE_BYTES)
    if members.take("request_signature") is not None:
        raise InvalidInput(
            "document.bad_value", "nobody signs the request of a transfer", path="request_signature"
        )
    return b""


def _point(item: object, path: str) -> tuple[int, Wh]:
    if not isinstance(item, list) or len(item) != 2:
        raise InvalidInput("document.bad_value", "a point is [seconds, register]", path=path)
    return (checked_integer(item[0], f"{path}[0]"), Wh(checked_integer(item[1], f"{path}[1]")))
