"""The word that a transfer goes back, `evmesh.return/1`: signed when that is decided, before it is paid.

Of money that no charge came of. Who sent it holds the operator to it: the chain says for ever whether
the payment was made that the word promises.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Self

from evmesh.domain.canonical import Json, parse_canonical_json
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import ChainRef, StationRef
from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.strict import StrictFields, write_instant


@dataclass(frozen=True, slots=True)
class TransferReturn(SignedDocument):
    """What goes back to `payer`, why (a code), and of which transfers; signed by the payee.

    Of transfers that the chain takes back before the payment nothing is owed.
    """

    FORMAT: ClassVar[str] = "evmesh.return/1"

    chain: ChainRef
    station: StationRef
    payer: Address
    why: str
    decided_at: datetime
    deposit: DepositSplit
    payee: Address
    signature: bytes = b""

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        return {
            "chain": self.chain.to_json(),
            "station": self.station.to_json(),
            "payer": self.payer.text,
            "why": self.why,
            "decided_at": write_instant(self.decided_at),
            "deposit": self.deposit.to_json(),
            "payee": self.payee.text,
        }

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        word = cls(
            chain=ChainRef.read(members.object("chain")),
            station=StationRef.read(members.object("station")),
            payer=members.address("payer"),
            why=members.text("why"),
            decided_at=members.instant("decided_at"),
            deposit=DepositSplit.read(members.object("deposit")),
            payee=members.address("payee"),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
        )
        members.done()
        return word
