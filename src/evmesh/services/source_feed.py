"""Follows what equipment beside the charge points says on the bus, and keeps its quarter-hours."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta

from evmesh.domain.equipment import MeteredStep
from evmesh.ports import Clock, TelemetryBus
from evmesh.services.sources import KEPT_FOR, Sources
from evmesh.services.transitions import Transitions

_BEAT = timedelta(seconds=10)
"""Platform time after which quarter-hours are looked at that have ended in silence."""


class SourceFeed:
    """Runs until cancelled."""

    name = "sources"

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        bus: TelemetryBus,
        sources: Sources,
        is_heard: Callable[[], bool],
    ) -> None:
        """`is_heard` tells whether the bus has a line at present: without one, no value is known any more."""
        self._transitions = transitions
        self._clock = clock
        self._bus = bus
        self._sources = sources
        self._is_heard = is_heard

    async def load(self) -> None:
        """Read the quarter-hours of the last days, and begin where another process may have ended."""
        self._sources.begin()
        async with self._transitions.read() as unit:
            self._sources.remember(await unit.steps(self._clock.now() - KEPT_FOR))

    async def run(self) -> None:
        """Follow the bus; do nothing where no group has any equipment."""
        if not self._sources.names:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            tasks.create_task(self._watch())

    async def _follow(self) -> None:
        async for value in self._bus.values():
            if value.charger in self._sources.names:
                await self._keep(self._sources.heard(value))
                self._transitions.tell()

    async def _watch(self) -> None:
        while True:
            await self._clock.sleep_until(self._clock.now() + _BEAT)
            await self._keep([*self._sources.line(is_up=self._is_heard()), *self._sources.pass_time()])

    async def _keep(self, steps: Sequence[MeteredStep]) -> None:
        if not steps:
            return
        self._sources.remember(steps)
        async with self._transitions.begin() as work:
            for one in steps:
                await work.unit.save_step(one)
