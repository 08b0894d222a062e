"""Routes on what flexibility earned, what it may earn, and the operator's invoices."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import FastAPI, Query, Request, Response

from evmesh.app.api_models import Body, Hex32, HexAddress, HexSignature, Units, signature_bytes, unhex
from evmesh.app.callers import address_of, require_operator
from evmesh.app.instants import instant
from evmesh.app.problems import problem
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.flex_voucher import SignedFlexVoucher
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.money import parse_units
from evmesh.domain.reward import Reward
from evmesh.domain.signed_types import FlexVoucher
from evmesh.domain.units import Wh
from evmesh.ledger.quota import RelayQuota
from evmesh.ports import FlexIssuer
from evmesh.services.directory import Operator
from evmesh.services.quotes import Choice, Quote, Quotes
from evmesh.services.requests import Promise
from evmesh.services.rewards import SHARE_PER_MILLE
from evmesh.services.transitions import Transitions

Json = dict[str, Any]

BASIS: Final = "plan"
"""What an expectation rests on: the plan, as if all went as planned and nobody else came."""


@dataclass(frozen=True, slots=True)
class RewardParts:
    """What the routes call. `quoted` counts quotes, `relayed` transactions, of each network address."""

    transitions: Transitions
    operator: Operator
    quotes: Quotes
    issuer: FlexIssuer
    quoted: RelayQuota
    relayed: RelayQuota
    invoice: Callable[[SessionId], Awaitable[tuple[str, bytes]]]
    """Gives an invoice's number and PDF."""


class FlexValues(Body):
    """A FLEX voucher as the operator gave it."""

    holder: HexAddress
    cumulative: Units
    certificate: Hex32
    signature: HexSignature


class FlexBody(Body):
    """Have units made."""

    voucher: FlexValues


def add_rewards(app: FastAPI, parts: RewardParts) -> None:
    """Add the routes."""
    _add_documents(app, parts)
    _add_quotes(app, parts)

    @app.post("/v1/relay/flex")
    async def flex(body: FlexBody, request: Request) -> Json:
        """Have the units of a voucher made; the holder needs no gas."""
        contracts, given = parts.operator.contracts, body.voucher
        voucher = FlexVoucher(
            holder=Address.parse(given.holder),
            cumulative=parse_units(given.cumulative, "voucher.cumulative"),
            certificate=unhex(given.certificate),
        )
        signed = SignedFlexVoucher(
            contracts.chain_id, contracts.flex, voucher, signature_bytes(given.signature)
        )
        with parts.relayed.slot(address_of(request)):
            mined = await parts.issuer.redeem(signed)
        return {"tx_hash": mined.tx_hash, "block": mined.block}

    @app.get("/v1/invoices/{session}")
    async def invoice(session: str, request: Request) -> Response:
        """The invoice of a session as a PDF; for the operator, on this machine only."""
        require_operator(request)
        wanted = SessionId.parse(session)
        number, pdf = await parts.invoice(wanted)
        return Response(pdf, media_type="application/pdf", headers=_named(f"invoice-{number}.pdf"))


def _add_documents(app: FastAPI, parts: RewardParts) -> None:
    async def document(session: str, format: str, name: str) -> Response:
        wanted = SessionId.parse(session)
        async with parts.transitions.read() as unit:
            raw = await unit.document(wanted, format)
        if raw is None:
            error = Refused(
                "reward.not_yet",
                f"session {wanted} has no {name.replace('-', ' ')}",
                do="a reward is final when its group's day is over; nothing earned has no voucher",
            )
            return problem(error, status=404)
        return Response(raw, media_type="application/json", headers=_named(f"{name}-{wanted}.json"))

    @app.get("/v1/rewards/{session}")
    async def reward(session: str) -> Response:
        """The reward's exact bytes."""
        return await document(session, Reward.FORMAT, "reward")

    @app.get("/v1/rewards/{session}/voucher")
    async def voucher(session: str) -> Response:
        """The exact bytes of the FLEX voucher that pays the reward."""
        return await document(session, SignedFlexVoucher.FORMAT, "flex-voucher")


def _add_quotes(app: FastAPI, parts: RewardParts) -> None:
    @app.get("/v1/stations/{code}/quote")
    async def quote(
        code: str,
        request: Request,
        energy_wh: Annotated[int, Query(ge=1, lt=2**31)],
        departure: datetime,
    ) -> Json:
        """What this energy by that departure would cost, and earn: taking part, and not. Promises nothing."""
        until = _in_utc(departure)
        parts.quoted.take(address_of(request))
        return _quoted(await parts.quotes.quote(code, Wh(energy_wh), until))


def _in_utc(departure: datetime) -> datetime:
    if departure.tzinfo is None:
        raise InvalidInput("quote.departure", "write the departure with its offset", path="departure")
    try:
        return departure.astimezone(UTC)
    except OverflowError as error:  # the calendar's first or last day
        raise InvalidInput(
            "quote.departure", "that departure is in no year from 1 to 9999 UTC", path="departure"
        ) from error


def expected_reward(units: int) -> Json:
    """Give an expectation as answers carry it: how much, and that it is one."""
    return {"units": str(units), "basis": BASIS, "share_per_mille": SHARE_PER_MILLE, "is_promised": False}


async def expected_of(quotes: Quotes, promise: Promise) -> Json:
    """Give the expectation that goes with a promise."""
    return expected_reward(await quotes.expected(promise.session, promise.plan))


def _quoted(quote: Quote) -> Json:
    return {
        "code": quote.place.code,
        "at": instant(quote.at),
        "energy_wh": quote.energy,
        "departure": instant(quote.departure),
        "price": quote.place.connector.price,
        "cost": str(quote.cost),
        "choices": [_choice(one) for one in quote.choices],
    }


def _choice(choice: Choice) -> Json:
    return {
        "flexible": choice.flexible,
        "fits": choice.plan is not None,
        "plan": None if choice.plan is None else choice.plan.to_json(),
        "expected_reward": expected_reward(choice.expected_reward),
        "offers": [{"energy_wh": wh, "departure": instant(at)} for wh, at in choice.offers],
    }


def _named(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename=evmesh-{name}"}
