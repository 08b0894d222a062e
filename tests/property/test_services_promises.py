"""In a world of perfect cars every promise is kept, and the cabinet never carries more than it may."""

import asyncio
import random
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evmesh.domain.units import W
from tests.fakes.world import open_world
from tests.fakes.yard import SAMPLE_MINUTES, Car, Yard

MINUTES = 80
ROUNDING_WH = 2
"""What currents and registers, both rounded down, may leave over in a quarter hour that is full."""

RATING = {1: W(7_360), 3: W(22_000)}


@st.composite
def cars(draw: st.DrawFn, phases: int) -> list[Car]:
    fleet = []
    for bay in range(draw(st.integers(2, 4))):
        stays = draw(st.integers(36, 60))
        most = RATING[phases] * stays // 60
        fleet.append(
            Car(
                name=f"car {bay}",
                bay=bay,
                comes_at=draw(st.integers(0, 18)),
                stays=stays,
                wh=draw(st.integers(300, most * 3 // 4)),
                flexible=draw(st.booleans()),
            )
        )
    return fleet


@st.composite
def yards(draw: st.DrawFn) -> tuple[int, int, list[Car], list[int]]:
    phases = draw(st.sampled_from([1, 3]))
    capacity = draw(st.integers(1, 3)) * (RATING[phases] - 1_000) + draw(st.integers(0, 999))
    prices = draw(st.lists(st.integers(-20_000, 100_000), min_size=8, max_size=8))
    return phases, capacity, draw(cars(phases)), prices


def prices_by_quarter(prices: list[int]) -> Callable[[datetime], int]:
    return lambda instant: prices[(instant.hour * 4 + instant.minute // 15) % len(prices)]


async def drive(yard: tuple[int, int, list[Car], list[int]], minutes: int) -> Yard:
    phases, capacity, fleet, prices = yard
    with tempfile.TemporaryDirectory() as directory:
        opened = open_world(
            Path(directory),
            capacity=capacity,
            rating=RATING[phases],
            phases=phases,
            price_at=prices_by_quarter(prices),
            randomness=random.Random(7).randbytes,
        )
        async with opened as world:
            yard_ = Yard(world, fleet)
            await yard_.run(minutes)
            return yard_


def check_promises(yard: Yard, phases: int) -> None:
    rating = RATING[phases]
    overshoot = rating * SAMPLE_MINUTES // 60 + 1
    for car in yard.cars:
        if car.session is not None:
            assert car.left_with is not None
            assert car.wh - ROUNDING_WH <= car.left_with <= car.wh + overshoot, car
            assert car.session.flags == ()
            assert car.session.due == min(car.session.terms.budget, car.left_with * 350)


def full_quarter() -> list[Car]:
    """Give three cars that swap places in a cabinet: each takes more now where another takes less."""
    return [
        Car("late bird", 0, 0, 36, 312),
        Car("in a hurry", 1, 4, 51, 2_852, flexible=False),
        Car("in a hurry too", 2, 15, 54, 1_877, flexible=False),
    ]


@pytest.mark.parametrize("prices", [[1_941, 207, 12_056, 64, 0, 0, 0, 0], [0]])
def test_cars_that_change_places_do_not_wait_for_each_other(prices: list[int]) -> None:
    yard = asyncio.run(drive((1, 6_534, full_quarter(), prices), MINUTES))
    assert yard.refused == []
    check_promises(yard, 1)


@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
@given(yards())
def test_every_promise_is_kept_and_the_cabinet_is_never_overloaded(
    yard: tuple[int, int, list[Car], list[int]],
) -> None:
    check_promises(asyncio.run(drive(yard, MINUTES)), yard[0])


def test_cars_that_take_less_than_they_might_take_nothing_from_the_others() -> None:
    fleet = [
        Car("small charger", 0, 0, 75, 2_500, takes=W(3_600)),
        Car("second", 1, 3, 72, 2_500),
        Car("third", 2, 7, 68, 2_500),
    ]
    yard = asyncio.run(drive((1, 9_000, fleet, [50_000, 20_000]), MINUTES))
    assert yard.refused == []
    for car in fleet:
        assert car.left_with is not None
        assert car.left_with >= car.wh


def test_a_cabinet_for_one_serves_two_in_turn() -> None:
    fleet = [Car("first", 0, 0, 75, 1_500), Car("second", 1, 1, 75, 1_400)]
    yard = asyncio.run(drive((3, 4_300, fleet, [50_000]), MINUTES))
    check_promises(yard, 3)
    assert yard.refused == []
    assert 0 < yard.peak_w <= 4_300
