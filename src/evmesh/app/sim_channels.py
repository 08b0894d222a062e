"""Channels of simulated cars: each car has a key of its own, and says there what it needs."""

import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.ledger.channels_identity import ChannelIdentity
from evmesh.ledger.keys import open_secret
from evmesh.ports import AsyncService, Broadcasts, Clock
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.frame_carrier import MqttFrameCarrier


@dataclass(frozen=True, slots=True)
class CarChannels:
    """`of` gives where the car of a driver speaks; `carrier` brings to the broker what they said."""

    of: Callable[[str], Broadcasts]
    carrier: AsyncService


@asynccontextmanager
async def open_car_channels(home: Path, mqtt_port: int, clock: Clock) -> AsyncIterator[CarChannels]:
    """Open `channels.db` and the keys `channels/<driver>.key` in the simulation's directory."""
    database = Database(f"sqlite+aiosqlite:///{home / 'channels.db'}")
    _make_room(home)
    desks: dict[str, ChannelDesk] = {}

    def desk_of(driver: str) -> ChannelDesk:
        if driver not in desks:
            identity = ChannelIdentity.of(open_secret(home / "channels" / f"{driver}.key"))
            carrier = MqttFrameCarrier(MqttConfig("127.0.0.1", mqtt_port))
            book = ChannelBook(database, driver)
            desks[driver] = ChannelDesk(
                identity.writer, book, carrier, clock, secrets.token_bytes, looks_every_s=1
            )
        return desks[driver]

    try:
        await database.migrate()
        # All of them share one table of what is to be carried, so that one carries for all.
        yield CarChannels(desk_of, desk_of("carrier"))
    finally:
        await database.close()


def _make_room(home: Path) -> None:
    (home / "channels").mkdir(mode=0o700, parents=True, exist_ok=True)
