"""Stations from parts on the real platform: paid, limited, lit, killed; and a Mennekes beside them."""

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from evmesh.app.main import app
from evmesh.app.sim_hardware import lamp_of
from evmesh.app.up import UpOptions, running
from evmesh.domain.ids import StationId
from evmesh.domain.receipt import Receipt
from evmesh.ledger.child_process import ChildRecord
from tests.e2e.platform.sites import connector, write_site

SPEED = 90
"""The test bounds what flows until a station has stopped: a second of a busy machine is ninety of it."""
PRICE = 350_000
SITE = """
name = "Parts"
time_zone = "UTC"
start = 2026-06-01T06:00:00Z
prices = "prices.csv"
more_sessions = "sessions.csv"

[[group]]
name = "bay-3"
capacity_w = 16000

[[group.station]]
kind = "parts"
id = "PARTS-3"
vendor = "evmesh"
model = "SmartEVSE-3"
serial = "3"
simulated = true
controller = { driver = "smartevse-3", unit = 2 }
meter = { driver = "eastron-sdm630", unit = 1 }
CONNECTOR-3

[[group.station]]
kind = "mennekes"
id = "amtron-1"
vendor = "Mennekes"
model = "Amtron Xtra 11"
serial = "1"
rating_w = 11040
simulated = true

[[group]]
name = "bay-2"
capacity_w = 3500

[[group.station]]
kind = "parts"
id = "PARTS-2"
vendor = "evmesh"
model = "SmartEVSE v2"
serial = "2"
simulated = true
controller = { driver = "smartevse-2" }
meter = { driver = "gavazzi-em340", unit = 1 }
contactor = { unit = 4, coil = 2 }
CONNECTOR-2
"""
VISITS = """driver,connector,arrival,stated_departure,departure,requested_wh,delivered_wh,max_power_w
driver-2,BAY-3,2026-06-01T06:08:00,2026-06-01T07:10:00,2026-06-01T07:02:00,2400,9000,7360
early-1,BAY-2,2026-06-01T06:08:00,2026-06-01T07:10:00,2026-06-01T07:02:00,1800,9000,7360
van,amtron-1,2026-06-01T06:20:00,2026-06-01T08:00:00,2026-06-01T08:00:00,9000,9000,11040
"""
# By their names both charge as soon as possible, and only the second plugs in before it asks: a SmartEVSE v2
# is silent until its pilot moves, so until then its station is out of service.
BAY_3_W = 16_000 - 11_040
"""What the Mennekes leaves, which nobody steers."""

WHOLE_AMPERES = {230 * amperes for amperes in range(10, 16)}
"""What a SmartEVSE v2 can offer within the 3 500 W of its bay."""

YELLOW, GREEN, LIGHT_BLUE, DARK_BLUE = "255 180 0", "0 255 0", "80 180 255", "0 0 255"


@dataclass
class Watch:
    """What was seen of a running site, look by look."""

    api: httpx.AsyncClient
    data: Path
    colours: dict[str, set[str]] = field(default_factory=lambda: {"PARTS-2": set(), "PARTS-3": set()})
    powers: dict[str, set[int]] = field(default_factory=lambda: {"BAY-2": set(), "BAY-3": set()})
    observed: list[dict[str, Any]] = field(default_factory=list)
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def look(self) -> None:
        answer = await self.api.get("/v1/site")
        if answer.status_code != 200:
            return  # the platform was killed, and comes back
        site = answer.json()
        for group in site["groups"]:
            self.observed += group["observed"]
            for point in group["charge_points"]:
                self.powers[point["name"]].add(point["power_w"])
        for station, seen in self.colours.items():
            seen.add(
                (lamp_of(self.data, StationId(station)) / "multi_intensity").read_text().partition("\n")[0]
            )
        self.sessions = {one["charge_point"]: one for one in site["sessions"]}

    async def until(self, condition: str, found: Any) -> None:
        try:
            async with asyncio.timeout(180):
                while not found():
                    with suppress(httpx.TransportError, FileNotFoundError):
                        await self.look()
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"never: {condition}; {self.sessions}") from None

    def delivered(self, station: str) -> int:
        return int(self.sessions.get(station, {}).get("delivered_wh", 0))

    def is_settled(self, station: str) -> bool:
        return self.sessions.get(station, {}).get("state") == "settled"


@pytest.mark.timeout(400)
async def test_stations_from_parts_are_paid_over_kills_and_a_mennekes_is_seen(tmp_path: Path) -> None:
    site = SITE.replace("CONNECTOR-3", connector("BAY-3")).replace("CONNECTOR-2", connector("BAY-2"))
    data = tmp_path / "data"
    options = UpOptions(write_site(tmp_path, site, VISITS), data, port=0, ocpp_port=0, speed=SPEED)
    async with (
        running(options, lambda _: None) as run,
        httpx.AsyncClient(base_url=run.http_url, trust_env=False, timeout=30) as api,
    ):
        seen = Watch(api, data)
        await seen.until("energy at both", lambda: all(seen.delivered(one) > 50 for one in seen.colours))
        kill(data, "sim")
        before = seen.delivered("PARTS-3")
        await seen.until(
            "it goes on after the hardware's restart", lambda: seen.delivered("PARTS-3") > before
        )
        kill(data, "platform")
        await seen.until("both are settled", lambda: all(map(seen.is_settled, seen.colours)))
        await seen.until("yellow", lambda: all(YELLOW in colours for colours in seen.colours.values()))
        await seen.until("the van", lambda: any((one["session_wh"] or 0) > 500 for one in seen.observed))
        receipts = {}
        for station, session in seen.sessions.items():
            receipts[station] = tmp_path / f"{station}.json"
            receipts[station].write_bytes((await api.get(f"/v1/receipts/{session['id']}")).content)
        trust = tmp_path / "trust.json"
        trust.write_bytes((await api.get("/v1/trust")).content)
        told = (await api.get("/v1/telemetry/amtron-1")).json()
        swapped = ["edge", "meter-swapped", "--data", str(data)]
        said = await asyncio.to_thread(CliRunner().invoke, app, [*swapped, "PARTS-3"])
        assert "PARTS-3 counts from its new meter's register on" in said.output
        said = await asyncio.to_thread(CliRunner().invoke, app, [*swapped, "amtron-1"])
        assert (said.exit_code, "command.no_meter" in said.output) == (3, True), said.output
        for file in receipts.values():
            command = ["verify", "receipt", str(file), "--trust", str(trust), "--rpc", run.rpc_url]
            verified = await asyncio.to_thread(CliRunner().invoke, app, command)
            assert verified.exit_code == 0, verified.output

    for station, file in receipts.items():
        receipt = Receipt.parse(file.read_bytes())
        assert receipt.energy > 1_000
        assert (
            0 <= receipt.energy * PRICE // 1000 - receipt.due <= 100 * PRICE // 1000
        )  # it stops a little late
        shown = register_of(data, station)  # it began at 0, and counted nothing else
        assert receipt.energy == (
            shown if station == "PARTS-3" else shown // 100 * 100
        )  # as an EM340 tells it
        assert seen.colours[station] >= {YELLOW, DARK_BLUE}
    assert seen.colours["PARTS-3"] & {GREEN, LIGHT_BLUE}
    # the car could take 7 360 W: what it drew is what its controller was told
    assert 4_500 < max(seen.powers["BAY-3"]) <= BAY_3_W
    assert seen.powers["BAY-2"] - {0} <= WHOLE_AMPERES
    assert seen.powers["BAY-2"] & WHOLE_AMPERES
    # the Mennekes tells of itself, and nothing of it is billed
    assert {one["state"] for one in seen.observed} >= {"idle", "charging"}
    assert max(one["power_w"] or 0 for one in seen.observed) == 11_040
    assert told["values"].keys() >= {"SessionEnergy", "PowerOutput", "Availability"}
    assert set(seen.sessions) == {"PARTS-2", "PARTS-3"}


def kill(data: Path, name: str) -> None:
    record = ChildRecord.load(data / f"{name}.pid")
    assert record is not None
    os.kill(record.pid, signal.SIGKILL)


def register_of(data: Path, station: str) -> int:
    with closing(sqlite3.connect(data / "sim" / "sim.db")) as db:
        ((record,),) = db.execute("SELECT record FROM evse WHERE station = ?", (station,)).fetchall()
    return int(json.loads(record)["meter"]["register_ws"]) // 3600
