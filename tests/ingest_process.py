"""An ingest as a process of its own, for tests to kill: PORT DATABASE."""

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings


class _Clock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep_until(self, instant: datetime) -> None:
        await asyncio.sleep((instant - self.now()).total_seconds())


async def main(port: str, path: str) -> None:
    config = MqttConfig(
        "127.0.0.1", int(port), first_delay_s=0.05, longest_delay_s=0.2, connect_timeout_s=0.5
    )
    async with SqliteReadings(Path(path)) as store:
        # Small batches, so that a kill finds some committed, some not acknowledged and some not read.
        await Ingest(config, store, _Clock(), batch_at_most=20, ack_every_s=0.05).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
