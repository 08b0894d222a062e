"""An ingest with a store of its own, as `evmesh ingest` runs it."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from evmesh.app.telemetry_db import Readings, readings_at
from evmesh.domain.broker_address import BrokerAddress
from evmesh.domain.errors import InvalidInput
from evmesh.ports import Clock
from evmesh.telemetry.connection import MqttConfig, TlsFiles
from evmesh.telemetry.ingest import Ingest

FORGET_EVERY_S: Final = 6 * 3600


class StoredIngest:
    """A service: an ingest with its own store, which it opens. Raises Unavailable where that is away."""

    name = "ingest"

    def __init__(
        self, config: MqttConfig, db: str, clock: Clock, client_id: str, keep_days: int | None
    ) -> None:
        self._config = config
        self._db = db
        self._clock = clock
        self._client_id = client_id
        self._keep = None if keep_days is None else timedelta(days=keep_days)

    async def run(self) -> None:
        """Run until the store is away."""
        async with readings_at(self._db) as store, asyncio.TaskGroup() as group:
            group.create_task(Ingest(self._config, store, self._clock, client_id=self._client_id).run())
            if self._keep is not None:
                group.create_task(self._forget(store, self._keep))

    async def _forget(self, store: Readings, keep: timedelta) -> None:
        while True:
            await store.forget(self._clock.now() - keep)
            await asyncio.sleep(FORGET_EVERY_S)


def broker_at(
    url: str, authority: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> MqttConfig:
    """Read a broker's URL. Raises InvalidInput, also for files that are no keys."""
    broker = BrokerAddress.parse(url, "ingest.bad_broker", "broker")
    files = [one for one in (authority, certificate, key) if one is not None]
    if len(files) != (3 if broker.is_secure else 0):
        raise InvalidInput(
            "ingest.bad_broker",
            "mqtts:// needs --authority, --certificate and --key, and mqtt:// has none of them",
            path="broker",
        )
    tls = TlsFiles(files[0], files[1], files[2]) if broker.is_secure else None
    if tls is not None:
        tls.context()
    return MqttConfig(broker.host, broker.port, tls=tls)
