"""The relayer's endpoint: what a driver signed, sent with the operator's gas."""

from hashlib import sha256
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Request
from pydantic import Field

from evmesh.app.api_models import (
    Body,
    Hex32,
    HexAddress,
    HexSignature,
    Units,
    Unix,
    escrow_of,
    signature_bytes,
    unhex,
)
from evmesh.app.callers import address_of
from evmesh.domain.chain import AuthorizedDeposit, DepositOrder, Mined
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.money import parse_units
from evmesh.ledger.quota import RelayQuota
from evmesh.services.closes import Closes
from evmesh.services.escrows import Escrows, Money

Epoch = Annotated[int, Field(ge=0, lt=2**32)]


class DepositValues(Body):
    """A deposit that the payer signed."""

    payer: HexAddress
    payee: HexAddress
    epoch: Annotated[int, Field(ge=0, lt=2**32)]
    ceiling: Units
    value: Units
    deadline: Unix
    permit_signature: HexSignature
    top_up_signature: HexSignature

    def to_domain(self) -> DepositOrder:
        """Give the order that the escrow relays."""
        return DepositOrder(
            payer=Address.parse(self.payer),
            payee=Address.parse(self.payee),
            epoch=self.epoch,
            ceiling=parse_units(self.ceiling, "order.ceiling"),
            value=parse_units(self.value, "order.value"),
            deadline=self.deadline,
            permit_signature=signature_bytes(self.permit_signature),
            top_up_signature=signature_bytes(self.top_up_signature),
        )


class AuthorizedValues(Body):
    """A deposit by EIP-3009 that the payer signed; the authorization holds from `valid_after` on."""

    payer: HexAddress
    payee: HexAddress
    value: Units
    valid_after: Unix
    valid_before: Unix
    salt: Hex32
    signature: HexSignature

    def to_domain(self) -> AuthorizedDeposit:
        """Give the order that the escrow relays."""
        return AuthorizedDeposit(
            payer=Address.parse(self.payer),
            payee=Address.parse(self.payee),
            value=parse_units(self.value, "order.value"),
            valid_after=self.valid_after,
            valid_before=self.valid_before,
            salt=unhex(self.salt),
            signature=signature_bytes(self.signature),
        )


class ExitValues(Body):
    """A driver's signed word to leave its tab."""

    payer: HexAddress
    payee: HexAddress
    epoch: Epoch
    signature: HexSignature


class FinishValues(Body):
    """Whose tab is to be paid back, when its window is over: nobody has to sign that."""

    payer: HexAddress
    payee: HexAddress


class MoneyBody(Body):
    """What moves money: in the escrow that it names, or in that of the site's own money."""

    escrow: HexAddress | None = None


class DepositBody(MoneyBody):
    """Deposit by permit."""

    kind: Literal["deposit"]
    order: DepositValues


class AuthorizedBody(MoneyBody):
    """Deposit by authorization."""

    kind: Literal["authorized"]
    order: AuthorizedValues


class ExitBody(MoneyBody):
    """Begin to leave a tab."""

    kind: Literal["exit"]
    order: ExitValues


class FinishBody(MoneyBody):
    """Finish leaving a tab."""

    kind: Literal["finish"]
    order: FinishValues


class CloseValues(Body):
    """A driver's word to end its tab at once: the Exit of its epoch, and a Voucher of a higher total."""

    payer: HexAddress
    payee: HexAddress
    epoch: Epoch
    amount: Units
    signature: HexSignature
    agreed: HexSignature | None = None


class CloseBody(MoneyBody):
    """End a tab by agreement."""

    order: CloseValues


RelayBody = Annotated[DepositBody | AuthorizedBody | ExitBody | FinishBody, Field(discriminator="kind")]
"""A transaction that we send for a driver."""


def add_relay(app: FastAPI, *, escrows: Escrows, payee: Address, relayed: RelayQuota) -> None:
    """Add the route; `relayed` counts what was sent for each network address, `payee` is the operator."""

    async def sent(body: RelayBody) -> Mined:
        money = escrows.chosen(escrow_of(body.escrow))
        match body:
            case DepositBody(order=values):
                order = values.to_domain()
                key = f"deposit:{order.payer}:{order.epoch}:{order.ceiling}:{values.top_up_signature[2:18]}"
                return await money.escrow.deposit(order, key)
            case AuthorizedBody(order=values):
                paid = values.to_domain()
                return await money.relay.deposit_authorized(paid, _authorized(money, paid))
            case ExitBody(order=values):
                payer = _at_ours(values.payer, values.payee, payee)
                signature = signature_bytes(values.signature)
                key = f"exit:{money.address}:{payer}:{values.epoch}"
                return await money.relay.begin_exit(payer, values.epoch, signature, key)
            case FinishBody(order=values):
                payer = _at_ours(values.payer, values.payee, payee)
                epoch = (await money.escrow.tab(payee, payer)).epoch
                return await money.relay.finish_exit(payer, f"finish:{money.address}:{payer}:{epoch}")

    @app.post("/v1/relay")
    async def relay_route(body: RelayBody, request: Request) -> dict[str, Any]:
        """Send what the driver signed; the driver needs no gas."""
        address = address_of(request)
        with relayed.slot(address):
            mined = await sent(body)
        return {"tx_hash": mined.tx_hash, "block": mined.block}


def add_close(app: FastAPI, *, closes: Closes, payee: Address, relayed: RelayQuota) -> None:
    """Add the route by which a driver gets the rest of a tab back at once."""

    @app.post("/v1/relay/close")
    async def close_route(body: CloseBody, request: Request) -> dict[str, Any]:
        """Co-sign the end of a settled tab, and send it: the rest goes back without the exit's window."""
        address = address_of(request)
        order = body.order
        with relayed.slot(address):
            mined = await closes.close(
                _at_ours(order.payer, order.payee, payee),
                order.epoch,
                parse_units(order.amount, "order.amount"),
                signature_bytes(order.signature),
                None if order.agreed is None else signature_bytes(order.agreed),
                escrow_of(body.escrow),
            )
        return {"tx_hash": mined.tx_hash, "block": mined.block}


def _authorized(money: Money, paid: AuthorizedDeposit) -> str:
    """Give the purpose: a token takes a salt once, and each money has a token of its own."""
    return f"authorized:{paid.payer}:{sha256(money.address.to_bytes() + paid.salt).hexdigest()}"


def _at_ours(payer: str, payee: str, ours: Address) -> Address:
    if Address.parse(payee) != ours:
        raise Refused("relay.other_payee", f"{payee} is not the operator here", do="ask its relayer")
    return Address.parse(payer)
