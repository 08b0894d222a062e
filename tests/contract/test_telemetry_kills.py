"""kill -9 of gateway, broker, ingest and PostgreSQL, in random order: every reading is there once."""

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiomqtt import Client

from tests.contract.chain import free_port
from tests.databases import Postgres, running_postgres

ROOT = Path(__file__).parents[2]
CHARGERS = 10


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A cluster that may be killed: the shared one is in use by others."""
    with running_postgres() as cluster:
        yield cluster


class Yard:
    """The four of them, each a process that can be killed and comes back with what is on its disk."""

    def __init__(self, directory: Path, postgres: Postgres, readings: int) -> None:
        self.directory = directory
        self.postgres = postgres
        self.readings = readings
        self.url = postgres.create("readings")
        self.port = free_port()
        self.log = (directory / "log").open("ab")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.kills = 0
        config = directory / "mosquitto.conf"
        # What Debian installs says no more than where the broker keeps its file; queues and saving are
        # Mosquitto's own defaults.
        user = "user root\n" if os.geteuid() == 0 else ""
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\n{user}"
            f"persistence true\npersistence_location {directory}/\n"
        )
        self.argv = {
            "broker": (shutil.which("mosquitto") or "/usr/sbin/mosquitto", "-c", str(config)),
            "ingest": (
                *(sys.executable, "-m", "evmesh.app.main", "ingest"),
                *("--broker", f"mqtt://127.0.0.1:{self.port}", "--db", self.url),
            ),
            "gateway": (
                *(sys.executable, "-m", "tests.gateway_process"),
                *(str(self.port), str(directory / "outbox.db"), str(readings), str(CHARGERS)),
            ),
        }

    def start(self, name: str) -> None:
        if name == "postgres":
            self.postgres.start()
        else:
            self.processes[name] = subprocess.Popen(
                self.argv[name], cwd=ROOT, stdout=self.log, stderr=self.log
            )

    def kill(self, name: str) -> None:
        if name == "postgres":
            self.postgres.kill()
        else:
            self.processes[name].kill()
            self.processes[name].wait()
        self.kills += 1

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        self.log.close()

    async def stored(self) -> int:
        """How many there are; -1 while the database is away."""
        try:
            connection = await asyncpg.connect(self.url, timeout=5)
            try:
                return int(
                    await connection.fetchval(
                        "SELECT count(*) FROM ev_readings WHERE seq > 0 AND name = 'PowerOutput'"
                    )
                )
            finally:
                await connection.close()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
            return -1

    def waiting(self) -> int:
        """How many readings the gateway still keeps; -1 while its file is being written."""
        with (
            contextlib.suppress(sqlite3.OperationalError),
            contextlib.closing(sqlite3.connect(self.directory / "outbox.db", timeout=0)) as outbox,
        ):
            return int(outbox.execute("SELECT count(*) FROM ev_outbox").fetchone()[0])
        return -1

    async def until_all_is_said(self, within_s: float) -> None:
        """Return once nothing is under way any more that could come twice.

        The gateway has let go of everything, so it sends nothing again; and the ingest has stored a word
        that was sent after that, so it has taken all that the broker had for it.
        """
        async with asyncio.timeout(within_s):
            while self.waiting() != 0:
                await asyncio.sleep(0.1)
            last = b'{"timestamp":"2026-06-01T07:00:00Z","value":1}'
            async with Client("127.0.0.1", self.port) as stranger:
                await stranger.publish("chargers/last/PowerOutput", last, qos=1)
            connection = await asyncpg.connect(self.url)
            try:
                while not await connection.fetchval(
                    "SELECT count(*) FROM ev_readings WHERE charger = 'last'"
                ):
                    await asyncio.sleep(0.05)
                await connection.execute("DELETE FROM ev_readings WHERE charger = 'last'")
                await connection.execute("DELETE FROM ev_rollups WHERE charger = 'last'")
            finally:
                await connection.close()

    async def until_stored(self, count: int, within_s: float) -> None:
        there = -1
        try:
            async with asyncio.timeout(within_s):
                while (there := await self.stored()) < count:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            self.log.flush()
            tail = (self.directory / "log").read_text()[-3000:]
            pytest.fail(f"{there} of {count} are stored: {tail}")


async def survive(yard: Yard, seed: int, rounds: int, within_s: float) -> None:
    """Kill them at random while the readings flow, then let all of it settle."""
    draw = random.Random(seed)
    names = ["broker", "ingest", "gateway"]
    for name in names:
        yard.start(name)
    order = [*names, "postgres"] * ((rounds + 3) // 4)
    draw.shuffle(order)
    for number, name in enumerate(order[:rounds]):
        await yard.until_stored(number * yard.readings // (rounds + 1), within_s)
        yard.kill(name)
        await asyncio.sleep(draw.random() * 0.3)
        yard.start(name)
    await yard.until_stored(yard.readings, within_s)
    await yard.until_all_is_said(within_s)
    connection = await asyncpg.connect(yard.url)
    try:
        rows = await connection.fetch("SELECT charger, number FROM ev_readings WHERE name = 'PowerOutput'")
        sums = await connection.fetchrow(
            "SELECT sum(count) AS count, sum(total) AS total FROM ev_rollups WHERE width_s = 900"
            " AND name = 'PowerOutput'"
        )
        aside = await connection.fetchval("SELECT count(*) FROM ev_set_aside")
    finally:
        await connection.close()
    assert sorted(row["number"] for row in rows) == list(range(yard.readings))
    assert sums is not None
    assert (sums["count"], sums["total"]) == (yard.readings, yard.readings * (yard.readings - 1) // 2)
    assert aside == 0
    assert yard.kills == rounds


async def test_kills_in_random_order_lose_and_double_no_reading(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    yard = Yard(tmp_path, own_postgres, 600)
    with contextlib.closing(yard):
        await survive(yard, seed=5, rounds=4, within_s=60)


@pytest.mark.soak
@pytest.mark.timeout(3_000)
async def test_kills_lose_and_double_none_of_a_hundred_thousand_readings(
    tmp_path: Path, own_postgres: Postgres
) -> None:
    yard = Yard(tmp_path, own_postgres, int(os.environ.get("EVMESH_SOAK_READINGS", "100000")))
    with contextlib.closing(yard):
        await survive(yard, seed=7, rounds=40, within_s=900)
