"""The policies that we compare with: nobody is refused, and what is there is shared at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from bench.replay.loop import Plugged

Urgency = Callable[[Plugged, int], Fraction]


@dataclass(frozen=True, slots=True)
class MostUrgentFirst:
    """Give each car all it can take, the most urgent one first, while there is capacity."""

    cap_wh: int
    urgency: Urgency

    def offers(self, step: int, cars: Sequence[Plugged]) -> Mapping[str, int]:
        room, given = self.cap_wh, {}
        for car in sorted(cars, key=lambda one: (self.urgency(one, step), one.id)):
            given[car.id] = min(car.left_wh, car.max_wh, room)
            room -= given[car.id]
        return given


def deadline(car: Plugged, step: int) -> Fraction:
    """Earliest deadline first: the step in which it leaves."""
    return Fraction(car.until)


def laxity(car: Plugged, step: int) -> Fraction:
    """Least laxity first: the steps that it could wait and still be done in time."""
    return car.until - step - Fraction(car.left_wh, car.max_wh)


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """Give every car the same, 1 Wh after the other, until each has enough or nothing is left."""

    cap_wh: int

    def offers(self, step: int, cars: Sequence[Plugged]) -> Mapping[str, int]:
        room, given = self.cap_wh, {}
        waiting = sorted((min(car.left_wh, car.max_wh), car.id) for car in cars)
        for place, (most, name) in enumerate(waiting):
            given[name] = min(most, room // (len(waiting) - place))
            room -= given[name]
        return given
