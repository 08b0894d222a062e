"""What came of a replay, in the figures that people compare policies by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.replay.loop import Car, Log
from evmesh.planning.arrays import ProblemArrays
from evmesh.planning.optimiser import fill


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row of the table.

    `met` counts cars that got all that they could have taken alone. `yes` counts the drivers who were
    told that they will have what they asked for, a queue tells everybody so; `offered` those who were
    refused and took an offer. `kept` of `judged` had what they were told, by their stated departure;
    who left earlier without it broke it oneself, and is not judged. `unused_wh` is what stood unused in steps
    in which a car was there that could have taken it; the same energy of a car may count in several steps.
    """

    policy: str
    cars: int
    energy_wh: int
    wanted_wh: int
    bound_wh: int
    met: int
    yes: int
    offered: int
    judged: int
    kept: int
    peak_wh: int
    unused_wh: int
    cost_millis: int
    """Σ Wh × price, so thousandths of a micro-currency."""


def measure(
    policy: str,
    cars: Sequence[Car],
    log: Log,
    prices: Sequence[int],
    promised: Mapping[str, int],
    offered: int,
    cap_wh: int,
) -> Outcome:
    """Measure a log; `promised` is by car id, in all."""
    judged = kept = 0
    for car in cars:
        had = log.by_stated[car.id]
        is_kept = had >= min(promised[car.id], car.full_wh)
        judged += is_kept or car.departure >= car.stated_departure
        kept += is_kept
    return Outcome(
        policy=policy,
        cars=len(cars),
        energy_wh=sum(log.load),
        wanted_wh=sum(car.full_wh for car in cars),
        bound_wh=0,
        met=sum(log.got(car) >= car.full_wh for car in cars),
        yes=len(cars) - offered,
        offered=offered,
        judged=judged,
        kept=kept,
        peak_wh=max(log.load),
        unused_wh=_unused_wh(cars, log, cap_wh),
        cost_millis=sum(wh * price for wh, price in zip(log.load, prices, strict=True)),
    )


def _unused_wh(cars: Sequence[Car], log: Log, cap_wh: int) -> int:
    """Give what of the capacity was left in each step, as far as cars that were there could have taken it."""
    could = [0] * len(log.load)
    for car in cars:
        left = car.full_wh
        for step, taken in enumerate(log.taken.get(car.id, ()), car.arrival):
            left -= taken
            could[step] += min(left, car.max_wh - taken)
    return sum(min(cap_wh - load, more) for load, more in zip(log.load, could, strict=True))


def offline_bound(cars: Sequence[Car], prices: Sequence[int], cap_wh: int) -> tuple[int, int]:
    """Give the most energy that anybody could deliver who knew everything before, and its least cost."""
    steps = len(prices)
    by_price = np.lexsort((np.arange(steps), np.array(prices)))
    arrays = ProblemArrays(
        steps=steps,
        order=np.arange(len(cars)),
        arrival=np.array([car.arrival for car in cars]),
        departure=np.array([car.departure for car in cars]),
        energy_wh=np.array([car.full_wh for car in cars]),
        max_wh=np.array([car.max_wh for car in cars]),
        segment_step=by_price,
        segment_cap_wh=np.full(steps, cap_wh),
        segment_price=np.array(prices)[by_price],
    )
    filled = fill(arrays)
    return sum(filled.used_wh.tolist()), filled.objective
