"""The routes of the further streams: what is for everybody, and what only the payer is shown."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from evmesh.app.problems import install
from evmesh.app.records_api import add_records
from evmesh.app.records_client import RecordsClient, countersign_kept
from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment import Stream
from evmesh.domain.commitment_proof import StreamProof
from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.domain.receipt import Receipt
from evmesh.domain.session_record import countersigned
from evmesh.verify.records import verify_record
from tests.fakes.world import SIGNATURES, Driver, open_world
from tests.unit.services.test_streams import Streams, settled
from tests.unit.verify.receipt_factory import make_receipt


@pytest.fixture
async def streams(tmp_path: Path) -> AsyncIterator[Streams]:
    async with open_world(tmp_path) as world:
        yield Streams.of(world)


@pytest.fixture
async def client(streams: Streams) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install(app)
    add_records(app, records=streams.records, proofs=streams.proofs, trees=streams.trees)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://operator") as client:
        yield client


@pytest.fixture
async def stranger(client: httpx.AsyncClient) -> AsyncIterator[RecordsClient]:
    async with RecordsClient("http://operator") as asking:
        asking._http = client
        yield asking


async def test_a_driver_countersigns_waits_and_gets_the_record(
    streams: Streams, client: httpx.AsyncClient
) -> None:
    driver = Driver("driver")
    session = await settled(streams.world, driver)
    raw = await streams.world.document(session, Receipt.FORMAT)
    body = {"signature": "0x" + driver.sign(countersigned(Receipt.parse(raw), raw)).hex()}
    path = f"/v1/sessions/{session.id}/countersign"
    assert (await client.post(path, json=body)).json()["state"] == "waiting"
    await streams.records.gather()
    assert (await client.post(path, json=body)).json()["state"] == "recorded"
    await streams.anchor()
    answer = (await client.post(path, json=body)).json()
    assert answer["state"] == "anchored"
    assert verify_record(canonical_json(answer["proof"]), SIGNATURES, raw).ok

    listed = (await client.get("/v1/records")).json()
    assert (listed["size"], listed["from"], len(listed["hashes"])) == (1, 0, 1)
    assert session.id.text not in str(listed)
    assert driver.address.text not in str(listed)


async def test_a_wallet_countersigns_by_one_call(streams: Streams, stranger: RecordsClient) -> None:
    driver = Driver("driver")
    session = await settled(streams.world, driver)
    raw = await streams.world.document(session, Receipt.FORMAT)
    assert await stranger.countersign(raw, driver.key, SIGNATURES) is None
    await streams.anchor()
    proof = await stranger.countersign(raw, driver.key, SIGNATURES)
    assert isinstance(proof, StreamProof)
    with pytest.raises(Refused, match=r"record\.wrong_signature"):
        await stranger.countersign(raw, Driver("thief").key, SIGNATURES)


async def test_a_wallet_s_charge_is_over_where_its_word_is_not_taken() -> None:
    raw = make_receipt().encode()
    said = await countersign_kept("http://127.0.0.1:1", raw, Driver("driver").key, SIGNATURES)
    assert "not counter-signed" in said
    assert "operator.away" in said


async def test_nobody_else_is_shown_a_record(streams: Streams, client: httpx.AsyncClient) -> None:
    driver, thief = Driver("driver"), Driver("thief")
    session = await settled(streams.world, driver)
    await streams.countersign(driver, session)
    await streams.anchor()
    raw = await streams.world.document(session, Receipt.FORMAT)
    body = {"signature": "0x" + thief.sign(countersigned(Receipt.parse(raw), raw)).hex()}
    answer = await client.post(f"/v1/sessions/{session.id}/countersign", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "record.wrong_signature")


async def test_a_stranger_reads_a_list_in_pages_and_how_heads_extend_each_other(
    streams: Streams, stranger: RecordsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.app.records_client._PAGE", 1)
    for bay in range(2):
        await streams.world.promised(Driver(f"driver {bay}"), streams.world.places[bay])
    await streams.anchor()
    listed = await stranger.whole_list(Stream.SCHEDULES)
    assert listed.is_whole
    assert listed.size == 4
    assert await stranger.consistency(Stream.SCHEDULES, 3, 4)
    assert await stranger.consistency(Stream.SCHEDULES, 3, 5) is None


async def test_what_is_not_there_is_said(streams: Streams, client: httpx.AsyncClient) -> None:
    session = await streams.world.promised(Driver("driver"), streams.world.places[0])
    early = await client.get(f"/v1/plans/{session.plan_sha256}/proof")
    assert (early.status_code, early.json()["code"]) == (404, "proof.not_yet")
    unknown = await client.get(f"/v1/plans/{'00' * 32}/proof")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "plan.unknown")
    assert (await client.get("/v1/streams/nothing")).json()["code"] == "stream.unknown"
    assert (await client.get("/v1/streams/records?limit=5001")).status_code == 400
    heads = (await client.get("/v1/streams")).json()["streams"]
    assert {one["name"]: one["anchored"] for one in heads}["records"] is None
    await streams.anchor()
    heads = (await client.get("/v1/streams")).json()["streams"]
    assert {one["name"]: one["anchored"]["size"] for one in heads} == {
        "records": 0,
        "schedules": 2,
        "algorithms": 0,
    }


async def test_an_operator_that_answers_nonsense_is_told_apart(streams: Streams) -> None:
    async def nonsense(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"hashes": 3})

    async with RecordsClient("http://operator") as asking:
        asking._http = httpx.AsyncClient(transport=httpx.MockTransport(nonsense))
        with pytest.raises(ProtocolViolation):
            await asking.whole_list(Stream.RECORDS)
        with pytest.raises(ProtocolViolation):
            await asking.consistency(Stream.RECORDS, 1, 2)
