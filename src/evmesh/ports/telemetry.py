"""Values and packets on the way, and the time series."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Protocol

from evmesh.domain.telemetry import Ack, Command, CommandResult, NumberedValue, TelemetryValue
from evmesh.domain.telemetry_summary import Summary


class TelemetryBus(Protocol):
    """Values out, retained, at least once; values of everybody in."""

    async def publish(self, value: TelemetryValue) -> None:
        """Queue for publishing when it differs from the last; bounded, and drops the oldest of a topic."""

    def values(self) -> AsyncIterator[TelemetryValue]:
        """Follow every charger's values, retained ones first."""


class UplinkLine(Protocol):
    """An open connection of a gateway; raises Unavailable `broker.away` when it is cut."""

    async def send(self, values: Sequence[NumberedValue]) -> None:
        """Publish in order; returns when the broker has all of it, which is not yet the database."""

    def acks(self) -> AsyncIterator[Ack]:
        """Hear what is in the database."""

    def commands(self) -> AsyncIterator[Command]:
        """Hear what the gateway's chargers are told; what is no command is answered and left out."""

    async def answer(self, result: CommandResult) -> None:
        """Say what became of a command."""


class Uplink(Protocol):
    """Where a gateway's values go."""

    def open(self, chargers: Sequence[str]) -> AbstractAsyncContextManager[UplinkLine]:
        """Connect, with a last will, and say online."""


class Commands(Protocol):
    """Tells what stands behind gateways what to do."""

    async def send(self, command: Command) -> CommandResult:
        """Say it, and give the gateway's answer; raises Unavailable `edge.no_answer` where none comes."""


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


class TelemetryHistory(TelemetryStore, Protocol):
    """The time series with all its ways of looking back."""

    async def before(self, charger: str, name: str, instant: datetime) -> TelemetryValue | None:
        """Give the newest whole number before an instant."""

    async def summaries(
        self, charger: str, name: str, start: datetime, end: datetime, width_s: int
    ) -> Sequence[Summary]:
        """Sum up the whole numbers in [start, end), the oldest stretch first.

        Where start and end lie inside a stretch, a store that keeps sums may count all of that stretch.
        """

    def stream(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[TelemetryValue]]:
        """Give every reading in [start, end), the oldest first, some at a time."""
