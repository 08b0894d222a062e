"""Cars of people who try the site out: at the plug like any other, and only theirs to take away."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.ids import StationId
from evmesh.domain.station_code import code_of
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.sim.car import Car
from evmesh.sim.config import SimConnector, SimStation
from evmesh.sim.guests import GuestCar, Guests
from evmesh.sim.places import Places
from evmesh.sim.state import SimState
from evmesh.sim.station import Station
from tests.drivers.clocks import HandClock

ONE, TWO = code_of(1), code_of(2)
SMALL = GuestCar(Wh(10_000), W(7_360))


class Yard:
    """One station with two connectors, and its disk."""

    def __init__(self, path: Path) -> None:
        self._path, self.clock = path, HandClock()
        self.switch_on()

    def switch_on(self) -> None:
        connectors = tuple(
            SimConnector(n, f"CA-{n}", W(22_000), 3, Milliamp(32_000), code=code_of(n)) for n in (1, 2)
        )
        config = SimStation(StationId("CA-1-2"), "evmesh", "Twin", "SIM1", "cabinet", connectors)
        self.state = SimState(self._path)
        self.station = Station(config, self.state, self.clock)
        self.places = Places([self.station])
        self.guests = Guests(self.places)

    def who(self) -> list[str]:
        return [who for _, who in self.guests.places()]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path / "sim.db")
    yield made
    made.state.close()


def test_a_guest_plugs_in_and_takes_the_car_away(yard: Yard) -> None:
    assert yard.guests.plug(f"{ONE[:4]}-{ONE[4:].lower()}", SMALL).name == "CA-1"
    assert yard.station.evses[1].status() is ConnectorStatus.PREPARING
    assert yard.who() == ["guest", "free"]
    place, received = yard.guests.unplug(ONE)
    assert (place.name, received) == ("CA-1", 0)
    assert yard.who() == ["free", "free"]


def test_where_a_guest_stands_no_driver_comes_not_even_after_a_power_cut(yard: Yard) -> None:
    yard.guests.plug(ONE, SMALL)
    yard.state.close()
    yard.switch_on()
    assert yard.who() == ["guest", "free"]
    assert not yard.places.take(yard.places["CA-1"], "driver@morning")
    yard.guests.unplug(ONE)
    assert yard.places.take(yard.places["CA-1"], "driver@morning")


def test_a_place_that_is_taken_is_not_the_guests(yard: Yard) -> None:
    yard.guests.plug(ONE, SMALL)
    assert yard.places.take(yard.places["CA-2"], "driver@morning")  # stands there, not plugged in yet
    for code in (ONE, TWO):
        with pytest.raises(Refused, match=r"sim\.place_taken"):
            yard.guests.plug(code, SMALL)
    assert yard.who() == ["guest", "driver"]


def test_a_drivers_car_is_not_the_guests_to_unplug(yard: Yard) -> None:
    with pytest.raises(Refused, match=r"sim\.no_car"):
        yard.guests.unplug(TWO)
    yard.places["CA-2"].plug(Car.with_room("driver", Wh(5_000), W(7_360)))
    with pytest.raises(Refused, match=r"sim\.not_a_guest"):
        yard.guests.unplug(TWO)
    assert yard.who() == ["free", "driver"]


def test_the_car_is_the_one_that_was_named() -> None:
    usual = SMALL.car()
    assert (usual.room_ws, usual.phases) == (10_000 * 3_600, 1)
    named = GuestCar(Wh(10_000), W(11_000), battery=Wh(50_000)).car()
    assert (named.capacity_ws, named.soc_percent, named.phases) == (50_000 * 3_600, 80, 3)


@pytest.mark.parametrize(
    "wrong",
    [GuestCar(Wh(0), W(7_360)), GuestCar(Wh(1), W(0)), GuestCar(Wh(2_000), W(7_360), battery=Wh(1_000))],
)
def test_a_car_that_cannot_be_leaves_the_place_free(yard: Yard, wrong: GuestCar) -> None:
    with pytest.raises(InvalidInput, match=r"sim\.bad_car"):
        yard.guests.plug(ONE, wrong)
    assert yard.who() == ["free", "free"]


def test_a_code_that_is_elsewhere_is_said_to(yard: Yard) -> None:
    with pytest.raises(InvalidInput, match=r"sim\.unknown_code"):
        yard.guests.plug(code_of(99), SMALL)


@pytest.mark.parametrize(
    "huge", [GuestCar(Wh(10**30), W(7_360)), GuestCar(Wh(1), W(10**30)), GuestCar(Wh(1), W(1), Wh(10**30))]
)
def test_a_car_that_the_disk_could_not_hold_is_refused_and_the_place_stays_free(
    yard: Yard, huge: GuestCar
) -> None:
    with pytest.raises(InvalidInput, match=r"sim\.bad_car"):
        yard.guests.plug(ONE, huge)
    assert yard.who() == ["free", "free"]
