"""The HTTP API over a real socket: what drivers, pages and auditors send and get."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from secrets import token_bytes
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from evmesh.app import api as api_module
from evmesh.app.api import ApiParts, build_api
from evmesh.app.api_rewards import RewardParts, add_rewards, expected_of
from evmesh.app.http_server import HttpServer
from evmesh.app.instants import instant
from evmesh.app.live_feed import LiveFeed
from evmesh.app.pacer import Waiting
from evmesh.app.payment_view import PaymentView
from evmesh.app.platform_rewards import rewards_on
from evmesh.app.session_feed import SessionFeed
from evmesh.app.snapshot import Snapshots
from evmesh.domain.chain import DepositOrder, Mined, Tab
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import UNSECURED_TTL, Session
from evmesh.domain.settlement import Settlement
from evmesh.domain.signed_types import ChargeRequest, Exit, StopRequest, TopUp
from evmesh.domain.station_code import code_of
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import TypedStruct
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.services.closes import Closes
from evmesh.services.invoices import Invoices
from evmesh.services.plans import Planner
from evmesh.services.quotes import Quotes, Unrecorded
from evmesh.services.rewards import RewardBook
from evmesh.services.supply import flat_tariff_supply
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.schedule import verify_schedule
from tests.drivers.changes import changed
from tests.fakes.flex import FakeFlex
from tests.fakes.money import FakeEscrow
from tests.fakes.world import (
    CONTRACTS,
    OPERATOR,
    SIGNATURES,
    Driver,
    World,
    dear_morning,
    open_world,
    running,
)

Json = dict[str, Any]
NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""To read the known ones for each test takes longer than most of them."""


@dataclass
class Served:
    """A world behind its API, and a client that speaks to it."""

    world: World
    client: httpx.AsyncClient
    waiting: Waiting
    ready: bool = True
    flex: FakeFlex = field(default_factory=lambda: FakeFlex(OPERATOR.payee.address, CONTRACTS.flex))

    def body(self, driver: Driver, wh: int = 5_000, bay: int = 0, **changes: Any) -> Json:
        """Give the body of a request as a driver would send it."""
        place = self.world.places[bay]
        wish = self.world.wish(driver, place, wh, **changes)
        return {"station": place.code, "request": as_json(wish), "signature": signed(driver, wish)}

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.client.post(path, json=body)

    async def promised(self, driver: Driver, **changes: Any) -> Json:
        answer = await self.post("/v1/requests", self.body(driver, **changes))
        assert answer.status_code == 201, answer.text
        promise: Json = answer.json()
        return promise

    async def session(self, id: str) -> Session:
        return await self.world.now(SessionId.parse(id))


def as_json(wish: ChargeRequest) -> Json:
    return {
        "payer": wish.payer.text,
        "asset": wish.asset,
        "departure": wish.departure,
        "energy_wh": wish.energy_wh,
        "flexible": wish.flexible,
        "max_cost": str(wish.max_cost),
        "nonce": "0x" + wish.nonce.hex(),
        "deadline": wish.deadline,
    }


def signed(driver: Driver, value: TypedStruct) -> str:
    return "0x" + driver.sign(value).hex()


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr("evmesh.app.live_feed._SHORTEST_S", 0.01)
    static = tmp_path / "static"
    (static / "assets").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html><title>evmesh</title>")
    (static / "assets" / "page-abc123.js").write_text("export {}")
    monkeypatch.setattr(api_module, "STATIC", static)
    async with open_world(tmp_path) as world:
        snapshots = Snapshots(world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps)

        async def site() -> Json:
            async with world.database.begin() as unit:
                return {
                    "now": instant(world.clock.now()),
                    "groups": await snapshots.groups(unit),
                    "sessions": await snapshots.sessions(unit),
                    "refusals": await snapshots.refusals(unit),
                    "block": await world.escrow.account(OPERATOR.payee.address),
                }

        supply = flat_tariff_supply(dear_morning)
        book = RewardBook(world.directory, OPERATOR, supply)

        planner = Planner(world.directory, supply, world.live, SIGNATURES.keccak256, world.caps, Unrecorded())
        quotes = Quotes(world.transitions, world.directory, planner, supply, world.clock, token_bytes)
        invoices = Invoices(world.database, SIGNATURES, UTC)

        async def invoice(session: SessionId) -> tuple[str, bytes]:
            raw, number = await invoices.bill(session, world.clock.now())
            return number.text, b"%PDF of " + raw[:8]

        flex = FakeFlex(OPERATOR.payee.address, CONTRACTS.flex)
        parts = RewardParts(
            transitions=world.transitions,
            operator=OPERATOR,
            quotes=quotes,
            issuer=flex,
            quoted=RelayQuota(RelayPolicy(requests=4), world.clock),
            relayed=RelayQuota(RelayPolicy(requests=2), world.clock),
            invoice=invoice,
        )
        feed = LiveFeed(world.transitions, site)
        payment = PaymentView(world.directory)
        session_feed = SessionFeed(world.transitions, world.clock, payment)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        waiting = Waiting()
        # Patient: the first refusal of a process loads what was compiled for it.
        client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", verify=NO_AUTHORITIES, timeout=60)
        served = Served(world, client, waiting)
        served.flex = flex
        app = build_api(
            ApiParts(
                transitions=world.transitions,
                directory=world.directory,
                requests=world.requests,
                payments=world.payments,
                escrows=world.escrows,
                closes=Closes(world.transitions, world.tabs, world.escrows, SIGNATURES, OPERATOR),
                payee=OPERATOR.payee.address,
                snapshots=snapshots,
                feed=feed,
                session_feed=session_feed,
                payment=payment,
                site=site,
                is_ready=lambda: served.ready,
                waiting=waiting,
                relayed=RelayQuota(RelayPolicy(requests=2), world.clock),
                rewards=partial(rewards_on, UTC, world.transitions, world.directory, book),
                expected=partial(expected_of, quotes),
                more=(partial(add_rewards, parts=parts),),
                trust=world.trust,
                asset_record={1: b"{}"}.get,
            )
        )
        async with served.client, running(HttpServer(app, port), feed, session_feed):
            await until_it_listens(served.client)
            yield served


async def until_it_listens(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                await client.get("/healthz")
            except httpx.ConnectError:
                await asyncio.sleep(0.01)
            else:
                return


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


def problem_of(answer: httpx.Response, status: int) -> Json:
    """Give a problem document after checking that it is one."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document: Json = answer.json()
    assert document["status"] == status
    assert {"type", "title", "code"} <= set(document)
    return document


# --- one charge


async def test_a_charge_from_the_code_to_the_receipt(served: Served, driver: Driver) -> None:
    world, client = served.world, served.client
    code = world.places[0].code
    station = (await client.get(f"/v1/stations/{code.lower()}")).json()
    assert (station["code"], station["online"], station["session"]) == (code, True, None)
    assert station["price"] == 350_000
    assert station["payee"] == OPERATOR.payee.address.text
    assert station["min_deposit"] == str(OPERATOR.min_deposit)

    promise = await served.promised(driver)
    id, offer = promise["session"], promise["offer"]
    assert offer["budget"] == "1750000"
    assert promise["pay_by"] == instant(world.clock.now() + UNSECURED_TTL)
    assert offer["session"] == "0x" + SessionId.parse(id).to_bytes32().hex()
    assert sum(promise["plan"]["row"]["wh"]) == 5_000
    assert (await client.get(f"/v1/stations/{code}")).json()["session"] == id

    top_up = TopUp(OPERATOR.payee.address, 0, 1_750_000, 2**40)
    world.escrow.balances[driver.address] = 2_000_000
    order = {
        "payer": driver.address.text,
        "payee": OPERATOR.payee.address.text,
        "epoch": 0,
        "ceiling": "1750000",
        "value": "1750000",
        "deadline": 2**40,
        "permit_signature": "0x" + "11" * 64 + "1b",
        "top_up_signature": signed(driver, top_up),
    }
    relayed = await served.post("/v1/relay", {"kind": "deposit", "order": order})
    assert relayed.status_code == 200, relayed.text
    assert relayed.json()["block"] == 1

    session = await served.session(id)
    epoch, cumulative, signature = world.voucher(driver, session)
    voucher = {"epoch": epoch, "cumulative": str(cumulative), "signature": "0x" + signature.hex()}
    paid = (await served.post(f"/v1/sessions/{id}/vouchers", voucher)).json()
    assert (paid["state"], paid["payer"]) == ("starting", driver.address.text)
    assert (await served.post(f"/v1/sessions/{id}/vouchers", voucher)).json()["state"] == "starting"

    await world.begin(session)
    session = await served.session(id)
    world.clock.move(timedelta(minutes=20))
    await world.measure(session, 2_250)
    shown = (await client.get(f"/v1/sessions/{id}")).json()
    assert (shown["state"], shown["delivered_wh"], shown["cost"]) == ("charging", 1_250, "437500")
    assert (await client.get(f"/v1/receipts/{id}")).status_code == 404

    at = int(world.clock.now().timestamp())
    word = {"at": at, "signature": signed(driver, StopRequest(session.id.to_bytes32(), at))}
    assert (await served.post(f"/v1/sessions/{id}/stop", word)).json()["cause"] == "driver"
    await world.end(session, 2_300)

    receipt = await client.get(f"/v1/receipts/{id}")
    assert receipt.headers["content-type"] == "application/json"
    assert id in receipt.headers["content-disposition"]
    trust = Trust.parse((await client.get("/v1/trust")).content)
    assert verify_receipt(receipt.content, SIGNATURES, trust).ok
    assert Receipt.parse(receipt.content).energy == 1_300
    async with running(world.effects):
        await world.settled(session)
    settlement = await client.get(f"/v1/settlements/{id}")
    assert Settlement.parse(settlement.content).amount == 455_000
    timeline = [step["event"] for step in (await client.get(f"/v1/sessions/{id}")).json()["timeline"]]
    assert timeline == ["reserve", "fund", "start", "started", "stop", "meter", "settle"]


async def test_a_refusal_carries_its_certificate_its_offers_and_its_files(
    served: Served, driver: Driver
) -> None:
    answer = await served.post("/v1/requests", served.body(driver, 60_000))
    no = problem_of(answer, 409)
    assert no["code"] == "request.refused"
    assert no["certificate"]["deficit_wh"] > 0
    assert [set(offer) for offer in no["offers"]] == [{"energy_wh", "departure"}] * 2
    number = (await served.client.get("/v1/site")).json()["refusals"][0]["number"]
    files = [
        (await served.client.get(f"/v1/refusals/{number}/{part}")).content for part in ("problem", "schedule")
    ]
    assert verify_schedule(*files).ok
    best = no["offers"][0]
    departure = int(datetime.fromisoformat(best["departure"]).timestamp())
    taken = await served.post("/v1/requests", served.body(driver, best["energy_wh"], departure=departure))
    assert taken.status_code == 201


async def test_a_plans_files_prove_it(served: Served, driver: Driver) -> None:
    plan = (await served.promised(driver))["plan"]
    sha256 = plan["schedule_sha256"].removeprefix("0x")
    files = [
        (await served.client.get(f"/v1/plans/{sha256}/{part}")).content for part in ("problem", "schedule")
    ]
    assert verify_schedule(*files).ok


async def test_the_rewards_of_a_day_are_shown_as_they_are_so_far(served: Served, driver: Driver) -> None:
    world = served.world
    session = await world.charging(driver, world.places[0])
    world.clock.move(timedelta(minutes=30))
    await world.end(session, 3_000)
    day = world.clock.now().date().isoformat()
    answer = (await served.client.get(f"/v1/groups/yard/rewards?day={day}")).json()
    assert answer["final"] is False
    assert [one["session"] for one in answer["rewards"]] == [session.id.text]
    assert sum(answer["rewards"][0]["metered_wh"]) == 2_000


# --- errors


def without(body: Json, *path: str) -> Json:
    copy: Json = json.loads(json.dumps(body))
    inner = copy
    for part in path[:-1]:
        inner = inner[part]
    del inner[path[-1]]
    return copy


def with_(body: Json, value: Any, *path: str) -> Json:
    copy: Json = json.loads(json.dumps(body))
    inner = copy
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("request", "energy_wh"), "5000"),
        (("request", "energy_wh"), 5000.0),
        (("request", "energy_wh"), True),
        (("request", "energy_wh"), -1),
        (("request", "energy_wh"), 2**31),
        (("request", "max_cost"), 4_000_000),
        (("request", "max_cost"), "4e6"),
        (("request", "max_cost"), "-1"),
        (("request", "max_cost"), "01"),
        (("request", "departure"), 2**63),
        (("request", "departure"), "2026-06-01T12:00:00Z"),
        (("request", "flexible"), 1),
        (("request", "flexible"), "true"),
        (("request", "asset"), 0),
        (("request", "payer"), "0x12"),
        (("request", "nonce"), "0x" + "G" * 64),
        (("request", "tip"), 1),
        (("signature",), "0x" + "1" * 127),
        (("signature",), None),
        (("station",), ""),
        (("station",), "A" * 41),
        (("comment",), "hello"),
        (("request",), [1, 2, 3]),
    ],
)
async def test_a_member_of_the_wrong_kind_is_named(
    served: Served, driver: Driver, path: tuple[str, ...], value: Any
) -> None:
    answer = await served.post("/v1/requests", with_(served.body(driver), value, *path))
    found = problem_of(answer, 400)
    assert found["code"] == "api.malformed"
    assert found["path"] == ".".join(path)
    assert not await served.world.sessions()


async def test_money_past_what_the_escrow_holds_is_refused(served: Served, driver: Driver) -> None:
    body = with_(served.body(driver), str(2**96), "request", "max_cost")
    assert problem_of(await served.post("/v1/requests", body), 400)["code"] == "money.not_units"


@pytest.mark.parametrize(
    "member", ["payer", "asset", "departure", "energy_wh", "nonce", "deadline", "flexible"]
)
async def test_a_member_that_is_missing_is_named(served: Served, driver: Driver, member: str) -> None:
    answer = await served.post("/v1/requests", without(served.body(driver), "request", member))
    assert problem_of(answer, 400)["path"] == f"request.{member}"


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"null", b"[]", b'"text"', b"\xff\xfe", b"[" * 60_000, b'{"a":' * 10_000 + b"1"]
)
async def test_a_body_that_is_no_request_is_a_problem_and_no_crash(served: Served, raw: bytes) -> None:
    answer = await served.client.post(
        "/v1/requests", content=raw, headers={"content-type": "application/json"}
    )
    problem_of(answer, 400)
    assert (await served.client.get("/healthz")).status_code == 200


async def test_a_body_that_is_too_large_is_refused_unread(served: Served) -> None:
    answer = await served.client.post("/v1/requests", content=b" " * (64 * 1024 + 1))
    assert problem_of(answer, 400)["code"] == "api.too_large"


async def test_a_body_of_unknown_length_is_refused(served: Served) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"{}"

    answer = await served.client.post("/v1/requests", content=pieces())
    assert problem_of(answer, 400)["code"] == "api.too_large"


async def test_codes_that_are_wrong_are_told_apart(served: Served) -> None:
    code = served.world.places[0].code
    mistyped = code[:-1] + ("0" if code[-1] != "0" else "2")
    for typed, expected in (
        (mistyped, "station.mistyped_code"),
        (code_of(99), "station.unknown_code"),
        ("what", "station.malformed_code"),
        ("%F0%9F%94%8C" * 8, "station.malformed_code"),
    ):
        found = problem_of(await served.client.get(f"/v1/stations/{typed}"), 400)
        assert (found["code"], bool(found["do"])) == (expected, True)


async def test_errors_have_the_status_of_their_class(served: Served, driver: Driver) -> None:
    thief = Driver("thief")
    stolen = with_(served.body(driver), served.body(thief)["signature"], "signature")
    assert problem_of(await served.post("/v1/requests", stolen), 422)["code"] == "request.wrong_signature"
    late = served.body(driver, departure=1)
    found = problem_of(await served.post("/v1/requests", late), 400)
    assert (found["code"], found["path"]) == ("request.departure_in_past", "request.departure")
    await served.promised(driver)
    taken = problem_of(await served.post("/v1/requests", served.body(thief)), 409)
    assert taken["code"] == "connector.taken"
    served.world.escrow.away = True
    away = problem_of(await served.post("/v1/requests", served.body(thief, bay=1)), 503)
    assert away["code"] == "tab.never_seen"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/sessions/nonsense", 400),
        ("/v1/receipts/nonsense", 400),
        ("/v1/receipts/019e81c4-8300-7000-8000-000000000000", 404),
        ("/v1/settlements/019e81c4-8300-7000-8000-000000000000", 404),
        ("/v1/sessions/019e81c4-8300-7000-8000-000000000000", 400),
        ("/v1/plans/" + "00" * 32 + "/problem", 404),
        ("/v1/refusals/1/problem", 404),
        ("/v1/refusals/99999999999999999999999/problem", 400),
        ("/v1/refusals/one/problem", 400),
        ("/v1/groups/yard/rewards", 400),
        ("/v1/groups/yard/rewards?day=soon", 400),
        ("/v1/nothing", 404),
    ],
)
async def test_what_is_not_there_is_a_problem_too(served: Served, path: str, status: int) -> None:
    problem_of(await served.client.get(path), status)


async def test_a_method_that_a_path_does_not_know_is_a_problem(served: Served) -> None:
    problem_of(await served.client.delete("/v1/site"), 405)


async def test_one_address_cannot_have_everything_relayed(served: Served, driver: Driver) -> None:
    served.world.escrow.balances[driver.address] = 10_000_000
    answers = []
    for ceiling in (1_000_000, 2_000_000, 3_000_000):
        order = {
            "payer": driver.address.text,
            "payee": OPERATOR.payee.address.text,
            "epoch": 0,
            "ceiling": str(ceiling),
            "value": "1000000",
            "deadline": 2**40,
            "permit_signature": "0x" + "11" * 64 + "1b",
            "top_up_signature": signed(driver, TopUp(OPERATOR.payee.address, 0, ceiling, 2**40)),
        }
        answers.append(await served.post("/v1/relay", {"kind": "deposit", "order": order}))
    assert [one.status_code for one in answers] == [200, 200, 409]
    assert problem_of(answers[2], 409)["code"] == "relay.too_many"
    assert served.world.escrow.tabs[driver.address].ceiling == 2_000_000


def small_deposit(driver: Driver, chain: FakeEscrow) -> Json:
    chain.balances[driver.address] = 10_000_000
    top_up = TopUp(OPERATOR.payee.address, 0, 1_000_000, 2**40)
    return {
        "kind": "deposit",
        "order": {
            "payer": driver.address.text,
            "payee": OPERATOR.payee.address.text,
            "epoch": 0,
            "ceiling": "1000000",
            "value": "1000000",
            "deadline": 2**40,
            "permit_signature": "0x" + "11" * 64 + "1b",
            "top_up_signature": signed(driver, top_up),
        },
    }


async def test_many_at_once_are_no_more_than_one_after_another(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction takes a block's time to be mined: what is asked meanwhile counts too."""
    escrow, asked = served.world.escrow, asyncio.Event()
    mine = escrow.deposit

    async def mined_later(order: DepositOrder, key: str) -> Mined:
        await asked.wait()
        return await mine(order, key)

    monkeypatch.setattr(escrow, "deposit", mined_later)
    drivers = [Driver(f"driver {n}") for n in range(6)]

    async def ask(driver: Driver) -> int:
        answer = await served.post("/v1/relay", small_deposit(driver, escrow))
        if answer.status_code == 409:
            refused.append(driver)
            if len(refused) == 4:
                asked.set()
        return answer.status_code

    refused: list[Driver] = []
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        answers = [group.create_task(ask(driver)) for driver in drivers]
    assert sorted(one.result() for one in answers) == [200, 200, 409, 409, 409, 409]
    assert len(escrow.tabs) == 2


async def test_what_was_refused_is_not_counted(served: Served, driver: Driver) -> None:
    escrow = served.world.escrow
    false = small_deposit(driver, escrow)
    false["order"]["top_up_signature"] = signed(
        Driver("thief"), TopUp(OPERATOR.payee.address, 0, 1_000_000, 2**40)
    )
    for _ in range(3):
        problem_of(await served.post("/v1/relay", false), 409)
    assert (await served.post("/v1/relay", small_deposit(driver, escrow))).status_code == 200


async def test_nobody_chooses_the_address_it_is_counted_by(served: Served) -> None:
    answers = []
    for n in range(3):
        body = small_deposit(Driver(f"driver {n}"), served.world.escrow)
        forged = {"X-Forwarded-For": f"10.0.0.{n}"}
        answers.append(await served.client.post("/v1/relay", json=body, headers=forged))
    assert [one.status_code for one in answers] == [200, 200, 409]


async def test_a_driver_fills_its_tab_by_authorization_leaves_it_and_gets_the_rest_back(
    served: Served, driver: Driver
) -> None:
    escrow, who = served.world.escrow, {"payer": driver.address.text, "payee": OPERATOR.payee.address.text}
    escrow.balances[driver.address] = 10_000_000
    authorized = {
        **who,
        "value": "4000000",
        "valid_after": 0,
        "valid_before": 2**40,
        "salt": "0x" + "22" * 32,
        "signature": "0x" + "11" * 64,
    }
    filled = await served.post("/v1/relay", {"kind": "authorized", "order": authorized})
    assert filled.status_code == 200, filled.text
    again = await served.post("/v1/relay", {"kind": "authorized", "order": authorized})
    assert again.json() == filled.json()
    assert escrow.tabs[driver.address].ceiling == 4_000_000


async def test_a_driver_leaves_a_tab_by_its_signature(served: Served, driver: Driver) -> None:
    escrow, who = served.world.escrow, {"payer": driver.address.text, "payee": OPERATOR.payee.address.text}
    escrow.tabs[driver.address] = Tab(spent=1_000_000, ceiling=4_000_000, exit_at=0, epoch=3)
    word = {**who, "epoch": 3, "signature": signed(driver, Exit(OPERATOR.payee.address, 3))}
    early = await served.post("/v1/relay", {"kind": "finish", "order": who})
    assert problem_of(early, 409)["code"] == "tab.no_exit_begun"
    elsewhere = await served.post("/v1/relay", {"kind": "finish", "order": {**who, "payee": "0x" + "9" * 40}})
    assert problem_of(elsewhere, 409)["code"] == "relay.other_payee"
    begun = await served.post("/v1/relay", {"kind": "exit", "order": word})
    assert begun.status_code == 200, begun.text
    assert escrow.tabs[driver.address].exit_at > 0
    served.world.clock.move(timedelta(days=1))
    finished = await served.post("/v1/relay", {"kind": "finish", "order": who})
    assert finished.status_code == 200, finished.text
    assert escrow.tabs[driver.address] == Tab(0, 0, 0, 4)
    assert escrow.balances[driver.address] == 3_000_000


async def test_a_body_of_no_known_kind_is_refused(served: Served) -> None:
    refused = await served.post("/v1/relay", {"kind": "steal", "order": {}})
    assert problem_of(refused, 400)["code"]


# --- live


class LivePage:
    """What a page shows that follows the stream: the snapshot, with every change made to it."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self._shown: Json = {}
        self.events: list[str] = []

    async def hear(self) -> Json:
        """Wait for one event; give what it carries."""
        async for line in self._lines:
            if line.startswith("event:"):
                self.events.append(line.removeprefix("event:").strip())
            if line.startswith("data:"):
                told: Json = json.loads(line.removeprefix("data:"))
                return told
        raise AssertionError("the stream has ended")

    async def next_snapshot(self) -> Json:
        """Wait for the next event that changes what is shown; give all of it."""
        while True:
            told = await self.hear()
            if self.events[-1] != "problem":
                self._shown = told if self.events[-1] == "snapshot" else changed(self._shown, told)
                return self._shown


async def test_a_page_gets_a_snapshot_at_once_and_after_each_change(served: Served, driver: Driver) -> None:
    async with asyncio.timeout(20), served.client.stream("GET", "/v1/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        page = LivePage(stream.aiter_lines())
        assert (await page.next_snapshot())["sessions"] == []
        promise = await served.promised(driver)
        while not (found := (await page.next_snapshot())["sessions"]):
            pass
        assert (found[0]["id"], found[0]["state"]) == (promise["session"], "reserved")
        await served.world.pay(driver, await served.session(promise["session"]))
        while (await page.next_snapshot())["sessions"][0]["state"] != "starting":
            pass
        assert page.events[0] == "snapshot"
        assert set(page.events[1:]) == {"changes"}  # all of it only once


async def test_a_page_that_opens_while_the_chain_is_away_is_told_so(served: Served) -> None:
    served.world.escrow.away = True
    problem_of(await served.client.get("/v1/events"), 503)
    problem_of(await served.client.get("/v1/site"), 503)


async def test_a_page_keeps_what_it_shows_while_the_chain_is_away(served: Served, driver: Driver) -> None:
    async with asyncio.timeout(20), served.client.stream("GET", "/v1/events") as stream:
        page = LivePage(stream.aiter_lines())
        await page.next_snapshot()
        served.world.escrow.away = True
        served.world.transitions.tell()
        told = await page.hear()
        while page.events[-1] != "problem":  # what is shown is old now, and the page is told why
            told = await page.hear()
        assert told["status"] == 503
        served.world.escrow.away = False
        await served.promised(driver)
        while not (await page.next_snapshot())["sessions"]:
            pass


# --- the house


async def test_health_is_told_apart_from_readiness(served: Served) -> None:
    assert (await served.client.get("/healthz")).json() == {"ok": True}
    assert (await served.client.get("/readyz")).json() == {"ready": True}
    served.ready = False
    away = await served.client.get("/readyz")
    assert (away.status_code, away.json()) == (503, {"ready": False})
    assert (await served.client.get("/healthz")).status_code == 200


async def test_metrics_are_in_prometheus_words(served: Served) -> None:
    answer = await served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "# TYPE python_info gauge" in answer.text


async def test_the_api_describes_itself(served: Served) -> None:
    assert (await served.client.get("/docs")).status_code == 200
    described = (await served.client.get("/openapi.json")).json()
    assert {"/v1/requests", "/v1/relay", "/v1/sessions/{id}/vouchers", "/v1/events"} <= set(
        described["paths"]
    )
    energy = described["components"]["schemas"]["RequestValues"]["properties"]["energy_wh"]
    assert energy["type"] == "integer"


async def test_pages_are_served_strictly_and_kept_where_they_never_change(served: Served) -> None:
    page = await served.client.get("/")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-cache")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    asset = await served.client.get("/assets/page-abc123.js")
    assert "immutable" in asset.headers["cache-control"]
    assert (await served.client.get("/../../etc/passwd")).status_code == 404
    assert (await served.client.get("/%2e%2e/%2e%2e/etc/passwd")).status_code == 404


async def test_a_request_in_hand_is_counted_as_waiting_work(served: Served, driver: Driver) -> None:
    async with served.world.database.begin():
        asked = asyncio.create_task(served.post("/v1/requests", served.body(driver)))
        async with asyncio.timeout(10):
            while served.waiting.oldest_s == 0:
                await asyncio.sleep(0.005)
    assert (await asked).status_code == 201
    assert served.waiting.oldest_s == 0


async def test_a_slow_body_is_no_work_and_is_given_up(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_module, "BODY_WITHIN_S", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", served.client.base_url.port)
    writer.write(b"POST /v1/requests HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 60000\r\n\r\n{")
    waited = []
    async with asyncio.timeout(10):
        answered = asyncio.create_task(reader.readuntil(b"\r\n"))
        while not answered.done():
            waited.append(served.waiting.oldest_s)
            await asyncio.sleep(0.01)
    writer.close()
    assert b" 408 " in answered.result()
    assert set(waited) == {0}


@pytest.mark.parametrize("v", [0, 27])
async def test_a_signature_of_65_bytes_is_the_same_as_its_64(served: Served, driver: Driver, v: int) -> None:
    wish = served.world.wish(driver, served.world.places[0], 5_000)
    compact = driver.sign(wish)
    long = compact[:32] + bytes([compact[32] & 0x7F]) + compact[33:] + bytes([v + (compact[32] >> 7)])
    body = {"station": served.world.places[0].code, "request": as_json(wish), "signature": "0x" + long.hex()}
    promise = (await served.post("/v1/requests", body)).json()
    again = (await served.post("/v1/requests", {**body, "signature": "0x" + compact.hex()})).json()
    assert again["session"] == promise["session"]
    kept = await served.session(promise["session"])
    assert kept.request_signature == compact


async def test_a_signature_whose_v_is_none_is_refused(served: Served, driver: Driver) -> None:
    body = served.body(driver)
    body["signature"] += "05"
    problem_of(await served.post("/v1/requests", body), 400)


@pytest.mark.parametrize("day", ["0001-01-01", "1999-12-31", "2100-01-01", "9999-12-31"])
async def test_a_day_of_another_century_has_no_rewards(served: Served, day: str) -> None:
    answer = await served.client.get("/v1/groups/yard/rewards", params={"day": day})
    assert problem_of(answer, 400)["code"] == "reward.day"


async def test_a_port_that_is_taken_is_said_to_be(served: Served) -> None:
    with pytest.raises(Refused, match=r"http\.port_in_use"):
        await HttpServer(FastAPI(), served.client.base_url.port or 0).run()


async def test_the_record_of_an_asset_is_served_as_it_was_hashed(served: Served) -> None:
    assert (await served.client.get("/v1/assets/1")).content == b"{}"
    assert (await served.client.get("/v1/assets/2")).status_code == 404


async def test_the_description_of_the_api_loads_nothing_from_elsewhere(served: Served) -> None:
    page = (await served.client.get("/docs")).text
    assert "POST /v1/requests" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "<script" not in page


# --- what does not hold a charge point any more


async def test_a_metered_session_waits_for_its_money_and_holds_no_charge_point(
    served: Served, driver: Driver
) -> None:
    world, client = served.world, served.client
    session = await world.charging(driver, world.places[0])
    code = world.places[0].code
    assert (await client.get(f"/v1/stations/{code}")).json()["session"] == session.id.text
    await world.end(session, 2_000)
    assert (await client.get(f"/v1/stations/{code}")).json()["session"] is None
    points = (await client.get("/v1/site")).json()["groups"][0]["charge_points"]
    assert [point["session"] for point in points] == [None] * 4


async def test_what_could_not_be_collected_is_shown(served: Served, driver: Driver) -> None:
    world = served.world
    session = await world.charging(driver, world.places[0])
    await world.end(session, 2_000)
    world.escrow.finish_exit(driver.address)
    async with running(world.effects):
        await world.settled(session)
    shown = (await served.client.get(f"/v1/sessions/{session.id}")).json()
    assert (shown["state"], shown["due"], shown["uncollected"]) == ("settled", "350000", "350000")
    assert shown["flags"] == ["claim.uncollectable"]


async def test_where_a_request_comes_from_is_counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    ask = served.world.requests.request

    async def noted(*parts: Any, source: str = "", escrow: Address | None = None) -> Any:
        seen.append(source)
        return await ask(*parts, source=source, escrow=escrow)

    monkeypatch.setattr(served.world.requests, "request", noted)
    await served.promised(Driver("driver"))
    assert seen == ["127.0.0.1"]


async def test_a_promise_says_what_each_side_can_lose_in_each_way(served: Served, driver: Driver) -> None:
    served.world.fund(driver, 2_000_000)
    promise = await served.promised(driver)
    streaming, prepaid = promise["risk"]["streaming"], promise["risk"]["prepaid"]
    assert streaming == {"driver": "35000", "operator": "99750"}  # 100 Wh, and 184 Wh in 90 s at 7.36 kW
    assert prepaid["driver"] == promise["offer"]["budget"] == "1750000"
    assert promise["first_cumulative"] == "35000"
    shown = (await served.client.get(f"/v1/sessions/{promise['session']}")).json()
    assert (shown["way"], shown["risk"]) == ("prepaid", prepaid)
    assert (shown["wanted_cumulative"], shown["voucher_cumulative"]) == ("35000", None)
