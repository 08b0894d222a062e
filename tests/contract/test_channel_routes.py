"""The HTTP API of channels, on real services and a real broker."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from evmesh.app.channel_routes import ChannelParts, channel_routes
from evmesh.app.problems import install
from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import CarNeed
from evmesh.domain.sessions import Session
from evmesh.domain.signed_types import ChannelAccess, NeedChannel
from evmesh.domain.units import Wh
from evmesh.ledger.channels_desk import ChannelDesk
from tests.brokers import until
from tests.contract.channel_yard import (
    CAR,
    Yard,
    broker,
    driver,
    key_of,
    reading,
    statuses,
    yard,
)
from tests.fakes.world import Driver, running
from tests.unit.ledger.channel_world import Dice

__all__ = ["broker", "driver", "yard"]  # fixtures


def client_of(yard: Yard, host: str = "127.0.0.1") -> httpx.AsyncClient:
    """Give a client that calls from `host`."""
    app = FastAPI()
    install(app)
    parts = ChannelParts(
        yard.accesses, yard.needs, yard.world.clock, b"\x01" * 32, f"mqtt://127.0.0.1:{yard.broker.port}"
    )
    channel_routes(parts)(app)
    transport = httpx.ASGITransport(app, client=(host, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
async def api(yard: Yard) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(yard) as client:
        yield client


def word(yard: Yard, driver: Driver, session: Session, **changes: Any) -> dict[str, Any]:
    """Give the body with which a payer lets its own key read the status."""
    at = int(yard.world.clock.now().timestamp())
    values = {"reader": key_of(driver).public, "allowed": True, "at": at, **changes}
    access = ChannelAccess(session=session.id.to_bytes32(), channel="status", **values)
    signature = "0x" + driver.sign(access).hex()
    return {**values, "reader": "0x" + values["reader"].hex(), "signature": signature}


def invitation_in(document: dict[str, Any]) -> Invitation:
    described = document["channel"]
    channel = Channel(Mode(described["mode"]), bytes.fromhex(described["writer"][2:]), described["name"])
    return Invitation(channel, bytes.fromhex(document["grant"][2:]))


async def test_a_driver_gets_its_grant_and_can_fetch_it_again(
    yard: Yard, api: httpx.AsyncClient, driver: Driver
) -> None:
    session = await yard.world.promised(driver, yard.world.places[0])
    url, mine = f"/v1/sessions/{session.id}", "0x" + key_of(driver).public.hex()
    early = await api.get(f"{url}/channel", params={"reader": mine})
    assert (early.status_code, early.json()["code"]) == (409, "channel.not_a_reader")
    first = await api.post(f"{url}/channels/status/readers", json=word(yard, driver, session))
    assert first.status_code == 200
    for path in ("channel", "channels/status"):
        assert (await api.get(f"{url}/{path}", params={"reader": mine})).json() == first.json()
    await yard.tell()
    reader = reading(invitation_in(first.json()), key_of(driver))
    assert [one.session for one in statuses(await yard.read(reader))] == [session.id]
    gone = await api.post(
        f"{url}/channels/status/readers",
        json=word(yard, driver, session, allowed=False, at=word_at(yard) + 1),
    )
    assert gone.json() == {"session": session.id.text, "allowed": False}
    assert (await api.get(f"{url}/channel", params={"reader": mine})).status_code == 409


def word_at(yard: Yard) -> int:
    return int(yard.world.clock.now().timestamp())


async def test_what_is_malformed_or_false_is_refused_in_words(
    yard: Yard, api: httpx.AsyncClient, driver: Driver
) -> None:
    session = await yard.world.promised(driver, yard.world.places[0])
    url = f"/v1/sessions/{session.id}/channels"
    good = word(yard, driver, session)
    answers = [
        await api.post(f"{url}/status/readers", json=good | {"reader": "0x12"}),
        await api.post(f"{url}/status/readers", json=good | {"allowed": 1}),
        await api.post(f"{url}/status/readers", json=good | {"more": 1}),
        await api.post(f"{url}/secrets/readers", json=good),
        await api.post(f"{url}/status/readers", json=good | {"reader": "0x" + "11" * 32}),
        await api.post("/v1/sessions/nobodys/channels/status/readers", json=good),
        await api.get(f"{url}/secrets", params={"reader": good["reader"]}),
    ]
    assert [one.status_code for one in answers] == [400, 400, 400, 400, 422, 400, 400]
    assert all(one.json()["code"] for one in answers)
    # 32 bytes that are no key on the curve: signed all the same.
    low = word(yard, driver, session, reader=bytes(32))
    refused = await api.post(f"{url}/status/readers", json=low)
    assert (refused.status_code, refused.json()["code"]) == (400, "channel.bad_reader")


async def test_only_the_operators_own_machine_revokes(
    yard: Yard, api: httpx.AsyncClient, driver: Driver
) -> None:
    session = await yard.world.promised(driver, yard.world.places[0])
    url, body = f"/v1/sessions/{session.id}/channels/status", {"reader": "0x" + key_of(driver).public.hex()}
    await api.post(f"{url}/readers", json=word(yard, driver, session))
    async with client_of(yard, "192.0.2.7") as elsewhere:
        refused = await elsewhere.post(f"{url}/revoke", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "api.operator_only")
    assert len(await yard.desk.readers(f"status {session.id}")) == 1
    assert (await api.post(f"{url}/revoke", json=body)).status_code == 200
    assert len(await yard.desk.readers(f"status {session.id}")) == 0


async def test_a_car_says_where_it_tells_its_need(yard: Yard, api: httpx.AsyncClient, driver: Driver) -> None:
    keys = (await api.get("/v1/channels")).json()
    assert keys["inbox"] == "0x" + yard.needs.inbox.hex()
    session = await yard.world.charging(driver, yard.world.places[0], 5_000)
    url = f"/v1/sessions/{session.id}/need"
    assert (await api.get(url)).json()["code"] == "need.unheard"
    car = ChannelDesk(CAR.writer, await yard.book_of("car"), yard.carrier(), yard.world.clock, Dice())
    channel, sealed = await car.begin("need"), await car.admit("need", bytes.fromhex(keys["inbox"][2:]))
    described = {"mode": channel.mode.value, "writer": "0x" + channel.writer.hex(), "name": channel.name}
    body = {
        "channel": described,
        "grant": "0x" + sealed.hex(),
        "signature": "0x" + driver.sign(NeedChannel(session.id.to_bytes32(), channel.id)).hex(),
    }
    for change in ({"mode": "loud"}, {"name": "x" * 65}, {"writer": "0x12"}):
        assert (await api.post(url, json=body | {"channel": described | change})).status_code == 400
    other = await api.post(url, json=body | {"channel": described | {"name": "another"}})
    assert (other.status_code, other.json()["code"]) == (422, "need.wrong_signature")
    assert (await api.post(url, json=body)).status_code == 200
    await car.say({"need": CarNeed(yard.world.clock.now(), Wh(3_000), 55, None).encode()})
    await car.carry_once()
    async with running(yard.ears):
        await until(lambda: yard.needs.of(session.id) is not None)
    shown = (await api.get(url)).json()
    assert (shown["energy_wh"], shown["soc_percent"], shown["departure"]) == (3_000, 55, None)
