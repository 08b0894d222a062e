"""Reads one device again and again, says what has changed, and keeps its current within what was told.

A device that has not answered for one and a half intervals is unknown, and so are all its numbers: never
is a stale one told as if it were new. Where nobody has spoken for a while, or the time of what was said
is over, the current falls to the safe one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
from evmesh.edge.changes import DEAD_BANDS, Changes
from evmesh.edge.device import Device, LimitedDevice, MeteringDevice, Picture, SteeredDevice, Value
from evmesh.edge.steering import Steering
from evmesh.ports import Clock

_log = structlog.get_logger(__name__)
_ANSWERS_KEPT: Final = 100
METER_SWAPPED: Final = "MeterSwapped"
"""The command by which a person says that a device's meter is another one now."""


@dataclass(frozen=True, slots=True)
class PollRule:
    """How a device is polled, and what holds for it when nobody speaks. Seconds of wall time."""

    interval_s: float = 1.0
    safe_current: Milliamp = MIN_CURRENT
    safe_after_s: float = 300.0
    dead_bands: Mapping[ValueName, int] = field(default_factory=lambda: DEAD_BANDS)


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
        self._changes = Changes(name, rule.dead_bands)
        self._answers: dict[str, CommandResult] = {}
        self._told: Milliamp | None = None
        self._shown: Value = None
        self._spoken_at = 0.0
        self._safe_at = 0.0
        self._why_not_safe = ""
        self._is_away = False
        self._turn = asyncio.Lock()
        self._steering = Steering(name, device, clock) if isinstance(device, SteeredDevice) else None

    async def run(self) -> None:
        """Poll, and keep the device safe; each at its own beat, so that neither waits for the other."""
        self._spoken_at = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._at_each_beat(self._poll))
            if self._steering is not None:
                group.create_task(self._at_each_beat(self._let_go))
            elif isinstance(self._device, LimitedDevice):
                group.create_task(self._at_each_beat(self._keep_safe))

    async def _at_each_beat(self, work: Callable[[], Awaitable[None]]) -> None:
        """Work at a steady beat; what takes longer skips beats rather than piling up."""
        loop = asyncio.get_running_loop()
        beat = loop.time()
        while True:
            await work()
            beat = max(beat + self._rule.interval_s, loop.time())
            await asyncio.sleep(beat - loop.time())

    async def obey(self, command: Command, *, skew: timedelta = timedelta()) -> CommandResult:
        """Do what a command says, once: the same command again gets the same answer.

        `skew` is how far our clock is ahead of that of who commands, as far as that is known.
        """
        known = self._answers.get(command.id)
        if known is not None:
            return known
        try:
            await self._do(command, self._clock.now() - skew)
            result = CommandResult(self.name, command.what, command.id)
        except EvmeshError as error:
            result = CommandResult(self.name, command.what, command.id, error.code, error.what)
        self._answers[command.id] = result
        while len(self._answers) > _ANSWERS_KEPT:
            del self._answers[next(iter(self._answers))]
        return result

    async def _let_go(self) -> None:
        if self._steering is not None:
            async with self._turn:
                await self._steering.keep()

    async def _do(self, command: Command, now: datetime) -> None:
        if command.what == ValueName.BATTERY_POWER and self._steering is not None:
            async with self._turn:
                await self._steering.obey(command, now)
            return
        if command.what not in (ValueName.MAXIMUM_OUTPUT_CURRENT, METER_SWAPPED):
            raise Refused("command.unknown", f"{command.what} cannot be set")
        if command.expires_at <= now:
            raise Refused("command.expired", f"it was to be done by {command.expires_at:%H:%M:%S} UTC")
        if command.what == METER_SWAPPED:
            await self._take_new_meter()
            return
        if command.value < 0:
            raise Refused("command.bad_value", "a current is not negative")
        await self._limit(Milliamp(command.value))
        self._told = Milliamp(command.value)
        self._spoken_at = asyncio.get_running_loop().time()

    async def _take_new_meter(self) -> None:
        """Count from the new meter's register on; its word is on the disk before this is answered."""
        device = self._device
        if not isinstance(device, MeteringDevice):
            raise Refused("command.no_meter", f"{self.name} has no meter that could be swapped")
        async with self._turn:
            device.take_new_meter(self._clock.now())
            await self._tell({ValueName.METER_ID: device.meter_id})

    async def _limit(self, current: Milliamp) -> None:
        device = self._device
        if not isinstance(device, LimitedDevice):
            raise Refused("device.no_limit", f"the current of {self.name} cannot be limited")
        async with self._turn:
            await device.limit(current)

    async def _keep_safe(self) -> None:
        """Fall to the safe current where nobody has spoken for long; again until the device has it."""
        now = asyncio.get_running_loop().time()
        safe = self._rule.safe_current
        if now - self._spoken_at < self._rule.safe_after_s or self._is_safe(now):
            return
        try:
            await self._limit(safe)
        except EvmeshError as error:
            if error.describe() != self._why_not_safe:
                self._why_not_safe = error.describe()
                _log.warning("edge.not_safe", charger=self.name, why=self._why_not_safe)
            return
        self._told, self._safe_at, self._why_not_safe = safe, now, ""
        silent_s = round(now - self._spoken_at)
        _log.warning("edge.safe_current", charger=self.name, milliamp=safe, silent_s=silent_s)

    def _is_safe(self, now: float) -> bool:
        """Tell whether the device was told, and has not forgotten it since, as it does when it restarts."""
        safe = self._rule.safe_current
        has_more = isinstance(self._shown, int) and self._shown > safe
        return self._told == safe and not (has_more and now - self._safe_at >= self._rule.safe_after_s)

    async def _poll(self) -> None:
        """Read once, within half an interval, so that what hangs is known for it in time."""
        try:
            async with asyncio.timeout(self._rule.interval_s / 2), self._turn:
                picture = await self._device.read()
        except (EvmeshError, TimeoutError) as error:
            await self._away(error)
            return
        if self._is_away:
            _log.info("edge.back", charger=self.name)
        self._is_away = False
        self._shown = picture.get(ValueName.MAXIMUM_OUTPUT_CURRENT)
        known: dict[ValueName, Value] = {ValueName.AVAILABILITY: Availability.ONLINE, **picture}
        if isinstance(self._device, MeteringDevice) and self._device.meter_id:
            known[ValueName.METER_ID] = self._device.meter_id
        await self._tell(known)

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
