"""From registers of PV, meter and battery to the plan and back: gateway, broker, bus, planner, command."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.equipment import Equipment, LoadMeter, Pv, StationaryBattery
from evmesh.domain.errors import Unavailable
from evmesh.domain.money import Price
from evmesh.domain.telemetry import Command, TelemetryValue, ValueName
from evmesh.domain.units import W, Wh
from evmesh.edge.device import Device
from evmesh.edge.gateway import Gateway
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.outbox import Outbox
from evmesh.edge.poller import Poller, PollRule
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.storage_device import StorageDevice as Battery
from evmesh.edge.template import LineRule, load_template
from evmesh.services.directory import Group
from evmesh.services.plan_in_force import step_start
from evmesh.services.source_feed import SourceFeed
from evmesh.sim.modbus_devices import SDM630, Quantities, SunSpecDevice
from evmesh.sim.modbus_server import ModbusUnits, serve_tcp
from evmesh.sim.sunspec_storage import StorageDevice
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.commands import MqttCommands
from evmesh.telemetry.topics import new_boot
from evmesh.telemetry.uplink import MqttUplink
from evmesh.verify.answer import verify_answer
from tests.brokers import Broker, running, running_broker, until
from tests.contract.patient_loop import PatientLoop
from tests.fakes.world import Driver, World, open_world, place

LOOP = PatientLoop
ROOF, HALL, CELLAR = "roof", "hall", "cellar"
TARIFF, FEED_IN = 300_000, Price(50_000)
STEP = timedelta(minutes=15)


@dataclass
class Site:
    """The devices' own insides, and what the platform knows of them."""

    broker: Broker
    world: World
    bus: MqttBus
    commands: MqttCommands
    roof: SunSpecDevice
    hall: Quantities
    cellar: StorageDevice
    group: Group

    def pv(self) -> W | None:
        return self.world.sources.seen(self.group).pv

    async def cost_of_plan(self) -> int:
        async with self.world.transitions.read() as unit:
            plan, _ = await self.world.planner.replan(unit, self.group, self.world.clock.now())
        assert verify_answer(plan.stored.problem, plan.stored.schedule).ok
        return plan.schedule.objective


def group_of() -> Group:
    equipment = Equipment(
        Pv(ROOF, W(20_000), FEED_IN),
        LoadMeter(HALL, W(4_000)),
        StationaryBattery(CELLAR, Wh(10_000), W(4_000), W(4_000), 900),
    )
    places = tuple(place(number, "yard") for number in range(1, 3))
    return Group("yard", W(20_000), places, other=W(4_000), equipment=equipment)


@asynccontextmanager
async def gateway(broker: Broker, site: Site, directory: Path) -> AsyncIterator[None]:
    """Run a gateway beside the three devices."""
    boot, clock = new_boot("gw-1"), site.world.clock
    async with AsyncExitStack() as stack:
        units = ModbusUnits({1: site.roof, 2: SDM630(site.hall), 3: site.cellar})
        port = await stack.enter_async_context(serve_tcp(units))
        address = LineAddress(host="127.0.0.1", port=port)
        line = await stack.enter_async_context(ModbusLine(address, LineRule(), timeout_s=0.5))
        outbox = await stack.enter_async_context(Outbox(directory / "outbox.db", boot))
        devices: dict[str, Device] = {
            ROOF: RegisterDevice(load_template("sunspec-inverter"), line, 1),
            HALL: RegisterDevice(load_template("eastron-sdm630"), line, 2),
            CELLAR: Battery(load_template("sunspec-storage"), line, 3),
        }

        async def put(values: Sequence[TelemetryValue]) -> None:
            await made.put(values)

        rule = PollRule(interval_s=0.5, safe_after_s=1_000)
        pollers = [Poller(name, device, rule, clock, put) for name, device in devices.items()]
        uplink = MqttUplink(broker.config, "gw-1", boot, clock)
        made = Gateway("gw-1", pollers, outbox, uplink, clock, longest_delay_s=0.2, again_after_s=0.5)
        async with running(made):
            yield


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with (
        running_broker("mosquitto", tmp_path) as broker,
        open_world(tmp_path, price_at=lambda _: TARIFF, wired=group_of()) as world,
    ):
        bus, commands = MqttBus(broker.config, world.clock), MqttCommands(broker.config, answer_within_s=60)
        made = Site(
            broker=broker,
            world=world,
            bus=bus,
            commands=commands,
            roof=SunSpecDevice(power_w=0, energy_wh=0, exponent=0),
            hall=Quantities(energy_wh=1_000, power_w=1_000),
            cellar=StorageDevice(Wh(10_000), W(4_000), 900),
            group=world.directory.groups["yard"],
        )
        feed = SourceFeed(world.transitions, world.clock, bus, world.sources, lambda: bus.connected)
        async with running(bus, feed, commands):
            await until(lambda: bus.connected and commands.connected)
            yield made


async def test_pv_on_a_modbus_line_makes_the_plan_cheaper_and_a_cut_line_makes_it_dear_again(
    site: Site, tmp_path: Path
) -> None:
    world = site.world
    await world.charging(Driver(), world.places[0], 8_000)
    async with gateway(site.broker, site, tmp_path):
        await until(lambda: site.world.sources.seen(site.group).other == 1_000)
        dark = await site.cost_of_plan()
        assert dark == 8_000 * TARIFF
        site.roof.power_w = 9_000
        await until(lambda: site.pv() == 9_000)
        sunny = await site.cost_of_plan()
        assert sunny < dark
        site.hall.power_w = 8_900  # the hall takes all of it
        await until(lambda: world.sources.seen(site.group).other == 8_900)
        world.clock.move(timedelta(minutes=6))
        assert await site.cost_of_plan() > sunny
        site.hall.power_w = 0
        await until(lambda: world.sources.seen(site.group).other == 0)
    await until(lambda: site.pv() is None)  # the gateway said goodbye
    assert await site.cost_of_plan() == dark


async def test_a_battery_is_told_over_the_broker_and_does_it(site: Site, tmp_path: Path) -> None:
    now = site.world.clock.now()
    command = Command(CELLAR, ValueName.BATTERY_POWER, "one", now + timedelta(minutes=3), 2_500)
    async with gateway(site.broker, site, tmp_path):
        await until(lambda: site.world.sources.seen(site.group).soc_percent == 0)
        result = await site.commands.send(command)
        assert (result.id, result.code) == ("one", "")
        site.cellar.advance(10)
        assert site.cellar.flows_in == 2_500
        await until(lambda: site.world.sources.seen(site.group).battery == 2_500)
        late = Command(CELLAR, ValueName.BATTERY_POWER, "two", now - timedelta(minutes=1), 100)
        assert (await site.commands.send(late)).code == "command.expired"
        current = Command(HALL, ValueName.BATTERY_POWER, "three", now + timedelta(minutes=3), 100)
        assert (await site.commands.send(current)).code == "command.unknown"


async def test_where_no_gateway_answers_it_is_said(site: Site) -> None:
    commands = MqttCommands(site.broker.config, answer_within_s=0.3)
    command = Command(CELLAR, ValueName.BATTERY_POWER, "one", site.world.clock.now() + STEP, 0)
    async with running(commands):
        await until(lambda: commands.connected)
        with pytest.raises(Unavailable, match=r"edge\.no_answer"):
            await commands.send(command)


async def test_while_the_broker_is_away_nothing_is_known_and_afterwards_all_is_again(
    site: Site, tmp_path: Path
) -> None:
    site.roof.power_w = 7_000
    async with gateway(site.broker, site, tmp_path):
        await until(lambda: site.pv() == 7_000)
        site.broker.kill()

        def is_dark() -> bool:
            site.world.clock.move(timedelta(seconds=11))  # the feed looks every ten seconds
            return site.pv() is None

        await until(is_dark)
        with pytest.raises(Unavailable):
            await site.commands.send(
                Command(CELLAR, ValueName.BATTERY_POWER, "x", step_start(site.world.clock.now()) + STEP, 0)
            )
        await site.broker.start()

        def is_light() -> bool:
            site.world.clock.move(timedelta(seconds=11))
            return site.pv() == 7_000

        await until(is_light)
