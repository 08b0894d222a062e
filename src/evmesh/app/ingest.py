"""`evmesh ingest`: everybody's values from a broker into a time series, as a process of its own."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

import typer

from evmesh.app.errors import exit_on_error
from evmesh.app.telemetry_db import Readings, readings_at
from evmesh.domain.errors import InvalidInput
from evmesh.ports import Clock
from evmesh.telemetry.connection import MqttConfig, TlsFiles
from evmesh.telemetry.ingest import CLIENT_ID, Ingest

DbOption = Annotated[
    str,
    typer.Option(
        "--db", envvar="EVMESH_TELEMETRY_DB", metavar="URL", help="sqlite:///FILE or postgresql://…"
    ),
]
PemOption = Annotated[Path | None, typer.Option(metavar="FILE", help="PEM; mqtts:// needs all three")]

FORGET_EVERY_S: Final = 6 * 3600


def ingest_command(
    broker: Annotated[
        str, typer.Option(envvar="EVMESH_BROKER", metavar="URL", help="mqtt://host:port or mqtts://host:port")
    ],
    db: DbOption = "sqlite:///telemetry.db",
    authority: PemOption = None,
    certificate: PemOption = None,
    key: PemOption = None,
    client_id: Annotated[
        str, typer.Option(help="the broker keeps what waits under this name; each ingest needs its own")
    ] = CLIENT_ID,
    keep_days: Annotated[
        int | None,
        typer.Option(min=1, help="drop readings of whole months (PostgreSQL) or chunks that are older"),
    ] = None,
) -> None:
    """Store every value that a broker carries: once each, acknowledged when it is on the disk."""
    from evmesh.app.clock import WallClock
    from evmesh.app.main import log_json, run_until_signal
    from evmesh.app.services import run_all

    log_json()
    with exit_on_error():
        config = broker_at(broker, authority, certificate, key)
        readings_at(db)  # a mistake is said now, and not at each attempt
        service = StoredIngest(config, db, WallClock(), client_id, keep_days)
        typer.echo(f"ingest from {config.host}:{config.port}")
        run_until_signal(run_all((service,)))


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
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname or parts.path not in ("", "/"):
        raise InvalidInput(
            "ingest.bad_broker",
            f"{url!r} is no broker",
            do="write mqtts://broker.example:8883",
            path="broker",
        )
    is_secure = parts.scheme == "mqtts"
    files = [one for one in (authority, certificate, key) if one is not None]
    if len(files) != (3 if is_secure else 0):
        raise InvalidInput(
            "ingest.bad_broker",
            "mqtts:// needs --authority, --certificate and --key, and mqtt:// has none of them",
            path="broker",
        )
    tls = TlsFiles(files[0], files[1], files[2]) if is_secure else None
    if tls is not None:
        tls.context()
    return MqttConfig(parts.hostname, port or (8883 if is_secure else 1883), tls=tls)
