"""What a reading costs from Mosquitto into PostgreSQL, against one prepared INSERT a message.

Both sides are subscribers with a persistent session at the same broker, for which the same messages wait,
and write to the same PostgreSQL with synchronous_commit on. Counted is the CPU of the subscriber and of all
processes of the database.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from pathlib import Path

import asyncpg
import uvloop

from bench.figure import Figure
from bench.telemetry_load import CHARGERS, START, StillClock, messages, publish, reading, subscriber
from evmesh.telemetry.broker import broker_command, wait_until_listening
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.rows import ReadingWriter, Row
from evmesh.telemetry.store import SqliteReadings
from evmesh.telemetry.topics import VALUE_FILTER, new_boot
from tests.databases import Postgres, running_postgres

MESSAGES = 20_000
PLAIN_MESSAGES = 2_000
ROWS = 50_000
DAY_S = 86_400
_TICKS = os.sysconf("SC_CLK_TCK")


def run() -> list[Figure]:
    """Measure both ways in, and the stores alone."""
    with running_postgres() as postgres, tempfile.TemporaryDirectory() as directory:
        command = broker_command(Path(directory), kind="mosquitto")
        with subprocess.Popen(command.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
            try:
                return uvloop.run(_measure(command.port, postgres, Path(directory)))
            finally:
                broker.terminate()


async def _measure(port: int, postgres: Postgres, directory: Path) -> list[Figure]:
    await wait_until_listening(port)
    waiting = messages(MESSAGES, CHARGERS)
    plain = await _plain(port, postgres, waiting[:PLAIN_MESSAGES])
    ours = await _ours(port, postgres, waiting)
    into_postgres = await _rows_into(PostgresReadings(postgres.create("rows")))
    into_sqlite = await _rows_into(SqliteReadings(directory / "rows.db"))
    behind = CHARGERS * DAY_S / 60
    name = "one prepared INSERT a message"
    return [
        Figure("Mosquitto → ingest → PostgreSQL, CPU of both", "µs/message", ours.cpu_us, plain.cpu_us, name),
        Figure("… of it the subscriber", "µs/message", ours.subscriber_us, plain.subscriber_us, name),
        Figure("… of it the database", "µs/message", ours.database_us, plain.database_us, name),
        Figure("end to end", "messages/s", ours.rate, plain.rate, name, better="higher"),
        Figure(
            "catch up 24 h of 100 chargers, a value a minute",
            "s",
            behind / ours.rate,
            behind / plain.rate,
            name,
        ),
        Figure("rows into PostgreSQL, in batches of 1,000", "rows/s", into_postgres),
        Figure("rows into SQLite, in batches of 1,000", "rows/s", into_sqlite),
    ]


class _Spent:
    """CPU and time per message."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres
        self._began = (time.process_time(), database_cpu_s(postgres), time.perf_counter())

    def per(self, messages: int) -> "_Spent":
        subscriber, database, wall = self._began
        self.subscriber_us = 1e6 * (time.process_time() - subscriber) / messages
        self.database_us = 1e6 * (database_cpu_s(self._postgres) - database) / messages
        self.cpu_us = self.subscriber_us + self.database_us
        self.rate = messages / (time.perf_counter() - wall)
        return self


def database_cpu_s(postgres: Postgres) -> float:
    """Give what all processes of a cluster have used, those that ended included."""
    ticks = 0
    for one in Path("/proc").iterdir():
        if one.name.isdecimal():
            with suppress(OSError):  # it may end just now
                fields = (one / "stat").read_text().rpartition(")")[2].split()
                if int(one.name) == postgres.pid:
                    ticks += sum(map(int, fields[11:15]))  # its own, and that of those who ended
                elif int(fields[1]) == postgres.pid:
                    ticks += sum(map(int, fields[11:13]))
    return ticks / _TICKS


async def _ours(port: int, postgres: Postgres, waiting: list[tuple[str, bytes]]) -> _Spent:
    await _wait_for(port, "ours", waiting)
    async with PostgresReadings(postgres.create("ours")) as store:
        await store.write([], [])
        spent = _Spent(postgres)
        ingest = Ingest(MqttConfig("127.0.0.1", port), store, StillClock(), client_id="ours")
        async with _running(ingest):
            while ingest.counts.stored < len(waiting):  # noqa: ASYNC110 - the ingest counts, and calls nobody
                await asyncio.sleep(0.005)
            done = spent.per(len(waiting))
        assert await store.count() == len(waiting)
        return done


@asynccontextmanager
async def _running(ingest: Ingest) -> AsyncIterator[None]:
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as group:
            task = group.create_task(ingest.run())
            yield
            task.cancel()


async def _plain(port: int, postgres: Postgres, waiting: list[tuple[str, bytes]]) -> _Spent:
    await _wait_for(port, "plain", waiting)
    connection = await asyncpg.connect(postgres.create("plain"))
    await connection.execute("SET synchronous_commit = on")
    await connection.execute(
        "CREATE TABLE readings (charger text, name text, at timestamptz, value bigint, boot text, seq bigint,"
        " PRIMARY KEY (charger, boot, seq))"
    )
    insert = await connection.prepare(
        "INSERT INTO readings VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING"
    )
    spent = _Spent(postgres)
    stored = 0
    async with subscriber(port, "plain") as client:
        async for message in client.messages:
            fields = json.loads(message.payload)
            _, charger, name = message.topic.value.split("/")
            at = datetime.fromisoformat(fields["timestamp"])
            await insert.fetch(charger, name, at, fields["value"], fields["boot"], fields["seq"])
            stored += 1
            if stored == len(waiting):
                break
        done = spent.per(stored)
    await connection.close()
    return done


async def _rows_into(store: PostgresReadings | SqliteReadings) -> float:
    boot = new_boot("gateway")
    rows = [_row(number, boot) for number in range(ROWS)]
    async with store as opened:
        return await _write(opened, rows)


async def _write(store: ReadingWriter, rows: list[Row]) -> float:
    began = time.perf_counter()
    for start in range(0, len(rows), 1_000):
        await store.write(rows[start : start + 1_000], [])
    return len(rows) / (time.perf_counter() - began)


async def _wait_for(port: int, identifier: str, waiting: list[tuple[str, bytes]]) -> None:
    async with subscriber(port, identifier) as client:
        await client.subscribe(VALUE_FILTER, qos=1)
    await publish(port, waiting)


def _row(number: int, boot: str) -> Row:
    one = reading(number, boot, CHARGERS)
    return Row(one.value, one.identity, START, "", b"", boot, one.seq)
