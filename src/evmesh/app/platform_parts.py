"""Stations from parts in the platform: their parts are opened, and commands find whoever has a station."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from evmesh.app.charge_points import ChargePoints
from evmesh.app.config import SiteConfig
from evmesh.app.config import StationConfig as SiteStation
from evmesh.app.parts_routes import parts_routes
from evmesh.app.sim_hardware import bus_of, controller_line_of, lamp_of
from evmesh.app.site_parts import MadeOf, unit_of
from evmesh.domain.ids import StationId
from evmesh.edge.parts_config import CoilAt, PartAt, PartsConfig
from evmesh.edge.station import StationFromParts
from evmesh.edge.station_parts import open_parts
from evmesh.edge.station_record import StationConfig
from evmesh.edge.station_store import StationStore
from evmesh.ports import ChargePoint, ChargePointEvents, Checkpoint, Clock

_SLOWEST_LOOK_S: Final = 1.0
_FASTEST_LOOK_S: Final = 0.1
_LOOK_EVERY_S: Final = 10.0
"""Of platform time, where that is neither faster nor slower than a look may be."""


@dataclass(frozen=True, slots=True)
class PartsWorld:
    """What stations from parts are opened with."""

    data: Path
    site: SiteConfig
    speed: int
    events: ChargePointEvents
    clock: Clock
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class PartsStations:
    """The stations that are driven from here; each is a service."""

    services: tuple[StationFromParts, ...] = ()
    named: Mapping[StationId, StationFromParts] = field(default_factory=dict)

    @property
    def routes(self) -> Callable[[FastAPI], None]:
        """What their operator says by hand."""
        return parts_routes(self.named)

    def beside(self, others: ChargePoint) -> ChargePoint:
        """Give all stations as one: these, and `others` for all that are not ours."""
        return ChargePoints(others, self.named) if self.named else others


@asynccontextmanager
async def open_parts_stations(world: PartsWorld) -> AsyncIterator[PartsStations]:
    """Open the parts and the disk of each station; no line is opened before it is needed."""
    async with AsyncExitStack() as stack:
        named: dict[StationId, StationFromParts] = {}
        for group in world.site.groups:
            for station in group.stations:
                if station.made_of is not None:
                    named[station.id] = await _open(stack, world, station, station.made_of)
        yield PartsStations(tuple(named.values()), named)


async def _open(
    stack: AsyncExitStack, world: PartsWorld, station: SiteStation, made_of: MadeOf
) -> StationFromParts:
    [(_, connector)] = station.connectors
    parts = await stack.enter_async_context(open_parts(parts_config(world.data, station.id, made_of)))
    store = await stack.enter_async_context(StationStore(world.data / "parts" / f"station-{station.id}.db"))
    look_s = min(_SLOWEST_LOOK_S, max(_FASTEST_LOOK_S, _LOOK_EVERY_S / max(1, world.speed)))
    config = StationConfig(
        connector.ref,
        connector.phases,
        connector.max_current,
        safe_current=connector.least_current,
        interval_s=look_s,
        settle_s=3 * look_s,
    )
    return StationFromParts(config, station.info, parts, store, world.events, world.clock, world.checkpoint)


def parts_config(data: Path, station: StationId, made_of: MadeOf) -> PartsConfig:
    """Give the parts with their lines; simulated ones are where the simulation puts them."""
    bus, lamp = "", made_of.lamp
    own = made_of.controller.line
    if made_of.simulated:
        bus, lamp = str(bus_of(data, station).absolute()), str(lamp_of(data, station).absolute())
        own = str(controller_line_of(data, station).absolute()) if made_of.has_own_line else bus
    coil = made_of.contactor
    return PartsConfig(
        controller=PartAt(
            made_of.controller.driver, own, None if made_of.has_own_line else unit_of(made_of.controller)
        ),
        meter=_part(made_of.meter, bus),
        contactor=None if coil is None else CoilAt(coil.line or bus, coil.unit, coil.coil),
        lamp=Path(lamp) if lamp else None,
    )


def _part(part: PartAt, bus: str) -> PartAt:
    return PartAt(part.driver, part.line or bus, unit_of(part))
