"""The gateway from its devices to the database: a real broker, a real ingest, devices on real sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from pathlib import Path

import pytest

from evmesh.app.telemetry_reads import energy
from evmesh.domain.telemetry import Command, TelemetryValue, ValueName
from evmesh.domain.telemetry_summary import Period
from evmesh.domain.units import Milliamp
from evmesh.edge.gateway import Gateway
from evmesh.edge.mhcp import MhcpCharger
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.outbox import Outbox
from evmesh.edge.poller import METER_SWAPPED, Poller, PollRule
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.template import LineRule, load_template
from evmesh.sim.mhcp import Amtron, Upset, serve_amtron
from evmesh.sim.modbus_devices import SDM630, Quantities
from evmesh.sim.modbus_server import ModbusUnits, Trouble, serve_tcp
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings
from evmesh.telemetry.topics import new_boot
from evmesh.telemetry.uplink import MqttUplink, command_topic, encode_command, result_topic
from tests.brokers import Broker, StepClock, forget, running, running_broker, until
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
DAY = timedelta(days=1)
METER, CHARGER = "meter-1", "amtron-1"
FAST = PollRule(interval_s=0.4, safe_after_s=1_000)
SLOWER = PollRule(interval_s=1.0, safe_after_s=1_000)
"""For the charger, which takes several requests: on a busy machine half a second is not much for them."""


@dataclass
class Yard:
    """Two devices and what hears of them."""

    broker: Broker
    store: SqliteReadings
    clock: StepClock
    directory: Path
    has: Quantities = field(default_factory=lambda: Quantities(energy_wh=1_000, power_w=0))
    amtron: Amtron = field(default_factory=Amtron)
    units: ModbusUnits = field(default_factory=lambda: ModbusUnits({}))

    async def told(self, charger: str, name: ValueName) -> list[int | str | None]:
        """Give all values of one name that are in the database, in order of time."""
        start = datetime(1970, 1, 1, tzinfo=UTC)
        found = await self.store.range(charger, name, start, self.clock.instant + 400 * DAY)
        return [one.value for one in found]

    async def registers(self) -> list[int | str]:
        """Give the meter's registers in order, once each however often it was unknown in between.

        A busy machine may answer a poll too late: then it is unknown, and told again.
        """
        told = await self.told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION)
        return [value for value, _ in groupby(value for value in told if value is not None)]

    async def until_told(self, charger: str, name: ValueName, value: int | str | None) -> None:
        async def is_told() -> bool:
            return value in (await self.told(charger, name))[-1:]

        await eventually(is_told)

    @asynccontextmanager
    async def gateway(self, rule: PollRule = SLOWER, clock: StepClock | None = None) -> AsyncIterator[Outbox]:
        """Run a gateway with both devices, with a boot of its own."""
        clock = clock or self.clock
        boot = new_boot("gw-1")
        async with AsyncExitStack() as stack:
            outbox = await stack.enter_async_context(Outbox(self.directory / "outbox.db", boot))
            port = await stack.enter_async_context(serve_tcp(self.units))
            web = await stack.enter_async_context(serve_amtron(self.amtron))
            address = LineAddress(host="127.0.0.1", port=port)
            line = await stack.enter_async_context(ModbusLine(address, LineRule(), timeout_s=0.15))
            meter = RegisterDevice(load_template("eastron-sdm630"), line)
            charger = await stack.enter_async_context(
                # Patient: a poll has its own limit, and a command has its answer however busy the machine.
                MhcpCharger("127.0.0.1", "4711", port=web, timeout_s=10, pause_s=0)
            )

            async def put(values: Sequence[TelemetryValue]) -> None:
                await gateway.put(values)

            pollers = [
                Poller(METER, meter, FAST, clock, put),
                Poller(CHARGER, charger, rule, clock, put),
            ]
            uplink = MqttUplink(self.broker.config, "gw-1", boot, clock)
            gateway = Gateway("gw-1", pollers, outbox, uplink, clock, longest_delay_s=0.2, again_after_s=0.5)
            async with running(gateway):
                yield outbox


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    async with (
        running_broker("mosquitto", tmp_path) as broker,
        SqliteReadings(tmp_path / "telemetry.db") as store,
    ):
        made = Yard(broker, store, StepClock(), tmp_path)
        made.units.units = {1: SDM630(made.has)}
        ingest = Ingest(broker.config, store, made.clock, ack_every_s=0.02)
        async with running(ingest):
            await until(lambda: ingest.connected)
            yield made


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():
            await asyncio.sleep(0.01)


async def is_empty(outbox: Outbox) -> bool:
    return await outbox.count() == 0


async def test_what_devices_say_reaches_the_database_and_then_leaves_the_outbox(yard: Yard) -> None:
    async with yard.gateway() as outbox:
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 1_000)
        await yard.until_told(CHARGER, ValueName.OPERATION_STATE, "idle")
        yard.has.energy_wh, yard.has.power_w = 1_250, 7_000
        yard.amtron.state = "Charging"
        await yard.until_told(METER, ValueName.POWER_OUTPUT, 7_000)
        await yard.until_told(CHARGER, ValueName.OPERATION_STATE, "charging")
        await eventually(lambda: is_empty(outbox))
    assert await yard.registers() == [1_000, 1_250]


async def test_what_does_not_change_is_told_once(yard: Yard) -> None:
    async with yard.gateway() as outbox:
        await yard.until_told(METER, ValueName.POWER_OUTPUT, 0)
        asked = yard.units.asked
        await until(lambda: yard.units.asked >= asked + 6)  # three polls more
        yard.has.power_w = 8  # within the dead-band
        await until(lambda: yard.units.asked >= asked + 12)
        await eventually(lambda: is_empty(outbox))
    told = await yard.told(METER, ValueName.POWER_OUTPUT)
    assert set(told) - {None} == {0}
    assert all(one != other for one, other in pairwise(told))


async def test_a_broker_that_is_away_costs_nothing(yard: Yard) -> None:
    async with yard.gateway() as outbox:
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 1_000)
        await eventually(lambda: is_empty(outbox))
        yard.broker.kill()
        for energy in range(1_010, 1_060, 10):
            yard.has.energy_wh = energy
            await eventually(lambda: waits(outbox, energy))  # noqa: B023 - it is awaited here
        await yard.broker.start()
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 1_050)
        await eventually(lambda: is_empty(outbox))
    assert await yard.registers() == list(range(1_000, 1_060, 10))


async def test_a_broker_that_forgot_everything_shows_the_last_values_again(
    yard: Yard, tmp_path: Path
) -> None:
    async with yard.gateway() as outbox:
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 1_000)
        await eventually(lambda: is_empty(outbox))
        yard.broker.kill()
        forget(tmp_path)
        await yard.broker.start()
        async with yard.broker.client() as reader, asyncio.timeout(60):
            await reader.subscribe(f"chargers/{METER}/{ValueName.TOTAL_ENERGY_CONSUMPTION}", qos=1)
            message = await anext(aiter(reader.messages))
    assert json.loads(message.payload)["value"] == 1_000


async def waits(outbox: Outbox, energy: int) -> bool:
    """Whether a register is in the outbox."""
    readings = [one.reading.value for one in await outbox.take(0, 1_000)]
    return energy in [one.value for one in readings if one.name == ValueName.TOTAL_ENERGY_CONSUMPTION]


async def test_a_gateway_that_starts_anew_sends_what_it_had(yard: Yard) -> None:
    yard.broker.kill()
    async with yard.gateway() as outbox:
        await eventually(lambda: waits(outbox, 1_000))
    await yard.broker.start()
    yard.has.energy_wh = 2_000
    async with yard.gateway() as outbox:
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 2_000)
        await eventually(lambda: is_empty(outbox))
    assert await yard.registers() == [1_000, 2_000]


@pytest.mark.parametrize("trouble", [Trouble.SILENT, Trouble.TRUNCATED, Trouble.EXCEPTION])
async def test_a_device_that_does_not_answer_is_unknown_and_never_stale(yard: Yard, trouble: Trouble) -> None:
    yard.has.power_w = 5_000
    async with yard.gateway():
        await yard.until_told(METER, ValueName.POWER_OUTPUT, 5_000)
        yard.units.trouble = trouble
        await yard.until_told(METER, ValueName.POWER_OUTPUT, None)
        await yard.until_told(METER, ValueName.AVAILABILITY, "offline")
        yard.units.trouble = Trouble.NONE
        await yard.until_told(METER, ValueName.POWER_OUTPUT, 5_000)
        await yard.until_told(METER, ValueName.AVAILABILITY, "online")


async def test_a_hanging_device_is_unknown_and_keeps_no_other_waiting(yard: Yard) -> None:
    async with yard.gateway():
        await yard.until_told(CHARGER, ValueName.OPERATION_STATE, "idle")
        yard.amtron.upset = Upset.HANGS
        await yard.until_told(CHARGER, ValueName.OPERATION_STATE, "unknown")
        yard.has.power_w = 3_000
        await yard.until_told(METER, ValueName.POWER_OUTPUT, 3_000)
        yard.amtron.upset = Upset.NONE
        await yard.until_told(CHARGER, ValueName.OPERATION_STATE, "idle")


def limit(id: str, value: int, clock: StepClock, charger: str = CHARGER, valid_s: int = 60) -> Command:
    until_ = clock.now() + timedelta(seconds=valid_s)
    return Command(charger, ValueName.MAXIMUM_OUTPUT_CURRENT, id, until_, value)


async def answers(yard: Yard, *commands: Command) -> list[dict[str, object]]:
    """Send commands one after the other, each once the last was answered."""
    found: list[dict[str, object]] = []
    async with yard.broker.client() as client, asyncio.timeout(60):
        await client.subscribe(result_topic(commands[0].charger, commands[0].what), qos=1)
        messages = client.messages
        for command in commands:
            await client.publish(command_topic(command.charger, command.what), encode_command(command), qos=1)
            found.append(json.loads((await anext(messages)).payload))
    return found


async def test_a_command_is_done_answered_and_never_done_twice(yard: Yard) -> None:
    async with yard.gateway():
        await yard.until_told(CHARGER, ValueName.OPERATION_STATE, "idle")
        first, second = limit("c-1", 10_000, yard.clock), limit("c-2", 13_000, yard.clock)
        assert await answers(yard, first, second, first) == [
            {"id": "c-1", "ok": True},
            {"id": "c-2", "ok": True},
            {"id": "c-1", "ok": True},
        ]
        assert yard.amtron.remote_a == 13
        await yard.until_told(CHARGER, ValueName.MAXIMUM_OUTPUT_CURRENT, 13_000)


@pytest.mark.parametrize(
    ("value", "valid_s", "charger", "code"),
    [
        (10_000, -1, CHARGER, "command.expired"),
        (-1, 60, CHARGER, "command.bad_value"),
        (10_000, 60, METER, "device.no_limit"),
    ],
)
async def test_a_command_that_cannot_be_done_says_why(
    yard: Yard, value: int, valid_s: int, charger: str, code: str
) -> None:
    async with yard.gateway():
        await yard.until_told(METER, ValueName.POWER_OUTPUT, 0)
        (answer,) = await answers(yard, limit("c-1", value, yard.clock, charger, valid_s))
    assert (answer["ok"], answer["code"]) == (False, code)
    assert yard.amtron.remote_a == 16


async def test_a_person_s_word_lets_a_swapped_meter_count_without_a_restart_and_survives_one(
    yard: Yard,
) -> None:
    """No Wh is counted twice or below nothing: 250 by the old meter, 40 by the new one, 5 after a restart."""
    swapped = Command(METER, METER_SWAPPED, "c-1", yard.clock.now() + timedelta(minutes=5), 1)
    async with yard.gateway() as outbox:
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 1_000)
        yard.has.energy_wh = 1_250
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 1_250)
        yard.has.energy_wh = 70
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, None)
        assert await answers(yard, swapped, swapped) == [{"id": "c-1", "ok": True}] * 2
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 70)
        yard.has.energy_wh = 110
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 110)
        await eventually(lambda: is_empty(outbox))
    yard.has.energy_wh = 115
    async with yard.gateway():
        await yard.until_told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION, 115)
    (meter,) = await yard.told(METER, ValueName.METER_ID)
    assert str(meter).startswith("another since 2026-")
    day = yard.clock.instant.replace(hour=0, minute=0, second=0, microsecond=0)
    told = await energy(yard.store, METER, Period.DAY, day, day + DAY, UTC)
    assert told["energy"] == [{"start": day.isoformat(), "wh": 295, "went_back": False, "swapped": True}]


async def test_a_charger_falls_to_the_safe_current_when_nobody_speaks(yard: Yard) -> None:
    rule = PollRule(interval_s=0.4, safe_current=Milliamp(6_000), safe_after_s=0.3)
    async with yard.gateway(rule):
        await until(lambda: yard.amtron.remote_a == 6)


async def test_the_skew_of_the_gateway_s_clock_is_told(yard: Yard) -> None:
    fast = StepClock(yard.clock.instant + timedelta(hours=1))
    async with yard.gateway(clock=fast):

        async def is_told() -> bool:
            told = await yard.told("gw-1", ValueName.CLOCK_SKEW)
            return bool(told) and abs(int(told[-1] or 0) - 3_600_000) < 5_000

        await eventually(is_told)


@pytest.mark.parametrize("off", [timedelta(hours=-1), timedelta(days=1), -timedelta(days=365 * 56)])
async def test_a_clock_that_is_off_loses_no_reading(yard: Yard, off: timedelta) -> None:
    async with yard.gateway(clock=StepClock(yard.clock.instant + off)) as outbox:
        await eventually(lambda: is_in(yard, 1_000))
        yard.has.energy_wh = 1_500
        await eventually(lambda: is_in(yard, 1_500))
        await eventually(lambda: is_empty(outbox))
    assert set(await yard.registers()) == {1_000, 1_500}


async def is_in(yard: Yard, energy: int) -> bool:
    return energy in await yard.told(METER, ValueName.TOTAL_ENERGY_CONSUMPTION)
