"""A station from parts on real lines: a SmartEVSE v2 on a pseudo-terminal, meter and relay on TCP, a lamp."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import BootInfo, ConnectorStatus
from evmesh.domain.units import Milliamp, W
from evmesh.edge.led import Colour
from evmesh.edge.parts_config import CoilAt, PartAt, PartsConfig
from evmesh.edge.station import StationFromParts
from evmesh.edge.station_parts import open_parts
from evmesh.edge.station_record import StationConfig
from evmesh.edge.station_store import StationStore
from evmesh.ports import ChargePointEvents, Checkpoint, Clock
from evmesh.sim.led import SimLed
from evmesh.sim.modbus_devices import SDM630, Quantities, RelayBoard
from evmesh.sim.modbus_server import ModbusUnits, serve_tcp
from evmesh.sim.smartevse2 import ControllerV2, SerialEnd, serve_controller
from tests.brokers import running
from tests.drivers.clocks import HandClock
from tests.drivers.recording_events import RecordingEvents

STATION = StationId("parts-1")
REF = ConnectorRef(STATION, 1)
TAG = "tag-of-a-driver"
LIMIT = W(11_040)
"""16 A on each of three phases."""


def config(*, patience_s: float = 5.0, interval_s: float = 0.03) -> StationConfig:
    return StationConfig(REF, 3, Milliamp(32_000), interval_s=interval_s, patience_s=patience_s, settle_s=0.5)


async def until(condition: Callable[[], bool], what: str = "") -> None:
    try:
        async with asyncio.timeout(60):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never: {what or condition}") from None


@dataclass
class Hardware:
    """The simulated parts, and where they are."""

    directory: Path
    controller: ControllerV2 = field(default_factory=ControllerV2)
    meter: Quantities = field(default_factory=lambda: Quantities(energy_wh=70_000, power_w=0))
    relay: RelayBoard = field(default_factory=RelayBoard)
    meter_line: ModbusUnits = field(init=False)
    relay_line: ModbusUnits = field(init=False)
    lamp: SimLed = field(init=False)
    pilot: SerialEnd = field(init=False)
    meter_port: int = 0
    relay_port: int = 0

    def shows(self, colour: Colour) -> bool:
        try:
            return self.lamp.shown() == colour.value
        except (ValueError, FileNotFoundError):
            return False

    @property
    def is_on(self) -> bool:
        return self.relay.coils[0]

    def flow(self, energy_wh: int, power_w: int = 11_040) -> None:
        """Let a car take energy, as the meter sees it."""
        self.meter.energy_wh = (self.meter.energy_wh or 0) + energy_wh
        self.meter.power_w = power_w


@asynccontextmanager
async def hardware(directory: Path) -> AsyncIterator[Hardware]:
    """Plug the parts in."""
    parts = Hardware(directory)
    parts.meter_line = ModbusUnits({1: SDM630(parts.meter)})
    parts.relay_line = ModbusUnits({2: parts.relay})
    parts.lamp = SimLed(directory / "leds" / "rgb:status")
    async with serve_tcp(parts.meter_line) as meter_port, serve_tcp(parts.relay_line) as relay_port:
        parts.meter_port, parts.relay_port = meter_port, relay_port
        with serve_controller(parts.controller) as parts.pilot:
            yield parts


@dataclass
class Where:
    """The addresses of the parts, for whoever drives them."""

    serial: str
    meter: int
    relay: int
    lamp: Path
    store: Path


@asynccontextmanager
async def station(
    where: Where,
    config: StationConfig,
    events: ChargePointEvents,
    clock: Clock,
    checkpoint: Checkpoint = lambda _: None,
) -> AsyncIterator[StationFromParts]:
    """Join drivers and store to a station that is not running yet."""
    made_of = PartsConfig(
        PartAt("smartevse-2", where.serial),
        PartAt("eastron-sdm630", f"tcp://127.0.0.1:{where.meter}", 1),
        CoilAt(f"tcp://127.0.0.1:{where.relay}", 2),
        where.lamp,
    )
    async with open_parts(made_of, timeout_s=0.5) as parts, StationStore(where.store) as store:
        yield StationFromParts(
            config, BootInfo("evmesh", "parts", "1", ""), parts, store, events, clock, checkpoint
        )


@dataclass
class Bench:
    """A running station with its parts and whoever it tells."""

    has: Hardware
    station: StationFromParts
    events: RecordingEvents
    clock: HandClock

    def statuses(self) -> list[ConnectorStatus]:
        return [what[1] for name, what in self.events.heard if name == "status"]  # type: ignore[index]

    async def until_told(self, status: ConnectorStatus) -> None:
        await until(lambda: self.statuses()[-1:] == [status], f"{status}, but {self.statuses()}")

    async def charging(self) -> int:
        """Authorise, plug in, and give the transaction of a charge that has begun."""
        self.events.funded.add(TAG)
        await until(lambda: self.station.is_connected(STATION), "connected")
        assert await self.station.set_default_limit(REF, LIMIT)
        assert await self.station.remote_start(REF, TAG)
        self.has.pilot.change("B")
        self.has.pilot.change("C")
        await until(lambda: self.has.is_on, "current")
        return list(self.events.transactions.values())[-1]

    async def until_stopped(self, transaction: int) -> None:
        await until(lambda: transaction in self.events.stops, "the end")


@asynccontextmanager
async def bench(directory: Path, rule: StationConfig | None = None) -> AsyncIterator[Bench]:
    """Run a station with nobody at it; its pilot has been heard once."""
    events, clock = RecordingEvents(), HandClock()
    async with hardware(directory) as has:
        where = Where(
            has.pilot.path, has.meter_port, has.relay_port, has.lamp.directory, directory / "station.db"
        )
        async with station(where, rule or config(), events, clock) as one, running(one):
            run = Bench(has, one, events, clock)
            await run.until_told(ConnectorStatus.UNAVAILABLE)
            has.pilot.change("A")
            await run.until_told(ConnectorStatus.AVAILABLE)
            yield run
