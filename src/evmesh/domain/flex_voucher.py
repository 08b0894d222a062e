"""The issuer's word on how much FLEX somebody has earned, `evmesh.flex-voucher/1`, and what became of it.

Whoever holds the file can have the units made (`FlexToken.mint`): it needs neither the operator nor its
relayer. The newest voucher of a holder replaces all before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.chain import Mined
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.signed_document import SIGNATURE_BYTES
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.strict import StrictFields, write_bytes
from evmesh.domain.typed_data import Domain


def flex_domain(chain_id: int, flex: Address) -> Domain:
    """Give the domain of a FlexToken's vouchers, permits and authorizations."""
    return Domain(chain_id, flex, name="Flexibility")


@dataclass(frozen=True, slots=True)
class SignedFlexVoucher:
    """One voucher with the issuer's signature, and the token that it is for."""

    FORMAT: ClassVar[str] = "evmesh.flex-voucher/1"

    chain_id: int
    flex: Address
    voucher: FlexVoucher
    signature: bytes

    @property
    def domain(self) -> Domain:
        """What the signature is under."""
        return flex_domain(self.chain_id, self.flex)

    def encode(self) -> bytes:
        """Give the canonical bytes of the file."""
        return canonical_json(
            {
                "format": self.FORMAT,
                "chain_id": self.chain_id,
                "flex": self.flex.text,
                "holder": self.voucher.holder.text,
                "cumulative": str(self.voucher.cumulative),
                "certificate": write_bytes(self.voucher.certificate),
                "signature": write_bytes(self.signature),
            }
        )

    @classmethod
    def parse(cls, raw: bytes) -> "SignedFlexVoucher":
        """Read the very bytes that `encode` gives; raises InvalidInput, with the path, on any others."""
        members = StrictFields(parse_canonical_json(raw))
        members.literal("format", cls.FORMAT)
        found = cls(
            chain_id=members.integer("chain_id", 1),
            flex=members.address("flex"),
            voucher=FlexVoucher(
                holder=members.address("holder"),
                cumulative=members.units("cumulative"),
                certificate=members.bytes_of("certificate", 32),
            ),
            signature=members.bytes_of("signature", SIGNATURE_BYTES),
        )
        members.done()
        return found


@dataclass(frozen=True, slots=True)
class EarnedReward:
    """A final reward as the database holds it. `voucher` is None where nothing was earned.

    `made` is the transaction after which the token showed that the units are there; None until then, and
    where somebody else had them made.
    """

    session: SessionId
    holder: Address
    group: str
    day: str
    units: int
    cumulative: int
    certificate: bytes
    voucher: SignedFlexVoucher | None
    final_at: datetime
    is_made: bool = False
    made: Mined | None = None


@dataclass(frozen=True, slots=True)
class RewardDay:
    """A group's day that is over: what it avoided (undivided) and what was earned of it (token units)."""

    group: str
    day: str
    final_at: datetime
    avoided: int
    units: int
    sessions: int
