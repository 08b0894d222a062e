"""The port FrameCarrier on both brokers, and whole channels carried on them and on the board."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from evmesh.domain.channel import SLOTS, Missing, Mode, Position
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Unavailable
from evmesh.ledger.channels_epoch import Contradicted, Opened, Repeated
from evmesh.ledger.channels_follow import Worthless, follow, send
from evmesh.ledger.channels_grants import grant_tag, open_grant, wraps_tag
from evmesh.ledger.channels_reader import ChannelReader, Excluded, Outcome, Turned
from evmesh.ledger.channels_writer import ChannelWriter
from evmesh.ledger.message_board import BoardReader, MessageBoard
from evmesh.ports import FrameCarrier
from evmesh.telemetry.frame_carrier import MqttFrameCarrier, channel_topic
from tests.brokers import KINDS, Broker, running_broker
from tests.contract.ledger_world import running_ledger
from tests.unit.ledger.channel_world import DRIVER, OPERATOR, STATION, Dice, bodies, let_in, writing

HERE = bytes(range(16))


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(request.param, tmp_path) as running:
        yield running


async def followed(
    broker: Broker, reader: ChannelReader, *, until: bytes | int | type[Outcome]
) -> list[Outcome | Worthless]:
    """Follow on a line of its own until these words, so many outcomes, or one of this kind came."""
    seen: list[Outcome | Worthless] = []
    async with asyncio.timeout(20), MqttFrameCarrier(broker.config).open() as line:
        async for outcome in follow(reader, line):
            seen.append(outcome)
            match until:
                case bytes():
                    done = isinstance(outcome, Opened) and outcome.body == until
                case int():
                    done = len(seen) == until
                case _:
                    done = isinstance(outcome, until)
            if done:
                break
    return seen


def words(outcomes: list[Outcome | Worthless]) -> list[bytes]:
    return [one.body for one in outcomes if isinstance(one, Opened)]


async def write(broker: Broker, writer: ChannelWriter, *messages: bytes) -> None:
    async with MqttFrameCarrier(broker.config).open() as line:
        for message in messages:
            await send([writer.write(message)], line)


async def test_what_lies_in_a_place_is_kept_and_what_comes_is_told(broker: Broker) -> None:
    carrier: FrameCarrier = MqttFrameCarrier(broker.config)
    async with carrier.open() as writer:
        for slot, packet in ((0, b"old"), (0, b"new"), (1, b"other")):
            await writer.put(HERE, slot, packet)
    broker.stop()
    await broker.start()
    async with asyncio.timeout(20), carrier.open() as reader, carrier.open() as writer:
        await reader.watch(HERE)
        await reader.watch(HERE)
        packets = reader.packets()
        assert {await anext(packets), await anext(packets)} == {(HERE, b"new"), (HERE, b"other")}
        await writer.put(bytes(16), 0, b"elsewhere")
        await writer.put(HERE, 7, b"live")
        assert await anext(packets) == (HERE, b"live")


async def test_an_epoch_that_is_long_over_is_forgotten(broker: Broker) -> None:
    writer = writing()
    driver = let_in(writer)
    await write(broker, writer, b"0", b"1")
    over = writer.places
    async with asyncio.timeout(20), MqttFrameCarrier(broker.config).open() as line:
        await send(writer.turn(), line)
        await send([writer.write(b"2")], line)
        await line.forget(over[0], SLOTS)
    assert over[0] == driver.places()[0]
    seen = await followed(broker, driver, until=b"2")
    assert words(seen) == [b"2"]
    assert driver.missing() == [Missing(0, 0, None)]


async def test_what_is_no_packet_is_not_carried(broker: Broker) -> None:
    carrier = MqttFrameCarrier(broker.config)
    async with asyncio.timeout(20), carrier.open() as line, broker.client() as vandal:
        for packet in (b"", bytes(65_537)):
            with pytest.raises(InvalidInput, match=r"channel\.bad_packet"):
                await line.put(HERE, 0, packet)
        await line.watch(HERE)
        for topic, payload in ((f"channels/{HERE.hex()}/x", b"x"), (channel_topic(HERE, 1), bytes(65_537))):
            await vandal.publish(topic, payload, qos=1)
        await line.put(HERE, 0, b"good")
        assert await anext(line.packets()) == (HERE, b"good")


async def test_a_broker_that_goes_away_is_told(broker: Broker) -> None:
    carrier = MqttFrameCarrier(broker.config)

    async def cut() -> None:
        async with asyncio.timeout(20), carrier.open() as line:
            await line.watch(HERE)
            broker.kill()
            await anext(line.packets())

    for _ in range(2):  # while a line is open, and when one is to be opened
        with pytest.raises(Unavailable, match=r"broker\.away"):
            await cut()


async def test_a_reader_who_was_offline_catches_up_through_three_epochs(broker: Broker) -> None:
    writer = writing()
    driver = let_in(writer)
    await write(broker, writer, b"0.0")
    assert words(await followed(broker, driver, until=b"0.0")) == [b"0.0"]
    kept = driver.state()
    for epoch in range(1, 4):
        await write(broker, writer, f"{epoch - 1}.1".encode())
        async with MqttFrameCarrier(broker.config).open() as line:
            await send(writer.turn(), line)
        await write(broker, writer, f"{epoch}.0".encode())
    broker.stop()
    await broker.start()
    driver = ChannelReader.restore(writer.channel, DRIVER, kept)
    seen = await followed(broker, driver, until=b"3.0")
    assert sorted(words(seen)) == [b"0.1", b"1.0", b"1.1", b"2.0", b"2.1", b"3.0"]
    assert [one for one in seen if isinstance(one, Turned)] == [Turned(1), Turned(2), Turned(3)]
    assert Repeated(Position(0, 0)) in seen
    assert driver.missing() == []


async def test_what_the_broker_has_not_kept_is_said_to_be_missing(broker: Broker) -> None:
    writer = writing(Mode.PUBLIC)
    await write(broker, writer, *(b"" for _ in range(SLOTS)), b"last but one", b"last")
    reader = ChannelReader.public(writer.channel)
    seen: list[Outcome | Worthless] = []
    async with asyncio.timeout(20), MqttFrameCarrier(broker.config).open() as line:
        async for outcome in follow(reader, line):
            seen.append(outcome)
            if len(seen) == SLOTS:
                break
    assert len(words(seen)) == SLOTS
    assert reader.missing() == [Missing(0, 0, 1)]


async def test_forgeries_on_the_wire_end_nothing(broker: Broker) -> None:
    writer = writing()
    driver = let_in(writer)
    async with broker.client() as thief:
        await thief.publish(channel_topic(driver.places()[0], 9), b"open the relay", qos=1, retain=True)
    await write(broker, writer, b"0")
    twin = ChannelWriter.restore(writer.channel, STATION, Dice(b"twin"), writer.state())
    await write(broker, writer, b"1")
    seen = await followed(broker, driver, until=3)
    assert sorted(words(seen)) == [b"0", b"1"]
    assert [type(one.why) for one in seen if isinstance(one, Worthless)] == [InvalidInput]
    await write(broker, twin, b"not one")
    seen = await followed(broker, driver, until=Contradicted)
    assert b"not one" not in words(seen)


async def test_a_revoked_reader_sees_the_turn_and_none_of_what_follows(broker: Broker) -> None:
    writer = writing()
    driver, operator = let_in(writer, DRIVER), let_in(writer, OPERATOR)
    await write(broker, writer, b"for both")
    async with MqttFrameCarrier(broker.config).open() as line:
        await send(writer.revoke([DRIVER.public]), line)
    await write(broker, writer, b"for the operator")
    assert words(await followed(broker, operator, until=b"for the operator")) == [
        b"for both",
        b"for the operator",
    ]
    seen = await followed(broker, driver, until=Excluded)
    assert words(seen) == [b"for both"]
    # Everything that the broker has, tried with all that the driver has.
    async with asyncio.timeout(20), broker.client() as snoop:
        await snoop.subscribe("channels/#", qos=1)
        stored = [await anext(snoop.messages) for _ in range(3)]
    for message in stored:
        for place in driver.places():
            with suppress(IntegrityFailure, InvalidInput):
                assert not isinstance(driver.take(place, message.payload), Opened | Turned)


async def test_grants_and_wraps_are_found_on_the_board(tmp_path: Path) -> None:
    writer = writing()
    async with running_ledger(tmp_path) as ledger:
        reader = BoardReader(ledger.rpc, ledger.deployment.contracts.board)
        board = MessageBoard(reader, ledger.relayer(ledger.keys.operator))
        await board.post(
            grant_tag(writer.channel, DRIVER.public), writer.grant(DRIVER.public), "grant:driver"
        )
        first = writer.write(b"one")
        for part in writer.turn():
            await board.post(wraps_tag(part.place, part.slot), part.packet, f"wraps:1:{part.slot}")
        second = writer.write(b"two")

        sealed = await reader.newest(board.address, grant_tag(writer.channel, DRIVER.public))
        assert sealed is not None
        grant = open_grant(writer.channel, sealed, DRIVER)
        driver = ChannelReader.granted(writer.channel, grant, DRIVER)
        assert bodies([driver.take(first.place, first.packet)]) == [b"one"]
        found = await reader.newest(board.address, wraps_tag(grant.wraps, 0))
        assert found is not None
        assert driver.take(grant.wraps, found) == Turned(1)
        assert bodies([driver.take(second.place, second.packet)]) == [b"two"]
