"""A yard of cars that draw exactly what they are allowed to, minute by minute."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from evmesh.domain.sessions import Session, State
from evmesh.domain.stations import LimitProfile, MeterSample
from evmesh.domain.units import W, Wh
from evmesh.services.requests import Promise
from tests.fakes.world import Driver, World

SAMPLE_MINUTES = 2
MINUTE = timedelta(minutes=1)
WATT_SECONDS_PER_WH = 3_600
UNLIMITED = W(1_000_000)


@dataclass
class Car:
    """One car: when it comes, how long it stays, what it asks for."""

    name: str
    bay: int
    comes_at: int
    """Minutes after the beginning."""
    stays: int
    wh: int
    flexible: bool = True
    takes: W = UNLIMITED
    """The most its own charger takes."""
    share: int = 1
    """It charges over one of so many of the outlet's phases."""
    ramp: int = UNLIMITED
    """By so many W a minute it comes up to what it takes."""
    power: int = 0
    session: Session | None = None
    drawn: int = 0
    """Watt seconds."""
    left_with: int | None = None


@dataclass
class Yard:
    """Runs a world minute by minute, with every limit checked against the cabinet."""

    world: World
    cars: list[Car]
    minute: int = 0
    peak_w: int = 0
    refused: list[Car] = field(default_factory=list)

    async def run(self, minutes: int, watch: Callable[[], None] = lambda: None) -> None:
        """Let time pass."""
        self.world.live.awake |= self.world.directory.stations
        for _ in range(minutes):
            for car in self.cars:
                if car.comes_at == self.minute:
                    await self._arrive(car)
            await self._control()
            self._check_limits()
            watch()
            await self._draw()
            self.minute += 1

    async def _arrive(self, car: Car) -> None:
        world, driver = self.world, Driver(car.name)
        leaves = int(world.at(minutes=car.stays).timestamp())
        bay = world.places[car.bay]
        answer = await world.ask(driver, bay, car.wh, departure=leaves, flexible=car.flexible)
        if not isinstance(answer, Promise):
            self.refused.append(car)
            return
        session = await world.pay(driver, answer.session)
        assert session.state is State.STARTING, session.cause
        assert (await world.begin(session)).accepted
        car.session = await world.now(session)

    async def _control(self) -> None:
        group = next(iter(self.world.directory.groups.values()))
        await self.world.control.once(group, has_moved=self.minute == 0 or self._has_moved())

    def _has_moved(self) -> bool:
        return any(car.comes_at == self.minute or car.left_with is not None for car in self.cars)

    async def _draw(self) -> None:
        """Let a minute pass, in which every car takes all that it may."""
        began = self.world.clock.now()
        self.world.clock.move(MINUTE)
        for car in self.plugged():
            assert car.session is not None
            most = car.power + car.ramp
            for second in range(0, 60, 10):
                limit = self.limit_of(car, began + timedelta(seconds=second)) // car.share
                car.power = min(limit, car.takes, most)
                car.drawn += 10 * car.power
            if (self.minute + car.bay) % SAMPLE_MINUTES == 0 or self._is_over(car):
                await self._meter(car, W(car.power))

    async def _meter(self, car: Car, power: W) -> None:
        world, session = self.world, car.session
        assert session is not None
        assert session.meter_start is not None
        register = Wh(session.meter_start + car.drawn // WATT_SECONDS_PER_WH)
        sample = MeterSample(world.clock.now(), register, power=power)
        await world.events.metered(session.terms.connector, session.transaction_id, [sample])
        car.session = session = await world.now(session)
        if session.state is State.STOPPING or world.clock.now() >= session.terms.departure:
            done = await world.end(session, register)
            car.session, car.left_with = done, done.delivered
            world.stations.limits.pop(session.terms.connector, None)

    def _is_over(self, car: Car) -> bool:
        session = car.session
        assert session is not None
        enough = car.drawn >= session.terms.energy * WATT_SECONDS_PER_WH
        return enough or self.world.clock.now() >= session.terms.departure

    def plugged(self) -> list[Car]:
        return [car for car in self.cars if car.session is not None and car.left_with is None]

    def profile_of(self, car: Car) -> LimitProfile | None:
        assert car.session is not None
        return self.world.stations.limits.get(car.session.terms.connector)

    def limit_of(self, car: Car, at: datetime) -> W:
        profile = self.profile_of(car)
        limit = profile.limit_at(at) if profile else None
        return W(0) if limit is None else limit

    def _check_limits(self) -> None:
        """Add up what the stations hold, for now and as long as it would hold without us."""
        now = self.world.clock.now()
        capacity = next(iter(self.world.directory.groups.values())).capacity
        for minute in range(60):
            at = now + minute * MINUTE
            power = sum(self.limit_of(car, at) for car in self.plugged())
            assert power <= capacity, f"{power} W of {capacity} W in {minute} minutes, at {now}"
            self.peak_w = max(self.peak_w, power if not minute else 0)
