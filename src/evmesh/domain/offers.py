"""What a driver makes of an operator's yes: the offer is read, and held against what was asked for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.signed_types import ChargeRequest, SessionOffer
from evmesh.domain.typed_data import Domain, digest, hash_struct

Keccak = Callable[[bytes], bytes]
Recover = Callable[[bytes, bytes], Address]


@dataclass(frozen=True, slots=True)
class Promise:
    """An answer of 201 to a request: the session and its signed offer."""

    session: SessionId
    offer: SessionOffer
    signature: bytes

    @classmethod
    def read(cls, answer: Mapping[str, Any]) -> "Promise":
        """Raises IntegrityFailure `offer.malformed` where the answer holds no offer that can be read."""
        try:
            return cls(
                SessionId.parse(answer["session"]),
                _offer(answer["offer"]),
                _octets(answer["offer_signature"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidInput) as error:
            raise IntegrityFailure("offer.malformed", "the answer holds no offer that can be read") from error

    def check(
        self,
        asked: ChargeRequest,
        payee: Address,
        price: int,
        domain: Domain,
        keccak: Keccak,
        recover: Recover,
    ) -> None:
        """Raise IntegrityFailure where the offer is not what was asked for, or not the payee's.

        Checked: payer, asset, the price that was shown, the budget against the most that the driver would
        pay, the request that it answers, and the payee's signature over all of it.
        """
        offer = self.offer
        wrong = [
            name
            for name, holds in (
                ("session", offer.session == self.session.to_bytes32()),
                ("payer", offer.payer == asked.payer),
                ("payee", offer.payee == payee),
                ("asset", offer.asset == asked.asset),
                ("price", offer.price == price),
                ("budget", offer.budget <= asked.max_cost),
                ("request", offer.request == hash_struct(asked, keccak)),
            )
            if not holds
        ]
        if wrong:
            raise IntegrityFailure(
                "offer.not_what_was_asked",
                f"the offer's {wrong[0]} differs from what was asked for",
                do="pay nothing; tell the operator",
            )
        if recover(digest(domain, offer, keccak), self.signature) != payee:
            raise IntegrityFailure(
                "offer.wrong_signer",
                "the offer is not signed by who is to be paid",
                do="pay nothing; tell the operator",
            )


def _offer(raw: Mapping[str, Any]) -> SessionOffer:
    return SessionOffer(
        session=_octets(raw["session"]),
        payer=Address.parse(raw["payer"]),
        payee=Address.parse(raw["payee"]),
        epoch=int(raw["epoch"]),
        base=int(raw["base"]),
        asset=int(raw["asset"]),
        price=int(raw["price"]),
        budget=int(raw["budget"]),
        start_by=int(raw["start_by"]),
        end_by=int(raw["end_by"]),
        request=_octets(raw["request"]),
    )


def _octets(text: object) -> bytes:
    return bytes.fromhex(str(text).removeprefix("0x"))
