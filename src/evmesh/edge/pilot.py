"""The controller of a station's pilot line: what the car says, and the current that is offered to it.

Two of them: a SmartEVSE v2 on its serial command line, which tells of changes only and offers 10 A or more,
and a SmartEVSE-3 by Modbus, which can be asked, offers 6 A or more and can take its offer back.
"""

from enum import StrEnum
from typing import Final, Protocol

from evmesh.domain.units import MIN_CURRENT, Milliamp
from evmesh.edge.device import Identity
from evmesh.edge.modbus import ModbusLine
from evmesh.edge.register_device import RegisterDevice
from evmesh.edge.smartevse2 import LEAST_CURRENT, SmartEvse2
from evmesh.edge.template import load_template


class Pilot(StrEnum):
    """IEC 61851-1, table A.4."""

    NO_CAR = "A"
    CONNECTED = "B"
    CHARGING = "C"
    VENTILATED = "D"
    NO_POWER = "E"
    FAULT = "F"


WITH_CAR: Final = frozenset({Pilot.CONNECTED, Pilot.CHARGING, Pilot.VENTILATED})
WRONG: Final = frozenset({Pilot.NO_POWER, Pilot.FAULT})


class PilotController(Protocol):
    """A controller on its own line; raises as a device does."""

    least: Milliamp
    """The least current that it can offer."""
    can_pause: bool
    """Whether it can offer none; where it cannot, a contactor has to."""

    async def identify(self) -> Identity: ...

    async def pilot(self) -> Pilot | None:
        """Ask whether it is there; gives the pilot's state, None where that is not known."""

    async def offer(self, current: Milliamp) -> None:
        """Offer so much on each phase, `least` or more, or 0 where it can pause; confirmed on return."""


class SmartEvse2Pilot:
    """A SmartEVSE v2."""

    least = LEAST_CURRENT
    can_pause = False

    def __init__(self, device: SmartEvse2) -> None:
        self._device = device

    async def identify(self) -> Identity:
        """Give its version."""
        return await self._device.identify()

    async def pilot(self) -> Pilot | None:
        """Give the state that it told last on this connection."""
        await self._device.settings()
        told = self._device.pilot
        return None if told is None else Pilot(told)

    async def offer(self, current: Milliamp) -> None:
        """Set MAX, in whole amperes rounded down."""
        await self._device.limit(current)


_STATE: Final = 0x0000
_INPUT: Final = 4
_SMARTEVSE3: Final = {
    0: Pilot.NO_CAR,
    1: Pilot.CONNECTED,
    2: Pilot.CHARGING,
    3: Pilot.VENTILATED,
    9: Pilot.CONNECTED,  # B1: a car, and no offer
    10: Pilot.CONNECTED,  # C1: the car was told to stop, and has not let go yet
}
"""As its firmware numbers states; those between 3 and 9 are on the way from one to another."""


class SmartEvse3Pilot:
    """A SmartEVSE-3."""

    least = MIN_CURRENT
    can_pause = True

    def __init__(self, line: ModbusLine, unit: int | None = None) -> None:
        template = load_template("smartevse-3")
        self._line = line
        self._unit = template.line.unit if unit is None else unit
        self._device = RegisterDevice(template, line, self._unit)

    async def identify(self) -> Identity:
        """Give make and model."""
        return await self._device.identify()

    async def pilot(self) -> Pilot | None:
        """Read state and error bits; any error is a fault."""
        state, error = await self._line.read(self._unit, _INPUT, _STATE, 2)
        return Pilot.FAULT if error else _SMARTEVSE3.get(state)

    async def offer(self, current: Milliamp) -> None:
        """Set the current, or take access away for 0."""
        await self._device.limit(current)
