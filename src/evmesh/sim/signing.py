"""What a driver signs and what a driver checks before paying: request, voucher, stop; the offer.

Everything is under the one EIP-712 domain of the escrow contract, as the station's page names it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evmesh.domain.chain import DepositOrder
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.signed_types import ChargeRequest, SessionOffer, StopRequest, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest, hash_struct
from evmesh.ports import Signatures, Wallet
from evmesh.sim.progress import Accepted, Ask


@dataclass(frozen=True, slots=True)
class Terms:
    """One wallet's hand under one escrow contract."""

    wallet: Wallet
    signatures: Signatures
    domain: Domain

    @classmethod
    def of_station(cls, wallet: Wallet, signatures: Signatures, station: Mapping[str, Any]) -> "Terms":
        """Take the domain from a station's page; raises IntegrityFailure where it names none."""
        try:
            chain = station["chain"]
            contract = Address.parse(chain["charge_tab"])
            return cls(wallet, signatures, Domain(int(chain["chain_id"]), contract))
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise IntegrityFailure("station.no_chain", "the station's page names no contract") from error

    def request_document(self, ask: Ask, code: str) -> dict[str, Any]:
        """Give the body of POST /v1/requests."""
        return {
            "station": code,
            "request": {
                "payer": self.wallet.address.text,
                "asset": ask.asset,
                "departure": ask.departure,
                "energy_wh": ask.energy,
                "flexible": ask.flexible,
                "max_cost": str(ask.max_cost),
                "nonce": ask.nonce,
                "deadline": ask.deadline,
            },
            "signature": self._sign(self._request(ask)),
        }

    def voucher_document(self, accepted: Accepted) -> dict[str, Any]:
        """Give the body of POST /v1/sessions/{id}/vouchers: base + budget, all that can be owed."""
        cumulative = accepted.base + accepted.budget
        voucher = Voucher(Address.parse(accepted.payee), accepted.epoch, cumulative)
        return {"epoch": accepted.epoch, "cumulative": str(cumulative), "signature": self._sign(voucher)}

    def payee_of(self, accepted: Accepted) -> Address:
        """Give the account that the offer is to be paid to."""
        return Address.parse(accepted.payee)

    def stop_document(self, session: str, at: int) -> dict[str, Any]:
        """Give the body of POST /v1/sessions/{id}/stop."""
        stop = StopRequest(SessionId.parse(session).to_bytes32(), at)
        return {"at": at, "signature": self._sign(stop)}

    def check_offer(self, ask: Ask, station: Mapping[str, Any], answer: Mapping[str, Any]) -> Accepted:
        """Read an accepted request; raises IntegrityFailure where the offer is not what was asked for.

        Checked: payer, asset, the price that was shown, the budget against the most the driver would
        pay, the request it answers, and the payee's signature over all of it.
        """
        try:
            offer = _offer(answer["offer"])
            session = SessionId.parse(answer["session"])
            signature = bytes.fromhex(str(answer["offer_signature"]).removeprefix("0x"))
            payee = Address.parse(station["payee"])
            price = int(station["price"])
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise IntegrityFailure("offer.malformed", "the answer holds no offer that can be read") from error
        keccak = self.signatures.keccak256
        wrong = [
            name
            for name, holds in (
                ("session", offer.session == session.to_bytes32()),
                ("payer", offer.payer == self.wallet.address),
                ("payee", offer.payee == payee),
                ("asset", offer.asset == ask.asset),
                ("price", offer.price == price),
                ("budget", offer.budget <= ask.max_cost),
                ("request", offer.request == hash_struct(self._request(ask), keccak)),
            )
            if not holds
        ]
        if wrong:
            raise IntegrityFailure("offer.not_what_was_asked", f"the offer's {wrong[0]} differs")
        if self.signatures.recover(digest(self.domain, offer, keccak), signature) != payee:
            raise IntegrityFailure("offer.wrong_signer", "the offer is not signed by who is to be paid")
        return Accepted(session.text, offer.payee.text, offer.epoch, offer.base, offer.budget, offer.price)

    def _request(self, ask: Ask) -> ChargeRequest:
        return ChargeRequest(
            payer=self.wallet.address,
            asset=ask.asset,
            departure=ask.departure,
            energy_wh=ask.energy,
            flexible=ask.flexible,
            max_cost=ask.max_cost,
            nonce=bytes.fromhex(ask.nonce.removeprefix("0x")),
            deadline=ask.deadline,
        )

    def _sign(self, value: TypedStruct) -> str:
        signed = self.wallet.sign(digest(self.domain, value, self.signatures.keccak256))
        return f"0x{signed.hex()}"


def deposit_document(order: DepositOrder) -> dict[str, Any]:
    """Give the body of POST /v1/relay."""
    return {
        "kind": "deposit",
        "order": {
            "payer": order.payer.text,
            "payee": order.payee.text,
            "epoch": order.epoch,
            "ceiling": str(order.ceiling),
            "value": str(order.value),
            "deadline": order.deadline,
            "permit_signature": f"0x{order.permit_signature.hex()}",
            "top_up_signature": f"0x{order.top_up_signature.hex()}",
        },
    }


def _offer(raw: Mapping[str, Any]) -> SessionOffer:
    return SessionOffer(
        session=bytes.fromhex(str(raw["session"]).removeprefix("0x")),
        payer=Address.parse(raw["payer"]),
        payee=Address.parse(raw["payee"]),
        epoch=int(raw["epoch"]),
        base=int(raw["base"]),
        asset=int(raw["asset"]),
        price=int(raw["price"]),
        budget=int(raw["budget"]),
        start_by=int(raw["start_by"]),
        end_by=int(raw["end_by"]),
        request=bytes.fromhex(str(raw["request"]).removeprefix("0x")),
    )
