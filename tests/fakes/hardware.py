"""Stations, a notary and a bus that remember what they were told, and can be away."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from evmesh.domain.chain import Mined
from evmesh.domain.errors import IntegrityFailure, Refused, Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitProfile
from evmesh.domain.telemetry import TelemetryValue
from evmesh.domain.units import W


@dataclass
class FakeStations:
    """Implements the port `ChargePoint`; says yes to everything until a test says otherwise."""

    away: set[StationId] = field(default_factory=set)
    rejects: set[str] = field(default_factory=set)
    """Names of methods that are answered with no."""
    told: list[tuple[str, ConnectorRef | StationId, object]] = field(default_factory=list)
    limits: dict[ConnectorRef, LimitProfile] = field(default_factory=dict)
    defaults: dict[ConnectorRef, W] = field(default_factory=dict)

    def is_connected(self, station: StationId) -> bool:
        return station not in self.away

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        return self._hear("remote_start", connector.station, connector, id_tag)

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        return self._hear("remote_stop", station, station, transaction_id)

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        held = self._hear("set_limit", connector.station, connector, transaction_id)
        if held:
            self.limits[connector] = profile
        return held

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        held = self._hear("set_default_limit", connector.station, connector, limit)
        if held:
            self.defaults[connector] = limit
        return held

    def of(self, name: str) -> list[object]:
        """Give what was said in calls of one method, in order."""
        return [what for method, _, what in self.told if method == name]

    def _hear(self, name: str, station: StationId, to: ConnectorRef | StationId, what: object) -> bool:
        if station in self.away:
            raise Unavailable("station.offline", f"{station} is not connected")
        self.told.append((name, to, what))
        return name not in self.rejects


@dataclass
class FakeNotary:
    """Implements the port `Notary`: heads grow, and one size has one root."""

    away: bool = False
    heads: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    by_key: dict[str, Mined] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)
    """The key of each head that really went out."""
    order: list[str] | None = None
    """Where set, shared with the escrow: what reached the chain, in order."""

    async def anchor(self, stream: bytes, size: int, root: bytes, key: str) -> Mined:
        if self.away:
            raise Unavailable("chain.away", "no node answers")
        newest = await self.head(stream)
        if newest[0] == size and newest[1] != root:
            raise IntegrityFailure("notary.other_root", "another root is anchored at this size")
        if newest[0] >= size:
            return self.by_key.get(key, Mined("", 0, 0))
        self.heads[stream] = size, root
        self.sent.append(key)
        if self.order is not None:
            self.order.append(key)
        return self.by_key.setdefault(key, Mined(f"0x{len(self.sent):064x}", len(self.sent), 30_000))

    async def anchor_many(self, heads: Sequence[tuple[bytes, int, bytes]], key: str) -> Mined:
        if self.away:
            raise Unavailable("chain.away", "no node answers")
        if key in self.by_key:
            return self.by_key[key]
        for stream, size, _ in heads:
            if size <= self.heads.get(stream, (0, b""))[0]:
                raise Refused("notary.must_grow", "the head must grow")
        self.heads |= {stream: (size, root) for stream, size, root in heads}
        self.sent.append(key)
        return self.by_key.setdefault(key, Mined(f"0x{len(self.sent):064x}", len(self.sent), 80_000))

    async def head(self, stream: bytes) -> tuple[int, bytes]:
        if self.away:
            raise Unavailable("chain.away", "no node answers")
        return self.heads.get(stream, (0, bytes(32)))


@dataclass
class FakeBus:
    """Implements the port `TelemetryBus` for one reader: the test."""

    published: list[TelemetryValue] = field(default_factory=list)

    async def publish(self, value: TelemetryValue) -> None:
        self.published.append(value)

    async def values(self) -> AsyncIterator[TelemetryValue]:
        for value in self.published:
            yield value

    def last(self, charger: str) -> dict[str, object]:
        """Give the newest value of each topic."""
        return {one.name: one.value for one in self.published if one.charger == charger}
