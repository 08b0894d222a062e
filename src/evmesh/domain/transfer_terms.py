"""What a charge point promises to whoever pays it by a plain transfer: `evmesh.transfer-terms/1`.

The offer of those who ask for none. It is signed before money moves, so that price and fee are fixed
for all that is sent while it is in force, and it goes into the documents on that money.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import ClassVar, Final, Self

from evmesh.domain.canonical import Json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.receipt_parts import ChainRef, StationRef
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.strict import StrictFields, write_bytes, write_instant

CLOCKS_APART: Final = timedelta(minutes=10)
"""How far the clocks of operator and chain may be apart: a block so near to the terms falls under them."""


@dataclass(frozen=True, slots=True)
class TransferTerms(SignedDocument):
    """Price, fee of a return and least amount at one charge point, from one instant until another.

    `price` is micro-currency per kWh, `fee` and `minimum` are token units. Below `minimum` nothing
    starts and nothing is returned. A transfer counts when it is `confirmations` blocks deep.
    """

    FORMAT: ClassVar[str] = "evmesh.transfer-terms/1"

    chain: ChainRef
    station: StationRef
    deposit_address: Address
    price: Price
    fee: int
    minimum: int
    confirmations: int
    valid_from: datetime
    valid_until: datetime
    payee: Address
    signature: bytes = b""

    def covers(self, instant: datetime) -> bool:
        """Tell whether they are in force at an instant."""
        return self.valid_from <= instant < self.valid_until

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        return {
            "chain": self.chain.to_json(),
            "station": self.station.to_json(),
            "deposit_address": self.deposit_address.text,
            "price": self.price,
            "fee": str(self.fee),
            "minimum": str(self.minimum),
            "confirmations": self.confirmations,
            "valid_from": write_instant(self.valid_from),
            "valid_until": write_instant(self.valid_until),
            "payee": self.payee.text,
        }

    def to_json(self) -> Json:
        """Give the signed document as a member of another one: in canonical form it is the same bytes."""
        return {"format": self.FORMAT, **self.content(), "signature": write_bytes(self.signature)}

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        return cls.read(StrictFields(parse_canonical_json(raw)))

    @classmethod
    def read(cls, members: StrictFields) -> Self:
        """Read them as a member of another document."""
        members.literal("format", cls.FORMAT)
        terms = cls(
            chain=ChainRef.read(members.object("chain")),
            station=StationRef.read(members.object("station")),
            deposit_address=members.address("deposit_address"),
            price=Price(members.integer("price")),
            fee=members.units("fee"),
            minimum=members.units("minimum"),
            confirmations=members.integer("confirmations", 1),
            valid_from=members.instant("valid_from"),
            valid_until=members.instant("valid_until"),
            payee=members.address("payee"),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
        )
        members.done()
        if terms.valid_until <= terms.valid_from:
            raise InvalidInput(
                "document.bad_value", "they end before they begin", path=members.path("valid_until")
            )
        return terms


def terms_hash(raw: bytes) -> str:
    """Give the SHA-256, in hexadecimal, by which a deposit names its terms: over all bytes of the file."""
    return sha256(raw).hexdigest()
