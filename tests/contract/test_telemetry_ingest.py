"""From the broker into the store: both brokers, a real database, real kills."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from evmesh.app.telemetry_reads import last_values
from evmesh.domain.errors import InvalidInput, Unavailable
from evmesh.domain.telemetry import Ack, TelemetryValue
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.ranges import ACK_FILTER, decode_ack
from evmesh.telemetry.rows import Row, SetAside, Written
from evmesh.telemetry.store import SqliteReadings
from evmesh.telemetry.topics import Reading, encode
from tests.brokers import KINDS, Broker, StepClock, running, running_broker, until
from tests.databases import Postgres

AT = datetime(2026, 6, 1, 8, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@pytest.fixture(params=KINDS)
async def broker(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker(request.param, tmp_path) as started:
        yield started


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteReadings]:
    async with SqliteReadings(tmp_path / "telemetry.db") as opened:
        yield opened


def reading(number: int, chargers: int = 1) -> TelemetryValue:
    at = AT + timedelta(seconds=number)
    return TelemetryValue(f"cp-{number % chargers}", "TotalEnergyConsumption", at, 1_000 + number)


async def stored(
    store: SqliteReadings, charger: str = "cp-0", name: str = "TotalEnergyConsumption"
) -> list[int]:
    """Values of one charger in order of time, as the port gives them."""
    found = await store.range(charger, name, AT - timedelta(days=1), AT + timedelta(days=1))
    return [value.value for value in found if isinstance(value.value, int)]


async def until_stored(store: SqliteReadings, count: int) -> None:
    there = 0
    try:
        async with asyncio.timeout(60):
            while (there := await store.count()) < count:
                await asyncio.sleep(0.02)
    except TimeoutError:
        pytest.fail(f"{there} of {count} are stored")


def ingest_of(broker: Broker, store: SqliteReadings) -> Ingest:
    return Ingest(broker.config, store, StepClock(), ack_every_s=0.02)


async def test_what_is_published_is_stored(broker: Broker, store: SqliteReadings) -> None:
    bus = MqttBus(broker.config, StepClock())
    ingest = ingest_of(broker, store)
    async with running(bus, ingest):
        await until(lambda: ingest.connected)
        await bus.publish(reading(1))
        await bus.publish(TelemetryValue("cp-0", "OperationState", AT, "charging"))
        await until_stored(store, 2)
    assert await store.last("cp-0") == {
        "TotalEnergyConsumption": reading(1),
        "OperationState": TelemetryValue("cp-0", "OperationState", AT, "charging"),
    }


async def test_two_publishers_of_one_name_are_told_of_with_what_to_do(
    broker: Broker, store: SqliteReadings
) -> None:
    ingest = ingest_of(broker, store)
    two = [MqttBus(broker.config, StepClock(), publisher="gw-1") for _ in range(2)]
    async with running(ingest):
        await until(lambda: ingest.connected)
        async with running(two[0]):
            await until(lambda: two[0].connected)
        async with running(two[1]):  # as after a restart, which is none of anybody's business
            await until(lambda: two[1].connected)
            assert (await last_values(store, "gw-1"))["warnings"] == []
            async with running(two[0]), asyncio.timeout(60):
                while not (warnings := (await last_values(store, "gw-1"))["warnings"]):
                    await asyncio.sleep(0.02)
    assert "two programs of the name gw-1 push each other off the broker" in warnings[0]
    assert "stop one, or give it another name" in warnings[0]


async def test_what_is_stored_is_acknowledged_to_the_publisher(broker: Broker, store: SqliteReadings) -> None:
    bus = MqttBus(broker.config, StepClock())
    said: list[Ack] = []
    async with broker.client() as gateway:
        await gateway.subscribe(ACK_FILTER, qos=1)
        ingest = ingest_of(broker, store)
        async with running(bus, ingest), asyncio.timeout(60):
            await until(lambda: ingest.connected)
            for number in range(50):
                await bus.publish(reading(number, chargers=2))
            async for message in gateway.messages:
                assert not message.retain
                said.append(decode_ack(message.topic.value, message.payload))
                # By the time it is said, it is in the database.
                assert len(await stored(store, said[-1].charger)) >= said[-1].ranges[-1][1]
                if len(numbers_of(said)) == 50:
                    break
    assert numbers_of(said) == {(f"cp-{charger}", number) for charger in (0, 1) for number in range(1, 26)}
    assert {ack.boot for ack in said} == {bus.boot}


def numbers_of(acks: Sequence[Ack]) -> set[tuple[str, int]]:
    return {
        (ack.charger, number)
        for ack in acks
        for first, last in ack.ranges
        for number in range(first, last + 1)
    }


async def test_what_came_while_no_ingest_was_running_is_stored_afterwards(
    broker: Broker, store: SqliteReadings
) -> None:
    bus = MqttBus(broker.config, StepClock(), queue_per_topic=2_000)
    first = ingest_of(broker, store)
    async with running(bus):
        async with running(first):
            await bus.publish(reading(0))
            await until_stored(store, 1)
        for number in range(1, 1_200):
            await bus.publish(reading(number))
        await bus.drained()
        async with running(ingest_of(broker, store)):
            await until_stored(store, 1_200)
    assert await stored(store) == [1_000 + number for number in range(1_200)]


async def test_a_restart_of_the_broker_in_the_middle_loses_and_doubles_nothing(
    broker: Broker, store: SqliteReadings
) -> None:
    bus = MqttBus(broker.config, StepClock(), queue_per_topic=2_000)
    ingest = ingest_of(broker, store)
    async with running(bus, ingest):
        await until(lambda: ingest.connected)  # from here on the broker keeps a session for it
        for number in range(1_000):
            await bus.publish(reading(number))
            if number in (300, 600):
                await until_stored(store, 100)
                broker.stop()
                await broker.start()
        await until_stored(store, 1_000)
        await bus.drained()
    assert await stored(store) == [1_000 + number for number in range(1_000)]
    assert await store.set_aside() == []


async def test_no_kill_of_the_ingest_loses_or_doubles_any_of_two_thousand_values(
    broker: Broker, tmp_path: Path
) -> None:
    path = tmp_path / "telemetry.db"

    def start() -> "subprocess.Popen[bytes]":
        argv = (sys.executable, "-m", "tests.ingest_process", str(broker.port), str(path))
        return subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL)

    bus = MqttBus(broker.config, StepClock(), queue_per_topic=2_000)
    kills = 0
    async with SqliteReadings(path) as store, running(bus):
        process = start()
        try:
            await bus.publish(reading(0, chargers=10))
            await until_stored(store, 1)  # from here on the broker keeps a session for it
            published = 1
            while published < 2_000:
                # By portions: where this process has to wait, that one stores no more than a portion.
                goal, more = published + 50, 2_000 if kills == 4 else min(published + 250, 2_000)
                for number in range(published, more):
                    await bus.publish(reading(number, chargers=10))
                published = more
                if kills < 4:
                    await until_stored(store, goal)
                    process.kill()
                    process.wait()
                    kills += await store.count() < published  # else it was not in the middle
                    process = start()
            await until_stored(store, 2_000)
            await bus.drained()
        finally:
            process.kill()
            process.wait()
        for charger in range(10):
            wanted = [1_000 + number for number in range(charger, 2_000, 10)]
            assert await stored(store, f"cp-{charger}") == wanted
        assert await store.count() == 2_000
        assert await store.set_aside() == []
    assert kills >= 3


class FailingStore:
    """A store whose disk is full at first."""

    def __init__(self, store: SqliteReadings, failures: int) -> None:
        self._store = store
        self.failures = failures

    async def write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        if self.failures:
            self.failures -= 1
            raise Unavailable("telemetry.store_away", "the disk is full")
        return await self._store.write(rows, set_aside)


async def test_what_could_not_be_stored_is_not_acknowledged_and_comes_again(
    broker: Broker, store: SqliteReadings
) -> None:
    bus = MqttBus(broker.config, StepClock())
    failing = FailingStore(store, failures=2)
    ingest = Ingest(broker.config, failing, StepClock())
    async with running(bus):
        async with running(ingest_of(broker, store)):
            await bus.publish(reading(0))
            await until_stored(store, 1)
        for number in range(1, 100):
            await bus.publish(reading(number))
        await bus.drained()
        for _ in range(2):
            with pytest.raises(Unavailable, match="the disk is full"):
                await ingest.run()
        async with running(ingest):
            await until_stored(store, 100)
    assert await stored(store) == [1_000 + number for number in range(100)]


async def test_foreign_publishers_are_stored_once_and_nonsense_is_set_aside(
    broker: Broker, store: SqliteReadings
) -> None:
    foreign = b'{"timestamp":"2026-06-01T08:00:00Z","value":11000}'
    nonsense = [
        ("chargers/cp-0/PowerOutput", b'{"timestamp":"2026-06-01T08:00:00Z","value":11.5}'),
        ("chargers/cp-0/PowerOutput", b"\xff\x00"),
        ("chargers/cp-0/Temperature", foreign),
        ("chargers/CP-0/PowerOutput", foreign),
        ("chargers/cp-0/PowerOutput", b"x" * 100_000),
        ("publishers/cp-0/Availability", foreign),
    ]
    ingest = ingest_of(broker, store)
    async with broker.client() as stranger, running(ingest):
        await until(lambda: ingest.connected)
        await stranger.publish("chargers/cp-0/PowerOutput", foreign, qos=1)
        for topic, payload in nonsense:
            await stranger.publish(topic, payload, qos=1)
        await stranger.publish("chargers/cp-0/PowerOutput", foreign, qos=1, retain=True)
        await stranger.publish("chargers/cp-0/PowerOutput", foreign.replace(b"11000", b"7000"), qos=0)
        await until(lambda: ingest.counts.stored == 2 and ingest.counts.set_aside == len(nonsense))
    again = ingest_of(broker, store)
    async with running(again):  # and once more, from what is retained
        await until(lambda: again.counts.duplicates >= 1)
    assert sorted(await stored(store, name="PowerOutput")) == [7_000, 11_000]
    aside = {(message.topic, message.payload) for message in await store.set_aside()}
    assert aside == {(topic, payload[:4_097]) for topic, payload in nonsense}


class StoreWithALimit:
    """A store that can hold no row above a number, as a database with narrower columns."""

    def __init__(self, store: SqliteReadings, most: int) -> None:
        self._store = store
        self._most = most

    async def write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        if any(isinstance(row.value.value, int) and row.value.value > self._most for row in rows):
            raise InvalidInput("telemetry.unstorable", "integer out of range")
        return await self._store.write(rows, set_aside)


async def test_what_a_database_cannot_hold_is_set_aside_and_keeps_nothing_else_back(
    broker: Broker, store: SqliteReadings
) -> None:
    bus = MqttBus(broker.config, StepClock())
    ingest = Ingest(broker.config, StoreWithALimit(store, 1_049), StepClock(), ack_every_s=0.02)
    async with running(bus, ingest):
        await until(lambda: ingest.connected)  # who subscribes late sees only the last
        for number in (*range(50), 70, 80):
            await bus.publish(reading(number))
        await until(lambda: ingest.counts.stored == 50 and ingest.counts.set_aside == 2)
        await bus.drained()
    assert await stored(store) == [1_000 + number for number in range(50)]
    aside = await store.set_aside()
    assert {one.code for one in aside} == {"telemetry.unstorable"}
    assert [b"1070" in one.payload or b"1080" in one.payload for one in aside] == [True, True]


async def test_a_number_of_the_last_that_64_bits_can_hold_stops_nobody(
    broker: Broker, postgres: Postgres
) -> None:
    highest = f'{{"timestamp":"2026-06-01T08:00:00Z","value":1,"boot":"b","seq":{2**63 - 1}}}'.encode()
    name = f"t{uuid4().hex}"
    try:
        async with PostgresReadings(postgres.create(name)) as store:
            ingest = Ingest(broker.config, store, StepClock(), ack_every_s=0.02)
            async with running(ingest), broker.client() as gateway:
                await until(lambda: ingest.connected)
                await gateway.publish("chargers/cp-0/PowerOutput", highest, qos=1)
                good = highest.replace(str(2**63 - 1).encode(), str(2**62).encode())
                await gateway.publish("chargers/cp-0/PowerOutput", good, qos=1)
                await until(lambda: (ingest.counts.stored, ingest.counts.set_aside) == (1, 1))
    finally:
        postgres.drop(name)


async def test_one_number_with_two_contents_is_set_aside_and_the_first_stays(
    broker: Broker, store: SqliteReadings
) -> None:
    ingest = ingest_of(broker, store)
    async with broker.client() as gateway, running(ingest):
        await until(lambda: ingest.connected)
        for number in (1, 2, 1):
            payload = encode(Reading(reading(number), "gateway-1", 7))
            await gateway.publish("chargers/cp-0/TotalEnergyConsumption", payload, qos=1)
        await until(lambda: ingest.counts.stored + ingest.counts.duplicates + ingest.counts.set_aside == 3)
    assert (ingest.counts.stored, ingest.counts.duplicates, ingest.counts.set_aside) == (1, 1, 1)
    assert await stored(store) == [1_001]
    (aside,) = await store.set_aside()
    assert aside.code == "telemetry.contradiction"


async def test_chargers_are_stored_as_offline_once_when_their_publisher_is_gone(
    broker: Broker, store: SqliteReadings
) -> None:
    async def words() -> list[object]:
        found = await store.range("cp-0", "Availability", AT, AT + timedelta(days=1))
        return [value.value for value in found]

    bus = MqttBus(broker.config, StepClock())
    async with running(ingest_of(broker, store)):
        async with running(bus):
            await bus.publish(TelemetryValue("cp-0", "Availability", AT, "online"))
            await until_stored(store, 1)
        await until_stored(store, 2)
    assert await words() == ["online", "offline"]
    again = ingest_of(broker, store)
    async with running(again):  # what is retained says the same again
        await until(lambda: again.counts.duplicates >= 2)
    assert await words() == ["online", "offline"]


async def test_it_ends_when_it_is_told_to_in_the_instant_that_the_broker_dies(
    broker: Broker, store: SqliteReadings
) -> None:
    for _ in range(5):
        bus = MqttBus(broker.config, StepClock())
        async with asyncio.timeout(60), running(bus, ingest_of(broker, store)):
            for number in range(200):
                await bus.publish(reading(number))
            await until_stored(store, 1)
            broker.kill()
        await broker.start()
