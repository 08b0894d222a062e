"""Whatever stations do, what they hold never adds up to more than the cabinet carries."""

import asyncio
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evmesh.domain.sessions import State
from evmesh.domain.stations import BootInfo
from evmesh.domain.units import W
from evmesh.services.control import Control
from evmesh.services.registers import start_by
from evmesh.services.requests import Promise
from evmesh.services.supply import flat_tariff_supply
from tests.fakes.wayward import MODES, WaywardStations
from tests.fakes.world import RATING, Driver, World, open_world

BAYS = 4
BOOT = BootInfo("maker", "model", "1", "1")

changes = st.one_of(
    st.tuples(st.just("mode"), st.integers(0, BAYS // 2 - 1), st.sampled_from(MODES)),
    st.tuples(st.just("come"), st.integers(0, BAYS - 1), st.integers(2_000, 6_000)),
    st.tuples(st.just("leave"), st.integers(0, BAYS - 1), st.just(0)),
)
minutes = st.lists(st.lists(changes, max_size=3), min_size=8, max_size=24)


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


class Site:
    """A cabinet whose stations behave as badly as hypothesis likes."""

    def __init__(self, world: World, capacity: int) -> None:
        self.world, self.capacity = world, capacity
        self.stations = WaywardStations(RATING, watch=self.check)
        supply = flat_tariff_supply(lambda _: 50_000)
        parts = (world.transitions, world.clock, world.directory, world.planner, supply, world.live)
        self.control = Control(*parts, self.stations, world.caps)
        self.group = next(iter(world.directory.groups.values()))
        self.names = sorted(world.directory.stations, key=str)
        self.drivers = [Driver(f"driver {bay}") for bay in range(BAYS)]
        self.checks = 0

    def check(self) -> None:
        self.checks += 1
        now = self.world.clock.now()
        assert self.stations.most(now) <= self.capacity, f"more than {self.capacity} W at {now}"

    async def boot(self, number: int) -> None:
        await self.world.events.connected(self.names[number])
        await self.world.events.booted(self.names[number], BOOT)

    async def change(self, what: str, number: int, how: object) -> None:
        if what == "mode":
            before = self.stations.modes.get(self.names[number])
            self.stations.become(self.names[number], str(how))
            if how == "is away" != before:
                await self.world.events.disconnected(self.names[number])
            elif before == "is away" != how:
                await self.boot(number)
        elif what == "come":
            await self.reserve(number, int(str(how)))
        else:
            await self.leave(number)

    async def reserve(self, bay: int, wh: int) -> None:
        place, driver = self.world.places[bay], self.drivers[bay]
        open_ = {one.terms.connector for one in await self.world.sessions()}
        if place.connector.ref in open_ or place.connector.ref.station not in self.world.live.online:
            return
        answer = await self.world.ask(driver, place, wh)
        if isinstance(answer, Promise):
            await self.world.pay(driver, answer.session)

    async def begin(self) -> None:
        """Let cars begin that were asked to; a station is told to start only where there is room.

        Who has waited beyond the offer's last start has the money back by then, and begins no more.
        """
        for session in await self.world.sessions():
            ref, in_time = session.terms.connector, self.world.clock.now() <= start_by(session)
            if session.state is State.STARTING and in_time and self.control.may_begin(session):
                self.stations.running.add(ref)
                self.stations.profiles.pop(ref, None)
                self.check()
                assert (await self.world.begin(session)).accepted
                await self.control._cycle(self.group, has_moved=True)

    async def leave(self, bay: int) -> None:
        ref = self.world.places[bay].connector.ref
        for session in await self.world.sessions():
            if session.terms.connector == ref and ref in self.stations.running and session.transaction_id:
                self.stations.running.discard(ref)
                self.stations.profiles.pop(ref, None)
                done = await self.world.end(session, (session.meter_last or 0) + 300)
                tab = self.world.escrow.tabs[done.terms.payer]
                self.world.escrow.tabs[done.terms.payer] = replace(tab, exit_at=0)


async def play(capacity: int, script: list[list[tuple[str, int, object]]]) -> Site:
    with tempfile.TemporaryDirectory() as directory:
        async with open_world(Path(directory), bays=BAYS, capacity=capacity) as world:
            site = Site(world, capacity)
            async with asyncio.TaskGroup() as tasks:
                for number in range(BAYS // 2):
                    await site.boot(number)
                for minute in script:
                    for change in minute:
                        await site.change(*change)
                        await settle()
                    await site.control._cycle(site.group, has_moved=True)
                    site.control._limits.start(tasks)
                    await settle()
                    await site.begin()
                    site.control._limits.start(tasks)
                    await settle()
                    site.check()
                    world.clock.move(timedelta(minutes=1))
                    site.check()
                for number in range(BAYS // 2):
                    site.stations.become(site.names[number], "obeys")
            site.check()
            return site


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(6_000, 16_000), minutes)
def test_the_limits_that_stations_hold_never_exceed_the_cabinet(
    capacity: int, script: list[list[tuple[str, int, object]]]
) -> None:
    assert asyncio.run(play(capacity, script)).checks > len(script)


def test_cars_take_turns_though_a_station_loses_its_answers() -> None:
    script: list[list[tuple[str, int, object]]] = [
        [("come", 0, 5_000)],
        [("come", 2, 5_000)],
        [("mode", 0, "loses its answers")],
        [],
        [("mode", 1, "rejects"), ("come", 1, 3_000)],
        [],
        [("mode", 0, "obeys"), ("mode", 1, "obeys")],
        [],
        [],
        [],
    ]
    site = asyncio.run(play(7_500, script))
    assert len(site.stations.running) == 3
    assert all(isinstance(limit, int) for ref, limit in site.stations.defaults.items())
    assert site.stations.defaults[site.world.places[0].connector.ref] == W(1_380)
