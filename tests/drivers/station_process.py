"""A station from parts in a process that can be killed: `python -m tests.drivers.station_process DIR`.

DIR/where.json says where the parts are, DIR/heard.jsonl is what the platform was told (kept, as a database
would), DIR/failpoint where to crash. Commands come as lines on stdin: `start TAG`, `stop ID`, `limit W`.
"""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from evmesh.app.clock import WallClock
from evmesh.app.failpoints import Failpoint
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import (
    BootInfo,
    ConnectorStatus,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
)
from evmesh.domain.units import Milliamp, W
from evmesh.edge.station import StationFromParts
from evmesh.edge.station_record import StationConfig
from tests.brokers import running
from tests.drivers.station_bench import REF, STATION, Where, station


class KeptEvents:
    """Hears everything, and has it on the disk before it returns; a start is known by its content."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._starts = {
            json.dumps(one["start"]): one["id"] for one in heard(path) if one["kind"] == "started"
        }

    def _keep(self, kind: str, **facts: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps({"kind": kind, **facts}, default=str) + "\n")
            file.flush()
            os.fsync(file.fileno())

    async def booted(self, station: StationId, info: BootInfo) -> bool:
        self._keep("booted")
        return True

    async def connected(self, station: StationId) -> None:
        return

    async def disconnected(self, station: StationId) -> None:
        return

    async def status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None:
        self._keep("status", status=status)

    async def authorize(self, station: StationId, id_tag: str) -> bool:
        return True

    async def started(self, start: StartedTransaction) -> StartAnswer:
        content = json.loads(json.dumps(asdict(start), default=str))
        number = self._starts.setdefault(json.dumps(content), len(self._starts) + 1)
        self._keep("started", start=content, id=number)
        return StartAnswer(number, accepted=True)

    async def metered(
        self, connector: ConnectorRef, transaction_id: int | None, samples: Sequence[MeterSample]
    ) -> None:
        for sample in samples:
            self._keep("metered", id=transaction_id, at=sample.at, register=sample.register)

    async def stopped(self, stop: StoppedTransaction) -> None:
        self._keep("stopped", id=stop.transaction_id, at=stop.at, register=stop.meter_stop, why=stop.reason)


def heard(path: Path) -> list[dict[str, Any]]:
    """Give what was told so far; a line that was cut by a kill is left out."""
    if not path.exists():
        return []
    found = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            found.append(json.loads(line))
    return found


async def obey(one: StationFromParts) -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        verb, value = line.decode().split()
        if verb == "start":
            await one.remote_start(REF, value)
        elif verb == "stop":
            await one.remote_stop(STATION, int(value))
        elif verb == "limit":
            await one.set_default_limit(REF, W(int(value)))


async def main(directory: Path) -> None:
    where = json.loads((directory / "where.json").read_text())
    where = Where(**{**where, "lamp": Path(where["lamp"]), "store": Path(where["store"])})
    rule = StationConfig(
        REF, 3, Milliamp(32_000), interval_s=0.05, settle_s=0.5, sample_every=timedelta(milliseconds=200)
    )
    events = KeptEvents(directory / "heard.jsonl")
    failpoint = Failpoint(directory / "failpoint")
    async with station(where, rule, events, WallClock(), failpoint) as one, running(one):
        await obey(one)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
