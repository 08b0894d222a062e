"""What a driver who paid from a strange wallet, and the operator, see of transfers."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from evmesh.app.problems import install
from evmesh.app.transfer_routes import TOO_LITTLE, TransferViews, add_transfers
from evmesh.domain.canonical import canonical_json
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import SeenTransfer, TransferPolicy, TransferRef
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from tests.fakes.world import Driver, World, open_world

EURO = 1_000_000


class Served:
    """A world, and a client that asks its routes."""

    def __init__(self, world: World, client: httpx.AsyncClient, views: TransferViews) -> None:
        self.world = world
        self.views = views
        self._client = client

    async def seen(self) -> None:
        await self.world.watch.look()
        await self.world.transfers.decide()

    async def sent(self, driver: Driver, amount: int, bay: int = 0) -> str:
        place = self.world.places[bay]
        ref = self.world.deposits.send(driver.address, place.deposit_address, amount)
        await self.seen()
        return "0x" + ref.tx_hash.hex()

    async def of(self, tx_hash: str) -> Any:
        answer = await self._client.get(f"/v1/transfers/{tx_hash}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def get(self, path: str) -> httpx.Response:
        return await self._client.get(path)


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Served]:
    async with open_world(tmp_path, transfer_policy=TransferPolicy(confirmations=2)) as world:
        asked = RelayQuota(RelayPolicy(requests=20), world.clock)
        views = TransferViews(world.transitions, world.directory, world.transfers, world.deposits, asked)
        app = FastAPI()
        install(app)
        add_transfers(app, views)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://station") as client:
            yield Served(world, client, views)


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


async def test_a_transfer_is_found_by_its_hash_from_the_first_block_to_the_charge(
    served: Served, driver: Driver
) -> None:
    tx_hash = await served.sent(driver, 3 * EURO)
    early = await served.of(tx_hash)
    assert (early["confirmations"], early["confirmations_needed"]) == (1, 2)
    assert early["transfers"][0]["status"] == "confirming"
    served.world.deposits.mine()
    await served.seen()
    (shown,) = (await served.of(tx_hash))["transfers"]
    (session,) = await served.world.sessions()
    assert (shown["status"], shown["session"], shown["amount"]) == ("charge", session.id.text, str(3 * EURO))
    assert (shown["sender"], shown["code"]) == (driver.address.text, served.world.places[0].code)


async def test_too_little_is_told_with_what_is_missing(served: Served, driver: Driver) -> None:
    tx_hash = await served.sent(driver, 5)
    served.world.deposits.mine()
    await served.seen()
    (shown,) = (await served.of(tx_hash))["transfers"]
    assert (shown["status"], shown["so_far"]) == ("waiting", "5")
    assert int(shown["minimum"]) > 100_000
    assert int(shown["missing"]) == int(shown["minimum"]) - 5
    assert (shown["why"], shown["do"]) == ("transfer.too_little", TOO_LITTLE)
    overview = (await served.get("/v1/transfers")).json()
    assert [one["amount"] for one in overview["waiting"]] == ["5"]
    assert overview["too_little"] == TOO_LITTLE
    assert overview["held"] == {served.world.places[0].code: "5"}


async def test_a_return_is_told_with_its_reason_fee_and_transaction(served: Served, driver: Driver) -> None:
    served.world.live.online.clear()
    tx_hash = await served.sent(driver, 3 * EURO)
    served.world.deposits.mine()
    await served.seen()
    served.world.clock.move(timedelta(minutes=3))
    await served.seen()
    (before,) = (await served.of(tx_hash))["transfers"]
    assert (before["status"], before["why"]) == ("return", "station.out_of_service")
    assert before["returned"]["tx_hash"] is None
    promised = TransferReturn.parse((await served.get(f"/v1/transfers/{tx_hash}/return")).content)
    assert (promised.payer, str(promised.deposit.returned)) == (driver.address, before["returned"]["amount"])
    await served.world.returns.look()
    (after,) = (await served.of(tx_hash))["transfers"]
    assert int(after["returned"]["amount"]) + int(after["fee"]) == 3 * EURO
    assert after["returned"]["tx_hash"].startswith("0x")


async def test_what_became_a_charge_or_nothing_has_no_word_of_return(served: Served, driver: Driver) -> None:
    tx_hash = await served.sent(driver, 3 * EURO)
    served.world.deposits.mine()
    await served.seen()
    for unpromised in (tx_hash, "0x" + 64 * "7", f"{tx_hash[:-1]}g"):
        answer = await served.get(f"/v1/transfers/{unpromised}/return")
        assert answer.status_code in (400, 404)
    assert (await served.get(f"/v1/transfers/{tx_hash}/return?position=-1")).status_code == 400


async def test_what_was_set_aside_is_told(served: Served, driver: Driver) -> None:
    place = served.world.places[0]
    ref = served.world.deposits.send(driver.address, place.deposit_address, 3 * EURO, arrives=EURO)
    served.world.deposits.mine()
    await served.seen()
    (shown,) = (await served.of("0x" + ref.tx_hash.hex()))["transfers"]
    assert (shown["status"], shown["why"]) == ("set_aside", "short")
    assert [one["why"] for one in (await served.get("/v1/transfers")).json()["set_aside"]] == ["short"]


@pytest.mark.parametrize(("tx_hash", "status"), [("0x" + 64 * "7", 404), ("0x77", 400), ("x", 400)])
async def test_an_unknown_or_malformed_hash_is_said(served: Served, tx_hash: str, status: int) -> None:
    answer = await served.get(f"/v1/transfers/{tx_hash}")
    assert answer.status_code == status


async def test_a_station_tells_how_transfers_are_taken(served: Served) -> None:
    terms = (await served.views.terms(served.world.places[0]))["transfer"]
    signed = TransferTerms.parse(canonical_json(terms["terms"]))
    assert signed == await served.world.transfers.terms(served.world.places[0])
    assert (terms["fee"], terms["minimum"]) == (str(signed.fee), str(signed.minimum))
    assert (terms["open"], terms["why"], terms["confirmations"]) == (True, None, 2)
    assert int(terms["minimum"]) - int(terms["fee"]) == int(terms["budget_of_minimum"])


async def test_without_a_chain_a_station_says_that_it_cannot_tell(served: Served) -> None:
    served.world.deposits.away = True
    assert (await served.views.terms(served.world.places[0]))["transfer"] == {
        "open": False,
        "why": "chain.away",
    }


async def test_who_asks_too_often_is_told_to_wait(served: Served, driver: Driver) -> None:
    tx_hash = await served.sent(driver, 5)
    for _ in range(10):
        await served.of(tx_hash)
        assert (await served.get("/v1/transfers")).status_code == 200
    for path in (f"/v1/transfers/{tx_hash}", "/v1/transfers"):
        refused = await served.get(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "relay.too_many")
    served.world.clock.move(timedelta(hours=1, seconds=1))
    await served.of(tx_hash)


async def test_of_a_rain_of_dust_a_hundred_grains_are_shown(served: Served, driver: Driver) -> None:
    world, tx_hash = served.world, bytes(31) + b"\1"
    block, to = len(world.deposits.blocks), world.places[0].deposit_address
    world.deposits.mine(
        *(SeenTransfer(TransferRef(tx_hash, n), n, block, driver.address, to, 1) for n in range(150))
    )
    assert len((await served.of("0x" + tx_hash.hex()))["transfers"]) == 100
    world.deposits.mine()
    await served.seen()
    shown = (await served.of("0x" + tx_hash.hex()))["transfers"]
    assert [one["so_far"] for one in shown] == ["150"] * 100
    waiting = (await served.get("/v1/transfers")).json()["waiting"]
    assert [one["position"] for one in waiting] == list(range(50, 150))


async def test_what_waits_is_told_also_where_the_terms_have_ended_and_are_signed_anew(
    served: Served, driver: Driver
) -> None:
    tx_hash = await served.sent(driver, 5)
    served.world.deposits.mine()
    await served.seen()
    served.world.clock.move(timedelta(days=1))
    (shown,) = (await asyncio.wait_for(served.of(tx_hash), 10))["transfers"]
    assert shown["status"] == "waiting"
