"""Register devices, read by their templates from servers that were written from the datasheets."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

import pytest

from evmesh.domain.errors import ProtocolViolation, Refused, Unavailable
from evmesh.domain.telemetry import ValueName
from evmesh.domain.units import Milliamp
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.template import LineRule, load_template
from evmesh.sim.modbus_devices import B23, EM340, SDM630, Quantities, SmartEVSE3, SunSpecDevice
from evmesh.sim.modbus_server import ModbusUnits, Registers, Trouble, serve_serial, serve_tcp
from tests.contract.patient_loop import PatientLoop

LOOP = PatientLoop
ENERGY = ValueName.TOTAL_ENERGY_CONSUMPTION
POWER = ValueName.POWER_OUTPUT
CURRENT = ValueName.OUTPUT_CURRENT
LIMIT = ValueName.MAXIMUM_OUTPUT_CURRENT
STATE = ValueName.OPERATION_STATE
METERS: dict[str, Callable[[Quantities], Registers]] = {
    "eastron-sdm630": SDM630,
    "abb-b23": B23,
    "gavazzi-em340": EM340,
}
PATIENT_S = 10.0
"""For answers that come: how soon says nothing about the driver."""

FAST_S = 0.5
"""For those that do not come: see `hasty`."""


def measured() -> Quantities:
    return Quantities(energy_wh=12_345_600, power_w=7_360, currents_ma=[16_000, 15_990, 31_870])


@asynccontextmanager
async def opened(
    template: str, device: Registers, *, wire: str = "tcp", unit: int = 1
) -> AsyncIterator[tuple[RegisterDevice, ModbusUnits]]:
    units = ModbusUnits({unit: device})
    if wire == "tcp":
        async with (
            serve_tcp(units) as port,
            ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=PATIENT_S) as line,
        ):
            yield RegisterDevice(load_template(template), line, unit), units
    else:
        with serve_serial(units) as path:
            async with ModbusLine(LineAddress(serial=path), LineRule(), timeout_s=PATIENT_S) as line:
                yield RegisterDevice(load_template(template), line, unit), units


@contextmanager
def hasty(line: ModbusLine) -> Iterator[None]:
    """Give answers up soon for the block, in which none comes."""
    line._timeout_s = FAST_S
    yield
    line._timeout_s = PATIENT_S


@pytest.mark.parametrize("wire", ["tcp", "serial"])
@pytest.mark.parametrize("template", METERS)
async def test_a_meter_is_read_as_its_datasheet_says(template: str, wire: str) -> None:
    async with opened(template, METERS[template](measured()), wire=wire, unit=7) as (device, _):
        picture = await device.read()
    assert set(picture) == device.values
    assert picture[ENERGY] == 12_345_600
    assert picture[POWER] == 7_360
    assert picture[CURRENT] == 31_870


@pytest.mark.parametrize("template", METERS)
async def test_a_meter_that_feeds_back_has_a_negative_power(template: str) -> None:
    has = measured()
    has.power_w = -3_210
    async with opened(template, METERS[template](has)) as (device, _):
        assert (await device.read())[POWER] == -3_210


@pytest.mark.parametrize("template", ["eastron-sdm630", "abb-b23"])
async def test_what_a_meter_calls_undefined_is_not_known(template: str) -> None:
    has = measured()
    has.energy_wh = None
    has.power_w = None
    async with opened(template, METERS[template](has)) as (device, _):
        picture = await device.read()
    assert picture[ENERGY] is None
    assert picture[POWER] is None
    assert picture[CURRENT] == 31_870


@pytest.mark.parametrize("template", METERS)
async def test_a_register_that_went_back_is_not_told_until_it_is_past_where_it_was(template: str) -> None:
    has = measured()
    async with opened(template, METERS[template](has)) as (device, _):
        await device.read()
        has.energy_wh = 12_000_000
        assert (await device.read())[ENERGY] is None
        has.energy_wh = 12_345_700
        assert (await device.read())[ENERGY] == 12_345_700


async def test_a_power_that_no_such_meter_can_carry_is_not_known() -> None:
    has = measured()
    has.power_w = 9_000_000
    async with opened("eastron-sdm630", SDM630(has)) as (device, _):
        assert (await device.read())[POWER] is None


@pytest.mark.parametrize("wire", ["tcp", "serial"])
@pytest.mark.parametrize(
    "trouble", [Trouble.SILENT, Trouble.TRUNCATED, Trouble.OTHER_UNIT, Trouble.SHORT, Trouble.EXCEPTION]
)
async def test_no_trouble_on_the_line_becomes_a_number(trouble: Trouble, wire: str) -> None:
    async with opened("eastron-sdm630", SDM630(measured()), wire=wire) as (device, units):
        await device.read()
        units.trouble = trouble
        with hasty(device._line), pytest.raises((Unavailable, ProtocolViolation), match=r"device\."):
            await device.read()
        units.trouble = Trouble.NONE
        assert (await device.read())[POWER] == 7_360


async def test_a_false_checksum_is_no_answer() -> None:
    async with opened("abb-b23", B23(measured()), wire="serial") as (device, units):
        units.trouble = Trouble.CHECKSUM
        with hasty(device._line), pytest.raises(Unavailable, match=r"device\.away"):
            await device.read()
        units.trouble = Trouble.NONE
        assert (await device.read())[ENERGY] == 12_345_600


async def test_nobody_at_the_address_is_said() -> None:
    async with ModbusLine(LineAddress(host="127.0.0.1", port=1), LineRule(), timeout_s=FAST_S) as line:
        with pytest.raises(Unavailable, match=r"device\.away"):
            await RegisterDevice(load_template("abb-b23"), line).read()


async def test_values_that_lie_near_each_other_are_read_at_once() -> None:
    async with opened("eastron-sdm630", SDM630(measured())) as (device, units):
        await device.read()
        asked = units.asked  # the first time the serial number too
        await device.read()
        assert units.asked == asked + 2  # the currents, then power and energy


@pytest.mark.parametrize(("state", "word"), [(0, "idle"), (1, "idle"), (2, "charging"), (4, "unknown")])
async def test_a_controller_tells_its_state_and_what_it_offers(state: int, word: str) -> None:
    async with opened("smartevse-3", SmartEVSE3(state=state, current_da=165)) as (device, _):
        assert await device.read() == {STATE: word, LIMIT: 16_500}


async def test_a_limit_is_set_and_0_takes_the_access() -> None:
    charger = SmartEVSE3(state=2)
    async with opened("smartevse-3", charger) as (device, _):
        await device.limit(Milliamp(10_050))
        assert (charger.current_da, charger.access) == (100, 1)
        await device.limit(Milliamp(0))
        assert charger.access == 0
        await device.limit(Milliamp(50_000))
        assert (charger.current_da, charger.access) == (320, 1)


async def test_a_limit_that_the_device_does_not_take_is_said() -> None:
    async with opened("smartevse-3", SmartEVSE3(most_da=160)) as (device, _):
        with pytest.raises(ProtocolViolation, match=r"device\.exception"):
            await device.limit(Milliamp(20_000))


async def test_a_limit_that_does_not_stay_is_said() -> None:
    class Forgetful(SmartEVSE3):
        def write(self, address: int, words: list[int]) -> None:
            """Confirm, and keep what was."""

    async with opened("smartevse-3", Forgetful()) as (device, _):
        with pytest.raises(Refused, match=r"device\.limit_refused"):
            await device.limit(Milliamp(6_000))


async def test_the_current_of_a_meter_cannot_be_limited() -> None:
    async with opened("abb-b23", B23(measured())) as (device, _):
        with pytest.raises(Refused, match=r"device\.no_limit"):
            await device.limit(Milliamp(6_000))


@pytest.mark.parametrize(("exponent", "filler"), [(0, 0), (-1, 0), (1, 3)])
async def test_an_inverter_is_found_by_its_models_and_scaled_by_its_exponents(
    exponent: int, filler: int
) -> None:
    inverter = SunSpecDevice(power_w=3_210, energy_wh=8_765_432, exponent=exponent, filler=filler)
    async with opened("sunspec-inverter", inverter) as (device, _):
        assert await device.read() == {
            ValueName.GENERATED_POWER: 3_210,
            ValueName.GENERATED_ENERGY: 8_765_432,
        }
        assert (await device.identify()).serial == "S-0001"


async def test_an_inverter_that_does_not_know_its_power_says_nothing() -> None:
    async with opened("sunspec-inverter", SunSpecDevice(energy_wh=5)) as (device, _):
        assert (await device.read())[ValueName.GENERATED_POWER] is None


async def test_a_battery_tells_its_state_of_charge() -> None:
    async with opened("sunspec-battery", SunSpecDevice(soc_permille=635)) as (device, _):
        assert await device.read() == {ValueName.STATE_OF_CHARGE: 64}


async def test_a_device_that_is_no_sunspec_device_is_said() -> None:
    async with opened("sunspec-inverter", B23(measured())) as (device, _):
        with pytest.raises(ProtocolViolation, match=r"device\.exception"):
            await device.read()


async def swap(device: RegisterDevice, units: ModbusUnits, has: Quantities, serial: int | None) -> None:
    """Take the meter out, and put one in that has counted less."""
    units.trouble = Trouble.SILENT
    with hasty(device._line), pytest.raises(Unavailable):
        await device.read()
    units.trouble = Trouble.NONE
    has.energy_wh, has.serial = 70, serial


@pytest.mark.parametrize("template", ["eastron-sdm630", "abb-b23"])
async def test_a_meter_that_was_swapped_is_known_by_its_serial_number(template: str) -> None:
    has = measured()
    has.serial = 4_711
    async with opened(template, METERS[template](has)) as (device, units):
        assert (await device.read())[ENERGY] == 12_345_600
        assert device.meter_id == "serial 4711"
        assert (await device.identify()).serial == "4711"
        await swap(device, units, has, 4_712)
        assert (await device.read())[ENERGY] == 70
        assert device.meter_id == "serial 4712"
        has.energy_wh = 60
        assert (await device.read())[ENERGY] is None, "of the same meter it went back"


async def test_an_inverter_that_was_swapped_is_known_by_its_serial_number() -> None:
    inverter = SunSpecDevice(power_w=0, energy_wh=9_000, serial="A")
    async with opened("sunspec-inverter", inverter) as (device, _):
        assert (await device.read())[ValueName.GENERATED_ENERGY] == 9_000
        inverter.serial, inverter.energy_wh = "B", 12
        assert (await device.read())[ValueName.GENERATED_ENERGY] == 12
        assert device.meter_id == "serial B"


@pytest.mark.parametrize("serial", [None, 4_711])
async def test_a_register_that_went_back_is_withheld_until_a_person_says_that_the_meter_is_another(
    serial: int | None,
) -> None:
    has = measured()
    has.serial = serial
    async with opened("eastron-sdm630", SDM630(has)) as (device, units):
        await device.read()
        await swap(device, units, has, serial)
        assert (await device.read())[ENERGY] is None
        device.take_new_meter(datetime(2026, 6, 1, 8, tzinfo=UTC))
        assert device.meter_id == "another since 2026-06-01T08:00:00.000Z"
        assert (await device.read())[ENERGY] == 70
        has.energy_wh = 69
        assert (await device.read())[ENERGY] is None


async def test_a_meter_that_hangs_when_it_is_asked_for_its_serial_number_is_read_all_the_same() -> None:
    class Old(ModbusUnits):
        def answer(self, unit: int, pdu: bytes) -> bytes | None:
            return None if pdu[0] == 3 else super().answer(unit, pdu)

    async with (
        serve_tcp(Old({1: SDM630(measured())})) as port,
        ModbusLine(LineAddress(host="127.0.0.1", port=port), LineRule(), timeout_s=PATIENT_S) as line,
    ):
        device = RegisterDevice(load_template("eastron-sdm630"), line)
        for _ in range(3):
            with hasty(line), pytest.raises(Unavailable):
                await device.read()
        assert (await device.read())[ENERGY] == 12_345_600
