"""What a broker, or somebody on it, may send to a gateway, and gateways that get in each other's way."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiomqtt import Client

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.device import Identity, Picture
from evmesh.edge.gateway import Gateway
from evmesh.edge.outbox import Outbox
from evmesh.edge.poller import Poller, PollRule
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings
from evmesh.telemetry.topics import new_boot
from evmesh.telemetry.uplink import MqttUplink, decode_command
from tests.brokers import Broker, StepClock, running, running_broker, until
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
LIMIT = ValueName.MAXIMUM_OUTPUT_CURRENT
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Charger:
    """A device in memory, which hangs when it is told a limit and `lets_go` is not set."""

    values = frozenset({LIMIT})

    def __init__(self) -> None:
        self.current = Milliamp(16_000)
        self.lets_go = asyncio.Event()
        self.lets_go.set()

    async def identify(self) -> Identity:
        return Identity("none", "none")

    async def read(self) -> Picture:
        return {LIMIT: self.current}

    async def limit(self, current: Milliamp) -> None:
        await self.lets_go.wait()
        self.current = current

    async def close(self) -> None:
        """Nothing is open."""


@asynccontextmanager
async def gateway(
    broker: Broker,
    outbox_file: Path,
    *chargers: tuple[str, Charger],
    name: str = "gw-1",
    longest_delay_s: float = 0.2,
) -> AsyncIterator[tuple[Gateway, Outbox]]:
    boot = new_boot(name)
    clock = StepClock()
    async with Outbox(outbox_file, boot) as outbox:

        async def put(values: Sequence[TelemetryValue]) -> None:
            await made.put(values)

        pollers = [Poller(one, device, PollRule(0.1), clock, put) for one, device in chargers]
        uplink = MqttUplink(broker.config, name, boot, clock)
        made = Gateway(
            name, pollers, outbox, uplink, clock, longest_delay_s=longest_delay_s, again_after_s=0.5
        )
        async with running(made):
            yield made, outbox


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with running_broker("mosquitto", tmp_path) as started:
        yield started


def command(id: str, value: object = 10_000, expires_at: str = "2026-06-01T09:00:00Z") -> bytes:
    return json.dumps({"id": id, "expires_at": expires_at, "value": value}).encode()


async def answer_to(client: Client, id: str) -> dict[str, object]:
    async with asyncio.timeout(60):
        async for message in client.messages:
            said: dict[str, object] = json.loads(message.payload)
            if said["id"] == id:
                return said
    raise AssertionError("the line was cut")


async def test_nothing_that_is_no_command_or_word_of_the_ingest_ends_a_gateway(
    broker: Broker, tmp_path: Path
) -> None:
    nonsense: list[tuple[str, bytes]] = [
        ("chargers/cp-1/set/MaximumOutputCurrent", command("c", expires_at="0001-01-01T00:00:00+14:00")),
        ("chargers/cp-1/set/MaximumOutputCurrent", command("c", expires_at="9999-12-31T23:59:59-14:00")),
        ("chargers/cp-1/set/MaximumOutputCurrent", command("c", value=10**30)),
        ("chargers/cp-1/set/MaximumOutputCurrent", b'{"id":"c","value":NaN}'),
        ("chargers/cp-1/set/MaximumOutputCurrent", b"\xa1\x61\x61\x01"),
        ("chargers/cp-1/set/MaximumOutputCurrent", b"[" * 100_000),
        ("chargers/cp-1/set/", command("c")),
        ("chargers/cp-1/set/a b", command("c")),
        ("ack/cp-1", b'{"boot":"a","ranges":[[0,99999999999999999999]]}'),
        ("ack/cp-1", b'{"boot":"a","ranges":[[5,1]]}'),
        ("ack/cp-1", b"\xff" * 1_000_000),
    ]
    charger = Charger()
    async with (
        gateway(broker, tmp_path / "outbox.db", ("cp-1", charger)) as (made, _),
        broker.client() as stranger,
    ):
        await until(lambda: made.connected)
        await stranger.subscribe("chargers/cp-1/result/+", qos=1)
        for topic, payload in nonsense:
            await stranger.publish(topic, payload, qos=1)
        await stranger.publish("chargers/cp-1/set/MaximumOutputCurrent", command("last"), qos=1)
        assert await answer_to(stranger, "last") == {"id": "last", "ok": True}
    assert charger.current == 10_000


@pytest.mark.parametrize(
    "topic", ["chargers/UP/set/PowerOutput", "chargers/a/set/#", "chargers/a/set/x/y", "chargers/+/set/a"]
)
def test_a_topic_on_which_no_answer_could_be_given_is_refused(topic: str) -> None:
    with pytest.raises(ProtocolViolation, match=r"telemetry\.bad_topic"):
        decode_command(topic, command("c"))


async def test_a_charger_that_hangs_at_its_command_keeps_no_other_s_waiting(
    broker: Broker, tmp_path: Path
) -> None:
    hanging, other = Charger(), Charger()
    hanging.lets_go.clear()
    async with (
        gateway(broker, tmp_path / "outbox.db", ("cp-1", hanging), ("cp-2", other)) as (made, _),
        broker.client() as platform,
    ):
        await until(lambda: made.connected)
        await platform.subscribe("chargers/+/result/+", qos=1)
        for number in range(30):
            await platform.publish(f"chargers/cp-1/set/{LIMIT}", command(f"a{number}"), qos=1)
        await platform.publish(f"chargers/cp-2/set/{LIMIT}", command("b"), qos=1)
        assert (await answer_to(platform, "a29"))["code"] == "command.too_many"
        assert await answer_to(platform, "b") == {"id": "b", "ok": True}
        assert other.current == 10_000
        hanging.lets_go.set()
        assert await answer_to(platform, "a0") == {"id": "a0", "ok": True}


async def test_two_gateways_of_one_name_get_in_each_other_s_way_and_lose_nothing(
    broker: Broker, tmp_path: Path
) -> None:
    """Who is thrown off waits longer each time, as the real ones do: so the other has time to speak."""
    clock = StepClock()
    async with SqliteReadings(tmp_path / "telemetry.db") as store:
        ingest = Ingest(broker.config, store, clock, ack_every_s=0.02)
        async with (
            running(ingest),
            gateway(broker, tmp_path / "one.db", ("cp-1", Charger()), longest_delay_s=5) as (one, first),
            gateway(broker, tmp_path / "two.db", ("cp-1", Charger()), longest_delay_s=5) as (two, second),
        ):
            await until(lambda: ingest.connected)
            for number in range(200):
                for made, start in ((one, 0), (two, 1_000)):
                    at = NOON + timedelta(seconds=start + number)
                    await made.put([TelemetryValue("cp-1", ValueName.POWER_OUTPUT, at, start + number)])
            async with asyncio.timeout(60):
                while await first.count() or await second.count():
                    await asyncio.sleep(0.02)
        found = await store.range("cp-1", ValueName.POWER_OUTPUT, NOON, NOON + timedelta(days=1))
        assert await store.set_aside() == []
    assert [one.value for one in found] == [*range(200), *range(1_000, 1_200)]


async def test_a_long_outbox_empties_without_a_pause(
    broker: Broker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.edge.gateway.MOST_UNHEARD", 400)
    clock, boot = StepClock(), new_boot("gw-1")

    async def put(values: Sequence[TelemetryValue]) -> None:
        del values

    async with SqliteReadings(tmp_path / "telemetry.db") as store, Outbox(tmp_path / "o.db", boot) as outbox:
        for start in range(0, 4_000, 500):
            at = [NOON + timedelta(seconds=start + number) for number in range(500)]
            await outbox.put([TelemetryValue("cp-1", ValueName.POWER_OUTPUT, one, 7) for one in at])
        ingest = Ingest(broker.config, store, clock, ack_every_s=0.005)
        pollers = [Poller("cp-1", Charger(), PollRule(3_600), clock, put)]
        uplink = MqttUplink(broker.config, "gw-1", boot, clock)
        never = Gateway("gw-1", pollers, outbox, uplink, clock, again_after_s=3_600)
        async with running(ingest):
            await until(lambda: ingest.connected)
            async with running(never), asyncio.timeout(60):
                while await outbox.count():
                    await asyncio.sleep(0.02)


async def test_what_an_ingest_stored_and_never_said_leaves_the_outbox_though_other_readings_flow(
    broker: Broker, tmp_path: Path
) -> None:
    clock = StepClock()
    async with (
        SqliteReadings(tmp_path / "telemetry.db") as store,
        gateway(broker, tmp_path / "outbox.db", ("cp-1", Charger())) as (made, outbox),
    ):
        silent = Ingest(broker.config, store, clock, ack_every_s=1_000)  # which dies before its word
        async with running(silent):
            await until(lambda: made.connected and silent.connected)
            for number in range(5):  # of which the broker retains the last
                await made.put([TelemetryValue("cp-1", ValueName.POWER_OUTPUT, NOON, number)])
            await until(lambda: silent.counts.stored >= 7)
        unsaid = (await outbox.take(0, 100))[-1].number
        async with running(Ingest(broker.config, store, clock, ack_every_s=0.02)), asyncio.timeout(60):
            for number in range(10**6):  # no silence: a reading every few milliseconds
                at = NOON + timedelta(seconds=number)
                await made.put([TelemetryValue("cp-1", ValueName.POWER_OUTPUT, at, number)])
                waiting = await outbox.take(0, 1)
                if not waiting or waiting[0].number > unsaid:
                    return
                await asyncio.sleep(0.01)
