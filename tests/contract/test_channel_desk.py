"""Channels used for real: a database, a broker, and a process that dies between any two steps."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.channel import Channel, Mode
from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import Heard
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.ledger.channels_desk import KEPT_FOR, ChannelDesk
from evmesh.ledger.channels_ears import ChannelEars
from evmesh.ledger.channels_epoch import Contradicted, Opened
from evmesh.ledger.channels_follow import follow
from evmesh.ledger.channels_grants import open_grant
from evmesh.ledger.channels_reader import ChannelReader, Excluded
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.frame_carrier import MqttFrameCarrier, channel_topic
from tests.brokers import Broker, StepClock, running, running_broker, until
from tests.unit.ledger.channel_world import DRIVER, OPERATOR, STATION, STRANGER, THIEF, Dice

NAME = "status of one session"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker("mosquitto", tmp_path) as one:
        yield one


@asynccontextmanager
async def book_in(directory: Path, name: str = "state.db") -> AsyncIterator[ChannelBook]:
    database = Database(f"sqlite+aiosqlite:///{directory / name}")
    await database.migrate()
    try:
        yield ChannelBook(database)
    finally:
        await database.close()


@pytest.fixture
async def book(tmp_path: Path) -> AsyncIterator[ChannelBook]:
    async with book_in(tmp_path) as one:
        yield one


def desk_on(
    book: ChannelBook, broker: Broker, clock: StepClock | None = None, seed: bytes = b"1"
) -> ChannelDesk:
    return ChannelDesk(STATION, book, MqttFrameCarrier(broker.config), clock or StepClock(), Dice(seed))


async def reader_of(desk: ChannelDesk, name: str = NAME) -> ChannelReader:
    channel, sealed = await desk.begin(name), await desk.admit(name, DRIVER.public)
    return ChannelReader.granted(channel, open_grant(channel, sealed, DRIVER), DRIVER)


async def opened(broker: Broker, reader: ChannelReader, count: int) -> list[bytes]:
    """Read so many messages from what the broker holds."""
    found: list[Opened] = []
    async with asyncio.timeout(20), MqttFrameCarrier(broker.config).open() as line:
        async for outcome in follow(reader, line):
            assert not isinstance(outcome, Contradicted)
            if isinstance(outcome, Opened):
                found.append(outcome)
            if len(found) == count:
                break
    return [one.body for one in sorted(found, key=lambda one: (one.at.epoch, one.at.seq))]


class Listener:
    """Hears, and may refuse or be away."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.raises: Exception | None = None

    async def hear(self, heard: Heard) -> None:
        if self.raises is not None:
            raise self.raises
        self.bodies.append(heard.body)


async def test_what_is_said_while_the_broker_is_away_arrives_when_it_is_back(
    book: ChannelBook, broker: Broker
) -> None:
    desk = desk_on(book, broker)
    reader = await reader_of(desk)
    broker.stop()
    for number in range(5):
        await desk.say({NAME: b"%d" % number})
    with pytest.raises(Unavailable, match=r"broker\.away"):
        await desk.carry_once()
    await broker.start()
    async with running(desk):
        assert await opened(broker, reader, 5) == [b"0", b"1", b"2", b"3", b"4"]
        await until_carried(book)


async def until_carried(book: ChannelBook) -> None:
    async with asyncio.timeout(20):
        while await book.waiting(1):
            await asyncio.sleep(0.01)


async def test_a_desk_that_comes_back_goes_on_and_contradicts_nothing(
    book: ChannelBook, broker: Broker
) -> None:
    first = desk_on(book, broker)
    reader = await reader_of(first)
    await first.say({NAME: b"0"}, {"told": b"1"})
    second = desk_on(book, broker, seed=b"2")
    assert await second.note("told") == b"1"
    await second.say({NAME: b"1"})
    assert await second.admit(NAME, DRIVER.public) == await first.admit(NAME, DRIVER.public)
    await second.carry_once()
    assert await opened(broker, reader, 2) == [b"0", b"1"]


class FullDisk:
    """Keeps nothing for once."""

    def __init__(self, book: ChannelBook) -> None:
        self._book = book
        self.is_full = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._book, name)

    async def keep(self, step: object) -> None:
        if self.is_full:
            raise Unavailable("store.unavailable", "the disk is full")
        await self._book.keep(step)  # type: ignore[arg-type]


async def test_a_message_that_could_not_be_kept_was_never_said(book: ChannelBook, broker: Broker) -> None:
    states = FullDisk(book)
    desk = ChannelDesk(STATION, states, MqttFrameCarrier(broker.config), StepClock(), Dice())  # type: ignore[arg-type]
    reader = await reader_of(desk)
    states.is_full = True
    with pytest.raises(Unavailable):
        await desk.say({NAME: b"lost"})
    states.is_full = False
    await desk.say({NAME: b"kept"})
    await desk.carry_once()
    assert await opened(broker, reader, 1) == [b"kept"]
    assert reader.missing() == []


async def test_a_revoked_reader_cannot_open_what_is_said_after(book: ChannelBook, broker: Broker) -> None:
    desk = desk_on(book, broker)
    driver = await reader_of(desk)
    channel, sealed = await desk.begin(NAME), await desk.admit(NAME, OPERATOR.public)
    operator = ChannelReader.granted(channel, open_grant(channel, sealed, OPERATOR), OPERATOR)
    await desk.say({NAME: b"for both"})
    await desk.revoke(NAME, [DRIVER.public, STRANGER.public])
    await desk.say({NAME: b"for the operator"})
    await desk.carry_once()
    assert await opened(broker, operator, 2) == [b"for both", b"for the operator"]
    async with asyncio.timeout(20), MqttFrameCarrier(broker.config).open() as line:
        seen = []
        async for outcome in follow(driver, line):
            seen.append(outcome)
            if isinstance(outcome, Excluded):
                break
    assert [one.body for one in seen if isinstance(one, Opened)] == [b"for both"]
    # Every packet that the broker holds, tried with everything that the driver still has.
    async with asyncio.timeout(20), broker.client() as snoop:
        await snoop.subscribe("channels/#", qos=1)
        stored = [await anext(snoop.messages) for _ in range(3)]
    for message in stored:
        for place in driver.places():
            try:
                outcome = driver.take(place, message.payload)
            except (IntegrityFailure, InvalidInput):
                continue
            assert not isinstance(outcome, Opened)
    assert await desk.readers(NAME) == (OPERATOR.public,)
    # Let in anew, it reads from then on.
    again = await desk.admit(NAME, DRIVER.public)
    assert open_grant(channel, again, DRIVER).at.epoch == 1


async def test_an_ended_channel_is_forgotten_in_time_and_never_begins_anew(
    book: ChannelBook, broker: Broker
) -> None:
    clock = StepClock()
    desk = desk_on(book, broker, clock)
    reader = await reader_of(desk)
    await desk.say({NAME: b"bye"})
    await desk.end(NAME, clock.instant + KEPT_FOR)
    await desk.carry_once()
    assert await opened(broker, reader, 1) == [b"bye"]
    assert await desk.readers(NAME) == ()
    assert await desk.names("") == []
    with pytest.raises(Refused, match=r"channel\.ended"):
        await desk.begin(NAME)
    with pytest.raises(InvalidInput, match=r"channel\.unknown"):
        await desk.say({NAME: b"and again"})
    clock.instant += KEPT_FOR + timedelta(seconds=1)
    await desk.carry_once()
    assert await book.forgettable(clock.now()) == []
    async with asyncio.timeout(20), broker.client() as late:
        await late.subscribe("channels/#", qos=1)
        await late.subscribe("done", qos=1)
        await late.publish("done", b"1", qos=1)
        assert (await anext(late.messages)).topic.value == "done"


async def test_ears_go_on_after_a_restart_where_they_were(
    book: ChannelBook, broker: Broker, tmp_path: Path
) -> None:
    desk = desk_on(book, broker)
    channel, sealed = await desk.begin(NAME), await desk.admit(NAME, DRIVER.public)
    async with book_in(tmp_path, "ears.db") as states:
        first, second = Listener(), Listener()
        ears = ChannelEars(DRIVER, states, MqttFrameCarrier(broker.config))
        await ears.listen("grid", Invitation(channel, sealed), first.hear)
        async with running(desk, ears):
            await desk.say({NAME: b"0"})
            await desk.say({NAME: b"1"})
            await until(lambda: len(first.bodies) == 2)
        await desk.say({NAME: b"2"})
        await desk.revoke(NAME, [])
        await desk.say({NAME: b"3"})
        ears = ChannelEars(DRIVER, states, MqttFrameCarrier(broker.config))
        await ears.listen("grid", Invitation(channel, sealed), second.hear)
        async with running(desk, ears):
            await until(lambda: {b"2", b"3"} <= set(second.bodies))
        # What was heard in the instant of the end may be heard once more, and nothing else is.
        assert first.bodies == [b"0", b"1"]
        assert sorted(second.bodies)[-2:] == [b"2", b"3"]
        assert set(second.bodies) <= {b"1", b"2", b"3"}


async def test_a_message_whose_hearer_was_away_comes_again(
    book: ChannelBook, broker: Broker, tmp_path: Path
) -> None:
    desk = desk_on(book, broker)
    channel, sealed = await desk.begin(NAME), await desk.admit(NAME, DRIVER.public)
    await desk.say({NAME: b"0"})
    await desk.carry_once()
    async with book_in(tmp_path, "ears.db") as states:
        listener = Listener()
        listener.raises = Unavailable("store.unavailable", "the disk is full")
        ears = ChannelEars(DRIVER, states, MqttFrameCarrier(broker.config))
        await ears.listen("grid", Invitation(channel, sealed), listener.hear)
        with pytest.raises(ExceptionGroup) as failed:
            await ears.run()
        assert failed.group_contains(Unavailable)
        listener.raises = None
        async with running(ears):
            await until(lambda: listener.bodies == [b"0"])


async def test_what_a_thief_puts_on_the_channels_place_is_heard_by_nobody(
    book: ChannelBook, broker: Broker, tmp_path: Path
) -> None:
    desk = desk_on(book, broker)
    reader = await reader_of(desk)
    channel, sealed = await desk.begin(NAME), await desk.admit(NAME, DRIVER.public)
    async with book_in(tmp_path, "ears.db") as states:
        listener = Listener()
        ears = ChannelEars(DRIVER, states, MqttFrameCarrier(broker.config))
        forged = Invitation(Channel(Mode.RESTRICTED, THIEF.public, NAME), sealed)
        with pytest.raises(IntegrityFailure):
            await ears.listen("grid", forged, listener.hear)
        await ears.listen("grid", Invitation(channel, sealed), listener.hear)
        async with running(desk, ears), broker.client() as thief:
            for slot in range(3, 6):
                await thief.publish(
                    channel_topic(reader.places()[0], slot), os.urandom(300), qos=1, retain=True
                )
            await desk.say({NAME: b"true"})
            await until(lambda: listener.bodies == [b"true"])
            [packet] = [one async for one in one_packet(broker, reader.places()[0], 0)]
            for slot in (1, 2):  # replayed into other slots
                await thief.publish(channel_topic(reader.places()[0], slot), packet, qos=1, retain=True)
            await desk.say({NAME: b"true too"})
            await until(lambda: len(listener.bodies) == 2)
        assert listener.bodies == [b"true", b"true too"]


async def one_packet(broker: Broker, place: bytes, slot: int) -> AsyncIterator[bytes]:
    async with asyncio.timeout(20), broker.client() as snoop:
        await snoop.subscribe(channel_topic(place, slot), qos=1)
        message = await anext(snoop.messages)
        assert isinstance(message.payload, bytes)
        yield message.payload


async def test_kill_minus_nine_at_any_point_uses_no_number_twice(
    book: ChannelBook, broker: Broker, tmp_path: Path
) -> None:
    desk = desk_on(book, broker)
    reader = await reader_of(desk)
    said = 0
    for point in ("channel.kept", "channel.carried", "channel.kept"):
        program = [
            sys.executable,
            "-m",
            "tests.drivers.channel_writer",
            str(tmp_path),
            str(broker.port),
            point,
        ]
        process = await asyncio.create_subprocess_exec(*program, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(30):
            lines = (await process.communicate())[0].split()
        assert process.returncode == -signal.SIGKILL
        said += len(lines)
    await desk_on(book, broker, seed=b"after").carry_once()
    # What was durable when the process died counts as said, though it could not tell us so any more.
    async with asyncio.timeout(20), MqttFrameCarrier(broker.config).open() as line:
        seen: list[Opened] = []
        last = None
        async for outcome in follow(reader, line):
            assert not isinstance(outcome, Contradicted)
            if isinstance(outcome, Opened):
                seen.append(outcome)
            stored = await desk_on(book, broker).note("count")
            last = int(stored or b"0")
            if len(seen) == last:
                break
    assert last is not None
    assert said <= last <= said + 3
    assert sorted(one.at.seq for one in seen) == list(range(last))
    assert reader.missing() == []
