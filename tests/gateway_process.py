"""A gateway as a process of its own, for tests to kill: PORT OUTBOX READINGS CHARGERS [MOST_BYTES [OFF_S]].

What it has read is on its disk before the next reading; a new run goes on behind it, as a register does.
With each BATCH of readings comes one of a session's energy. Its clock is OFF_S seconds ahead of the
machine's.
"""

import asyncio
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evmesh.app.clock import WallClock
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.edge.gateway import Gateway
from evmesh.edge.outbox import MOST_BYTES, Outbox
from evmesh.edge.poller import Poller
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.topics import new_boot
from evmesh.telemetry.uplink import MqttUplink

AT = datetime(2026, 6, 1, 8, tzinfo=UTC)
BATCH = 20


class _Count:
    """How many readings were put: counted by the outbox's own file, in the same transaction."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            connection.executescript(
                """
                CREATE TABLE IF NOT EXISTS test_count (one INTEGER PRIMARY KEY, put INTEGER);
                INSERT OR IGNORE INTO test_count VALUES (1, 0);
                CREATE TRIGGER IF NOT EXISTS test_counted AFTER INSERT ON ev_outbox
                WHEN NEW.name = 'PowerOutput' BEGIN UPDATE test_count SET put = put + 1; END;
                """
            )

    def put(self) -> int:
        with closing(sqlite3.connect(self._path)) as connection:
            return int(connection.execute("SELECT put FROM test_count").fetchone()[0])


class _Silent(Poller):
    """Stands for a charger that says nothing by itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self) -> None:
        await asyncio.Event().wait()


class _OffClock(WallClock):
    """A clock that somebody has set wrong."""

    def __init__(self, off_s: int) -> None:
        super().__init__()
        self._off = timedelta(seconds=off_s)

    def now(self) -> datetime:
        return super().now() + self._off


async def main(
    port: str, path: str, readings: str, chargers: str, most_bytes: str = str(MOST_BYTES), off_s: str = ""
) -> None:
    config = MqttConfig("127.0.0.1", int(port), first_delay_s=0.05, longest_delay_s=0.5, connect_timeout_s=2)
    boot = new_boot("gw-1")
    names = [f"cp-{number}" for number in range(int(chargers))]
    clock = _OffClock(int(off_s or 0))
    async with Outbox(Path(path), boot, most_bytes=int(most_bytes)) as outbox:
        uplink = MqttUplink(config, "gw-1", boot, clock)
        pollers = [_Silent(name) for name in names]
        gateway = Gateway("gw-1", pollers, outbox, uplink, clock, again_after_s=3.0, longest_delay_s=0.5)
        async with asyncio.TaskGroup() as group:
            group.create_task(gateway.run())
            first = clock.now() if off_s else AT
            await _read(gateway, Path(path), names, int(readings), first)


async def _read(gateway: Gateway, path: Path, names: list[str], readings: int, first: datetime) -> None:
    number = _Count(path).put()
    while number < readings:
        some = [
            TelemetryValue(names[n % len(names)], "PowerOutput", first + timedelta(seconds=n), n)
            for n in range(number, min(readings, number + BATCH))
        ]
        session = TelemetryValue(names[0], ValueName.SESSION_ENERGY, some[0].at, number)
        await gateway.put([*some, session])
        number += len(some)
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
