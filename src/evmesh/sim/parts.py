"""A car at a station from parts: what flows through contactor and pilot into it, and into the meter.

The parts are simulated each by itself; this is the wire between them. What a controller and a contactor let
through is given as `offered`, so neither has to know of the other.
"""

from collections.abc import Callable

from evmesh.domain.units import MIN_CURRENT, SECONDS_PER_HOUR, Milliamp
from evmesh.sim.car import Car
from evmesh.sim.modbus_devices import Quantities, RelayBoard, SmartEVSE3
from evmesh.sim.smartevse2 import ControllerV2


def through_v2(controller: ControllerV2, relay: RelayBoard, coil: int = 0) -> Callable[[], Milliamp]:
    """Give what a SmartEVSE v2 lets through behind a contactor: it offers all the time."""

    def offered() -> Milliamp:
        draws = controller.pilot in ("C", "D") and relay.coils[coil]
        least = min(controller.numbers["MAX"], controller.numbers["CABLE"])
        return Milliamp(1000 * least if draws else 0)

    return offered


def through_v3(controller: SmartEVSE3) -> Callable[[], Milliamp]:
    """Give what a SmartEVSE-3 lets through: nothing without access."""

    def offered() -> Milliamp:
        draws = controller.state in (2, 3) and controller.access == 1
        return Milliamp(100 * controller.current_da if draws else 0)

    return offered


class CarAtParts:
    """One outlet with its meter, and the car that may be there."""

    def __init__(self, meter: Quantities, offered: Callable[[], Milliamp], phases: int) -> None:
        self.car: Car | None = None
        self.register_ws = (meter.energy_wh or 0) * SECONDS_PER_HOUR
        self._meter = meter
        self._offered = offered
        self._phases = phases

    def advance(self, seconds: int) -> None:
        """Let so much time pass; the same watt-seconds go into the meter and the battery."""
        current = self._offered()
        power = 0
        if self.car is not None and current >= MIN_CURRENT:
            power = self.car.power_at(current, self._phases)
            energy_ws = min(power * seconds, self.car.room_ws)
            self.car.receive(energy_ws)
            self.register_ws += energy_ws
        self._meter.energy_wh = self.register_ws // SECONDS_PER_HOUR
        self._meter.power_w = power
        used = 0 if self.car is None else min(self.car.phases, self._phases)
        self._meter.currents_ma = [
            1000 * power // (230 * used) if used and phase < used else 0 for phase in range(3)
        ]
