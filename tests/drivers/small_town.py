"""A town of one station with two connectors, an API written from its description, and drivers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from evmesh.domain.ids import StationId
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.ports import Broadcasts
from evmesh.sim.config import SimConfig, SimConnector, SimStation, SimTiming
from evmesh.sim.misbehave import Misbehaviour
from evmesh.sim.progress import Progress, Stage
from evmesh.sim.state import SimState
from evmesh.sim.visits import Money, Visit
from evmesh.sim.world import Simulation
from tests.drivers.central_system import CentralServer, central_server
from tests.drivers.clocks import FastClock
from tests.drivers.small_platform import SIGNATURES, SmallPlatform, TestSender, TestWallet, serve_platform

NAME = "CA-303-305"
SPEED = 1_800


@dataclass
class Town:
    """The platform, the clock and everything a simulation is made from."""

    central: CentralServer
    platform: SmallPlatform
    clock: FastClock
    api_url: str
    directory: Path
    wallets: dict[str, TestWallet]
    channels: dict[str, Broadcasts] = field(default_factory=dict)
    senders: dict[str, TestSender] = field(default_factory=dict)

    def sender(self, visit: str) -> TestSender:
        return self.senders.setdefault(visit, TestSender(self.platform))

    def wallet(self, name: str, money: Money = Money.TOKEN) -> TestWallet:
        return self.wallets.setdefault(name, TestWallet(self.platform))

    def simulation(self, visits: tuple[Visit, ...], misbehaviour: dict[str, Misbehaviour]) -> Simulation:
        connectors = tuple(
            SimConnector(number, f"CA-30{number}", W(7_360), 1, Milliamp(32_000), code=f"CODE{number}")
            for number in (1, 2)
        )
        station = SimStation(StationId(NAME), "evmesh", "Twin", "SIM0001", "cabinet-a", connectors)
        config = SimConfig(
            state_dir=self.directory,
            ocpp_url=self.central.url,
            api_url=self.api_url,
            stations=(station,),
            visits=visits,
            misbehaviour=misbehaviour,
            timing=SimTiming(watch_s=60, reconnect_wall_ms=20, call_timeout_wall_s=5),
        )
        return Simulation(config, self.clock, self.wallet, SIGNATURES, self.channels.get, self.sender)

    @asynccontextmanager
    async def people(
        self, *visits: Visit, misbehaviour: dict[str, Misbehaviour] | None = None
    ) -> AsyncIterator[asyncio.Task[None]]:
        """Let the visits happen."""
        running = asyncio.create_task(self.simulation(visits, misbehaviour or {}).run())
        try:
            yield running
        finally:
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    def progress(self, visit: Visit) -> Progress | None:
        state = SimState(self.directory / "sim.db")
        text = state.load_visit(visit.key)
        state.close()
        return None if text is None else Progress.read(text)

    def is_at(self, visit: Visit, stage: Stage) -> Callable[[], bool]:
        def reached() -> bool:
            progress = self.progress(visit)
            return progress is not None and progress.stage is stage

        return reached


@asynccontextmanager
async def small_town(tmp_path: Path, speed: int = SPEED) -> AsyncIterator[Town]:
    clock = FastClock(speed)
    state = SimState(tmp_path / "sim.db")
    # At this speed five minutes are a sixth of a second, which a busy machine may take to answer.
    state.save_setting(StationId(NAME), "ConnectionTimeOut", "7200")
    state.close()
    async with central_server() as central:
        platform = SmallPlatform(clock, central, {"CODE1": (NAME, 1), "CODE2": (NAME, 2)})
        async with serve_platform(platform) as url:
            yield Town(central, platform, clock, url, tmp_path, {})


def visit(town: Town, driver: str = "driver-01", connector: str = "CA-301", **changes: Any) -> Visit:
    """Give a visit of an hour that begins in a second of wall time."""
    arrival = town.clock.now() + timedelta(minutes=30)
    made = Visit(
        driver=driver,
        connector=connector,
        arrival=arrival,
        stated_departure=arrival + timedelta(hours=2),
        departure=arrival + timedelta(hours=1),
        requested=Wh(10_000),
        need=Wh(3_000),
        max_power=W(7_360),
    )
    return replace(made, **changes)
