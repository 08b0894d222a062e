"""Where drivers stand: every connector by its name, and who has it.

What people see with their eyes: a free place, a plug that is in. What the platform thinks of a
connector they hear from its API.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from evmesh.sim.car import Car
from evmesh.sim.config import SimStation


class Outlets(Protocol):
    """A station as a driver stands before it."""

    config: SimStation

    def car_at(self, number: int) -> Car | None: ...

    def plug(self, number: int, car: Car) -> None: ...

    def unplug(self, number: int) -> Car: ...

    def is_running(self, number: int) -> bool:
        """Say whether the station shows a charge."""


@dataclass(frozen=True, slots=True)
class Place:
    """One connector as a driver stands before it; `code` is printed on it."""

    name: str
    code: str
    group: str
    station: Outlets
    number: int

    @property
    def has_car(self) -> bool:
        return self.car is not None

    @property
    def car(self) -> Car | None:
        """The car at the plug, as its own driver knows it."""
        return self.station.car_at(self.number)

    @property
    def is_running(self) -> bool:
        """Say whether the display shows a transaction."""
        return self.station.is_running(self.number)

    def plug(self, car: Car) -> None:
        self.station.plug(self.number, car)

    def unplug(self) -> Car:
        return self.station.unplug(self.number)


class Places:
    """All connectors of the site. Two drivers never take one place."""

    def __init__(self, stations: Iterable[Outlets]) -> None:
        self._places = {
            connector.name: Place(
                connector.name, connector.code, station.config.group, station, connector.number
            )
            for station in stations
            for connector in station.config.connectors
        }
        self._taken: dict[str, str] = {}

    def __getitem__(self, name: str) -> Place:
        return self._places[name]

    def all(self) -> list[Place]:
        """Give every place, in the order of the site."""
        return list(self._places.values())

    def is_taken(self, place: Place) -> bool:
        """Say whether somebody stands there, plugged in or not."""
        return place.name in self._taken

    def near(self, name: str) -> list[Place]:
        """Give the place of this name, then the others of its group."""
        wanted = self._places[name]
        others = [
            place for place in self._places.values() if place.group == wanted.group and place is not wanted
        ]
        return [wanted, *others]

    def take(self, place: Place, visit: str) -> bool:
        """Drive into a place; False where somebody stands there, or left a plug in."""
        holder = self._taken.get(place.name)
        if holder == visit:
            return True
        if holder is not None or place.has_car:
            return False
        self._taken[place.name] = visit
        return True

    def stands(self, place: Place, visit: str) -> None:
        """Say who stands here already, after a restart."""
        self._taken[place.name] = visit

    def leave(self, place: Place, visit: str) -> None:
        """Drive out; nothing happens where another stands there."""
        if self._taken.get(place.name) == visit:
            del self._taken[place.name]
