"""The routes of one session: vouchers, the word to stop, what it is like now, and that live."""

import json
from collections.abc import AsyncIterator

from fastapi import FastAPI
from sse_starlette import EventSourceResponse, ServerSentEvent

from evmesh.app.api_models import StopBody, VoucherBody, signature_bytes
from evmesh.app.payment_view import Json
from evmesh.app.session_feed import SessionFeed
from evmesh.app.snapshot import Snapshots
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.money import parse_units
from evmesh.domain.sessions import Session
from evmesh.services.payments import Payments
from evmesh.services.transitions import Transitions


def add_sessions(
    app: FastAPI,
    *,
    transitions: Transitions,
    payments: Payments,
    snapshots: Snapshots,
    feed: SessionFeed,
) -> None:
    """Add them to the API."""

    async def shown(session: Session) -> Json:
        async with transitions.read() as unit:
            return (await snapshots.shown(unit, [session]))[0]

    @app.post("/v1/sessions/{id}/vouchers")
    async def vouchers(id: str, body: VoucherBody) -> Json:
        """Secure the money; the first voucher starts the station, further ones let it go on."""
        session = await payments.voucher(
            SessionId.parse(id),
            body.epoch,
            parse_units(body.cumulative, "cumulative"),
            signature_bytes(body.signature),
            None if body.refill is None else body.refill.to_domain(),
        )
        return await shown(session)

    @app.post("/v1/sessions/{id}/stop")
    async def stop(id: str, body: StopBody) -> Json:
        """Stop on the driver's word."""
        session = await payments.stop(SessionId.parse(id), body.at, signature_bytes(body.signature))
        return await shown(session)

    @app.get("/v1/sessions/{id}")
    async def session(id: str) -> Json:
        """One session with its timeline."""
        wanted = SessionId.parse(id)
        async with transitions.read() as unit:
            found = await unit.session(wanted)
            if found is None:
                raise InvalidInput("session.unknown", f"there is no session {wanted}")
            return (await snapshots.shown(unit, [found]))[0]

    @app.get("/v1/sessions/{id}/events")
    async def events(id: str) -> EventSourceResponse:
        """What who pays for it has to know, live: server-sent events named `session`, until it has ended."""
        following = feed.follow(SessionId.parse(id))
        first = await anext(following)  # a session that is not there is said before the stream begins

        async def stream() -> AsyncIterator[ServerSentEvent]:
            yield ServerSentEvent(json.dumps(first), event="session")
            async for event in following:
                yield ServerSentEvent(json.dumps(event), event="session")

        return EventSourceResponse(stream())
