"""The bound of risk over the real wire: a full-power station, the real CSMS, a driver who stops paying."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ocpp.v16 import call

from evmesh.csms.config import CsmsConfig
from evmesh.csms.server import Csms
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session, State, StopCause, Way
from evmesh.domain.streaming import StreamRules
from evmesh.domain.units import W, energy_from_watts
from evmesh.services.streaming import SHORT
from tests.drivers.clocks import HandClock
from tests.drivers.ocpp_library_station import PATIENCE_S, LibraryStation
from tests.fakes.world import Driver, World, eventually, open_world, running
from tests.unit.services.streaming_sessions import PER_100_WH, send

RULES = StreamRules()


class FullPowerStation(LibraryStation):
    """Delivers its rating from the start to the stop, whatever it is told in between."""

    clock: HandClock
    rating: W
    begun_at: datetime
    first = 1_000_000
    id_tag = ""

    @property
    def flowed(self) -> int:
        """Give what has flowed by now, in Wh."""
        return energy_from_watts(self.rating, int((self.clock.now() - self.begun_at).total_seconds()))

    async def begin(self) -> None:
        """Start the charge that the platform asks for."""
        async with asyncio.timeout(PATIENCE_S):
            connector, self.id_tag = await self.remote_starts.get()
        self.begun_at = self.clock.now()
        answer = await self.call(
            call.StartTransaction(
                connector_id=connector, id_tag=self.id_tag, meter_start=self.first, timestamp=self._stamp()
            )
        )
        self.transaction_id = answer.transaction_id
        await self.say("Charging")

    async def sample(self) -> None:
        """Tell the meter's value, which the platform has stored when this returns."""
        await self.meter(self.first + self.flowed - self.register)

    async def obey(self, latency: timedelta) -> int:
        """Wait to be told to stop, take so long for it, and give what has flowed."""
        assert self.transaction_id is not None
        async with asyncio.timeout(PATIENCE_S):
            await self.remote_stops.get()
        self.clock.move(latency)
        self.register = self.first + self.flowed
        await self._stop(self.transaction_id, self.id_tag)
        return self.flowed


@asynccontextmanager
async def wired(directory: Path, rating: W) -> AsyncIterator[tuple[World, FullPowerStation]]:
    """Join a world with a station through the real CSMS."""
    async with open_world(directory, bays=1, capacity=200_000, rating=rating, phases=3) as world:
        csms = Csms(world.events, world.clock, CsmsConfig(port=0, stations=world.directory.stations))
        world.effects._stations = csms  # the real one in place of the fake
        async with running(csms, world.effects, world.caretaker):
            async with asyncio.timeout(PATIENCE_S):
                await csms.listening()
            url = f"ws://127.0.0.1:{csms.port}/ocpp"
            async with FullPowerStation.at(url, "CP-1", now=world.clock.now) as station:
                assert isinstance(station, FullPowerStation)
                station.clock, station.rating = world.clock, rating
                await station.boot()
                yield world, station


@pytest.mark.parametrize("rating", [W(7_360), W(22_080), W(50_000)])
async def test_no_more_flows_uncovered_than_was_said_before_the_start(tmp_path: Path, rating: W) -> None:
    """The driver covers exactly what was metered at the last instant, three times, and then never again."""
    driver = Driver("driver")
    async with wired(tmp_path, rating) as (world, station):
        session = await world.promised(driver, world.places[0])
        risk = RULES.risk(Way.STREAMING, session.terms, rating)
        world.fund(driver, session.terms.budget)
        await send(world, driver, session, PER_100_WH)
        await station.begin()
        for _ in range(3):
            await _pay_at_the_last_instant(world, station, driver, session)
        by = await _uncovered_value(world, station, session)
        world.clock.move(by - world.clock.now())
        flowed = await station.obey(RULES.stop_latency)
        await eventually(lambda: world.is_in(session, State.SETTLED))
        done = await world.now(session)
        receipt = Receipt.parse(await world.document(done, Receipt.FORMAT))
    assert (done.cause, done.flags) == (StopCause.VOUCHER, (SHORT,))
    assert receipt.energy == flowed
    lost = receipt.cost - receipt.due
    assert risk.operator * 9 // 10 < lost <= risk.operator  # and the figure is no exaggeration
    assert world.escrow.earned == receipt.due


async def _pay_at_the_last_instant(
    world: World, station: FullPowerStation, driver: Driver, session: Session
) -> None:
    by = await _uncovered_value(world, station, session)
    world.clock.move(max(timedelta(0), by - timedelta(milliseconds=1) - world.clock.now()))
    now = await world.now(session)
    assert (await send(world, driver, now, now.delivered * 350)).voucher_by is None


async def _uncovered_value(world: World, station: FullPowerStation, session: Session) -> datetime:
    """Let the next meter value come, a sample interval after the one before; give when it must be covered."""
    while True:
        passed = (world.clock.now() - station.begun_at) % RULES.sample_interval
        world.clock.move(RULES.sample_interval - passed)
        await station.sample()
        by = (await world.now(session)).voucher_by
        if by is not None:
            return by


def test_the_interval_of_the_bound_is_the_one_that_stations_are_told() -> None:
    assert timedelta(seconds=CsmsConfig().meter_sample_interval_s) == RULES.sample_interval
