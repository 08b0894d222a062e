"""Values and packets on the way, and the time series."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from evmesh.domain.telemetry import TelemetryValue


class TelemetryBus(Protocol):
    """Values out, retained, at least once; values of everybody in."""

    async def publish(self, value: TelemetryValue) -> None:
        """Queue for publishing when it differs from the last; bounded, and drops the oldest of a topic."""

    def values(self) -> AsyncIterator[TelemetryValue]:
        """Follow every charger's values, retained ones first."""


class FrameLine(Protocol):
    """An open connection to where encrypted channels lie; raises Unavailable `broker.away` when it is cut."""

    async def put(self, place: bytes, slot: int, packet: bytes) -> None:
        """Keep a packet for readers now and later; it takes the place of the one in this slot before."""

    async def forget(self, place: bytes, slots: int) -> None:
        """Empty the first `slots` slots of a place."""

    async def watch(self, place: bytes) -> None: ...

    def packets(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Give (place, packet): what lies at watched places, in any order, then what comes."""


class FrameCarrier(Protocol):
    """Carries the packets of channels, without being able to read or to link them."""

    def open(self) -> AbstractAsyncContextManager[FrameLine]: ...


class TelemetryStore(Protocol):
    """The time series, for looking; billing never reads it."""

    async def last(self, charger: str) -> Mapping[str, TelemetryValue]: ...

    async def range(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> Sequence[TelemetryValue]: ...
