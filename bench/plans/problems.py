"""Planning problems of any size from real arrivals: one group, one day of quarters of an hour.

The week's sessions are laid on one day, each with its own arrival, stay and stated energy (as much of it as
its stay can hold). Up to 500 requests are drawn without repetition; beyond, sessions repeat under new ids,
each with an energy of its own within a fifth of the original's, so that no two cars are alike. Prices are
those of a real Monday, half of the supply at noon is PV, and the capacity is 1.15 times the least that
serves everybody.
"""

import random
from dataclasses import replace
from datetime import timedelta
from functools import cache

import numpy as np

from bench.sessions import RATED_POWER, WEEK_START, RealSession, price_at, real_sessions
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Wh, energy_from_watts
from evmesh.planning.arrays import ProblemArrays, to_arrays
from evmesh.planning.optimiser import beyond_own_window_wh, fill

STEPS = 96
SEED = 20_190_603
CAR_WH = energy_from_watts(RATED_POWER, STEP_S)
FEED_IN = Price(20_000)
"""What a kWh of PV would earn if it were fed in, so what it costs to charge with it."""


@cache
def group_day(cars: int, percent: int = 115) -> Problem:
    """Give the day at `percent` of the least capacity; the same problem in every run."""
    grid = TimeGrid(WEEK_START, STEP_S, STEPS)
    requests = _requests(cars)
    bare = to_arrays(Problem(grid, _supply(1), requests))
    least, enough = 0, cars * CAR_WH
    while enough - least > 1:
        middle = (least + enough) // 2
        if _fits(bare, middle):
            enough = middle
        else:
            least = middle
    return Problem(grid, _supply(enough * percent // 100), requests)


def _requests(cars: int) -> tuple[Request, ...]:
    rng = random.Random(SEED)
    real = [one for one in real_sessions() if _window(one)[0] < _window(one)[1]]
    if cars <= 500:
        return tuple(_request(number, one, 1.0) for number, one in enumerate(rng.sample(real, cars)))
    return tuple(_request(number, rng.choice(real), rng.uniform(0.8, 1.2)) for number in range(cars))


def _request(number: int, session: RealSession, share: float) -> Request:
    arrival, departure = _window(session)
    energy_wh = min(round(session.stated * share), CAR_WH * (departure - arrival))
    return Request(f"{number:05}", arrival, departure, Wh(energy_wh), CAR_WH)


def _window(session: RealSession) -> tuple[int, int]:
    midnight = session.arrival.replace(hour=0, minute=0, second=0)
    day = TimeGrid(midnight, STEP_S, STEPS)
    return day.first_step_from(session.arrival), day.steps_ended_by(session.departure)


def _supply(cap_wh: int) -> tuple[SupplySegment, ...]:
    supply = []
    for step in range(STEPS):
        sun_wh = max(0, cap_wh * (24 - abs(step - 52)) // 48)
        price = price_at(WEEK_START + step * timedelta(seconds=STEP_S))
        supply.append(SupplySegment(step, Wh(sun_wh), min(FEED_IN, price)))
        supply.append(SupplySegment(step, Wh(cap_wh - sun_wh), price))
    return tuple(supply)


def _fits(bare: ProblemArrays, cap_wh: int) -> bool:
    whole = replace(
        bare,
        segment_step=np.arange(STEPS),
        segment_cap_wh=np.full(STEPS, cap_wh),
        segment_price=np.zeros(STEPS, dtype=np.int64),
    )
    return not beyond_own_window_wh(whole) and not fill(whole).cut.size
