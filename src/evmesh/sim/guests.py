"""Cars of people who try the site out: plugged in and taken away by hand, not by the itinerary.

Whoever pays with a wallet of their own needs a car at the plug too. To the station it is a car like any
other; simulated drivers find the place taken.
"""

from dataclasses import dataclass
from typing import Final

from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.station_code import code_of, counter_of, spaced
from evmesh.domain.units import SECONDS_PER_HOUR, Milliamp, W, Wh, watts_from_current
from evmesh.sim.car import Car
from evmesh.sim.places import Place, Places

GUEST: Final = "guest"
"""The owner of every such car, as the disk remembers it."""

_ONE_PHASE: Final = watts_from_current(Milliamp(32_000), 1)
"""What an on-board charger takes from one phase at most; a stronger one uses three."""

_MOST_WH: Final = 10_000_000
_MOST_W: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class GuestCar:
    """What a guest says of the car: it is full after `room`. Without a battery the smallest that fits."""

    room: Wh
    max_power: W
    battery: Wh | None = None

    def car(self) -> Car:
        """Give it as it stands before the outlet; raises InvalidInput for a car that cannot be."""
        if self.room <= 0 or self.max_power <= 0:
            raise InvalidInput("sim.bad_car", "a car takes more than nothing", do="name more energy or power")
        if max(self.room, self.battery or 0) > _MOST_WH or self.max_power > _MOST_W:
            raise InvalidInput("sim.bad_car", "no car is so large", do="name less energy or power")
        phases = 1 if self.max_power <= _ONE_PHASE else 3
        if self.battery is None:
            return Car.with_room(GUEST, self.room, self.max_power, phases)
        if self.room > self.battery:
            raise InvalidInput(
                "sim.bad_car",
                f"{self.room} Wh do not fit into a battery of {self.battery} Wh",
                do="name a larger battery, or less energy",
                path="battery",
            )
        return Car(
            owner=GUEST,
            capacity_ws=self.battery * SECONDS_PER_HOUR,
            stored_ws=(self.battery - self.room) * SECONDS_PER_HOUR,
            max_power=self.max_power,
            phases=phases,
        )


class Guests:
    """Puts guests' plugs in and takes them out again."""

    def __init__(self, places: Places) -> None:
        self._places = places
        for place in places.all():
            if _is_guest(place):
                places.stands(place, _key(place))

    def places(self) -> list[tuple[Place, str]]:
        """Give every place with who is there: nobody (`free`), a `guest`, or a simulated `driver`."""
        return [(place, self._who(place)) for place in self._places.all()]

    def plug(self, code: str, guest: GuestCar) -> Place:
        """Plug a car in at the connector of this code; gives the place.

        Raises InvalidInput for a code that is not here or a car that cannot be, Refused `sim.place_taken`.
        """
        place, car = self._find(code), guest.car()
        if place.has_car or not self._places.take(place, _key(place)):
            raise Refused(
                "sim.place_taken",
                f"another car stands at {spaced(place.code)}",
                do="choose a free one: `evmesh sim show`",
            )
        place.plug(car)
        return place

    def unplug(self, code: str) -> tuple[Place, Wh]:
        """Unplug a guest's car, which ends what runs there; gives the place and what the car received.

        Raises Refused `sim.no_car`, or `sim.not_a_guest` for the car of a simulated driver.
        """
        place = self._find(code)
        if not place.has_car:
            raise Refused("sim.no_car", f"no car is plugged in at {spaced(place.code)}")
        if not _is_guest(place):
            raise Refused(
                "sim.not_a_guest",
                f"the car at {spaced(place.code)} is a simulated driver's, who comes for it",
                do="choose a free one: `evmesh sim show`",
            )
        car = place.unplug()
        self._places.leave(place, _key(place))
        return place, car.received

    def _find(self, code: str) -> Place:
        wanted = code_of(counter_of(code))
        for place in self._places.all():
            if place.code == wanted:
                return place
        raise InvalidInput(
            "sim.unknown_code",
            f"no simulated connector has the code {spaced(wanted)}",
            do="`evmesh sim show` lists them",
        )

    def _who(self, place: Place) -> str:
        if _is_guest(place):
            return GUEST
        return "driver" if place.has_car or self._places.is_taken(place) else "free"


def _is_guest(place: Place) -> bool:
    return place.car is not None and place.car.owner == GUEST


def _key(place: Place) -> str:
    return f"{GUEST}@{place.code}"
