"""What stands beside the charge points, on Modbus over TCP: a roof with PV, a hall's meter, a battery."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.ids import StationId
from evmesh.domain.units import SECONDS_PER_HOUR, W
from evmesh.ports import Clock
from evmesh.sim.config import SimEquipment
from evmesh.sim.evse import STEP_S, EvseRecord
from evmesh.sim.modbus_devices import SDM630, Quantities, SunSpecDevice
from evmesh.sim.modbus_server import ModbusUnits, Registers, serve_tcp
from evmesh.sim.state import SimState
from evmesh.sim.sunspec_storage import StorageDevice
from evmesh.sim.weather import hall_power, sunlight

_ONE: Final = 1
_MOST_I16: Final = 0x8000
_SAVED_EVERY_S: Final = 5.0
"""Wall seconds: a power cut may cost a register so much."""

_ONE_W_MA: Final = 4
"""At 230 V, rounded down."""


class EquipmentUnit:
    """One device. `run` serves it until cancelled; `tick` lets time pass."""

    def __init__(self, config: SimEquipment, state: SimState, clock: Clock) -> None:
        self._config = config
        self._id = StationId(config.name)
        self._state = state
        self._clock = clock
        now = clock.now().replace(microsecond=0)
        self._record = state.load_evse(self._id, _ONE) or EvseRecord(at=now)
        self._record.at = max(self._record.at, now)  # nothing flowed meanwhile
        kinds: dict[str, Callable[[], tuple[Registers, Callable[[datetime, int], None]]]] = {
            "pv": self._roof,
            "load": self._hall,
            "battery": self._battery,
        }
        self.device, self._advance = kinds[config.kind]()
        self._advance(now, 0)
        self._saved_at = 0.0

    async def run(self) -> None:
        """Serve it until cancelled."""
        async with serve_tcp(ModbusUnits({1: self.device}), self._config.port):
            await asyncio.Event().wait()

    def tick(self) -> None:
        """Let time pass."""
        now = self._clock.now().replace(microsecond=0)
        while self._record.at < now:
            step = min(STEP_S, int((now - self._record.at).total_seconds()))
            self._record.at += timedelta(seconds=step)
            self._advance(self._record.at, step)
        wall = asyncio.get_running_loop().time()
        if wall - self._saved_at >= _SAVED_EVERY_S:
            self._saved_at = wall
            self._state.save_evse(self._id, _ONE, self._record)

    def _roof(self) -> tuple[Registers, Callable[[datetime, int], None]]:
        config, meter = self._config, self._record.meter
        exponent = 0 if config.most < _MOST_I16 else 1
        device = SunSpecDevice(power_w=0, energy_wh=int(meter.register), exponent=exponent)

        def advance(at: datetime, seconds: int) -> None:
            light = sunlight(at, config.latitude_udeg, config.longitude_udeg, config.name)
            device.power_w = int(config.most * light)
            meter.count(device.power_w * seconds)
            device.energy_wh = int(meter.register)

        return device, advance

    def _hall(self) -> tuple[Registers, Callable[[datetime, int], None]]:
        config, meter = self._config, self._record.meter
        has = Quantities(energy_wh=int(meter.register))

        def advance(at: datetime, seconds: int) -> None:
            has.power_w = power = hall_power(at, config.most, config.longitude_udeg, config.name)
            has.currents_ma = [power * _ONE_W_MA // 3] * 3
            meter.count(power * seconds)
            has.energy_wh = int(meter.register)

        return SDM630(has), advance

    def _battery(self) -> tuple[Registers, Callable[[datetime, int], None]]:
        config, record = self._config, self._record
        if not record.meter.register_ws:
            record.meter.register_ws = config.capacity * SECONDS_PER_HOUR * 3 // 10
        device = StorageDevice(
            config.capacity, W(config.most), config.efficiency, stored_ws=record.meter.register_ws
        )

        def advance(at: datetime, seconds: int) -> None:
            device.advance(seconds)
            record.meter.register_ws = device.stored_ws

        return device, advance
