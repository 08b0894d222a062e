"""What a driver signs and what a driver checks before paying: request, voucher, stop; the offer.

What is asked, owed and stopped is in the domain of the escrow that is paid by, all else in that of the site's
own, both as the station's page names them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evmesh.domain.chain import DepositOrder
from evmesh.domain.channel import Channel
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.offers import Promise
from evmesh.domain.sessions import Way
from evmesh.domain.signed_types import ChargeRequest, NeedChannel, StopRequest, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest
from evmesh.ports import Signatures, Wallet
from evmesh.sim.progress import Accepted, Ask
from evmesh.sim.visits import Money


@dataclass(frozen=True, slots=True)
class Terms:
    """One wallet's hand for one charge: `domain` is of its money, `site` of what is no money."""

    wallet: Wallet
    signatures: Signatures
    domain: Domain
    site: Domain

    @classmethod
    def of_station(
        cls, wallet: Wallet, signatures: Signatures, station: Mapping[str, Any], money: Money = Money.TOKEN
    ) -> "Terms":
        """Take the domains from a station's page; raises IntegrityFailure where it names none."""
        try:
            chain = station["chain"]
            chain_id, own = int(chain["chain_id"]), Address.parse(chain["charge_tab"])
            escrow = own if money is Money.TOKEN else Address.parse(chain["flex_tab"])
            return cls(wallet, signatures, Domain(chain_id, escrow), Domain(chain_id, own))
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise IntegrityFailure("station.no_chain", "the station's page names no contract") from error

    @property
    def named_escrow(self) -> dict[str, str]:
        """Give the member by which a body names the escrow; the site's own goes without saying."""
        return {} if self.domain == self.site else {"escrow": self.domain.verifying_contract.text}

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
            **self.named_escrow,
        }

    def voucher_document(self, accepted: Accepted, cumulative: int | None = None) -> dict[str, Any]:
        """Give the body of POST /v1/sessions/{id}/vouchers: without a total all that can be owed."""
        if cumulative is None:
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

    def need_document(self, session: str, channel: Channel, grant: bytes) -> dict[str, Any]:
        """Give the body of POST /v1/sessions/{id}/need."""
        word = NeedChannel(SessionId.parse(session).to_bytes32(), channel.id)
        described = {"mode": channel.mode.value, "writer": f"0x{channel.writer.hex()}", "name": channel.name}
        return {"channel": described, "grant": f"0x{grant.hex()}", "signature": self._sign(word, self.site)}

    def check_offer(self, ask: Ask, station: Mapping[str, Any], answer: Mapping[str, Any]) -> Accepted:
        """Read an accepted request; raises IntegrityFailure where the offer is not what was asked for.

        Checked: payer, asset, the price that was shown, the budget against the most the driver would
        pay, the request it answers, and the payee's signature over all of it.
        """
        promise = Promise.read(answer)
        try:
            payee, price = Address.parse(station["payee"]), int(station["price"])
            rating = int(station.get("rating_w", 0))
        except (KeyError, TypeError, ValueError, InvalidInput) as error:
            raise IntegrityFailure("offer.malformed", "the station's page names no payee or price") from error
        signatures = self.signatures
        promise.check(self._request(ask), payee, price, self.domain, signatures.keccak256, signatures.recover)
        offer = promise.offer
        return Accepted(
            promise.session.text,
            offer.payee.text,
            offer.epoch,
            offer.base,
            offer.budget,
            offer.price,
            rating,
            pays_ahead=_pays_ahead(answer.get("risk")),
        )

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

    def _sign(self, value: TypedStruct, domain: Domain | None = None) -> str:
        signed = self.wallet.sign(digest(domain or self.domain, value, self.signatures.keccak256))
        return f"0x{signed.hex()}"


def _pays_ahead(risk: object) -> bool:
    """Tell whether an answer names ways to pay, and paying as energy flows is none of them."""
    return isinstance(risk, Mapping) and bool(risk) and Way.STREAMING not in risk


def deposit_document(order: DepositOrder, terms: Terms | None = None) -> dict[str, Any]:
    """Give the body of POST /v1/relay: in the money of `terms`, without them in the site's own."""
    return {
        **({} if terms is None else terms.named_escrow),
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
