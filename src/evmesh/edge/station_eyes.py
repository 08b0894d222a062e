"""Looks at the parts of a station: what each says now, and what has been wrong for too long."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

from evmesh.domain.errors import EvmeshError
from evmesh.domain.telemetry import ValueName
from evmesh.domain.units import W, Wh
from evmesh.edge.contactor import Contactor
from evmesh.edge.device import MeteringDevice
from evmesh.edge.led import Lamp
from evmesh.edge.pilot import WRONG, Pilot, PilotController
from evmesh.edge.station_record import Charge
from evmesh.edge.station_view import FLOWS, Seen

T = TypeVar("T")
_log = structlog.get_logger(__name__)
_PARTS: Final = ("controller", "meter", "switch", "contact")
"""A contact is well while nothing flows that was switched off."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What a station is made of. `contactor` may be None where the controller can pause."""

    controller: PilotController
    meter: MeteringDevice
    contactor: Contactor | None = None
    lamp: Lamp | None = None


class StationEyes:
    """What was seen, and since when it was not. Times are the loop's."""

    def __init__(self, parts: Parts, patience_s: float) -> None:
        self._parts = parts
        self._patience_s = patience_s
        self._well_at: dict[str, float] = {}
        self._away: set[str] = set()
        self._charge = 0
        self._last = Wh(0)

    @property
    def sees_all(self) -> bool:
        """Tell whether controller and meter answered when they were asked last."""
        return not self._away & {"controller", "meter"}

    def open(self) -> None:
        """Begin to look: nothing has been away yet."""
        self._well_at = dict.fromkeys(_PARTS, asyncio.get_running_loop().time())

    def last_of(self, charge: Charge) -> Wh:
        """Give the highest register that was seen in a charge."""
        return max(charge.last, self._last) if charge.local == self._charge else charge.last

    async def look(self, charge: Charge | None, *, is_off: bool) -> Seen:
        """Ask the parts. A register lower than one before in the same charge is not known, nor is another's.

        `is_off` tells that the current was switched off before: what flows all the same comes by a contact
        that is welded, or a controller that does not do what it says.
        """
        was_away = "controller" in self._away
        picture = await self._ask("meter", self._parts.meter.read()) or {}
        meter = self._parts.meter.meter_id
        pilot = await self._ask("controller", self._parts.controller.pilot())
        register, power = picture.get(ValueName.TOTAL_ENERGY_CONSUMPTION), picture.get(ValueName.POWER_OUTPUT)
        sure = Wh(register) if isinstance(register, int) else None
        is_other = charge is not None and self._is_other(charge)
        if sure is not None and is_other:
            self._well("meter")  # it speaks, though not of this charge
            sure = None
        elif sure is not None and charge is not None:
            if sure < self.last_of(charge):
                _log.warning("station.register_went_back", register=register, last=self.last_of(charge))
                sure = None
            else:
                self._charge, self._last = charge.local, sure
        if sure is not None:
            self._well("meter")
        if not (is_off and isinstance(power, int) and power >= FLOWS):
            self._well("contact")
        is_back = was_away and "controller" not in self._away
        return Seen(
            pilot,
            sure,
            W(power) if isinstance(power, int) else None,
            self._trouble(pilot),
            is_back=is_back,
            meter=meter,
            is_other_meter=is_other,
        )

    def _is_other(self, charge: Charge) -> bool:
        """Tell whether the meter is not the one that a charge began with."""
        meter = self._parts.meter.meter_id
        return charge.is_meter_gone or bool(charge.meter and meter and meter != charge.meter)

    def switched(self, why_not: str) -> None:
        """Note whether the current could be set; `why_not` is empty where it could."""
        if not why_not:
            self._well("switch")
        elif "switch" not in self._away:
            self._away.add("switch")
            _log.error("station.cannot_switch", why=why_not)

    async def _ask(self, part: str, question: Awaitable[T]) -> T | None:
        try:
            answer = await question
        except EvmeshError as error:
            if part not in self._away:
                _log.warning("station.part_away", part=part, why=error.describe())
            self._away.add(part)
            return None
        if part != "meter":  # a meter is well when its register is
            self._well(part)
        return answer

    def _well(self, part: str) -> None:
        self._away.discard(part)
        self._well_at[part] = asyncio.get_running_loop().time()

    def _trouble(self, pilot: Pilot | None) -> str:
        if pilot in WRONG:
            return f"OtherError the pilot is in state {pilot}"
        latest = asyncio.get_running_loop().time() - self._patience_s
        if self._well_at["switch"] < latest:
            return "PowerSwitchFailure the current cannot be switched"
        if self._well_at["contact"] < latest:
            return "PowerSwitchFailure current flows though it is switched off"
        if self._well_at["meter"] < latest:
            return "PowerMeterFailure the meter does not say its register"
        if self._well_at["controller"] < latest:
            return "InternalError the controller does not answer"
        return ""
