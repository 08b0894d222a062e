"""A charge in FLEX over HTTP: the driver says once which money is meant, and the rest follows from that."""

from typing import Any

import pytest

from evmesh.domain.chain import Tab
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.signed_types import Exit, StopRequest, TopUp
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import TypedStruct
from evmesh.verify.receipt import verify_receipt
from tests.contract.test_api import Served, as_json, problem_of, served  # noqa: F401 - the fixture
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver

Json = dict[str, Any]
FLEX, PAYEE = CONTRACTS.flex_tab, OPERATOR.payee.address


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


def signed(driver: Driver, value: TypedStruct, escrow: Address = FLEX) -> str:
    return "0x" + driver.sign(value, escrow).hex()


def body(served: Served, driver: Driver, escrow: str | None = FLEX.text) -> Json:  # noqa: F811
    """Give the body of a request that is signed for FLEX."""
    place = served.world.places[0]
    wish = served.world.wish(driver, place)
    named = {} if escrow is None else {"escrow": escrow}
    return {"station": place.code, "request": as_json(wish), "signature": signed(driver, wish), **named}


def deposit_of(driver: Driver) -> Json:
    return {
        "payer": driver.address.text,
        "payee": PAYEE.text,
        "epoch": 0,
        "ceiling": "1750000",
        "value": "1750000",
        "deadline": 2**40,
        "permit_signature": "0x" + "11" * 64 + "1b",
        "top_up_signature": signed(driver, TopUp(PAYEE, 0, 1_750_000, 2**40)),
    }


async def test_a_charge_in_flex_from_the_code_to_the_receipt(served: Served, driver: Driver) -> None:  # noqa: F811
    world, client = served.world, served.client
    page = (await client.get(f"/v1/stations/{world.places[0].code}")).json()
    assert (page["chain"]["flex_tab"], page["chain"]["flex"]) == (FLEX.text, CONTRACTS.flex.text)

    answer = await served.post("/v1/requests", body(served, driver))
    assert answer.status_code == 201, answer.text
    id = answer.json()["session"]
    assert answer.json()["escrow"] == FLEX.text
    world.flex.balances[driver.address] = 2_000_000
    relayed = await served.post(
        "/v1/relay", {"kind": "deposit", "order": deposit_of(driver), "escrow": FLEX.text}
    )
    assert relayed.status_code == 200, relayed.text
    assert (world.flex.tabs[driver.address].ceiling, world.escrow.tabs) == (1_750_000, {})

    session = await served.session(id)
    epoch, cumulative, signature = world.voucher(driver, session)
    voucher = {"epoch": epoch, "cumulative": str(cumulative), "signature": "0x" + signature.hex()}
    paid = (await served.post(f"/v1/sessions/{id}/vouchers", voucher)).json()
    assert (paid["state"], paid["escrow"]) == ("starting", FLEX.text)
    await world.begin(session)
    session = await served.session(id)
    await world.measure(session, 2_000)
    at = int(world.clock.now().timestamp())
    word = {"at": at, "signature": signed(driver, StopRequest(session.id.to_bytes32(), at))}
    assert (await served.post(f"/v1/sessions/{id}/stop", word)).json()["cause"] == "driver"
    await world.end(session, 2_300)

    raw = (await client.get(f"/v1/receipts/{id}")).content
    trust = Trust.parse((await client.get("/v1/trust")).content)
    assert trust.flex == Receipt.parse(raw).chain.paid_in == CONTRACTS.flex_money
    assert verify_receipt(raw, SIGNATURES, trust).ok


async def test_an_escrow_that_is_not_the_operators_is_refused_in_words(
    served: Served,  # noqa: F811
    driver: Driver,
) -> None:
    other = "0x" + "99" * 20
    for path, sent in (
        ("/v1/requests", body(served, driver, other)),
        ("/v1/relay", {"kind": "deposit", "order": deposit_of(driver), "escrow": other}),
        (
            "/v1/relay/close",
            {
                "order": {
                    "payer": driver.address.text,
                    "payee": PAYEE.text,
                    "epoch": 0,
                    "amount": "0",
                    "signature": signed(driver, Exit(PAYEE, 0)),
                },
                "escrow": other,
            },
        ),
    ):
        no = problem_of(await served.post(path, sent), 400)
        assert (no["code"], no["path"]) == ("request.unknown_escrow", "escrow")
        assert "flex_tab" in no["do"]
    unnamed = problem_of(await served.post("/v1/requests", body(served, driver, None)), 422)
    assert unnamed["code"] == "request.wrong_signature"


async def test_a_tab_of_flex_is_left_and_closed_where_it_is_named(
    served: Served,  # noqa: F811
    driver: Driver,
) -> None:
    own, flex = served.world.escrow, served.world.flex
    leaver = Driver("leaver")
    for one in (driver, leaver):
        own.tabs[one.address] = flex.tabs[one.address] = Tab(spent=0, ceiling=4_000_000, exit_at=0, epoch=3)
    word = {
        "payer": leaver.address.text,
        "payee": PAYEE.text,
        "epoch": 3,
        "signature": signed(leaver, Exit(PAYEE, 3)),
    }
    begun = await served.post("/v1/relay", {"kind": "exit", "order": word, "escrow": FLEX.text})
    assert begun.status_code == 200, begun.text
    assert flex.tabs[leaver.address].exit_at > 0
    assert own.tabs[leaver.address].exit_at == 0
    end = {"payer": driver.address.text, "payee": PAYEE.text, "epoch": 3, "amount": "0"}
    end["signature"] = signed(driver, Exit(PAYEE, 3))
    closed = await served.post("/v1/relay/close", {"order": end, "escrow": FLEX.text})
    assert closed.status_code == 200, closed.text
    assert (flex.tabs[driver.address], own.tabs[driver.address].ceiling) == (Tab(0, 0, 0, 4), 4_000_000)
