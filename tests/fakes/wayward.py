"""Stations that are slow, away, deaf or stubborn, and what a cabinet behind them may have to carry."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitProfile
from evmesh.domain.units import W

MODES = ("obeys", "rejects", "loses its answers", "hears nothing", "is slow", "is away")


@dataclass
class WaywardStations:
    """Implements the port `ChargePoint`; each station behaves in one of MODES."""

    rating: W
    watch: Callable[[], None] = lambda: None
    """Called whenever a station has taken a limit."""
    modes: dict[StationId, str] = field(default_factory=dict)
    running: set[ConnectorRef] = field(default_factory=set)
    profiles: dict[ConnectorRef, LimitProfile] = field(default_factory=dict)
    defaults: dict[ConnectorRef, W] = field(default_factory=dict)
    sent: list[tuple[ConnectorRef, LimitProfile | W]] = field(default_factory=list)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    def is_connected(self, station: StationId) -> bool:
        return self.modes.get(station) != "is away"

    def become(self, station: StationId, mode: str) -> None:
        """Behave otherwise from now on; what a slow station has not taken yet, it takes now."""
        self.modes[station] = mode
        self._woken.set()
        self._woken = asyncio.Event()

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        return await self._take(connector.station, lambda: None)

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        return await self._take(station, lambda: None)

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        self.sent.append((connector, profile))

        def take() -> None:
            if connector in self.running:
                self.profiles[connector] = profile

        return await self._take(connector.station, take)

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        self.sent.append((connector, limit))
        return await self._take(connector.station, lambda: self.defaults.update({connector: limit}))

    def limit_at(self, connector: ConnectorRef, at: datetime) -> W:
        """Give what a car at this connector may draw by what its station holds."""
        if connector not in self.running:
            return W(0)
        profile = self.profiles.get(connector)
        limit = profile.limit_at(at) if profile else None
        return limit if limit is not None else self.defaults.get(connector, self.rating)

    def most(self, start: datetime, minutes: int = 90) -> int:
        """Give the most that all of them may draw at once, in the time to come."""
        instants = [start + timedelta(seconds=30 * half) for half in range(2 * minutes)]
        return max(sum(self.limit_at(ref, at) for ref in self.running) for at in instants)

    async def _take(self, station: StationId, effect: Callable[[], None]) -> bool:
        while (mode := self.modes.get(station)) == "is slow":
            await self._woken.wait()
        if mode in ("is away", "hears nothing"):
            raise Unavailable("station.no_answer", f"{station} did not answer")
        if mode == "rejects":
            return False
        effect()
        self.watch()
        if mode == "loses its answers":
            raise Unavailable("station.no_answer", f"{station} did not answer")
        return True
