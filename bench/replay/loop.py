"""The loop that every policy lives in: the same cars, the same capacity, the same knowledge.

At the beginning of each step a policy sees the cars that are plugged in and offers each of them energy; a
car takes what it can. A car arrives with the first whole step after its plug-in and leaves with the last
one before its departure. It takes no more than its own power allows and stops when its battery has what the
real session delivered. Who draws less than offered is full, and every policy is told so. Energy is in whole
Wh, as continuous as that: no least current, no ramps, no losses.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol

from bench.sessions import RealSession
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh, energy_from_watts

Knowledge = Literal["true", "stated"]


@dataclass(frozen=True, slots=True)
class Car:
    """What a car really does in steps [arrival, departure), and what its driver said about it."""

    id: str
    arrival: int
    departure: int
    full_wh: int
    max_wh: int
    stated_wh: int
    stated_departure: int


@dataclass(frozen=True, slots=True)
class Plugged:
    """What a policy sees of a car: its wish that is still open, until when, and how fast.

    `until` is one past the last step. Who is overdue stays longer than stated, and may leave at any moment:
    its `until` is the end of the present step.
    """

    id: str
    left_wh: int
    max_wh: int
    until: int
    overdue: bool = False


class Policy(Protocol):
    """Decides step by step; keeps what it wants to remember."""

    def offers(self, step: int, cars: Sequence[Plugged]) -> Mapping[str, int]:
        """Give each car at most its `left_wh` and `max_wh`, all together at most the capacity."""
        ...


@dataclass(slots=True)
class Log:
    """What happened.

    `taken` holds a row per car, from its arrival on; `by_stated` what it had when it had said that it would
    leave, or when it left before.
    """

    load: list[int]
    taken: dict[str, list[int]] = field(default_factory=dict)
    by_stated: dict[str, int] = field(default_factory=dict)

    def got(self, car: Car) -> int:
        """Give the energy of a car's whole stay."""
        return sum(self.taken.get(car.id, ()))


def cars_of(sessions: Sequence[RealSession], grid: TimeGrid, knowledge: Knowledge) -> list[Car]:
    """Put sessions on the grid, those with at least one whole step.

    Who said to leave before the first one has ended is taken to stay for it.
    """
    cars = []
    for one in sessions:
        arrival, departure = grid.first_step_from(one.arrival), grid.steps_ended_by(one.departure)
        if arrival >= departure:
            continue
        max_wh = energy_from_watts(one.power, grid.step_s)
        full = min(one.delivered, max_wh * (departure - arrival))
        if knowledge == "true":
            cars.append(Car(one.id, arrival, departure, full, max_wh, full, departure))
        else:
            stated = max(arrival + 1, grid.steps_ended_by(one.stated_departure))
            cars.append(Car(one.id, arrival, departure, full, max_wh, one.stated, stated))
    return cars


def grid_of(sessions: Sequence[RealSession], step_s: int) -> TimeGrid:
    """Give a grid from the midnight before the first arrival to the last departure, stated or true."""
    first = min(one.arrival for one in sessions)
    last = max(max(one.departure, one.stated_departure) for one in sessions)
    midnight = first.replace(hour=0, minute=0, second=0)
    return TimeGrid(midnight, step_s, -(-(last - midnight) // timedelta(seconds=step_s)))


Meter = Callable[[int, Mapping[str, int]], None]
"""Is told after each step what each car that is plugged in took in it."""


def replay(cars: Sequence[Car], steps: int, cap_wh: int, policy: Policy, meter: Meter | None = None) -> Log:
    """Run all steps under one policy; its offers are checked against the capacity and the cars."""
    log = Log([0] * steps)
    got = {car.id: 0 for car in cars}
    is_full: set[str] = set()
    for step in range(steps):
        here = [car for car in cars if car.arrival <= step < car.departure]
        seen = [_seen(car, step, got[car.id]) for car in here if car.id not in is_full]
        offers = policy.offers(step, seen)
        limits = {one.id: min(one.left_wh, one.max_wh) for one in seen}
        assert sum(offers.values()) <= cap_wh
        assert all(0 <= wh <= limits[name] for name, wh in offers.items())
        taken: dict[str, int] = {}
        for car in here:
            offered = offers.get(car.id, 0)
            wh = min(offered, car.full_wh - got[car.id])
            if wh < offered:
                is_full.add(car.id)
            got[car.id] += wh
            taken[car.id] = wh
            log.taken.setdefault(car.id, []).append(wh)
            log.load[step] += wh
            if step + 1 == min(car.departure, car.stated_departure):
                log.by_stated[car.id] = got[car.id]
        if meter is not None:
            meter(step, taken)
    return log


def _seen(car: Car, step: int, got: int) -> Plugged:
    left, overdue = max(0, car.stated_wh - got), step >= car.stated_departure
    return Plugged(car.id, left, car.max_wh, max(car.stated_departure, step + 1), overdue)


def to_wh(kilowatts: float, step_s: int) -> Wh:
    """Give the energy of a step at this power, rounded down."""
    return Wh(int(kilowatts * 1_000) * step_s // 3_600)
