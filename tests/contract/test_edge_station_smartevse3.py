"""A station from parts with a SmartEVSE-3: it can be asked, pauses by itself, and offers 6 A."""

from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.stations import BootInfo
from evmesh.domain.units import W, Wh
from evmesh.edge.modbus import LineAddress, ModbusLine
from evmesh.edge.parts_config import PartAt, PartsConfig
from evmesh.edge.pilot import Pilot, SmartEvse2Pilot, SmartEvse3Pilot
from evmesh.edge.smartevse2 import SmartEvse2
from evmesh.edge.station import StationFromParts
from evmesh.edge.station_gate import CurrentGate
from evmesh.edge.station_parts import open_parts
from evmesh.edge.station_store import StationStore
from evmesh.edge.template import load_template
from evmesh.sim.car import Car
from evmesh.sim.modbus_devices import SDM630, Quantities, SmartEVSE3
from evmesh.sim.modbus_server import ModbusUnits, serve_serial
from evmesh.sim.parts import CarAtParts, through_v3
from tests.brokers import running
from tests.contract.patient_loop import PatientLoop
from tests.drivers.clocks import HandClock
from tests.drivers.recording_events import RecordingEvents
from tests.drivers.station_bench import REF, STATION, TAG, config, until

LOOP = PatientLoop


async def test_a_car_charges_by_what_is_offered_and_pays_what_the_meter_counted(tmp_path: Path) -> None:
    meter, controller = Quantities(energy_wh=1_000, power_w=0), SmartEVSE3()
    outlet = CarAtParts(meter, through_v3(controller), 3)
    units = ModbusUnits({1: SDM630(meter), 2: controller})
    events, clock = RecordingEvents(funded={TAG}), HandClock()
    with serve_serial(units) as path:  # both on one line, as they would be wired
        made_of = PartsConfig(PartAt("smartevse-3", path, 2), PartAt("eastron-sdm630", path, 1))
        async with open_parts(made_of) as parts, StationStore(tmp_path / "station.db") as store:
            one = StationFromParts(config(), BootInfo("e", "p", "1", ""), parts, store, events, clock)
            async with running(one):
                await until(lambda: one.is_connected(STATION) and controller.access == 0, "paused")
                assert await one.remote_start(REF, TAG)
                outlet.car = Car.with_room("driver", Wh(30_000), W(11_000), phases=3)
                controller.state = 1
                await until(lambda: controller.access == 1, "an offer")
                assert controller.current_da == 60  # the safe current
                controller.state = 2
                outlet.advance(3_600)
                assert meter.energy_wh == 1_000 + 3 * 230 * 6
                clock.move(timedelta(minutes=1))
                await until(lambda: bool(events.samples), "a sample")
                assert await one.remote_stop(STATION, 1)
                await until(lambda: controller.access == 0, "paused again")
                outlet.advance(60)
                await until(lambda: 1 in events.stops, "the end")
                assert events.stops[1].meter_stop == meter.energy_wh == 5_140


@pytest.mark.parametrize(
    ("state", "error", "pilot"),
    [(0, 0, Pilot.NO_CAR), (9, 0, Pilot.CONNECTED), (10, 0, Pilot.CONNECTED), (2, 0, Pilot.CHARGING),
     (6, 0, None), (77, 0, None), (2, 8, Pilot.FAULT)],
)  # fmt: skip
async def test_its_state_is_read_and_one_that_says_nothing_is_not_known(
    state: int, error: int, pilot: Pilot | None
) -> None:
    controller = SmartEVSE3(state=state)
    controller.error = error
    with serve_serial(ModbusUnits({2: controller})) as path:
        async with ModbusLine(LineAddress(serial=path), load_template("smartevse-3").line) as line:
            assert await SmartEvse3Pilot(line, 2).pilot() is pilot


def test_a_controller_that_always_offers_needs_a_contactor() -> None:
    with pytest.raises(InvalidInput, match=r"station\.no_contactor"):
        CurrentGate(SmartEvse2Pilot(SmartEvse2("/dev/none")), None)


@pytest.mark.parametrize(
    ("controller", "meter", "path"),
    [("eastron-sdm630", "abb-b23", "controller"), ("smartevse-2", "smartevse-3", "meter")],
)
async def test_a_part_that_is_none_of_its_kind_is_said(controller: str, meter: str, path: str) -> None:
    made_of = PartsConfig(PartAt(controller, "/dev/none"), PartAt(meter, "/dev/none"))
    with pytest.raises(InvalidInput, match=r"station\.bad_part") as caught:
        async with open_parts(made_of):
            pass
    assert caught.value.path == f"{path}.driver"
