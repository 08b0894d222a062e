"""Faults that must lose nothing, or be known for what they are: gateways as processes, on real lines."""

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.app.clock import WallClock
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.sim.mhcp import Amtron, Upset, serve_amtron
from evmesh.sim.modbus_devices import SDM630, Quantities
from evmesh.sim.modbus_server import ModbusUnits, Trouble, serve_serial
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings
from tests.brokers import Broker, running, running_broker

ROOT = Path(__file__).parents[2]
START, END = datetime(1969, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
POWER, ENERGY = ValueName.POWER_OUTPUT, ValueName.TOTAL_ENERGY_CONSUMPTION
CHARGERS = [f"cp-{number}" for number in range(4)]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker("mosquitto", tmp_path) as started:
        yield started


@contextmanager
def process(log: Path, *argv: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a program; killed at the end."""
    with log.open("ab") as file:
        started = subprocess.Popen((sys.executable, "-m", *argv), cwd=ROOT, stdout=file, stderr=file)
    try:
        yield started
    finally:
        started.kill()
        started.wait()


@asynccontextmanager
async def stored_in(broker: Broker, directory: Path) -> AsyncIterator[SqliteReadings]:
    """A database with an ingest."""
    async with (
        SqliteReadings(directory / "telemetry.db") as store,
        running(Ingest(broker.config, store, WallClock(), ack_every_s=0.05)),
    ):
        yield store


@contextmanager
def metering() -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A meter as a process; gives it and its port."""
    argv = (sys.executable, "-m", "tests.meter_process")
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as meter:
        try:
            assert meter.stdout is not None
            yield meter, meter.stdout.readline().strip()
        finally:
            meter.kill()


async def eventually(condition: Callable[[], Awaitable[bool]], log: Path, within_s: float = 80) -> None:
    try:
        async with asyncio.timeout(within_s):
            while not await condition():
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"{condition} never came: {log.read_text()[-3000:]}")


async def readings(store: SqliteReadings, charger: str, name: ValueName) -> list[TelemetryValue]:
    return list(await store.range(charger, name, START, END))


def in_outbox(path: Path, query: str) -> int:
    """Ask a gateway's file; -1 while it is being made."""
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(path)) as file:
        row = file.execute(query).fetchone()
        return -1 if row is None else int(row[0])
    return -1


async def test_a_cut_that_is_longer_than_the_outbox_costs_what_it_says_and_no_session(
    broker: Broker, tmp_path: Path
) -> None:
    count, log, outbox = 4_000, tmp_path / "gateway.log", tmp_path / "outbox.db"
    broker.kill()
    argv = ("tests.gateway_process", str(broker.port), str(outbox), str(count), str(len(CHARGERS)), "300000")
    with process(log, *argv):

        async def all_is_read() -> bool:
            return in_outbox(outbox, "SELECT put FROM test_count") == count

        await eventually(all_is_read, log)
        assert outbox.stat().st_size < 2 * 300_000
        await broker.start()
        async with stored_in(broker, tmp_path) as store:

            async def all_has_left() -> bool:
                return in_outbox(outbox, "SELECT count(*) FROM ev_outbox") == 0

            await eventually(all_has_left, log)
            kept = [one for charger in CHARGERS for one in await readings(store, charger, POWER)]
            told = [await readings(store, one, ValueName.READINGS_LOST) for one in CHARGERS]
            sessions = await readings(store, CHARGERS[0], ValueName.SESSION_ENERGY)
    lost = sum(int(one[-1].value or 0) for one in told)
    assert lost > 1_000
    assert sorted(int(one.value or 0) for one in kept) == list(range(lost, count))  # the newest
    assert [one.value for one in sessions] == list(range(0, count, 20))
    assert in_outbox(outbox, "SELECT sum(count) FROM ev_lost") == lost


@pytest.mark.parametrize("off_s", [-3_600, 86_400, -1_780_000_000], ids=["hour back", "day ahead", "1970"])
async def test_a_gateway_whose_clock_is_off_loses_nothing_and_is_flagged(
    broker: Broker, tmp_path: Path, off_s: int
) -> None:
    count, log, outbox = 400, tmp_path / "gateway.log", tmp_path / "outbox.db"
    argv = ("tests.gateway_process", str(broker.port), str(outbox), str(count), "4", "10000000", str(off_s))
    async with stored_in(broker, tmp_path) as store:

        async def stored(least: int) -> bool:
            return sum([len(await readings(store, one, POWER)) for one in CHARGERS]) >= least

        with process(log, *argv):
            await eventually(lambda: stored(100), log)
        with process(log, *argv):  # killed in the middle, and begun anew

            async def is_flagged() -> bool:
                told = await readings(store, "gw-1", ValueName.CLOCK_SKEW)
                return bool(told) and abs(int(told[-1].value or 0) - off_s * 1_000) < 60_000

            await eventually(lambda: stored(count), log)
            await eventually(is_flagged, log)
        found = [one for charger in CHARGERS for one in await readings(store, charger, POWER)]
    assert sorted(int(one.value or 0) for one in found) == list(range(count))
    years = {one.at.year for one in found}
    assert (min(years) < 1972) == (off_s < -(10**9))


def site(broker: Broker, *devices: str) -> str:
    head = f'[gateway]\nname = "gw-1"\nbroker = "mqtt://127.0.0.1:{broker.port}"\noutbox = "outbox.db"\n'
    return head + "".join(f"[[device]]\n{one}\n" for one in devices)


INTERVAL_S = 2.0


async def test_what_hangs_is_half_open_or_noisy_is_unknown_within_one_and_a_half_intervals(
    broker: Broker, tmp_path: Path
) -> None:
    """Told by the gateway's own clock, which stands still while the machine does not let it run."""
    amtron = Amtron(key="4711", state="Charging", power_w=7_000)
    noisy = ModbusUnits({1: SDM630(Quantities(energy_wh=1_000, power_w=7_000))})
    (tmp_path / "pin").write_text("4711\n")
    log = tmp_path / "gateway.log"
    async with serve_amtron(amtron) as web, stored_in(broker, tmp_path) as store:
        with serve_serial(noisy) as line, metering() as (meter, port):
            every, pin = f"interval_s = {INTERVAL_S}", 'key_file = "pin"'
            (tmp_path / "edge.toml").write_text(
                site(
                    broker,
                    f'name = "half-open"\ndriver = "eastron-sdm630"\nline = "tcp://127.0.0.1:{port}"\n{every}',
                    f'name = "hangs"\ndriver = "mennekes-mhcp"\nline = "127.0.0.1:{web}"\n{pin}\n{every}',
                    f'name = "noisy"\ndriver = "eastron-sdm630"\nline = "{line}"\n{every}',
                )
            )
            with process(log, "tests.edge_process", str(tmp_path / "edge.toml")):

                async def changes(charger: str, value: ValueName, least: int) -> bool:
                    amtron.session_wh += 1  # so that each poll has something to tell
                    noisy.units = {
                        1: SDM630(Quantities(energy_wh=1_000 + 10 * amtron.session_wh, power_w=7_000))
                    }
                    known = [one for one in await readings(store, charger, value) if one.value is not None]
                    return len(known) >= least

                async def is_unknown(charger: str, value: ValueName) -> bool:
                    return (await readings(store, charger, value))[-1].value is None

                told = {"half-open": ENERGY, "hangs": ValueName.SESSION_ENERGY, "noisy": ENERGY}
                for charger, value in told.items():
                    await eventually(lambda: changes(charger, value, 2), log)  # noqa: B023 - awaited here
                began = time.monotonic()
                meter.send_signal(signal.SIGSTOP)  # the line stands, and nobody is behind it
                amtron.upset = Upset.HANGS
                noisy.trouble = Trouble.CHECKSUM
                for charger, value in told.items():
                    await eventually(lambda: is_unknown(charger, value), log)  # noqa: B023 - awaited here
                assert time.monotonic() - began < 30, "blocked: its own clock does not count that"
                meter.send_signal(signal.SIGCONT)
                amtron.upset, noisy.trouble = Upset.NONE, Trouble.NONE
                for charger, value in told.items():
                    before = len(
                        [one for one in await readings(store, charger, value) if one.value is not None]
                    )
                    await eventually(lambda: changes(charger, value, before + 1), log)  # noqa: B023
        for charger, value in told.items():
            known, unknown = gap(await readings(store, charger, value))
            assert unknown - known <= timedelta(seconds=1.5 * INTERVAL_S + 0.5), charger


def gap(found: list[TelemetryValue]) -> tuple[datetime, datetime]:
    """Give when a value was last known, and when it was first told to be unknown."""
    first = next(number for number, one in enumerate(found) if number and one.value is None)
    return found[first - 1].at, found[first].at


async def test_a_gateway_on_a_full_disk_goes_on_and_tells_later_what_it_could_not_keep(
    broker: Broker, tmp_path: Path
) -> None:
    log = tmp_path / "gateway.log"
    with metering() as (_, port):
        device = (
            f'name = "meter-1"\ndriver = "eastron-sdm630"\nline = "tcp://127.0.0.1:{port}"\ninterval_s = 0.4'
        )
        (tmp_path / "edge.toml").write_text(site(broker, device))
        async with stored_in(broker, tmp_path) as store:
            with process(log, "evmesh.app.main", "edge", "--site", str(tmp_path / "edge.toml")) as gateway:

                async def has(least: int) -> bool:
                    return len(await readings(store, "meter-1", ENERGY)) >= least

                async def says(word: str) -> bool:
                    return word in log.read_text()

                await eventually(lambda: has(2), log)
                no_more = os.stat(tmp_path / "outbox.db-wal").st_size  # noqa: PTH116 - its size alone
                limits = resource.prlimit(
                    gateway.pid, resource.RLIMIT_FSIZE, (no_more, resource.RLIM_INFINITY)
                )
                await eventually(lambda: says("edge.disk"), log)
                asked = len(await readings(store, "meter-1", ENERGY))
                assert gateway.poll() is None
                resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, limits)
                await eventually(lambda: says("edge.disk_back"), log)
                await eventually(lambda: has(asked + 3), log)
                assert gateway.poll() is None
