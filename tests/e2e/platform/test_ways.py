"""Who pays otherwise than ahead, on the real platform: a car by streaming, a stranger by a plain transfer."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from evmesh.app.up import UpOptions, running
from evmesh.domain.receipt import Receipt
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.keys import open_keys
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.verify.receipt import verify_receipt
from tests.e2e.platform.sites import connector, write_site

SPEED = 60
"""A promise that is not paid holds for three minutes: three seconds, on a machine that may be busy."""
PRICE = 350_000
SITE = """
name = "Two who pay otherwise"
time_zone = "UTC"
start = 2026-06-01T06:00:00Z
prices = "prices.csv"
sessions = "sessions.csv"

[[group]]
name = "cabinet"
capacity_w = 30000

[[group.station]]
id = "CP-TWIN"
vendor = "evmesh"
model = "Twin"
serial = "1"
"""
VISITS = """driver,connector,arrival,stated_departure,departure,requested_wh,delivered_wh,way
car-1,BAY-1,2026-06-01T06:10:00,2026-06-01T07:10:00,2026-06-01T07:00:00,2000,2000,streaming
guest-1,BAY-2,2026-06-01T06:10:00,2026-06-01T07:10:00,2026-06-01T07:00:00,1500,1500,transfer
"""


@pytest.mark.timeout(300)
async def test_a_car_streams_and_a_stranger_transfers_and_both_are_settled(tmp_path: Path) -> None:
    site = write_site(tmp_path, SITE + connector("BAY-1") + connector("BAY-2", 2), VISITS)
    data = tmp_path / "data"
    options = UpOptions(site, data, port=0, ocpp_port=0, speed=SPEED)
    async with running(options, lambda _: None) as run:
        async with httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=30) as api:
            sessions = await _settled(api, {"streaming", "transfer"})
            car, guest = sessions["streaming"], sessions["transfer"]
            need = (await api.get(f"/v1/sessions/{car['id']}/need")).json()
            receipts = {
                one["way"]: (await api.get(f"/v1/receipts/{one['id']}")).content for one in (car, guest)
            }
        async with JsonRpc(run.rpc_url) as rpc:
            contracts, payee = load_deployment(data).contracts, open_keys(data / "keys").operator.address
            streamed = Receipt.parse(receipts["streaming"])
            tab = await TabReader(rpc, contracts.charge_tab).tab(payee, streamed.request.payer)
            native = int(await rpc.call("eth_getBalance", streamed.request.payer.text, "latest"), 16)

    for raw in receipts.values():
        report = verify_receipt(raw, EthereumSignatures())
        assert report.ok, report.failed()
    # the car paid what it got, had signed at most 100 Wh more, and never owned gas
    assert streamed.vouchers[-1].cumulative <= (streamed.energy + 100) * PRICE // 1000
    assert tab.spent == streamed.due == streamed.energy * PRICE // 1000
    assert native == 0
    # it told on its channel what it needed
    assert 0 <= need["energy_wh"] <= 2_000
    assert need["soc_percent"] is not None
    # the stranger signed nothing
    transferred = Receipt.parse(receipts["transfer"])
    assert not transferred.vouchers
    assert transferred.energy >= 1_400


async def _settled(api: httpx.AsyncClient, ways: set[str]) -> dict[str, Any]:
    """Wait until a session of each way is settled."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(240):
        while set(found) < ways:
            site = (await api.get("/v1/site")).json()
            found = {one["way"]: one for one in site["sessions"] if one["state"] == "settled"}
            await asyncio.sleep(0.2)
    return found
