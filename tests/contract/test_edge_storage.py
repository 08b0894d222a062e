"""A SunSpec battery that takes a power, against a simulator that was written from the model's definition."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from evmesh.domain.errors import Refused
from evmesh.domain.telemetry import Command, CommandResult, ValueName
from evmesh.domain.units import W, Wh
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.poller import Poller, PollRule
from evmesh.edge.storage_device import StorageDevice as Driver
from evmesh.edge.template import LineRule, load_template
from evmesh.sim.modbus_server import ModbusUnits, serve_tcp
from evmesh.sim.sunspec_storage import StorageDevice
from tests.brokers import StepClock, running, until
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
POWER, SOC = ValueName.BATTERY_POWER, ValueName.STATE_OF_CHARGE
CAPACITY, MOST = Wh(10_000), W(5_000)


def half_full(most: W = MOST) -> StorageDevice:
    return StorageDevice(CAPACITY, most, 900, stored_ws=CAPACITY * 3_600 // 2)


@asynccontextmanager
async def driven(device: StorageDevice) -> AsyncIterator[Driver]:
    async with (
        serve_tcp(ModbusUnits({1: device})) as port,
        ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=10) as line,
    ):
        yield Driver(load_template("sunspec-storage"), line)


@pytest.mark.parametrize("power", [3_000, -3_000, 0])
async def test_a_battery_takes_the_power_that_it_is_told_and_says_so(power: int) -> None:
    device = half_full()
    async with driven(device) as driver:
        await driver.steer(W(power), 60)
        device.advance(10)
        assert await driver.read() == {POWER: power, SOC: 50}
        device.advance(3_600)
    assert device.stored_ws == pytest.approx(
        CAPACITY * 1_800 + (power if power > 0 else power / 0.9) * 3_610, abs=9_000
    )


async def test_a_large_battery_is_told_and_read_in_tens_of_watts() -> None:
    device = half_full(W(80_000))
    async with driven(device) as driver:
        await driver.steer(W(-64_000), 60)
        device.advance(1)
        assert (await driver.read())[POWER] == -64_000


async def test_a_battery_that_hears_nothing_more_goes_its_own_way() -> None:
    device = half_full()
    async with driven(device) as driver:
        await driver.steer(W(2_000), 30)
        device.advance(30)
        assert device.flows_in == 2_000
        device.advance(1)
        assert device.flows_in == 0


async def test_more_than_the_battery_can_is_refused_and_changes_nothing() -> None:
    device = half_full()
    async with driven(device) as driver:
        await driver.steer(W(1_000), 60)
        with pytest.raises(Refused, match=r"device\.limit_refused"):
            await driver.steer(W(5_001), 60)
        device.advance(1)
        assert device.flows_in == 1_000


async def test_a_command_holds_until_it_expires_and_the_gateway_lets_go_then() -> None:
    device, clock = half_full(), StepClock()

    async def put(_: object) -> None:
        pass

    def command(id: str, value: int, seconds: int) -> Command:
        return Command("cellar", POWER, id, clock.now() + timedelta(seconds=seconds), value)

    async with driven(device) as driver:
        poller = Poller("cellar", driver, PollRule(interval_s=0.1), clock, put)
        async with running(poller):
            assert await poller.obey(command("1", 1_500, 60)) == CommandResult("cellar", POWER, "1")
            device.advance(1)
            assert device.flows_in == 1_500
            late = await poller.obey(command("2", 4_000, -1))
            assert late.code == "command.expired"
            assert (await poller.obey(command("3", 9_000, 60))).code == "device.limit_refused"
            clock.instant += timedelta(minutes=10)

            def is_let_go() -> bool:
                device.advance(0)
                device.advance(1)
                return device.flows_in == 0

            await until(is_let_go)
