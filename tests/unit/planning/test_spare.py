from datetime import UTC, datetime

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.schedule import Schedule
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.optimiser import solve
from evmesh.planning.spare import Extra, hand_on, row_with

GRID = TimeGrid(datetime(2026, 9, 1, 6, tzinfo=UTC), 900, 3)


def group(prices: tuple[int, int, int], cap_wh: int = 1_000) -> tuple[Problem, Schedule]:
    supply = tuple(SupplySegment(step, Wh(cap_wh), Price(price)) for step, price in enumerate(prices))
    requests = (
        Request("early-leaver", 0, 1, Wh(800), Wh(800)),
        Request("stays", 0, 3, Wh(1_000), Wh(900)),
    )
    problem = Problem(GRID, supply, requests)
    schedule = solve(problem)
    assert isinstance(schedule, Schedule)
    return problem, schedule


def test_what_a_car_leaves_goes_to_one_that_would_pay_more_for_it_later() -> None:
    problem, schedule = group((10, 20, 30))
    assert schedule.row("stays").wh == (200, 800)
    extras = hand_on(problem, schedule, 0, {"early-leaver": Wh(300)})
    assert extras == (Extra("stays", Wh(500), 1),)
    assert row_with(schedule.row("stays"), 0, extras).wh == (700, 300)


def test_the_dearest_later_step_is_relieved_first() -> None:
    problem, schedule = group((10, 30, 20), cap_wh=900)
    assert schedule.row("stays").wh == (100, 0, 900)
    wider = problem.with_requests([*problem.requests, Request("late", 0, 3, Wh(300), Wh(300))])
    both = solve(wider)
    assert isinstance(both, Schedule)
    assert both.loads() == [900, 300, 900]
    extras = hand_on(wider, both, 0, {"early-leaver": Wh(500)})
    assert [(extra.wh, extra.from_step) for extra in extras] == [(300, 1)]


def test_nothing_moves_from_a_cheap_step_into_a_dear_one() -> None:
    problem, schedule = group((30, 20, 10))
    assert hand_on(problem, schedule, 0, {"early-leaver": Wh(0)}) == ()


def test_at_equal_prices_energy_comes_earlier() -> None:
    problem, schedule = group((10, 10, 10))
    assert hand_on(problem, schedule, 0, {"early-leaver": Wh(700)}) == (Extra("stays", Wh(100), 1),)


def test_a_car_takes_no_more_than_it_can_and_nothing_before_it_is_there() -> None:
    problem, schedule = group((10, 20, 30))
    extras = hand_on(problem, schedule, 0, {"early-leaver": Wh(0)})
    assert extras == (Extra("stays", Wh(700), 1),)  # 200 planned and 700 more are its 900
    assert hand_on(problem, schedule, 2, {}) == ()


def test_a_car_that_draws_more_than_its_plan_is_no_spare() -> None:
    problem, schedule = group((10, 20, 30))
    for drawn in (801, -1):
        with pytest.raises(InvalidInput, match=r"spare\.bad_draw"):
            hand_on(problem, schedule, 0, {"early-leaver": Wh(drawn)})


def test_what_a_car_takes_from_two_later_steps_is_together_within_its_power() -> None:
    caps, prices = (1_000, 500, 1_000), (10, 20, 30)
    supply = tuple(SupplySegment(step, Wh(caps[step]), Price(prices[step])) for step in range(3))
    cars = (Request("early-leaver", 0, 1, Wh(800), Wh(800)), Request("stays", 0, 3, Wh(1_200), Wh(900)))
    problem = Problem(GRID, supply, cars)
    schedule = solve(problem)
    assert isinstance(schedule, Schedule)
    assert schedule.row("stays").wh == (200, 500, 500)
    extras = hand_on(problem, schedule, 0, {"early-leaver": Wh(0)})
    assert extras == (Extra("stays", Wh(500), 2), Extra("stays", Wh(200), 1))


def test_two_cars_do_not_both_leave_the_same_dear_energy_of_a_step() -> None:
    """Of the 400 Wh in the second step only 300 are dear; the sun's 100 stay where they are."""
    supply = (
        SupplySegment(0, Wh(1_000), Price(10)),
        SupplySegment(1, Wh(100), Price(5)),
        SupplySegment(1, Wh(500), Price(30)),
    )
    cars = [Request(name, 0, 2, Wh(300), Wh(300)) for name in ("a", "b")]
    problem = Problem(GRID, supply, (Request("early-leaver", 0, 1, Wh(800), Wh(800)), *cars))
    schedule = solve(problem)
    assert isinstance(schedule, Schedule)
    assert schedule.loads() == [1_000, 400, 0]
    extras = hand_on(problem, schedule, 0, {"early-leaver": Wh(0)})
    assert sum(extra.wh for extra in extras) == 300


def test_a_car_that_draws_less_is_not_handed_its_own_energy_back() -> None:
    problem, schedule = group((10, 20, 30))
    assert hand_on(problem, schedule, 0, {"stays": Wh(50)}) == ()
