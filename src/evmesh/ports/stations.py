"""Stations: what services ask of them, and what they tell."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import (
    BootInfo,
    ConnectorStatus,
    LimitProfile,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
)
from evmesh.domain.units import W


class ChargePoint(Protocol):
    """What services ask of a station. Raises Unavailable `station.offline` where it is not connected."""

    def is_connected(self, station: StationId) -> bool: ...

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        """Ask for a transaction; False where the station rejects it."""

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        """Ask for the end; False where the station knows no such transaction."""

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        """Send the transaction's charging profile, replacing the one before; False where rejected."""

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        """Limit every transaction that has no profile of its own, for good; False where rejected."""


class ChargePointEvents(Protocol):
    """What stations tell the services. Each returns only once the fact is durable."""

    async def booted(self, station: StationId, info: BootInfo) -> bool:
        """Say whether this station belongs to us."""

    async def connected(self, station: StationId) -> None: ...

    async def disconnected(self, station: StationId) -> None: ...

    async def status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None: ...

    async def authorize(self, station: StationId, id_tag: str) -> bool: ...

    async def started(self, start: StartedTransaction) -> StartAnswer: ...

    async def metered(
        self, connector: ConnectorRef, transaction_id: int | None, samples: Sequence[MeterSample]
    ) -> None: ...

    async def stopped(self, stop: StoppedTransaction) -> None: ...
