"""Lets current through to the car, or none: the pilot's offer and the contactor together."""

import asyncio
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.units import Milliamp
from evmesh.edge.contactor import Contactor
from evmesh.edge.pilot import PilotController

_log = structlog.get_logger(__name__)
AGAIN_AFTER_S: Final = 30.0
"""How often what should hold is written again: a controller that started anew has forgotten it."""


class CurrentGate:
    """The one writer of a station's current."""

    def __init__(self, controller: PilotController, contactor: Contactor | None) -> None:
        """Raises InvalidInput where nothing here can stop the current."""
        if contactor is None and not controller.can_pause:
            raise InvalidInput(
                "station.no_contactor",
                f"this controller always offers {controller.least} mA",
                do="put a contactor behind it",
                path="contactor",
            )
        self._controller = controller
        self._contactor = contactor
        self._applied: Milliamp | None = None
        self._applied_at = 0.0
        self.opened_at = 0.0
        """When a current was let through for the first time since there was none."""
        self.closed_at = 0.0
        """When the current was found off for the first time since it was on, by the loop's clock."""

    @property
    def applied(self) -> Milliamp | None:
        """What holds on each phase; None where that is not known."""
        return self._applied

    def distrust(self) -> None:
        """Write at the next `apply` what holds: a part was away, and may have started anew meanwhile."""
        self._applied_at = float("-inf")

    def possible(self, current: Milliamp) -> Milliamp:
        """Give what can be offered of a current: all of it, or none."""
        return current if current >= self._controller.least else Milliamp(0)

    async def apply(self, current: Milliamp) -> None:
        """Let at most so much through. Where less cannot be offered for sure, tries to let none through.

        Raises Unavailable, Refused or ProtocolViolation; `applied` says what holds then.
        """
        now = asyncio.get_running_loop().time()
        if current == self._applied and now - self._applied_at < AGAIN_AFTER_S:
            return
        if current == 0:
            await self._close()
        else:
            await self._offer(current)
        self._applied_at = now

    async def _offer(self, current: Milliamp) -> None:
        before = self._applied
        try:
            await self._controller.offer(current)
            if self._contactor is not None:
                await self._contactor.switch(True)
        except EvmeshError:
            if before is None or current < before:
                await self._close()
            raise
        if not before:
            self.opened_at = asyncio.get_running_loop().time()
        self._applied = current

    async def _close(self) -> None:
        """Take the offer back, which lets the car go first, and open the contactor; one of them is enough."""
        was_off = self._applied == 0
        failures: list[EvmeshError] = []
        tried = 0
        if self._controller.can_pause:
            tried += 1
            try:
                await self._controller.offer(Milliamp(0))
            except EvmeshError as error:
                failures.append(error)
        if self._contactor is not None:
            tried += 1
            try:
                await self._contactor.switch(False)
            except EvmeshError as error:
                failures.append(error)
        if len(failures) == tried:
            self._applied = None
            raise failures[0]
        for failure in failures:
            _log.warning("station.half_off", why=failure.describe())
        self._applied = Milliamp(0)
        if not was_off:
            self.closed_at = asyncio.get_running_loop().time()
