"""A station that is built from parts, as its hardware: controller, meter, contactor and lamp on their lines.

Nobody in here knows who drives it. A driver's plug moves the pilot; what controller and contactor let
through flows into the car, and past the meter. What the meter shows is on the disk before it is shown, so
a register never goes back, whatever is killed. A contactor opens, and a SmartEVSE-3 gives no access, when
they start anew.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from datetime import timedelta
from typing import Final

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import Milliamp
from evmesh.ports import Clock
from evmesh.sim.car import Car
from evmesh.sim.config import SimParts, SimStation
from evmesh.sim.evse import STEP_S, EvseRecord
from evmesh.sim.led import SimLed
from evmesh.sim.lines import linked
from evmesh.sim.modbus_devices import EM340, SDM630, Quantities, RelayBoard, SmartEVSE3
from evmesh.sim.modbus_server import ModbusUnits, Registers, serve_serial
from evmesh.sim.parts import CarAtParts, through_v2, through_v3
from evmesh.sim.smartevse2 import ControllerV2, SerialEnd, serve_controller
from evmesh.sim.state import SimState

METERS: Final[Mapping[str, Callable[[Quantities], Registers]]] = {
    "eastron-sdm630": SDM630,
    "gavazzi-em340": EM340,
}
_SHOWN_EVERY_S: Final = 0.2
"""Wall seconds between two values of the meter's register while current flows."""

_ONE: Final = 1
_WAITS, _DRAWS, _NO_OFFER = 1, 2, 9
"""A SmartEVSE-3's numbers for a car that wants nothing, one that draws, and one that is offered nothing."""


class PartsStation:
    """One outlet, number 1. `run` serves its lines until cancelled."""

    def __init__(self, config: SimStation, parts: SimParts, state: SimState, clock: Clock) -> None:
        self.config = config
        self._parts = parts
        self._state = state
        self._clock = clock
        now = clock.now().replace(microsecond=0)
        self._record = state.load_evse(config.id, _ONE) or EvseRecord(at=now)
        self._record.at = max(self._record.at, now)  # nothing flowed meanwhile
        self._meter = Quantities(energy_wh=self._record.meter.register)
        self._relay = RelayBoard()
        self._lamp = SimLed(parts.lamp)
        self._pilot: _PilotV2 | _PilotV3
        units: dict[int, Registers] = {parts.meter_unit: METERS[parts.meter](self._meter)}
        if parts.contactor is not None:
            units[parts.contactor[0]] = self._relay
        if parts.controller == "smartevse-2":
            self._pilot = _PilotV2(self._relay, 0 if parts.contactor is None else parts.contactor[1])
        elif parts.controller == "smartevse-3":
            self._pilot = _PilotV3()
            units[parts.controller_unit] = self._pilot.controller
        else:
            raise InvalidInput("sim.bad_part", f"{parts.controller} is no controller", path="controller")
        self._bus = ModbusUnits(units)
        self._flowing = Milliamp(0)
        self._outlet = CarAtParts(self._meter, lambda: self._flowing, config.connectors[0].phases)
        self._outlet.car = self._record.car
        self._outlet.register_ws = self._record.meter.register_ws
        self._shown_at = 0.0

    async def run(self) -> None:
        """Serve the lines until cancelled."""
        with ExitStack() as lines:
            bus = lines.enter_context(serve_serial(self._bus))
            lines.enter_context(linked(self._parts.lines / "bus", bus))
            if isinstance(self._pilot, _PilotV2):
                self._pilot.line = lines.enter_context(serve_controller(self._pilot.controller))
                lines.enter_context(linked(self._parts.lines / "controller", self._pilot.line.path))
            await asyncio.Event().wait()

    def tick(self) -> None:
        """Let time pass; what the meter shows afterwards is on the disk."""
        now = asyncio.get_running_loop().time()
        if self._pilot.offered() != self._flowing or (
            self._flowing and now - self._shown_at >= _SHOWN_EVERY_S
        ):
            self._shown_at = now
            with self._state.commit():
                self._pass_time()
        self._pilot.follow(self._outlet.car)

    # The driver's hand.

    def plug(self, number: int, car: Car) -> None:
        """Put the plug in; raises ValueError where one is in already."""
        if self._outlet.car is not None:
            raise ValueError(f"{self.config.connectors[0].name} has a car already")
        with self._state.commit():
            self._outlet.car = car
            self._pass_time()
        self._pilot.connect()

    def unplug(self, number: int) -> Car:
        """Take the plug out; the car has what it had until now."""
        with self._state.commit():
            self._pass_time()
            car, self._outlet.car = self._outlet.car, None
            self._pass_time()
        self._pilot.follow(None)
        if car is None:
            raise ValueError(f"{self.config.connectors[0].name} has no car")
        return car

    def car_at(self, number: int) -> Car | None:
        """Give the car whose plug is in."""
        return self._outlet.car

    def is_running(self, number: int) -> bool:
        """Say whether current may flow: its lamp is blue then."""
        return self._pilot.is_on

    def _pass_time(self) -> None:
        """Let flow what has flowed until now, then what flows from now on; and write it down."""
        record, until = self._record, self._clock.now().replace(microsecond=0)
        if self._flowing == 0:
            record.at = max(record.at, until)
        while record.at < until:
            second = int(record.at.timestamp())
            step = min(STEP_S - second % STEP_S, int((until - record.at).total_seconds()))
            self._outlet.advance(step)
            record.at += timedelta(seconds=step)
        self._flowing = self._pilot.offered() if self._outlet.car is not None else Milliamp(0)
        self._outlet.advance(0)
        record.car, record.meter.register_ws = self._outlet.car, self._outlet.register_ws
        self._state.save_evse(self.config.id, _ONE, record)


class _PilotV2:
    """A SmartEVSE v2 before a contactor. It offers all the time, and says only what changes."""

    def __init__(self, relay: RelayBoard, coil: int) -> None:
        self.controller = ControllerV2()
        self.line: SerialEnd | None = None
        self._relay = relay
        self._coil = coil
        self.offered = through_v2(self.controller, relay, coil)

    @property
    def is_on(self) -> bool:
        return self._relay.coils[self._coil]

    def connect(self) -> None:
        """Move to the state of a car that has just been plugged in."""
        self._move("B")

    def follow(self, car: Car | None) -> None:
        """Move to what the car asks for: a current, while it has room for it."""
        self._move("A" if car is None else "C" if car.room_ws else "B")

    def _move(self, pilot: str) -> None:
        if self.line is not None and self.controller.pilot != pilot:
            self.line.change(pilot)


class _PilotV3:
    """A SmartEVSE-3, which can be asked."""

    def __init__(self) -> None:
        self.controller = SmartEVSE3()
        self.controller.access = 0
        self.offered = through_v3(self.controller)

    @property
    def is_on(self) -> bool:
        return self.controller.access == 1

    def connect(self) -> None:
        """Move to the state of a car that has just been plugged in."""
        self.controller.state = _WAITS if self.is_on else _NO_OFFER

    def follow(self, car: Car | None) -> None:
        """Move to what the car asks for, as far as anything is offered."""
        if car is None:
            self.controller.state = 0
        elif not self.is_on:
            self.controller.state = _NO_OFFER
        else:
            self.controller.state = _DRAWS if car.room_ws else _WAITS
