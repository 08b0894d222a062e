"""As much of the platform's HTTP API as drivers use, written from its description and not from its code.

It checks every signature, forwards starts and stops to a central system that is not ours, and does
what a test tells it to. Money is a number per payer.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import uvicorn
from ocpp.v16 import call
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from evmesh.domain.chain import DepositOrder
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.signed_types import ChargeRequest, SessionOffer, StopRequest, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest, hash_struct
from evmesh.domain.units import Wh
from evmesh.ledger.signatures import EthereumSignatures, KeySigner
from evmesh.ports import Clock
from evmesh.sim.messages import wire_time
from tests.drivers.central_system import CentralServer

DOMAIN = Domain(31337, Address.parse("0x" + "c7" * 20))
SIGNATURES = EthereumSignatures()
PRICE = 350_000


class TestWallet:
    """A key and a number for the money; implements the port `Wallet`."""

    __test__ = False

    def __init__(self, platform: "SmallPlatform", units: int = 100_000_000) -> None:
        self._key = KeySigner(secrets.token_bytes(31) + b"\1")
        self._platform = platform
        self.units = units

    @property
    def address(self) -> Address:
        return self._key.address

    def sign(self, digest: bytes) -> bytes:
        return self._key.sign(digest)

    async def balance(self) -> int:
        return self.units

    async def deposit_order(
        self, payee: Address, ceiling: int, deadline: int, *, least: int = 0
    ) -> DepositOrder | None:
        missing = ceiling - self._platform.ceilings.get(self.address.text, 0)
        if missing <= 0:
            return None
        ceiling, missing = ceiling + max(0, least - missing), max(least, missing)
        if missing > self.units:
            raise Refused("wallet.too_little", "not enough")
        return DepositOrder(self.address, payee, 1, ceiling, missing, deadline, b"\1" * 64, b"\2" * 64)


@dataclass
class Deal:
    """One accepted request."""

    id: str
    payer: Address
    place: tuple[str, int]
    document: dict[str, Any]
    budget: int
    energy: Wh
    tag: str
    state: str = "reserved"
    answer: dict[str, Any] = field(default_factory=dict)


@dataclass
class SmallPlatform:
    """State and knobs; `codes` gives the place of each station code."""

    clock: Clock
    central: CentralServer
    codes: dict[str, tuple[str, int]]
    key: KeySigner = field(default_factory=lambda: KeySigner(b"\7" * 32))
    ceilings: dict[str, int] = field(default_factory=dict)
    deals: dict[str, Deal] = field(default_factory=dict)
    by_nonce: dict[str, Deal] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    relayed: list[dict[str, Any]] = field(default_factory=list)
    refuse: Callable[[str, dict[str, Any]], tuple[str, list[dict[str, Any]]] | None] = lambda code, ask: None
    spoil: Callable[[dict[str, Any]], None] = lambda answer: None
    before_answer: Callable[[str], None] = lambda path: None
    away: int = 0
    """How many calls are answered with 503."""
    starts: bool = True
    min_deposit: int = 0
    """What its relayer does not send is less than this."""
    expires: int = 0
    """How many more reservations end before they are paid."""

    def app(self) -> Starlette:
        routes = [
            Route("/v1/stations/{code}", self._wrap(self._station)),
            Route("/v1/requests", self._wrap(self._request), methods=["POST"]),
            Route("/v1/relay", self._wrap(self._relay), methods=["POST"]),
            Route("/v1/sessions/{id}/vouchers", self._wrap(self._voucher), methods=["POST"]),
            Route("/v1/sessions/{id}/stop", self._wrap(self._stop), methods=["POST"]),
            Route("/v1/sessions/{id}", self._wrap(self._session)),
            Route("/v1/receipts/{id}", self._wrap(self._receipt)),
        ]
        return Starlette(routes=routes)

    def _wrap(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def handle(request: Request) -> Response:
            if self.away:
                self.away -= 1
                return JSONResponse({"code": "chain.away"}, status_code=503)
            answer: Response = await handler(request)
            self.before_answer(f"{request.method} {request.url.path.rsplit('/', 1)[-1]}")
            return answer

        return handle

    async def _station(self, request: Request) -> Response:
        code = request.path_params["code"]
        if code not in self.codes:
            return problem(404, "station.unknown")
        return JSONResponse(
            {
                "code": code,
                "asset": list(self.codes).index(code) + 1,
                "price": PRICE,
                "payee": self.key.address.text,
                "min_deposit": str(self.min_deposit),
                "chain": {"chain_id": DOMAIN.chain_id, "charge_tab": DOMAIN.verifying_contract.text},
            }
        )

    async def _request(self, request: Request) -> Response:
        body = await request.json()
        raw = body["request"]
        ask = ChargeRequest(
            payer=Address.parse(raw["payer"]),
            asset=raw["asset"],
            departure=raw["departure"],
            energy_wh=raw["energy_wh"],
            flexible=raw["flexible"],
            max_cost=int(raw["max_cost"]),
            nonce=bytes.fromhex(raw["nonce"][2:]),
            deadline=raw["deadline"],
        )
        assert signer_of(ask, body["signature"]) == ask.payer
        self.asked.append(body)
        if raw["nonce"] in self.by_nonce:
            return JSONResponse(self.by_nonce[raw["nonce"]].answer, status_code=201)
        no = self.refuse(body["station"], raw)
        if no is not None:
            return problem(409, no[0], offers=no[1])
        deal = self._deal(body, ask)
        return JSONResponse(deal.answer, status_code=201)

    def _deal(self, body: dict[str, Any], ask: ChargeRequest) -> Deal:
        id = SessionId.make(int(self.clock.now().timestamp() * 1000), secrets.token_bytes(10))
        offer = SessionOffer(
            session=id.to_bytes32(),
            payer=ask.payer,
            payee=self.key.address,
            epoch=1,
            base=0,
            asset=ask.asset,
            price=PRICE,
            budget=ask.energy_wh * PRICE // 1000,
            start_by=int((self.clock.now() + timedelta(minutes=15)).timestamp()),
            end_by=ask.departure + 3600,
            request=hash_struct(ask, SIGNATURES.keccak256),
        )
        answer = {
            "session": id.text,
            "offer": {
                "session": "0x" + offer.session.hex(),
                "payer": ask.payer.text,
                "payee": offer.payee.text,
                "epoch": 1,
                "base": "0",
                "asset": offer.asset,
                "price": PRICE,
                "budget": str(offer.budget),
                "start_by": offer.start_by,
                "end_by": offer.end_by,
                "request": "0x" + offer.request.hex(),
            },
            "offer_signature": "0x" + self.key.sign(digest(DOMAIN, offer, SIGNATURES.keccak256)).hex(),
        }
        self.spoil(answer)
        place = self.codes[body["station"]]
        deal = Deal(id.text, ask.payer, place, body, offer.budget, Wh(ask.energy_wh), secrets.token_hex(10))
        deal.answer = answer
        self.deals[id.text] = self.by_nonce[body["request"]["nonce"]] = deal
        return deal

    async def _relay(self, request: Request) -> Response:
        order = (await request.json())["order"]
        self.relayed.append(order)
        if int(order["value"]) < self.min_deposit:
            return problem(409, "relay.deposit_too_small")
        before = self.ceilings.get(order["payer"], 0)
        if before + int(order["value"]) != int(order["ceiling"]):
            return problem(409, "tab.other_ceiling")
        self.ceilings[order["payer"]] = int(order["ceiling"])
        return JSONResponse({"tx_hash": "0x" + "00" * 32, "block": 1})

    async def _voucher(self, request: Request) -> Response:
        deal, body = self.deals[request.path_params["id"]], await request.json()
        voucher = Voucher(self.key.address, body["epoch"], int(body["cumulative"]))
        assert signer_of(voucher, body["signature"]) == deal.payer
        assert voucher.cumulative == deal.budget
        if self.ceilings.get(deal.payer.text, 0) < deal.budget:
            return problem(409, "voucher.underfunded")
        if self.expires:
            self.expires -= 1
            return problem(409, "reservation.ended")
        if deal.state == "reserved":
            deal.state = "starting"
            if self.starts:
                system = await self.central.connected(deal.place[0])
                start = call.RemoteStartTransaction(
                    id_tag=deal.tag, connector_id=deal.place[1], charging_profile=self._full_power()
                )
                assert (await system.call(start)).status == "Accepted"
        return JSONResponse(self._document(deal))

    def _full_power(self) -> dict[str, Any]:
        return {
            "charging_profile_id": 1,
            "stack_level": 0,
            "charging_profile_purpose": "TxProfile",
            "charging_profile_kind": "Absolute",
            "charging_schedule": {
                "charging_rate_unit": "A",
                "start_schedule": wire_time(self.clock.now()),
                "charging_schedule_period": [{"start_period": 0, "limit": 32.0}],
            },
        }

    async def _stop(self, request: Request) -> Response:
        deal, body = self.deals[request.path_params["id"]], await request.json()
        stop = StopRequest(SessionId.parse(deal.id).to_bytes32(), body["at"])
        assert signer_of(stop, body["signature"]) == deal.payer
        transaction = self._transaction(deal)
        if transaction is not None:
            system = await self.central.connected(deal.place[0])
            await system.call(call.RemoteStopTransaction(transaction_id=transaction))
        return JSONResponse(self._document(deal))

    async def _session(self, request: Request) -> Response:
        return JSONResponse(self._document(self.deals[request.path_params["id"]]))

    async def _receipt(self, request: Request) -> Response:
        deal = self.deals[request.path_params["id"]]
        if self._document(deal)["state"] != "metered":
            return problem(404, "receipt.not_yet")
        return Response(json.dumps({"session": deal.id}).encode() + b"\n")

    def _transaction(self, deal: Deal) -> int | None:
        for content, number in self.central.record(deal.place[0]).transactions.items():
            if dict(content)["id_tag"] == deal.tag:
                return number
        return None

    def _document(self, deal: Deal) -> dict[str, Any]:
        transaction, state = self._transaction(deal), deal.state
        if transaction is not None:
            stops = self.central.record(deal.place[0]).said("StopTransaction")
            stopped = any(stop["transaction_id"] == transaction for stop in stops)
            state = "metered" if stopped else "charging"
        return {"id": deal.id, "state": state}


def problem(status: int, code: str, **more: Any) -> Response:
    return JSONResponse({"status": status, "code": code} | more, status_code=status)


def signer_of(value: TypedStruct, signature: str) -> Address:
    return SIGNATURES.recover(digest(DOMAIN, value, SIGNATURES.keccak256), bytes.fromhex(signature[2:]))


@asynccontextmanager
async def serve_platform(platform: SmallPlatform) -> AsyncIterator[str]:
    """Listen on a free port; gives the URL."""
    config = uvicorn.Config(platform.app(), host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await running
