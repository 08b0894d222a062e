"""The simulated world: all stations, all drivers, and the time that passes for both.

Visits come by the itinerary, week after week. After a power cut stations remember their registers,
cars and unsent messages, and drivers how far they were; nothing flowed meanwhile, and visits that would
have begun in the dark are left out.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, timedelta

from evmesh.domain.sessions import Way
from evmesh.ports import Broadcasts, Clock, Signatures, TokenSender, Wallet
from evmesh.sim.agent import Agent
from evmesh.sim.api_client import ApiClient
from evmesh.sim.charger import Charger
from evmesh.sim.config import SimConfig
from evmesh.sim.driver import Driver
from evmesh.sim.equipment import EquipmentUnit
from evmesh.sim.ocpp_client import OcppLink
from evmesh.sim.outing import Surroundings
from evmesh.sim.parts_station import PartsStation
from evmesh.sim.places import Places
from evmesh.sim.progress import Progress
from evmesh.sim.state import SimState
from evmesh.sim.station import Station
from evmesh.sim.stranger import Stranger
from evmesh.sim.visits import Money, Visit, itinerary


class Simulation:
    """A service: `run` until cancelled. One per state directory.

    `wallets` gives the wallet of the driver of that name for one money; funding it is its maker's business.
    """

    name = "sim"

    def __init__(
        self,
        config: SimConfig,
        clock: Clock,
        wallets: Callable[[str, Money], Wallet],
        signatures: Signatures,
        channels: Callable[[str], Broadcasts | None] = lambda driver: None,
        senders: Callable[[str], TokenSender] | None = None,
    ) -> None:
        """`channels` gives where the car of the driver of that name says what it needs.

        `senders` gives a fresh wallet to a visit that is paid by plain transfer.
        """
        self._channels = channels
        self._senders = senders
        self._config = config
        self._clock = clock
        self._wallets = wallets
        self._signatures = signatures
        self._state = SimState(config.state_dir / "sim.db")
        self.stations = [
            Station(station, self._state, clock, config.behaviour_of(station.id.text))
            for station in config.stations
            if station.parts is None
        ]
        self.from_parts = [
            PartsStation(station, station.parts, self._state, clock)
            for station in config.stations
            if station.parts is not None
        ]
        self.chargers = [
            Charger(
                one, [visit for visit in config.visits if visit.connector == one.name], self._state, clock
            )
            for one in config.chargers
        ]
        self.equipment = [EquipmentUnit(one, self._state, clock) for one in config.equipment]
        self._hardware: list[Station | PartsStation | Charger | EquipmentUnit] = [*self.stations]
        self._hardware += [*self.from_parts, *self.chargers, *self.equipment]
        self.links = [OcppLink(config.ocpp_url, station, clock, config.timing) for station in self.stations]
        self.places = Places([*self.stations, *self.from_parts])
        names = {one.name for one in config.chargers}
        self._visits = [visit for visit in config.visits if visit.connector not in names]

    async def run(self) -> None:
        """Let the world go on until cancelled."""
        try:
            async with ApiClient(self._config.api_url) as api, asyncio.TaskGroup() as group:
                around = Surroundings(
                    state=self._state,
                    places=self.places,
                    api=api,
                    clock=self._clock,
                    signatures=self._signatures,
                    timing=self._config.timing,
                    receipts=self._config.state_dir / "receipts",
                    channels=self._channels,
                    senders=self._senders,
                )
                served: list[OcppLink | PartsStation | Charger | EquipmentUnit] = [*self.links]
                for one in [*served, *self.from_parts, *self.chargers, *self.equipment]:
                    group.create_task(one.run())
                group.create_task(self._pass_time())
                group.create_task(self._receive_drivers(group, around))
        finally:
            self._state.close()

    async def _pass_time(self) -> None:
        """Move the physics of all stations together: their meters are on disk in one commit."""
        tick = timedelta(seconds=self._config.timing.tick_s)
        while True:
            with self._state.commit():
                for one in self._hardware:
                    one.tick()
            await self._clock.sleep_until(self._clock.now() + tick)

    async def _receive_drivers(self, group: asyncio.TaskGroup, around: Surroundings) -> None:
        """Let drivers go on who were here, then let new ones come when it is their time."""
        for text in self._state.open_visits():
            progress = Progress.read(text)
            group.create_task(self._driver(around, progress).run())
        for visit in itinerary(self._visits, self._clock.now()):
            await self._clock.sleep_until(visit.arrival.astimezone(UTC))
            if self._state.load_visit(visit.key) is None:
                progress = _progress_of(visit)
                with self._state.commit():
                    progress.save(self._state)
                group.create_task(self._driver(around, progress).run())

    def _driver(self, around: Surroundings, progress: Progress) -> Driver:
        wallet = self._wallets(progress.driver, progress.money)
        behaviour = self._config.behaviour_of(progress.driver)
        kinds = {Way.PREPAID: Driver, Way.STREAMING: Agent, Way.TRANSFER: Stranger}
        return kinds[progress.way](around, progress, wallet, behaviour)


def _progress_of(visit: Visit) -> Progress:
    return Progress(
        key=visit.key,
        driver=visit.driver,
        arrival=visit.arrival.astimezone(UTC),
        departure=visit.departure.astimezone(UTC),
        stated_departure=visit.stated_departure.astimezone(UTC),
        requested=visit.requested,
        need=visit.need,
        max_power=visit.max_power,
        wanted_connector=visit.connector,
        way=visit.way,
        money=visit.money,
    )
