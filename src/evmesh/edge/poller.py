"""Reads one device again and again, says what has changed, and keeps its current within what was told.

A device that has not answered for one and a half intervals is unknown, and so are all its numbers: never
is a stale one told as if it were new. Where nobody has spoken for a while, or the time of what was said
is over, the current falls to the safe one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, Refused
from evmesh.domain.telemetry import (
    Availability,
    Command,
    CommandResult,
    OperationState,
    TelemetryValue,
    ValueName,
)
from evmesh.domain.units import MIN_CURRENT, Milliamp
from evmesh.edge.changes import Changes
from evmesh.edge.device import Device, LimitedDevice, Picture
from evmesh.ports import Clock

_log = structlog.get_logger(__name__)
_ANSWERS_KEPT: Final = 100


@dataclass(frozen=True, slots=True)
class PollRule:
    """How a device is polled, and what holds for it when nobody speaks. Seconds of wall time."""

    interval_s: float = 1.0
    safe_current: Milliamp = MIN_CURRENT
    safe_after_s: float = 300.0


class Poller:
    """One device of a gateway; runs until cancelled."""

    def __init__(
        self,
        name: str,
        device: Device,
        rule: PollRule,
        clock: Clock,
        put: Callable[[Sequence[TelemetryValue]], Awaitable[None]],
    ) -> None:
        """`put` keeps readings; durable when it returns."""
        self.name = name
        self._device = device
        self._rule = rule
        self._clock = clock
        self._put = put
        self._changes = Changes(name)
        self._answers: dict[str, CommandResult] = {}
        self._told: Milliamp | None = None
        self._spoken_at = 0.0
        self._is_away = False
        self._turn = asyncio.Lock()

    async def run(self) -> None:
        """Poll at a steady beat; what takes longer skips beats rather than piling up."""
        loop = asyncio.get_running_loop()
        self._spoken_at = loop.time()
        beat = loop.time()
        while True:
            await self._poll()
            await self._keep_safe()
            beat = max(beat + self._rule.interval_s, loop.time())
            await asyncio.sleep(beat - loop.time())

    async def obey(self, command: Command) -> CommandResult:
        """Do what a command says, once: the same command again gets the same answer."""
        known = self._answers.get(command.id)
        if known is not None:
            return known
        try:
            await self._do(command)
            result = CommandResult(self.name, command.what, command.id)
        except EvmeshError as error:
            result = CommandResult(self.name, command.what, command.id, error.code, error.what)
        self._answers[command.id] = result
        while len(self._answers) > _ANSWERS_KEPT:
            del self._answers[next(iter(self._answers))]
        return result

    async def _do(self, command: Command) -> None:
        if command.what != ValueName.MAXIMUM_OUTPUT_CURRENT:
            raise Refused("command.unknown", f"{command.what} cannot be set")
        if command.expires_at <= self._clock.now():
            raise Refused("command.expired", f"it was to be done by {command.expires_at:%H:%M:%S} UTC")
        if command.value < 0:
            raise Refused("command.bad_value", "a current is not negative")
        await self._limit(Milliamp(command.value))
        self._told = Milliamp(command.value)
        self._spoken_at = asyncio.get_running_loop().time()

    async def _limit(self, current: Milliamp) -> None:
        device = self._device
        if not isinstance(device, LimitedDevice):
            raise Refused("device.no_limit", f"the current of {self.name} cannot be limited")
        async with self._turn:
            await device.limit(current)

    async def _keep_safe(self) -> None:
        """Fall to the safe current where nobody has spoken for long; again until the device has it."""
        silent = asyncio.get_running_loop().time() - self._spoken_at
        safe = self._rule.safe_current
        if (
            not isinstance(self._device, LimitedDevice)
            or silent < self._rule.safe_after_s
            or self._told == safe
        ):
            return
        try:
            await self._limit(safe)
        except EvmeshError as error:
            _log.warning("edge.not_safe", charger=self.name, why=error.describe())
            return
        self._told = safe
        _log.warning("edge.safe_current", charger=self.name, milliamp=safe, silent_s=round(silent))

    async def _poll(self) -> None:
        """Read once, within half an interval, so that what hangs is known for it in time."""
        try:
            async with self._turn, asyncio.timeout(self._rule.interval_s / 2):
                picture = await self._device.read()
        except (EvmeshError, TimeoutError) as error:
            await self._away(error)
            return
        if self._is_away:
            _log.info("edge.back", charger=self.name)
        self._is_away = False
        await self._tell({ValueName.AVAILABILITY: Availability.ONLINE, **picture})

    async def _away(self, error: Exception) -> None:
        if not self._is_away:
            why = error.describe() if isinstance(error, EvmeshError) else "no answer in time"
            _log.warning("edge.away", charger=self.name, why=why)
        self._is_away = True
        unknown: dict[ValueName, int | str | None] = dict.fromkeys(self._device.values)
        if ValueName.OPERATION_STATE in unknown:
            unknown[ValueName.OPERATION_STATE] = OperationState.UNKNOWN
        await self._tell({ValueName.AVAILABILITY: Availability.OFFLINE, **unknown})

    async def _tell(self, picture: Picture) -> None:
        at: datetime = self._clock.now()
        changed = self._changes.of(picture, at)
        if changed:
            await self._put(changed)
