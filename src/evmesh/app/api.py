"""The HTTP API: thin routes over the services. OpenAPI at /docs, the page at /."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi import Path as InPath
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect

from evmesh.app.api_models import RequestBody, escrow_of, signature_bytes
from evmesh.app.api_page import api_page
from evmesh.app.api_sessions import add_sessions
from evmesh.app.config import FIRST_INSTANT, LAST_INSTANT
from evmesh.app.hosts import OwnHosts
from evmesh.app.instants import instant
from evmesh.app.live_feed import LiveFeed
from evmesh.app.pacer import Waiting
from evmesh.app.pages import POLICY, Pages
from evmesh.app.payment_view import PaymentView
from evmesh.app.problems import BODY_WITHIN_S, MAX_BODY_BYTES, Unexpected, install, problem
from evmesh.app.relay import add_close, add_relay
from evmesh.app.session_feed import SessionFeed
from evmesh.app.snapshot import Snapshots
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.evidence import RefusalRecord
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import OCCUPYING
from evmesh.domain.settlement import Settlement
from evmesh.domain.trust import Trust
from evmesh.ledger.quota import RelayQuota
from evmesh.services.closes import Closes
from evmesh.services.directory import Directory, Place
from evmesh.services.escrows import Escrows
from evmesh.services.payments import Payments
from evmesh.services.receipts import plan_row
from evmesh.services.requests import NotPromised, Promise, Requests
from evmesh.services.transitions import Transitions

Json = dict[str, Any]
STATIC = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the routes call."""

    transitions: Transitions
    directory: Directory
    requests: Requests
    payments: Payments
    escrows: Escrows
    closes: Closes
    payee: Address
    snapshots: Snapshots
    feed: LiveFeed
    session_feed: SessionFeed
    payment: PaymentView
    site: Callable[[], Awaitable[Json]]
    is_ready: Callable[[], bool]
    waiting: Waiting
    relayed: RelayQuota
    """Counts what was relayed for each network address."""
    rewards: Callable[[str, date], Awaitable[Json]]
    trust: Callable[[], Trust]
    asset_record: Callable[[int], bytes | None]
    expected: Callable[[Promise], Awaitable[Json]]
    """Gives what the flexibility of a promise is expected to earn."""
    more: tuple[Callable[[FastAPI], None], ...] = ()
    """Add further routes, each before those that are more general."""
    station_terms: Callable[[Place], Awaitable[Json]] | None = None
    """Gives how transfers are taken at a charge point, for its page."""


def build_api(parts: ApiParts) -> FastAPI:
    """Give the application."""
    app = FastAPI(
        title="evmesh",
        description="Decentralised EV charging.",
        version="1",
        docs_url=None,  # the stock pages load scripts from elsewhere
        redoc_url=None,
    )
    install(app)
    for add in parts.more:
        add(app)
    _add_health(app, parts)
    _add_drivers(app, parts)
    add_sessions(
        app,
        transitions=parts.transitions,
        payments=parts.payments,
        snapshots=parts.snapshots,
        feed=parts.session_feed,
    )
    add_relay(
        app,
        escrows=parts.escrows,
        payee=parts.payee,
        relayed=parts.relayed,
    )
    add_close(app, closes=parts.closes, payee=parts.payee, relayed=parts.relayed)
    _add_views(app, parts)
    _add_evidence(app, parts)

    @app.middleware("http")
    async def bound_bodies(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        length = request.headers.get("content-length", "0")
        chunked = "chunked" in request.headers.get("transfer-encoding", "")
        if chunked or not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return problem(
                InvalidInput("api.too_large", f"a body has a known length of at most {MAX_BODY_BYTES} bytes")
            )
        try:
            async with asyncio.timeout(BODY_WITHIN_S):
                await request.body()  # kept for whoever reads it next
        except TimeoutError:
            error = InvalidInput("api.slow_body", f"the body did not arrive within {BODY_WITHIN_S} s")
            return problem(error, status=408)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        with parts.waiting.one():  # counted from here: platform time must not wait for a slow line
            return await call_next(request)

    app.add_middleware(OwnHosts)
    app.add_middleware(Unexpected)  # the last one added sees a request first
    if STATIC.is_dir():
        app.mount("/", Pages(directory=STATIC, html=True), name="pages")
    return app


def _add_health(app: FastAPI, parts: ApiParts) -> None:
    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Json:
        return {"ok": True}

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> JSONResponse:
        ready = parts.is_ready()
        return JSONResponse({"ready": ready}, 200 if ready else 503)

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()), headers={"Content-Security-Policy": POLICY})

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _add_drivers(app: FastAPI, parts: ApiParts) -> None:
    @app.get("/v1/stations/{code}")
    async def station(code: str) -> Json:
        """What a driver who typed this code needs to know before asking."""
        place = parts.directory.by_code(code)
        async with parts.transitions.read() as unit:
            open_here = [
                one
                for one in await unit.sessions(open_only=True)
                if one.terms.connector == place.connector.ref and one.state in OCCUPYING
            ]
        shown = parts.snapshots.station(place, open_here[0] if open_here else None)
        return shown if parts.station_terms is None else shown | await parts.station_terms(place)

    @app.post("/v1/requests", status_code=201)
    async def requests(body: RequestBody, request: Request) -> Response:
        """Ask for energy by a departure. 201 is a promise with an offer; 409 a refusal with its proof."""
        answer = await parts.requests.request(
            body.station,
            body.request.to_domain(),
            signature_bytes(body.signature),
            source=request.client.host if request.client else "",
            escrow=escrow_of(body.escrow),
        )
        if isinstance(answer, NotPromised):
            async with parts.transitions.read() as unit:
                stored = await unit.refusal_of(answer.record.payer, answer.record.nonce)
            return _refusal(stored or answer.record)
        promise = _promise(answer) | {"expected_reward": await parts.expected(answer)}
        ways = await parts.payments.ways(answer.session.terms.payer)
        promise |= parts.payment.choices(answer.session, ways)
        return JSONResponse(promise, 201)


def _add_views(app: FastAPI, parts: ApiParts) -> None:
    @app.get("/v1/receipts/{id}")
    async def receipt(id: str) -> Response:
        """The receipt's exact bytes."""
        return await _document(parts, id, Receipt.FORMAT, "receipt")

    @app.get("/v1/settlements/{id}")
    async def settlement(id: str) -> Response:
        """The settlement's exact bytes."""
        return await _document(parts, id, Settlement.FORMAT, "settlement")

    @app.get("/v1/site")
    async def site() -> Json:
        """Everything the page shows."""
        return await parts.site()

    @app.get("/v1/events")
    async def events() -> EventSourceResponse:
        """The same, live: server-sent events; a `snapshot`, then `changes` to it, or a `problem`."""
        events = parts.feed.follow()
        first = await anext(events)  # a chain that is away is said before the stream begins

        async def stream() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent(first.data, event=first.name)
            async for event in events:
                yield ServerSentEvent(event.data, event=event.name)

        return EventSourceResponse(stream())


def _add_evidence(app: FastAPI, parts: ApiParts) -> None:
    @app.get("/v1/assets/{asset}")
    async def asset(asset: Annotated[int, InPath(ge=1, lt=2**63)]) -> Response:
        """The full record of an asset of ours, `evmesh.asset/1`, whose hash the registry holds."""
        raw = parts.asset_record(asset)
        if raw is None:
            return problem(InvalidInput("asset.unknown", "there is no such asset here"), status=404)
        return Response(raw, media_type="application/json")

    @app.get("/v1/plans/{schedule_sha256}/{part}")
    async def plan(schedule_sha256: str, part: str) -> Response:
        """The exact bytes of a plan's `problem` or `schedule`, for whoever checks a certificate.

        Of one that leaves something out also `wanted` and `shortfall`, which prove that it is the least.
        """
        async with parts.transitions.read() as unit:
            stored = await unit.plan_of(schedule_sha256)
        raw = None if stored is None else stored.part(part)
        if raw is None:
            return problem(InvalidInput("plan.unknown", "there is no such plan"), status=404)
        return Response(raw, media_type="application/json")

    @app.get("/v1/refusals/{number}/{part}")
    async def refusal(number: Annotated[int, InPath(ge=1, lt=2**63)], part: str) -> Response:
        """The exact bytes of the `problem` that did not fit, or of the `schedule` that proves it."""
        async with parts.transitions.read() as unit:
            stored = await unit.refusal(number)
        if stored is None or part not in ("problem", "schedule"):
            return problem(InvalidInput("refusal.unknown", "there is no such refusal"), status=404)
        raw = stored.problem if part == "problem" else stored.schedule
        return Response(raw, media_type="application/json")

    @app.get("/v1/groups/{name}/rewards")
    async def rewards(name: str, day: date) -> Json:
        """What the flexibility of a group's day earned: so far, until the day is `final`."""
        if not FIRST_INSTANT.date() <= day < LAST_INSTANT.date():
            raise InvalidInput("reward.day", f"{day} is not a day of this century", path="day")
        return {"group": name, "day": day.isoformat(), **await parts.rewards(name, day)}

    @app.get("/v1/trust")
    async def trust() -> Json:
        """The operator's own statement of its keys and contracts, as an `evmesh.trust/1` file."""
        return parts.trust().to_json()


async def _document(parts: ApiParts, id: str, format: str, name: str) -> Response:
    session = SessionId.parse(id)
    async with parts.transitions.read() as unit:
        raw = await unit.document(session, format)
    if raw is None:
        return problem(
            Refused(f"{name}.not_yet", f"session {session} has no {name} yet", do="ask again later"),
            status=404,
        )
    name = f"attachment; filename=evmesh-{name}-{session}.json"
    return Response(raw, media_type="application/json", headers={"Content-Disposition": name})


def _promise(promise: Promise) -> Json:
    offer, terms = promise.offer, promise.session.terms
    row = plan_row(promise.plan.stored, promise.session).to_json()
    return {
        "session": promise.session.id.text,
        "escrow": terms.escrow.text,
        "offer": {
            "session": "0x" + offer.session.hex(),
            "payer": offer.payer.text,
            "payee": offer.payee.text,
            "epoch": offer.epoch,
            "base": str(offer.base),
            "asset": offer.asset,
            "price": offer.price,
            "budget": str(terms.budget),
            "start_by": offer.start_by,
            "end_by": offer.end_by,
            "request": "0x" + offer.request.hex(),
        },
        "offer_signature": "0x" + promise.session.offer_signature.hex(),
        "plan": row,
        "pay_by": instant(promise.session.deadline),
    }


def _refusal(record: RefusalRecord) -> Response:
    error = Refused(
        record.code,
        "this energy does not fit until that departure",
        do="take one of the offers" if record.offers else "choose another charge point or time",
    )
    return problem(
        error,
        refusal=record.number,
        certificate={"steps": list(record.steps), "deficit_wh": record.deficit},
        offers=[{"energy_wh": energy, "departure": instant(at)} for energy, at in record.offers],
    )
