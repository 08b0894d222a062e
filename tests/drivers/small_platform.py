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
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from evmesh.domain.chain import DepositOrder
from evmesh.domain.channel import Channel, Mode
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.signed_types import ChargeRequest, NeedChannel, SessionOffer, StopRequest, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest, hash_struct
from evmesh.domain.units import Wh
from evmesh.ledger.signatures import EthereumSignatures, KeySigner
from evmesh.ports import Clock
from evmesh.sim.messages import wire_time
from tests.drivers.central_system import CentralServer

DOMAIN, FLEX_DOMAIN = (Domain(31337, Address.parse("0x" + tab * 20)) for tab in ("c7", "c8"))
SIGNATURES = EthereumSignatures()
PRICE = 350_000
FEE = 20_000
INBOX = b"\x09" * 32


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

    async def spent(self, payee: Address) -> int:
        return 0

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


class TestSender:
    """A wallet that sends tokens; implements the port `TokenSender`."""

    __test__ = False

    def __init__(self, platform: "SmallPlatform") -> None:
        self._platform = platform
        self._hashes: dict[str, str] = {}

    @property
    def address(self) -> Address:
        return Address("0x" + "57" * 20)

    async def send(self, to: Address, units: int, key: str) -> str:
        code = next(code for code in self._platform.codes if deposit_address(code) == to.text)
        tx_hash = self._hashes.setdefault(key, "0x" + secrets.token_hex(32))
        self._platform.sent[tx_hash] = (code, units)
        return tx_hash


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
    vouchers: list[int] = field(default_factory=list)
    """The totals that were signed, as they came."""
    need: dict[str, Any] = field(default_factory=dict)
    """Where its car tells what it needs."""
    stops: int = 0
    """How often its payer said stop."""


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
    relayed_in: list[Domain] = field(default_factory=list)
    """In which money."""
    refuse: Callable[[str, dict[str, Any]], tuple[str, list[dict[str, Any]]] | None] = lambda code, ask: None
    spoil: Callable[[dict[str, Any]], None] = lambda answer: None
    spoil_event: Callable[[dict[str, Any]], None] = lambda event: None
    before_answer: Callable[[str], None] = lambda path: None
    away: int = 0
    """How many calls are answered with 503."""
    starts: bool = True
    min_deposit: int = 0
    """What its relayer does not send is less than this."""
    sent: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Station code and amount of each transfer, by its hash."""
    deals_of_transfers: dict[str, Deal] = field(default_factory=dict)
    takes_transfers: bool = True
    returns_transfers: bool = False
    streams: bool = True
    """Whether wallets may pay as energy flows."""
    expires: int = 0
    """How many more reservations end before they are paid."""

    def app(self) -> Starlette:
        routes = [
            Route("/v1/stations/{code}", self._wrap(self._station)),
            Route("/v1/requests", self._wrap(self._request), methods=["POST"]),
            Route("/v1/relay", self._wrap(self._relay), methods=["POST"]),
            Route("/v1/sessions/{id}/vouchers", self._wrap(self._voucher), methods=["POST"]),
            Route("/v1/sessions/{id}/stop", self._wrap(self._stop), methods=["POST"]),
            Route("/v1/sessions/{id}/events", self._events),
            Route("/v1/transfers/{hash}", self._wrap(self._transfer)),
            Route("/v1/channels", self._wrap(self._channels)),
            Route("/v1/sessions/{id}/need", self._wrap(self._need), methods=["POST"]),
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
                "rating_w": 7_360,
                "deposit_address": deposit_address(code),
                "transfer": {"open": self.takes_transfers, "fee": str(FEE), "minimum": "100000"},
                "payee": self.key.address.text,
                "min_deposit": str(self.min_deposit),
                "chain": {
                    "chain_id": DOMAIN.chain_id,
                    "charge_tab": DOMAIN.verifying_contract.text,
                    "flex_tab": FLEX_DOMAIN.verifying_contract.text,
                },
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
        assert signer_of(ask, body["signature"], domain_of(body)) == ask.payer
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
        signed = self.key.sign(digest(domain_of(body), offer, SIGNATURES.keccak256))
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
            "offer_signature": "0x" + signed.hex(),
            "risk": {"prepaid": {}, "streaming": {}} if self.streams else {"prepaid": {}},
        }
        self.spoil(answer)
        place = self.codes[body["station"]]
        deal = Deal(id.text, ask.payer, place, body, offer.budget, Wh(ask.energy_wh), secrets.token_hex(10))
        deal.answer = answer
        self.deals[id.text] = self.by_nonce[body["request"]["nonce"]] = deal
        return deal

    async def _relay(self, request: Request) -> Response:
        body = await request.json()
        order = body["order"]
        self.relayed.append(order)
        self.relayed_in.append(domain_of(body))
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
        assert signer_of(voucher, body["signature"], domain_of(deal.document)) == deal.payer
        deal.vouchers.append(voucher.cumulative)
        if voucher.cumulative > deal.budget:
            return problem(400, "voucher.other_amount")
        if not self.streams and voucher.cumulative < deal.budget:
            return problem(409, "voucher.prepaid_only")
        if self.ceilings.get(deal.payer.text, 0) < deal.budget:
            return problem(409, "voucher.underfunded")
        if self.expires:
            self.expires -= 1
            return problem(409, "reservation.ended")
        await self._start(deal)
        return JSONResponse(self._document(deal))

    async def _start(self, deal: Deal) -> None:
        if deal.state == "reserved":
            deal.state = "starting"
            if self.starts:
                system = await self.central.connected(deal.place[0])
                start = call.RemoteStartTransaction(
                    id_tag=deal.tag, connector_id=deal.place[1], charging_profile=self._full_power()
                )
                assert (await system.call(start)).status == "Accepted"

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
        assert signer_of(stop, body["signature"], domain_of(deal.document)) == deal.payer
        deal.stops += 1
        transaction = self._transaction(deal)
        if transaction is not None:
            system = await self.central.connected(deal.place[0])
            await system.call(call.RemoteStopTransaction(transaction_id=transaction))
        return JSONResponse(self._document(deal))

    async def _transfer(self, request: Request) -> Response:
        """Let a transfer that was sent become a charge, or tell that it goes back."""
        tx_hash = request.path_params["hash"]
        if tx_hash not in self.sent:
            return problem(404, "transfer.unknown")
        code, amount = self.sent[tx_hash]
        if self.returns_transfers:
            return JSONResponse({"transfers": [{"status": "return", "why": "connector.taken"}]})
        if tx_hash not in self.deals_of_transfers:
            id = SessionId.make(int(self.clock.now().timestamp() * 1000), secrets.token_bytes(10))
            energy = Wh((amount - FEE) * 1000 // PRICE)
            payer = Address("0x" + "57" * 20)
            deal = Deal(id.text, payer, self.codes[code], {}, amount - FEE, energy, secrets.token_hex(10))
            self.deals[id.text] = self.deals_of_transfers[tx_hash] = deal
            await self._start(deal)
        session = self.deals_of_transfers[tx_hash].id
        return JSONResponse({"transfers": [{"status": "charge", "session": session}]})

    async def _channels(self, request: Request) -> Response:
        return JSONResponse(
            {"writer": "0x" + "01" * 32, "inbox": "0x" + INBOX.hex(), "carrier": "mqtt://x:1"}
        )

    async def _need(self, request: Request) -> Response:
        deal, body = self.deals[request.path_params["id"]], await request.json()
        described = body["channel"]
        channel = Channel(Mode(described["mode"]), bytes.fromhex(described["writer"][2:]), described["name"])
        word = NeedChannel(SessionId.parse(deal.id).to_bytes32(), channel.id)
        assert signer_of(word, body["signature"]) == deal.payer
        deal.need = body
        return JSONResponse({"session": deal.id})

    async def _session(self, request: Request) -> Response:
        return JSONResponse(self._document(self.deals[request.path_params["id"]]))

    async def _events(self, request: Request) -> Response:
        """The session as server-sent events, whenever it has changed, until it is metered."""
        deal = self.deals[request.path_params["id"]]

        async def stream() -> AsyncIterator[str]:
            sent: dict[str, Any] = {}
            while sent.get("state") != "metered":
                event = self._streamed(deal)
                self.spoil_event(event)
                if event != sent:
                    yield f"event: session\ndata: {json.dumps(event)}\n\n"
                    sent = event
                await asyncio.sleep(0.01)

        return StreamingResponse(stream(), media_type="text/event-stream")

    def _streamed(self, deal: Deal) -> dict[str, Any]:
        metered, state = self.metered(deal), self._document(deal)["state"]
        ahead = 0 if state == "metered" else 100
        return {
            "state": state,
            "metered_wh": metered,
            "base": "0",
            "epoch": 1,
            "budget": str(deal.budget),
            "wanted_cumulative": str(min(deal.budget, (metered + ahead) * PRICE // 1000)),
        }

    def metered(self, deal: Deal) -> int:
        """Give the Wh since the start, by the last value that the station sent."""
        transaction, record = self._transaction(deal), self.central.record(deal.place[0])
        if transaction is None:
            return 0
        begun: int = next(
            dict(content)["meter_start"] for content, id in record.transactions.items() if id == transaction
        )
        stops = [one for one in record.said("StopTransaction") if one["transaction_id"] == transaction]
        told: list[int] = record.registers(transaction) + [stop["meter_stop"] for stop in stops]
        return max(told, default=begun) - begun

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


def deposit_address(code: str) -> str:
    return "0x" + code.encode().hex().ljust(40, "0")


def problem(status: int, code: str, **more: Any) -> Response:
    return JSONResponse({"status": status, "code": code} | more, status_code=status)


def domain_of(body: dict[str, Any]) -> Domain:
    """Give the domain of the money that a body is about."""
    domains = {one.verifying_contract.text: one for one in (DOMAIN, FLEX_DOMAIN)}
    return domains[body.get("escrow", DOMAIN.verifying_contract.text)]


def signer_of(value: TypedStruct, signature: str, domain: Domain = DOMAIN) -> Address:
    return SIGNATURES.recover(digest(domain, value, SIGNATURES.keccak256), bytes.fromhex(signature[2:]))


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
