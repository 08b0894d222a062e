"""Who is connected: one seat for each station, and one connection in it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from evmesh.csms import metrics
from evmesh.csms.connection import StationConnection
from evmesh.domain.ids import StationId


@dataclass(slots=True)
class _Seat:
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    newest: StationConnection | None = None
    """The connection that has the seat or, where one is still leaving, waits for it."""
    live: StationConnection | None = None
    claims: int = 0


class Seats:
    """Gives each station's newest connection the seat, once the one before has wholly left.

    So the services hear `disconnected` of the old one before `connected` of the new, always.
    """

    def __init__(self) -> None:
        self._seats: dict[StationId, _Seat] = {}

    def live(self, station: StationId) -> StationConnection | None:
        """Give the connection that serves this station now."""
        seat = self._seats.get(station)
        return seat.live if seat else None

    @asynccontextmanager
    async def take(self, connection: StationConnection) -> AsyncIterator[None]:
        """Hold the station's seat for the block; the one who had it is told to leave."""
        station = connection.peer.station
        seat = self._seats.setdefault(station, _Seat())
        seat.claims += 1
        if seat.newest is not None:
            seat.newest.replace()
        seat.newest = connection
        try:
            async with seat.turn:
                seat.live = connection
                metrics.STATIONS.inc()
                try:
                    yield
                finally:
                    seat.live = None
                    metrics.STATIONS.dec()
        finally:
            seat.claims -= 1
            if seat.newest is connection:
                seat.newest = None
            if not seat.claims:
                del self._seats[station]
