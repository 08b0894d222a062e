"""What clients send, as the API's schema shows it. Money and uint96 are decimal strings."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from evmesh.domain.chain import SignedRefill
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import parse_units
from evmesh.domain.signed_types import ChargeRequest
from evmesh.ledger.signatures import compacted

Hex32 = Annotated[str, Field(pattern=r"^0x[0-9a-f]{64}$")]
HexSignature = Annotated[str, Field(pattern=r"^0x([0-9a-f]{128}|[0-9a-f]{130})$")]
HexAddress = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Units = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,28})$", description="token units")]
Unix = Annotated[int, Field(ge=0, lt=2**63, description="seconds since 1970")]


class Body(BaseModel):
    """Base of all bodies: unknown members are refused, numbers are not guessed from strings."""

    model_config = ConfigDict(extra="forbid", strict=True)


class RequestValues(Body):
    """The signed ChargeRequest."""

    payer: HexAddress
    asset: Annotated[int, Field(gt=0, lt=2**53)]
    departure: Unix
    energy_wh: Annotated[int, Field(ge=0, lt=2**31)]
    flexible: bool
    max_cost: Units
    nonce: Hex32
    deadline: Unix

    def to_domain(self) -> ChargeRequest:
        """Give the typed value that was signed."""
        return ChargeRequest(
            payer=Address.parse(self.payer),
            asset=self.asset,
            departure=self.departure,
            energy_wh=self.energy_wh,
            flexible=self.flexible,
            max_cost=parse_units(self.max_cost, "request.max_cost"),
            nonce=unhex(self.nonce),
            deadline=self.deadline,
        )


class RequestBody(Body):
    """A driver asks at the charge point with this code; without an escrow in the site's own money."""

    station: Annotated[str, Field(min_length=1, max_length=40)]
    request: RequestValues
    signature: HexSignature
    escrow: HexAddress | None = None


class RefillValues(Body):
    """A signed Refill: by it the claim pulls the tab up to the ceiling."""

    cumulative: Units
    ceiling: Units
    deadline: Annotated[int, Field(ge=0, lt=2**32, description="seconds since 1970")]
    signature: HexSignature

    def to_domain(self) -> SignedRefill:
        """Give what is kept of it."""
        return SignedRefill(
            parse_units(self.cumulative, "refill.cumulative"),
            parse_units(self.ceiling, "refill.ceiling"),
            self.deadline,
            signature_bytes(self.signature),
        )


class VoucherBody(Body):
    """A voucher: for the whole budget, or for the next 100 Wh."""

    epoch: Annotated[int, Field(ge=0, lt=2**32)]
    cumulative: Units
    signature: HexSignature
    refill: RefillValues | None = None


class StopBody(Body):
    """A driver's signed word to stop."""

    at: Unix
    signature: HexSignature


def signature_bytes(text: str) -> bytes:
    """Give a checked signature in the one form that we keep, 64 bytes (EIP-2098).

    Wallets return 65, with v at the end. Raises InvalidInput `signature.malformed` where v is none.
    """
    try:
        return compacted(unhex(text))
    except IntegrityFailure as error:
        raise InvalidInput(
            error.code, error.what, do="send r, s and v of 27 or 28, or r and s with the parity (EIP-2098)"
        ) from error


def escrow_of(text: str | None) -> Address | None:
    """Give the escrow that a body names; None where it names none."""
    return None if text is None else Address.parse(text)


def unhex(text: str) -> bytes:
    """Give the bytes of a checked hexadecimal member."""
    return bytes.fromhex(text[2:])
