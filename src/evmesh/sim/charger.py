"""A Mennekes that stands for itself: its own people charge at it, and it tells whoever asks.

Visits say who comes and goes; nothing is asked or paid here. It charges with what is set at it.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from evmesh.domain.ids import StationId
from evmesh.domain.units import Milliamp
from evmesh.ports import Clock
from evmesh.sim.car import Car
from evmesh.sim.config import SimCharger
from evmesh.sim.evse import STEP_S, EvseRecord
from evmesh.sim.mhcp import Amtron, serve_amtron
from evmesh.sim.modbus_devices import Quantities
from evmesh.sim.parts import CarAtParts
from evmesh.sim.state import SimState
from evmesh.sim.visits import Visit, itinerary

_ONE: Final = 1
_PHASES: Final = 3
_LONGEST_STAY: Final = timedelta(weeks=1)
_SAVED_EVERY_S: Final = 1.0
"""Wall seconds: a power cut may cost the charger so much of what it says of a session."""


class Charger:
    """One charger with one outlet. `run` serves it until cancelled."""

    def __init__(self, config: SimCharger, visits: Sequence[Visit], state: SimState, clock: Clock) -> None:
        """`visits` are those to this charger."""
        self._config = config
        self._id = StationId(config.name)
        self._state = state
        self._clock = clock
        now = clock.now().replace(microsecond=0)
        self._record = state.load_evse(self._id, _ONE) or EvseRecord(at=now)
        self._record.at = max(self._record.at, now)  # nothing flowed meanwhile
        amperes = config.current // 1000
        self.amtron = Amtron(key=config.key, current_a=amperes, remote_a=amperes)
        self._inside = Quantities(energy_wh=self._record.meter.register)
        self._outlet = CarAtParts(self._inside, self._offered, _PHASES)
        self._outlet.car = self._record.car
        self._outlet.register_ws = self._record.meter.register_ws
        self._coming = itinerary(visits, now - _LONGEST_STAY)
        self._visit = next(self._coming, None)
        self._saved_at = 0.0

    async def run(self) -> None:
        """Serve it until cancelled."""
        async with serve_amtron(self.amtron, self._config.port):
            await asyncio.Event().wait()

    def tick(self) -> None:
        """Let time pass, and people come and go."""
        now = self._clock.now().replace(microsecond=0)
        had = self._outlet.car
        self._pass_time(now)
        visit = self._present(now)
        if visit is None:
            self._outlet.car = None
        elif self._outlet.car is None:
            self._outlet.car = Car.with_room(visit.driver, visit.need, visit.max_power, _PHASES)
        self._outlet.advance(0)
        self._show()
        wall = asyncio.get_running_loop().time()
        if self._outlet.car is not had or (had is not None and wall - self._saved_at >= _SAVED_EVERY_S):
            self._saved_at = wall
            self._record.car = self._outlet.car
            self._record.meter.register_ws = self._outlet.register_ws
            self._state.save_evse(self._id, _ONE, self._record)

    def _present(self, now: datetime) -> Visit | None:
        """Give the visit that goes on now."""
        while self._visit is not None and self._visit.departure.astimezone(UTC) <= now:
            self._visit = next(self._coming, None)
        if self._visit is None or now < self._visit.arrival.astimezone(UTC):
            return None
        return self._visit

    def _pass_time(self, until: datetime) -> None:
        while self._record.at < until:
            step = min(STEP_S, int((until - self._record.at).total_seconds()))
            self._outlet.advance(step)
            self._record.at += timedelta(seconds=step)

    def _offered(self) -> Milliamp:
        return Milliamp(1000 * min(self.amtron.current_a, self.amtron.remote_a))

    def _show(self) -> None:
        """Say it in the charger's words; the last session's energy stays until the next one begins."""
        car, amtron = self._outlet.car, self.amtron
        amtron.power_w = self._inside.power_w or 0
        if car is None:
            amtron.state = "Idle"
            return
        amtron.session_wh = car.received
        amtron.state = "Charging" if amtron.power_w else "Terminated" if not car.room_ws else "Paused"
