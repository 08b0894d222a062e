"""How long it takes until what a gateway kept over a day without uplink is in the database.

A day of ten devices, three values a minute each, is put into an outbox first. Then a gateway sends it through
Mosquitto to `evmesh ingest`, a process of its own, which stores it in PostgreSQL; the time ends when the
gateway was told of every reading that it is stored, and its outbox is empty.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import asyncpg
import uvloop

from bench.figure import Figure
from evmesh.app.clock import WallClock
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.edge.gateway import Gateway
from evmesh.edge.outbox import Outbox
from evmesh.edge.poller import Poller
from evmesh.telemetry.broker import broker_command, wait_until_listening
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.topics import new_boot
from evmesh.telemetry.uplink import MqttUplink
from tests.databases import running_postgres

DEVICES: Final = 10
MINUTES: Final = 24 * 60
VALUES: Final = (ValueName.TOTAL_ENERGY_CONSUMPTION, ValueName.POWER_OUTPUT, ValueName.OUTPUT_CURRENT)
START: Final = datetime(2026, 6, 1, tzinfo=UTC)


def run() -> list[Figure]:
    """Measure one outage."""
    with running_postgres() as postgres, tempfile.TemporaryDirectory() as directory:
        seconds = uvloop.run(_measure(Path(directory), postgres.create("readings")))
    count = DEVICES * MINUTES * len(VALUES)
    return [
        Figure("after 24 h without uplink, ten devices, three values a minute: all stored", "s", seconds),
        Figure("… of it the rate", "readings/s", count / seconds, better="higher"),
    ]


async def _measure(directory: Path, url: str) -> float:
    command = broker_command(directory, kind="mosquitto")
    ingest = (
        *(sys.executable, "-m", "evmesh.app.main", "ingest"),
        *("--broker", f"mqtt://127.0.0.1:{command.port}", "--db", url),
    )
    boot = new_boot("gw-1")
    async with Outbox(directory / "outbox.db", boot) as outbox:
        for minute in range(MINUTES):
            await outbox.put(_minute(minute))
        with _running(command.argv), _running(ingest):
            await wait_until_listening(command.port)
            await _until_tables(url)
            return await _catch_up(outbox, boot, command.port)


@contextmanager
def _running(argv: Sequence[str]) -> Iterator[None]:
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


class _Silent(Poller):
    """Stands for a charger that says nothing more; the gateway listens for it."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()


async def _catch_up(outbox: Outbox, boot: str, port: int) -> float:
    clock = WallClock()
    uplink = MqttUplink(MqttConfig("127.0.0.1", port), "gw-1", boot, clock)
    chargers = [_Silent(f"cp-{one}") for one in range(DEVICES)]
    gateway = Gateway("gw-1", chargers, outbox, uplink, clock)
    began = time.perf_counter()
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(gateway.run())
            while await outbox.count():  # noqa: ASYNC110 - an outbox calls nobody
                await asyncio.sleep(0.05)
            took = time.perf_counter() - began
            sending.cancel()
    return took


async def _until_tables(url: str) -> None:
    connection = await asyncpg.connect(url)
    while not await connection.fetchval("SELECT to_regclass('ev_readings') IS NOT NULL"):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await connection.close()


def _minute(minute: int) -> list[TelemetryValue]:
    at = START + timedelta(minutes=minute)
    return [TelemetryValue(f"cp-{one}", name, at, minute) for one in range(DEVICES) for name in VALUES]
