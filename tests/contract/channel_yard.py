"""A platform's services with its channels, on a real broker and a real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evmesh.app.session_status import SessionStatuses
from evmesh.app.snapshot import Snapshots
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import SessionStatus
from evmesh.domain.sessions import Session
from evmesh.domain.signed_types import ChannelAccess
from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.ledger.channels_ears import ChannelEars
from evmesh.ledger.channels_epoch import Opened
from evmesh.ledger.channels_follow import follow
from evmesh.ledger.channels_grants import open_grant
from evmesh.ledger.channels_identity import ChannelIdentity
from evmesh.ledger.channels_keys import ReaderKey
from evmesh.ledger.channels_reader import ChannelReader
from evmesh.services.channel_access import ChannelAccesses
from evmesh.services.channel_needs import CarNeeds
from evmesh.services.channel_sessions import SessionBroadcasts, StatusOf
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.frame_carrier import MqttFrameCarrier
from tests.brokers import Broker, running_broker
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, World, open_world
from tests.unit.ledger.channel_world import Dice

OURS = ChannelIdentity.of(b"operator" * 4)
GRID = ChannelIdentity.of(b"gridcomp" * 4)
CAR = ChannelIdentity.of(b"carkeyof" * 4)


@dataclass
class Yard:
    """A platform's services with its channels, and the broker."""

    world: World
    broker: Broker
    book: ChannelBook
    desk: ChannelDesk
    ears: ChannelEars
    accesses: ChannelAccesses
    sessions: SessionBroadcasts
    needs: CarNeeds
    status_of: StatusOf
    others: AsyncExitStack

    async def book_of(self, somebody: str) -> ChannelBook:
        """Give another process's database, closed with the yard."""
        database = Database(f"sqlite+aiosqlite:///{self.broker.log.parent / somebody}.db")
        self.others.push_async_callback(database.close)
        await database.migrate()
        return ChannelBook(database)

    def carrier(self) -> MqttFrameCarrier:
        return MqttFrameCarrier(self.broker.config)

    async def allow(self, driver: Driver, session: Session, reader: ReaderKey, **changes: Any) -> Any:
        """Say who reads, as the payer's wallet does."""
        at = int(self.world.clock.now().timestamp())
        values = {"channel": "status", "reader": reader.public, "allowed": True, "at": at, **changes}
        access = ChannelAccess(session=session.id.to_bytes32(), **values)
        return await self.accesses.change(session.id, access, driver.sign(access), self.world.clock.now())

    async def tell(self) -> None:
        await self.sessions.tell()
        await self.desk.carry_once()

    async def read(self, reader: ChannelReader, *, quiet_s: float = 1.0) -> list[Any]:
        """Give all that lies at the broker for a reader: nothing more came while it served others."""
        seen: list[Any] = []
        async with self.carrier().open() as line:

            async def listen() -> None:
                async for outcome in follow(reader, line):
                    seen.append(outcome)

            async with asyncio.TaskGroup() as group:
                listening = group.create_task(listen())
                before = -1
                while len(seen) > before:
                    before = len(seen)
                    await self._round_trip()
                    await asyncio.sleep(quiet_s)
                    await self._round_trip()
                listening.cancel()
        return seen

    async def _round_trip(self) -> None:
        """Return once the broker has carried a word: it was not busy with something else all the time."""
        async with asyncio.timeout(60), self.broker.client() as client:
            await client.subscribe("round-trip", qos=1)
            await client.publish("round-trip", b"1", qos=1)
            await anext(client.messages)


def reading(invitation: Invitation, key: ReaderKey) -> ChannelReader:
    grant = open_grant(invitation.channel, invitation.sealed, key)
    return ChannelReader.granted(invitation.channel, grant, key)


def statuses(seen: list[Any]) -> list[SessionStatus]:
    found = sorted(
        (one for one in seen if isinstance(one, Opened)), key=lambda one: (one.at.epoch, one.at.seq)
    )
    return [SessionStatus.parse(one.body) for one in found]


@asynccontextmanager
async def open_yard(directory: Path, broker: Broker) -> AsyncIterator[Yard]:
    async with open_world(directory) as world, AsyncExitStack() as others:
        carrier = MqttFrameCarrier(broker.config)
        book = ChannelBook(world.database)
        desk = ChannelDesk(OURS.writer, book, carrier, world.clock, Dice())
        ears = ChannelEars(OURS.reader, book, carrier)
        snapshots = Snapshots(world.clock, world.directory, OPERATOR, world.live, world.planner, world.caps)
        made = SessionStatuses(world.clock, snapshots, world.directory, world.planner, world.live)
        yield Yard(
            world,
            broker,
            book,
            desk,
            ears,
            ChannelAccesses(world.transitions, desk, SIGNATURES, OPERATOR),
            SessionBroadcasts(world.transitions, world.clock, desk, made.status),
            CarNeeds(world.transitions, ears, book, SIGNATURES, OPERATOR, world.live.note_wanted),
            made.status,
            others,
        )


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    (tmp_path / "broker").mkdir()
    async with running_broker("mosquitto", tmp_path / "broker") as one:
        yield one


@pytest.fixture
async def yard(tmp_path: Path, broker: Broker) -> AsyncIterator[Yard]:
    async with open_yard(tmp_path, broker) as one:
        yield one


@pytest.fixture
def driver() -> Driver:
    return Driver("driver")


def key_of(driver: Driver) -> ReaderKey:
    return ChannelIdentity.of_wallet(driver.key, OPERATOR.domain).reader
