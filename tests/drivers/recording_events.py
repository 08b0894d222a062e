"""A `ChargePointEvents` that remembers what it was told, and can be away or slow."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import (
    BootInfo,
    ConnectorStatus,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
)


@dataclass
class RecordingEvents:
    """Keeps transactions by content, as the store does; `heard` is everything in order."""

    ours: bool = True
    funded: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)
    """Names of methods that raise Unavailable."""
    raises: dict[str, Exception] = field(default_factory=dict)
    gate: asyncio.Event | None = None
    """Where set, `started` waits for it before it returns."""
    heard: list[tuple[str, object]] = field(default_factory=list)
    transactions: dict[StartedTransaction, int] = field(default_factory=dict)
    stops: dict[int, StoppedTransaction] = field(default_factory=dict)
    samples: list[tuple[ConnectorRef, int | None, MeterSample]] = field(default_factory=list)

    def names(self) -> list[str]:
        return [name for name, _ in self.heard]

    def _hear(self, name: str, what: object) -> None:
        self.heard.append((name, what))
        if name in self.raises:
            raise self.raises[name]
        if name in self.away:
            raise Unavailable("store.away", "the database is away")

    async def booted(self, station: StationId, info: BootInfo) -> bool:
        self._hear("booted", info)
        return self.ours

    async def connected(self, station: StationId) -> None:
        self._hear("connected", station)

    async def disconnected(self, station: StationId) -> None:
        self._hear("disconnected", station)

    async def status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None:
        self._hear("status", (connector, status, error, at))

    async def authorize(self, station: StationId, id_tag: str) -> bool:
        self._hear("authorize", id_tag)
        return id_tag in self.funded

    async def started(self, start: StartedTransaction) -> StartAnswer:
        self._hear("started", start)
        if self.gate is not None:
            await self.gate.wait()
        number = self.transactions.setdefault(start, len(self.transactions) + 1)
        return StartAnswer(number, accepted=start.id_tag in self.funded)

    async def metered(
        self, connector: ConnectorRef, transaction_id: int | None, samples: Sequence[MeterSample]
    ) -> None:
        self._hear("metered", (connector, transaction_id, tuple(samples)))
        self.samples += [(connector, transaction_id, sample) for sample in samples]

    async def stopped(self, stop: StoppedTransaction) -> None:
        self._hear("stopped", stop)
        self.stops[stop.transaction_id] = stop
