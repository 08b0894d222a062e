"""One session over a real socket: vouchers as a car sends them, and the stream of events that it pays by."""

import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from evmesh.app.api_sessions import add_sessions
from evmesh.app.http_server import HttpServer
from evmesh.app.payment_view import PaymentView
from evmesh.app.problems import install
from evmesh.app.session_feed import SessionFeed
from evmesh.app.snapshot import Snapshots
from evmesh.domain.sessions import Session
from evmesh.domain.signed_types import Refill
from tests.fakes.world import OPERATOR, Driver, World, eventually, open_world, running
from tests.unit.services.streaming_sessions import PER_100_WH, meter

Json = dict[str, Any]


@dataclass
class Served:
    """A world behind the routes of its sessions."""

    world: World
    client: httpx.AsyncClient

    async def send(self, driver: Driver, session: Session, units: int, **more: Any) -> httpx.Response:
        voucher = self.world.voucher(driver, session, cumulative=session.terms.base + units)
        epoch, cumulative, signature = voucher
        body = {"epoch": epoch, "cumulative": str(cumulative), "signature": "0x" + signature.hex()} | more
        return await self.client.post(f"/v1/sessions/{session.id}/vouchers", json=body)

    async def events(self, session: Session) -> AsyncIterator[Json]:
        """Follow the session's own stream."""
        async with self.client.stream("GET", f"/v1/sessions/{session.id}/events") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            async for line in answer.aiter_lines():
                if line.startswith("event:"):
                    assert line == "event: session"
                if line.startswith("data:"):
                    event: Json = json.loads(line.removeprefix("data:"))
                    yield event


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("evmesh.app.session_feed._SHORTEST_S", 0.01)
    async with open_world(tmp_path) as world:
        feed = SessionFeed(world.transitions, world.clock, PaymentView(world.directory))
        app = FastAPI()
        install(app)
        add_sessions(
            app,
            transitions=world.transitions,
            payments=world.payments,
            snapshots=Snapshots(
                world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps
            ),
            feed=feed,
        )
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with (
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
            running(HttpServer(app, port), feed),
        ):

            async def listens() -> bool:
                try:
                    await client.get("/v1/sessions/none")
                except httpx.ConnectError:
                    return False
                return True

            await eventually(listens)
            yield Served(world, client)


async def promised(served: Served, driver: Driver) -> Session:
    session = await served.world.promised(driver, served.world.places[0])
    served.world.fund(driver, session.terms.budget)
    return session


async def test_a_car_pays_per_100_wh_by_what_the_stream_tells_it(served: Served, driver: Driver) -> None:
    world, session = served.world, await promised(served, driver)
    events = served.events(session)
    first = await anext(events)
    assert (first["state"], first["voucher_cumulative"]) == ("reserved", None)
    assert (first["wanted_cumulative"], first["due"]) == (str(PER_100_WH), "0")
    assert first["deadline"] is not None
    assert set(first["risk"]) == {"driver", "operator"}

    answer = await served.send(driver, session, int(first["wanted_cumulative"]))
    assert answer.status_code == 200, answer.text
    assert (answer.json()["way"], answer.json()["voucher_cumulative"]) == ("streaming", str(PER_100_WH))
    session = await world.now(session)
    assert (await world.begin(session)).accepted
    session = await world.now(session)
    for wh in (90, 240, 410):
        await meter(world, session, wh)
        async for event in events:
            if event["metered_wh"] == wh:
                break
        assert event["state"] == "charging"
        assert event["due"] == str(wh * 350)
        wanted = (wh + 100) * 350
        assert int(event["wanted_cumulative"]) == wanted
        assert (event["deadline"] is not None) == (wh * 350 > int(event["voucher_cumulative"]))
        assert (await served.send(driver, session, wanted)).status_code == 200
        async for event in events:
            if event["voucher_cumulative"] == str(wanted):
                break
        assert event["deadline"] is None
    done = await world.end(session, (session.meter_start or 0) + 500)
    async with running(world.effects):
        await world.settled(done)
        rest = [event async for event in events]  # it ends with the session
    assert (rest[-1]["state"], rest[-1]["due"]) == ("settled", "175000")


async def test_a_stream_tells_nothing_twice(served: Served, driver: Driver) -> None:
    world, session = served.world, await promised(served, driver)
    events = served.events(session)
    first = await anext(events)
    neighbour = Driver("neighbour")
    other = await world.promised(neighbour, world.places[1])
    world.fund(neighbour, other.terms.budget)
    assert (await served.send(neighbour, other, PER_100_WH)).status_code == 200  # something else happens
    assert (await served.send(driver, session, PER_100_WH)).status_code == 200
    second = await anext(events)
    assert second["id"] == first["id"]
    assert second["voucher_cumulative"] == str(PER_100_WH)


async def test_a_session_that_is_not_there_has_no_stream(served: Served) -> None:
    answer = await served.client.get("/v1/sessions/01890a5d-ac96-774b-bcce-b302099a8057/events")
    assert (answer.status_code, answer.json()["code"]) == (400, "session.unknown")


async def test_a_refused_voucher_says_why_in_words(served: Served, driver: Driver) -> None:
    session = await promised(served, driver)
    answer = await served.send(driver, session, PER_100_WH - 1)
    assert answer.status_code == 400
    assert answer.json()["code"] == "voucher.other_amount"
    assert str(PER_100_WH) in answer.json()["title"]
    assert "100 Wh" in answer.json()["do"]


async def test_a_refill_travels_with_its_voucher(served: Served, driver: Driver) -> None:
    world, session = served.world, await promised(served, driver)
    value = Refill(OPERATOR.payee.address, session.terms.epoch, PER_100_WH, 9_000_000, 2_000_000_000)
    refill = {
        "cumulative": str(value.cumulative),
        "ceiling": str(value.ceiling),
        "deadline": value.deadline,
        "signature": "0x" + driver.sign(value).hex(),
    }
    answer = await served.send(driver, session, PER_100_WH, refill=refill)
    assert answer.status_code == 200, answer.text
    async with world.database.begin() as unit:
        kept = await unit.refill_of(session.id)
    assert kept is not None
    assert (kept.ceiling, kept.signature) == (9_000_000, driver.sign(value))
    spoilt = await served.send(driver, session, 2 * PER_100_WH, refill=refill | {"ceiling": "1.5"})
    assert spoilt.status_code == 400
