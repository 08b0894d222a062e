import pytest

from evmesh.domain.units import Milliamp, W, Wh
from evmesh.sim.car import Car

FULL_OFFER = Milliamp(32_000)


def car(room: int, max_power: int = 7_360, phases: int = 1) -> Car:
    return Car.with_room("driver", Wh(room), W(max_power), phases)


def test_an_empty_car_takes_its_most_power() -> None:
    assert car(20_000).power_at(FULL_OFFER, 1) == 7_360


def test_a_car_never_takes_more_than_is_offered() -> None:
    assert car(20_000).power_at(Milliamp(10_000), 1) == 2_300


def test_below_six_amperes_there_is_no_offer() -> None:
    assert car(20_000).power_at(Milliamp(5_999), 1) == 0
    assert car(20_000).power_at(Milliamp(6_000), 1) == 1_380


def test_a_single_phase_car_uses_one_phase_of_three() -> None:
    assert car(20_000, 11_000).power_at(Milliamp(16_000), 3) == 3_680
    assert car(20_000, 11_000, phases=3).power_at(Milliamp(16_000), 3) == 11_000
    assert car(20_000, 11_000, phases=3).power_at(Milliamp(10_000), 3) == 6_900


def test_power_falls_above_eighty_per_cent_and_ends_at_full() -> None:
    vehicle = car(10_000)
    powers = []
    while vehicle.room_ws:
        powers.append(vehicle.power_at(FULL_OFFER, 1))
        vehicle.receive(min(vehicle.room_ws, 100 * 3600))
    assert powers == sorted(powers, reverse=True)
    assert powers[0] == 7_360
    assert 1_380 <= powers[-1] < 1_600
    assert vehicle.soc_percent == 100
    assert vehicle.power_at(FULL_OFFER, 1) == 0
    assert vehicle.received == 10_000


def test_soc_is_a_hundred_only_when_full() -> None:
    vehicle = car(10_000)
    vehicle.receive(vehicle.room_ws - 1)
    assert vehicle.soc_percent == 99


def test_a_battery_that_is_asked_for_much_room_is_large() -> None:
    assert car(300_000).room_ws == 300_000 * 3600


def test_a_battery_takes_no_more_than_its_room() -> None:
    vehicle = car(1)
    with pytest.raises(ValueError, match="do not fit"):
        vehicle.receive(3_601)
    with pytest.raises(ValueError, match="do not fit"):
        vehicle.receive(-1)
