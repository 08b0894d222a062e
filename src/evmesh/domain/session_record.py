"""The record of a session in the network's own list of transactions: both sides' word on one charge."""

from dataclasses import dataclass
from typing import ClassVar, Final, Self

from evmesh.domain.canonical import Json, parse_canonical_json
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.signed_document import SIGNATURE_BYTES, SignedDocument
from evmesh.domain.signed_types import SessionRecord
from evmesh.domain.strict import StrictFields, checked_bytes, write_bytes
from evmesh.domain.units import Wh

OUTCOMES: Final = ("settled", "refunded")


@dataclass(frozen=True, slots=True)
class Record(SignedDocument):
    """One finished charge, `evmesh.session-record/1`, signed by the payee.

    `countersignature` is the payer's, over `to_countersign`; None where the payer did not give one in
    time, so that it is the operator's word alone. `due` is token units.
    """

    FORMAT: ClassVar[str] = "evmesh.session-record/1"

    session: SessionId
    chain: ChainRef
    receipt_sha256: bytes
    settlement_sha256: bytes | None
    outcome: str
    energy: Wh
    due: int
    payer: Address
    payee: Address
    countersignature: bytes | None
    signature: bytes = b""

    def to_countersign(self) -> SessionRecord:
        """Give what the payer signs."""
        return SessionRecord(self.session.to_bytes32(), self.receipt_sha256, self.energy, self.due)

    def content(self) -> Json:
        """Give all members but `format` and `signature`."""
        theirs, settlement = self.countersignature, self.settlement_sha256
        return {
            "session": self.session.text,
            "chain": self.chain.to_json(),
            "receipt_sha256": write_bytes(self.receipt_sha256),
            "settlement_sha256": None if settlement is None else write_bytes(settlement),
            "outcome": self.outcome,
            "energy_wh": self.energy,
            "due": str(self.due),
            "payer": self.payer.text,
            "payee": self.payee.text,
            "countersignature": None if theirs is None else write_bytes(theirs),
        }

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        record = cls(
            session=members.parsed("session", SessionId.parse),
            chain=ChainRef.read(members.object("chain"), of_charge=True),
            receipt_sha256=members.bytes_of("receipt_sha256", 32),
            settlement_sha256=members.parsed_or_none("settlement_sha256", _hash),
            outcome=members.literal("outcome", *OUTCOMES),
            energy=Wh(members.integer("energy_wh")),
            due=members.units("due"),
            payer=members.address("payer"),
            payee=members.address("payee"),
            countersignature=members.parsed_or_none("countersignature", _signature),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
        )
        members.done()
        return record


def countersigned(receipt: Receipt, raw: bytes) -> SessionRecord:
    """Give what a driver signs once the receipt, whose file is `raw`, was found to be true."""
    return SessionRecord(receipt.session.to_bytes32(), receipt_hash(raw), receipt.energy, receipt.due)


def _hash(text: str) -> bytes:
    return checked_bytes(text, 32, "")


def _signature(text: str) -> bytes:
    return checked_bytes(text, SIGNATURE_BYTES, "")
