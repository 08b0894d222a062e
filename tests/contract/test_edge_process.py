"""`evmesh edge` as people run it: processes, certificates, kills; and what sets a gateway up."""

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import pytest
from aiomqtt import MqttError
from typer.testing import CliRunner

from evmesh.app.clock import WallClock
from evmesh.app.edge import app as edge_app
from evmesh.domain.telemetry import ValueName
from evmesh.edge import probe
from evmesh.sim.mhcp import Amtron, serve_amtron
from evmesh.sim.modbus_devices import B23, SDM630, Quantities
from evmesh.sim.modbus_server import ModbusUnits, serve_serial, serve_tcp
from evmesh.sim.smartevse2 import ControllerV2, serve_controller
from evmesh.telemetry.connection import MqttConfig, TlsFiles, connected, open_client
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings
from tests.brokers import running, running_broker
from tests.contract.chain import free_port

ENERGY = ValueName.TOTAL_ENERGY_CONSUMPTION
COMMAND = [sys.executable, "-m", "evmesh.app.main", "edge"]


def evmesh_edge(*args: str, expect: int = 0) -> str:
    """Run a command that ends; gives what it printed."""
    done = CliRunner().invoke(edge_app, list(args))
    assert done.exit_code == expect, done.output
    return done.stdout if expect == 0 else done.stderr


async def edge(*args: str, expect: int = 0) -> str:
    """The same while devices of this loop are asked."""
    return await asyncio.to_thread(evmesh_edge, *args, expect=expect)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait longer for an answer than hardware needs: a simulated device may have to wait for this machine."""
    monkeypatch.setattr(probe, "TIMEOUT_S", 1.5)


async def test_a_device_is_read_once_with_its_driver() -> None:
    units = ModbusUnits({3: SDM630(Quantities(energy_wh=5_000, power_w=1_234))})
    async with serve_tcp(units) as port:
        said = await edge("read", "eastron-sdm630", f"tcp://127.0.0.1:{port}", "--unit", "3", "--json")
    assert json.loads(said)["values"]["PowerOutput"] == 1_234


async def test_a_charger_is_read_with_its_key_from_a_file(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("4711\n")
    async with serve_amtron(Amtron(state="Charging", power_w=3_700)) as port:
        line = f"127.0.0.1:{port}"
        assert "3700" in await edge("read", "mennekes-mhcp", line, "--key-file", str(key))
        key.write_text("0000")
        assert "APP-PIN" in await edge("read", "mennekes-mhcp", line, "--key-file", str(key), expect=2)


@pytest.mark.usefixtures("patient")
async def test_what_answers_on_a_line_is_found_with_its_driver() -> None:
    units = ModbusUnits({2: B23(Quantities(energy_wh=5_000_000, power_w=1_234))})
    async with serve_tcp(units) as port:
        said = await edge("probe", f"tcp://127.0.0.1:{port}", "--units", "1-2", "--json")
    assert [(one["driver"], one["unit"]) for one in json.loads(said)["found"]] == [("abb-b23", 2)]


async def test_where_nothing_answers_the_exit_code_and_the_words_say_so() -> None:
    where = f"tcp://127.0.0.1:{free_port()}"
    said = await edge("probe", where, "--units", "1", expect=4)
    assert "edge.nothing_answers" in said
    assert "do: look at power" in said
    done = await asyncio.to_thread(CliRunner().invoke, edge_app, ["probe", where, "--units", "1", "--json"])
    assert (done.exit_code, json.loads(done.stdout)["code"]) == (4, "edge.nothing_answers")


@pytest.mark.usefixtures("patient")
async def test_a_meter_is_not_taken_for_a_charger_that_says_nothing() -> None:
    units = ModbusUnits({1: SDM630(Quantities(energy_wh=5_000_000, power_w=1_234))})
    async with serve_tcp(units) as port:
        said = await edge("probe", f"tcp://127.0.0.1:{port}", "--units", "1")
    first, *others = said.splitlines()
    assert first == "eastron-sdm630 unit 1: TotalEnergyConsumption 5000000, PowerOutput 1234, OutputCurrent 0"
    assert not [one for one in others if "smartevse" in one]


@pytest.mark.usefixtures("patient")
async def test_a_mennekes_is_found_by_its_host_without_its_key() -> None:
    async with serve_amtron(Amtron(), port=25_000):
        said = await edge("probe", "127.0.0.1", "--units", "1")
    assert "mennekes-mhcp: it wants its key" in said
    assert "edge.bad_address" in await edge("probe", "10.0.0.7:502", expect=2)


@pytest.mark.usefixtures("patient")
async def test_a_meter_on_a_serial_line_is_found_at_its_speed() -> None:
    with serve_serial(ModbusUnits({1: B23(Quantities(energy_wh=5_000_000, power_w=1_234))})) as path:
        said = await edge("probe", path, "--units", "1", "--json")
    assert ("abb-b23", 1) in [(one["driver"], one["unit"]) for one in json.loads(said)["found"]]


@pytest.mark.usefixtures("patient")
async def test_a_controller_on_a_serial_line_is_found() -> None:
    with serve_controller(ControllerV2()) as end:
        said = await edge("probe", end.path, "--units", "1")
    assert "smartevse-2" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('driver = "eastron-sdm630"', 'driver = "toaster"', "device[0].driver"),
        ('name = "meter-1"', 'name = "Meter 1"', "name"),
        ('broker = "mqtt://127.0.0.1:1"', 'broker = "http://x"', "gateway.broker"),
        ('broker = "mqtt://127.0.0.1:1"', 'broker = "mqtts://x"', "gateway.broker"),
        ("interval_s = 0.5", "interval_s = 0", "interval_s"),
        ("interval_s = 0.5", "intervall_s = 1", "intervall_s"),
        ("interval_s = 0.5", 'key_file = "x"', "device[0].key_file"),
    ],
)
def test_a_site_file_that_is_wrong_is_said_with_the_place(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    site = tmp_path / "edge.toml"
    text = site_text("mqtt://127.0.0.1:1", "tcp://127.0.0.1:1")
    assert old in text
    site.write_text(text.replace(old, new, 1))
    assert said in evmesh_edge("--site", str(site), expect=2)


def site_text(broker: str, line: str, extra: str = "") -> str:
    return f"""
[gateway]
name = "gw-1"
broker = "{broker}"
outbox = "outbox.db"
{extra}

[[device]]
name = "meter-1"
driver = "eastron-sdm630"
line = "{line}"
unit = 1
interval_s = 0.5
"""


@asynccontextmanager
async def gateway(site: Path) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Run the gateway; killed at the end, as a power cut does."""
    with (site.parent / "edge.log").open("ab") as log:
        process = subprocess.Popen([*COMMAND, "--site", str(site)], stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def energies(store: SqliteReadings) -> list[int | str | None]:
    """Give the registers that are in the database, None where one was unknown in between."""
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
    return [one.value for one in await store.range("meter-1", ENERGY, start, end)]


async def until_there(store: SqliteReadings, energy: int, log: Path) -> None:
    try:
        async with asyncio.timeout(80):
            while energy not in await energies(store):
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{energy} never came: {log.read_text()[-3000:]}")


async def test_kills_of_gateway_and_broker_in_any_order_lose_and_double_nothing(
    tmp_path: Path,
) -> None:
    order = random.Random(2)
    has = Quantities(energy_wh=1_000, power_w=0)
    site, log = tmp_path / "edge.toml", tmp_path / "edge.log"
    async with (
        running_broker("mosquitto", tmp_path) as broker,
        serve_tcp(ModbusUnits({1: SDM630(has)})) as port,
        SqliteReadings(tmp_path / "telemetry.db") as store,
        running(Ingest(broker.config, store, WallClock(), ack_every_s=0.05)),
    ):
        site.write_text(site_text(f"mqtt://127.0.0.1:{broker.port}", f"tcp://127.0.0.1:{port}"))
        expected = [1_000]
        for _ in range(3):
            async with gateway(site):
                await until_there(store, expected[-1], log)
                if order.random() < 0.5:
                    broker.kill()
                has.energy_wh = expected[-1] + 10
                expected.append(has.energy_wh)
                await until_in_outbox(tmp_path / "outbox.db", store, has.energy_wh)
            if broker.process is None:
                await broker.start()
        async with gateway(site):
            await until_there(store, expected[-1], log)
            has.energy_wh = 9_999
            await until_there(store, 9_999, log)
        found = await energies(store)
    assert sorted({value for value in found if isinstance(value, int)}) == [*expected, 9_999]
    # A gateway that starts tells everything once; it tells a register again only after it was unknown.
    again = [one for one, other in pairwise(found) if one == other and one is not None]
    assert len(again) <= 3, "once for each run after the first"
    told = [one for one in found if one is not None]
    assert len(told) <= len(expected) + 1 + 3 + found.count(None)


async def until_in_outbox(path: Path, store: SqliteReadings, energy: int) -> None:
    """Return once a reading is on the gateway's disk, or has left it for the database."""
    import sqlite3

    async with asyncio.timeout(60):
        while energy not in await energies(store):
            with suppress(sqlite3.OperationalError):
                rows = sqlite3.connect(path).execute("SELECT value FROM ev_outbox WHERE name = ?", (ENERGY,))
                if str(energy) in {value for (value,) in rows}:
                    return
            await asyncio.sleep(0.02)


async def test_a_gateway_with_its_certificate_reaches_a_guarded_broker(tmp_path: Path) -> None:
    has = Quantities(energy_wh=1_000)
    site, port = tmp_path / "edge.toml", free_port()
    pki = tmp_path / "broker" / "pki"
    names = "\n".join(
        f'{key} = "{pki / file}"'
        for key, file in (("authority", "ca.crt"), ("certificate", "gw-1.crt"), ("key", "gw-1.key"))
    )
    async with serve_tcp(ModbusUnits({1: SDM630(has)})) as meter:
        site.write_text(site_text(f"mqtts://localhost:{port}", f"tcp://127.0.0.1:{meter}", names))
        said = await edge("enrol", str(tmp_path / "broker"), "--site", str(site), "--port", str(port))
        assert "gw-1" in said
        assert await edge("enrol", str(tmp_path / "broker"), "--site", str(site), "--port", str(port)) != said
        conf = tmp_path / "broker" / "mosquitto.conf"
        for directory in (tmp_path.parent.parent, tmp_path.parent, tmp_path):
            directory.chmod(0o755)  # pytest's own are for their user alone; Mosquitto has one of its own
        broker = subprocess.Popen(["mosquitto", "-c", str(conf)], stderr=subprocess.DEVNULL)
        tls = TlsFiles(pki / "ca.crt", pki / "ingest.crt", pki / "ingest.key")
        mqtt = MqttConfig("localhost", port, 0.05, 0.2, tls=tls)
        try:
            await until_answering(mqtt)
            async with (
                SqliteReadings(tmp_path / "telemetry.db") as store,
                running(Ingest(mqtt, store, WallClock(), ack_every_s=0.05)),
                gateway(site),
            ):
                await until_there(store, 1_000, tmp_path / "edge.log")
                has.energy_wh = 70  # another meter, which has no number to be told by
                tls_files = (
                    "--authority",
                    "ca.crt",
                    "--certificate",
                    "platform.crt",
                    "--key",
                    "platform.key",
                )
                options = [one if one.startswith("--") else str(pki / one) for one in tls_files]
                url = f"mqtts://localhost:{port}"
                said = await edge("meter-swapped", "meter-1", "--broker", url, *options)
                assert "meter-1 counts from its new meter's register on" in said
                await until_there(store, 70, tmp_path / "edge.log")
                said = await edge("meter-swapped", "meter-2", "--broker", url, *options, expect=4)
                assert "edge.no_answer" in said
        finally:
            broker.kill()
            broker.wait()


async def until_answering(mqtt: MqttConfig) -> None:
    async with asyncio.timeout(60):
        while True:
            with suppress(MqttError):
                async with connected(open_client(mqtt)):
                    return
            await asyncio.sleep(0.05)
