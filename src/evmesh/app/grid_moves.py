"""A grid operator's directory: its key, and the state of its channels, one process at a time."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from evmesh.app.clock import SharedClock, WallClock
from evmesh.app.run_file import RunFile
from evmesh.domain.broker_address import BrokerAddress
from evmesh.domain.errors import InvalidInput
from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.ledger.channels_identity import ChannelIdentity
from evmesh.ledger.keys import open_secret
from evmesh.ledger.relayer import writer_lock
from evmesh.ports import Clock
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.frame_carrier import MqttFrameCarrier


@dataclass(frozen=True, slots=True)
class Voice:
    """What a grid operator speaks with."""

    desk: ChannelDesk
    clock: Clock


@asynccontextmanager
async def open_voice(home: Path, mqtt: str | None, data: Path | None) -> AsyncIterator[Voice]:
    """Open a directory with `grid.key`, made when it is missing, and `channels.db`.

    The broker is `mqtt`, or that of the platform that runs on `data`, whose time then counts too.
    """
    _own(home)
    with writer_lock(home / "writer.lock"):
        identity = ChannelIdentity.of(open_secret(home / "grid.key"))
        database = Database(f"sqlite+aiosqlite:///{home / 'channels.db'}")
        try:
            await database.migrate()
            clock, broker = _around(mqtt, data)
            desk = ChannelDesk(
                identity.writer,
                ChannelBook(database),
                MqttFrameCarrier(broker),
                clock,
                secrets.token_bytes,
            )
            yield Voice(desk, clock)
        finally:
            await database.close()


def broker_at(url: str) -> MqttConfig:
    """Read mqtt://HOST:PORT; raises InvalidInput `broker.bad_address`."""
    broker = BrokerAddress.parse(url, "broker.bad_address")
    if broker.is_secure:
        raise InvalidInput(
            "broker.bad_address", "channels are carried without TLS", do="write mqtt://HOST:PORT"
        )
    return MqttConfig(broker.host, broker.port)


def _around(mqtt: str | None, data: Path | None) -> tuple[Clock, MqttConfig]:
    run = None if data is None else RunFile.load(data)
    clock: Clock = WallClock() if run is None or data is None else SharedClock(data / run.clock)
    if mqtt is not None:
        return clock, broker_at(mqtt)
    return clock, MqttConfig("127.0.0.1", 1883 if run is None else run.mqtt_port)


def _own(home: Path) -> None:
    """Make the directory and its file of states readable by their owner only: both hold keys."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "channels.db").touch(mode=0o600)
