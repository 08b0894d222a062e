"""The `TelemetryBus` port on both brokers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import TelemetryValue
from evmesh.ports import TelemetryBus
from evmesh.telemetry.broker import BrokerCommand
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.connection import connected, open_client, publish_all
from tests.brokers import KINDS, Broker, StepClock, forget, running, running_broker, until

AT = datetime(2026, 6, 1, 8, tzinfo=UTC)


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(request.param, tmp_path) as started:
        yield started


def power(watts: int | None, charger: str = "cp-1", after_s: int = 0) -> TelemetryValue:
    return TelemetryValue(charger, "PowerOutput", AT + timedelta(seconds=after_s), watts)


def availability(word: str, charger: str = "cp-1") -> TelemetryValue:
    return TelemetryValue(charger, "Availability", AT, word)


class Watcher:
    """A service that follows a bus and keeps what it says."""

    def __init__(self, bus: TelemetryBus) -> None:
        self.bus = bus
        self.seen: list[TelemetryValue] = []

    async def run(self) -> None:
        # The port promises an iterator; ours is a generator, which has to be closed.
        async with aclosing(cast("MqttBus", self.bus).values()) as values:  # type: ignore[type-var]
            async for value in values:
                self.seen.append(value)

    def values(self, name: str = "PowerOutput", charger: str = "cp-1") -> list[int | str | None]:
        return [seen.value for seen in self.seen if (seen.charger, seen.name) == (charger, name)]


async def raw_messages(broker: Broker, count: int) -> list[dict[str, object]]:
    """What a stock client that subscribes now gets for one value."""
    async with broker.client() as reader, asyncio.timeout(60):
        await reader.subscribe("chargers/cp-1/PowerOutput", qos=1)
        messages = reader.messages
        found = [await anext(messages) for _ in range(count)]
    assert all(message.qos == 1 for message in found)
    return [{**json.loads(message.payload), "retained": message.retain} for message in found]


async def test_a_value_reaches_who_follows(broker: Broker) -> None:
    bus = MqttBus(broker.config, StepClock())
    watcher = Watcher(bus)
    async with running(bus, watcher):
        await bus.publish(power(7_200))
        await until(lambda: watcher.seen == [power(7_200)])


async def test_the_last_value_is_retained_for_who_comes_later(broker: Broker) -> None:
    bus = MqttBus(broker.config, StepClock())
    async with running(bus):
        for watts in (1, 2, 3):
            await bus.publish(power(watts))
        await bus.drained()
        (message,) = await raw_messages(broker, 1)
    timestamp = "2026-06-01T08:00:00Z"
    assert message == {"timestamp": timestamp, "value": 3, "boot": bus.boot, "seq": 3, "retained": True}


async def test_only_changes_are_published(broker: Broker) -> None:
    bus = MqttBus(broker.config, StepClock())
    watcher = Watcher(bus)
    async with running(bus, watcher):
        marker = power(1, charger="cp-2")  # who subscribes late sees only the last of a topic
        await bus.publish(marker)
        await until(lambda: watcher.seen == [marker])
        for second, watts in enumerate([5, 5, 5, None, None, 5]):
            await bus.publish(power(watts, after_s=second))
            await bus.drained()
        await until(lambda: len(watcher.seen) >= 4)
        assert watcher.seen[1:] == [power(5), power(None, after_s=3), power(5, after_s=5)]


async def test_what_no_reader_would_accept_is_refused_at_once(broker: Broker) -> None:
    bus = MqttBus(broker.config, StepClock())
    for wrong in (availability("away"), power(1, charger="CP1"), TelemetryValue("cp-1", "Power", AT, 1)):
        with pytest.raises(InvalidInput):
            await bus.publish(wrong)
    assert bus.waiting == 0


async def test_publishing_does_not_wait_for_a_broker_that_is_away(broker: Broker) -> None:
    broker.stop()
    bus = MqttBus(broker.config, StepClock(), queue_per_topic=10)
    watcher = Watcher(bus)
    async with running(bus, watcher):
        await bus.publish(power(1, charger="cp-2"))
        for watts in range(30):
            await bus.publish(power(watts))
        assert (bus.waiting, bus.dropped) == (11, 20)
        await broker.start()
        await bus.drained()
        await until(lambda: watcher.values()[-1:] == [29])
        await until(lambda: watcher.values(charger="cp-2") == [1])
        # The ten newest went out, and in their order; who connects late may see only the last of them.
        assert watcher.values() == list(range(30))[-len(watcher.values()) :]
        assert len(watcher.values()) <= 10


async def test_a_restart_of_the_broker_in_the_middle_loses_nothing_and_keeps_the_order(
    broker: Broker,
) -> None:
    async with broker.client("reader", persistent=True) as reader:
        await reader.subscribe("chargers/#", qos=1)
    bus = MqttBus(broker.config, StepClock(), queue_per_topic=1_000)
    async with running(bus):
        for watts in range(600):
            await bus.publish(power(watts))
            if watts == 200:
                await until(lambda: bus.waiting < 190)
                broker.stop()
            if watts == 400:
                await broker.start()
        await bus.drained()
    numbers: list[int] = []
    async with broker.client("reader", persistent=True) as reader, asyncio.timeout(60):
        async for message in reader.messages:
            seq = json.loads(message.payload)["seq"]
            if seq not in numbers:
                numbers.append(seq)
            if seq == 600:
                break
    assert numbers == list(range(1, 601))
    assert bus.dropped == 0


async def test_a_broker_that_forgot_everything_gets_the_last_values_again(
    broker: Broker, tmp_path: Path
) -> None:
    bus = MqttBus(broker.config, StepClock())
    async with running(bus):
        await bus.publish(power(7_200))
        await bus.drained()
        broker.kill()
        forget(tmp_path)
        await broker.start()
        (message,) = await raw_messages(broker, 1)
    assert (message["value"], message["seq"]) == (7_200, 1)


async def test_a_follower_hears_each_value_once_across_a_restart(broker: Broker) -> None:
    bus = MqttBus(broker.config, StepClock())
    watcher = Watcher(bus)
    async with running(bus, watcher):
        await bus.publish(power(1))
        await until(lambda: watcher.values() == [1])
        broker.stop()
        await broker.start()
        await bus.publish(power(2))
        await until(lambda: watcher.values()[-1:] == [2])
        assert watcher.values() == [1, 2]


async def test_chargers_go_offline_when_their_publisher_is_killed_and_come_back_with_it(
    broker: Broker,
) -> None:
    script = (
        "import asyncio\n"
        "from tests.contract.test_telemetry_bus import availability\n"
        "from tests.brokers import StepClock\n"
        "from evmesh.telemetry.bus import MqttBus\n"
        "from evmesh.telemetry.connection import MqttConfig\n"
        "async def main():\n"
        f"    bus = MqttBus(MqttConfig('127.0.0.1', {broker.port}), StepClock(), publisher='site-7')\n"
        "    await bus.publish(availability('online'))\n"
        "    await bus.run()\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parents[2]
    watcher = Watcher(MqttBus(broker.config, StepClock()))

    def words() -> list[int | str | None]:
        return watcher.values("Availability")

    async with running(watcher):
        with subprocess.Popen((sys.executable, "-c", script), cwd=root) as publisher:
            await until(lambda: words() == ["online"])
            publisher.kill()
        await until(lambda: words() == ["online", "offline"])
        late = Watcher(MqttBus(broker.config, StepClock()))
        async with running(late):
            await until(lambda: late.values("Availability")[-1:] == ["offline"])
        with subprocess.Popen((sys.executable, "-c", script), cwd=root) as publisher:
            await until(lambda: words() == ["online", "offline", "online"])
            publisher.kill()


@pytest.mark.parametrize("is_empty", [True, False])
async def test_who_died_together_with_the_broker_is_gone_though_no_will_says_so(
    broker: Broker, tmp_path: Path, is_empty: bool
) -> None:
    """The broker comes back with nothing, or with an old word: neither is a sign that anybody is there."""
    platform = MqttBus(broker.config, StepClock(), beat_s=0.1, silent_s=1.5)
    watcher = Watcher(platform)

    def gateway() -> MqttBus:
        return MqttBus(broker.config, StepClock(), publisher="site-7", beat_s=0.1)

    def last() -> list[int | str | None]:
        return watcher.values("Availability")[-1:]

    async with running(platform, watcher):
        first = gateway()
        async with running(first):
            await first.publish(availability("online"))
            await until(lambda: last() == ["online"])
            await first.drained()
            broker.kill()
        if is_empty:
            forget(tmp_path)
        await broker.start()
        await until(lambda: last() == ["offline"])
        await until(lambda: platform.connected)
        second = gateway()
        async with running(second):
            await second.publish(availability("online"))
            await until(lambda: last() == ["online"])


async def test_a_publisher_that_is_ended_says_so_itself(broker: Broker) -> None:
    bus, other = (MqttBus(broker.config, StepClock(), publisher=name) for name in ("site-7", "other"))
    watcher = Watcher(other)
    async with running(watcher):
        async with running(bus):
            await bus.publish(availability("online"))
            await until(lambda: watcher.values("Availability") == ["online"])
        async with broker.client() as reader, asyncio.timeout(60):
            await reader.subscribe("publishers/site-7/Availability", qos=1)
            word = json.loads((await anext(reader.messages)).payload)
        assert (word["value"], word["seq"]) == ("offline", 2)
        await until(lambda: watcher.values("Availability") == ["online", "offline"])


async def test_nonsense_of_others_does_not_disturb_who_follows(broker: Broker) -> None:
    bus = MqttBus(broker.config, StepClock())
    watcher = Watcher(bus)
    async with running(bus, watcher), broker.client() as stranger:
        for topic, payload in [
            ("chargers/cp-1/PowerOutput", "not json"),
            ("chargers/CP1/PowerOutput", '{"timestamp":"2026-06-01T08:00:00Z","value":1}'),
            ("publishers/site-7/Availability", '{"timestamp":"2026-06-01T08:00:00Z","value":"perhaps"}'),
            ("chargers/cp-9/PowerOutput", '{"timestamp":"2026-06-01T08:00:00Z","value":9}'),
        ]:
            await stranger.publish(topic, payload, qos=1, retain=True)
        await bus.publish(power(7_200))
        await until(lambda: len(watcher.seen) >= 2)
        assert sorted(watcher.seen, key=lambda seen: seen.charger) == [power(7_200), power(9, charger="cp-9")]


async def test_a_server_that_never_answers_stalls_nobody(tmp_path: Path) -> None:
    greeted = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        greeted.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        silent = BrokerCommand((), "aedes", server.sockets[0].getsockname()[1])
        config = replace(Broker(silent, tmp_path / "none.log").config, connect_timeout_s=0.5)
        bus = MqttBus(config, StepClock())
        async with running(bus):
            await bus.publish(power(1))
            await greeted.wait()
            greeted.clear()
            await greeted.wait()  # it gave up, and tried again
            assert bus.waiting == 1


async def test_it_ends_when_it_is_told_to_in_the_instant_that_the_broker_dies(broker: Broker) -> None:
    for _ in range(5):
        bus = MqttBus(broker.config, StepClock())
        watcher = Watcher(bus)
        async with asyncio.timeout(60), running(bus, watcher):
            await bus.publish(power(1))
            await bus.drained()
            for watts in range(100):
                await bus.publish(power(watts))
            broker.kill()
        await broker.start()


async def test_publishing_never_forgets_that_it_was_cancelled(broker: Broker) -> None:
    async with connected(open_client(broker.config)) as client:

        async def for_ever() -> None:
            while True:
                await publish_all(client, [("any/topic", b"")], retain=False)

        for round_ in range(300):
            task = asyncio.create_task(for_ever())
            for _ in range(round_):  # a little later each time, so that it meets every step
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait([task], timeout=60)
            assert done
