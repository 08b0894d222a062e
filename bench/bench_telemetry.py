"""What a reading costs on its way from the broker into the database, against one INSERT a message.

Both sides are subscribers with a persistent session at the same broker, for which the same messages wait.
Only the subscriber's own CPU is counted, its database (SQLite, write-ahead log, synchronous FULL) included.
"""

import asyncio
import json
import sqlite3
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from bench.figure import Figure, seconds_per_call
from bench.telemetry_load import StillClock, messages, publish, subscriber
from evmesh.telemetry.broker import broker_command, wait_until_listening
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings
from evmesh.telemetry.topics import VALUE_FILTER, decode

MESSAGES = 5_000


def run() -> list[Figure]:
    """Measure the ingest and the plain subscriber in one process, one after the other."""
    with tempfile.TemporaryDirectory() as directory:
        command = broker_command(Path(directory))
        with subprocess.Popen(command.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
            try:
                ours, plain = asyncio.run(_measure(command.port, Path(directory)))
            finally:
                broker.terminate()
    topic, payload = messages(1)[0]
    return [
        Figure(
            "ingest, acknowledged after the commit", "µs CPU/message", ours, plain, "one INSERT a message"
        ),
        Figure(
            "read a message strictly",
            "µs",
            1e6 * seconds_per_call(lambda: decode(topic, payload)),
            1e6 * seconds_per_call(lambda: json.loads(payload)),
            "json.loads",
        ),
        Figure("size of a payload", "bytes", len(payload), exact=True),
    ]


async def _measure(port: int, directory: Path) -> tuple[float, float]:
    await wait_until_listening(port)
    for identifier in ("ours", "plain"):
        async with subscriber(port, identifier) as client:
            await client.subscribe(VALUE_FILTER, qos=1)
    await publish(port, messages(MESSAGES))
    plain = await _plain(port, directory / "plain.db")
    ours = await _ours(port, directory / "ours.db")
    return 1e6 * ours / MESSAGES, 1e6 * plain / MESSAGES


async def _ours(port: int, path: Path) -> float:
    async with SqliteReadings(path) as store:
        ingest = Ingest(MqttConfig("127.0.0.1", port), store, StillClock(), client_id="ours")
        started = time.process_time()
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as group:
                running = group.create_task(ingest.run())
                while ingest.counts.stored < MESSAGES:  # noqa: ASYNC110 - the ingest counts, and calls nobody
                    await asyncio.sleep(0.005)
                spent = time.process_time() - started
                running.cancel()
        assert await store.count() == MESSAGES
        return spent


async def _plain(port: int, path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").close()
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE readings (topic TEXT, at TEXT, value ANY, boot TEXT, seq INTEGER)")
    stored = 0
    started = time.process_time()
    async with subscriber(port, "plain") as client:
        async for message in client.messages:
            fields = json.loads(message.payload)
            row = (message.topic.value, fields["timestamp"], fields["value"], fields["boot"], fields["seq"])
            connection.execute("INSERT INTO readings VALUES (?, ?, ?, ?, ?)", row)
            stored += 1
            if stored == MESSAGES:
                break
        spent = time.process_time() - started
    connection.close()
    return spent
