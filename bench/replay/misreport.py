"""What a lie earns: `python -m bench.replay.misreport`.

In each trial one driver of a group states a departure or an energy that is not true, everybody else the
truth; the group's day is replayed under our policy with and without the lie, and the rewards of both days
are computed from what the meters counted. What the car then really does is the same: it leaves when it
leaves and takes no more than it has room for. The price of a kWh is fixed before a charge, so what a driver
pays depends on the metered energy alone: a lie can change the reward and how much energy there is, nothing
else.

Days are real sessions of one site and weekday with their true needs, laid on a real day's prices, in a
group whose capacity is 1 to 1.6 times the least that serves them all. In every day, lies or not, the sum of
the rewards must not pass the operator's share of the avoided cost, which is recomputed here from the
baselines.
"""

import argparse
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Literal, get_args

from bench.replay.loop import Car, cars_of, replay
from bench.replay.outcome import offline_bound
from bench.replay.planned import Planned
from bench.sessions import RealSession, hourly_prices, real_sessions
from evmesh.domain.money import Price
from evmesh.domain.problem import SupplySegment
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Wh
from evmesh.planning.flexibility import GroupDay, MeteredStay, rewards

Lie = Literal["leaves earlier", "leaves later", "needs less", "needs more"]
LIES: tuple[Lie, ...] = get_args(Lie)
HEADING = (
    "the driver says it",
    "trials",
    "reward higher",
    "higher, and no less energy",
    "median gain",
    "95 % of gains are below",
    "largest gain",
    "reward lower",
    "mean change of all",
    "mean reward when honest",
    "less energy",
)
LIES_PER_DAY = 8
SHARE_PER_MILLE = 500


@dataclass(frozen=True, slots=True)
class Day:
    """A group's day: who really comes, what a kWh costs in each step, what the group may draw."""

    grid: TimeGrid
    cars: tuple[Car, ...]
    prices: tuple[int, ...]
    cap_wh: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One lie: the liar's reward and energy with the truth and with the lie."""

    lie: Lie
    honest_reward: int
    reward: int
    honest_wh: int
    wh: int

    @property
    def gain(self) -> int:
        """Give by how much the lie raised the reward, in micro-currency."""
        return self.reward - self.honest_reward


def trials(number: int, seed: int = 1) -> Iterator[Trial]:
    """Give `number` trials, the same for the same seed."""
    rng, done = random.Random(seed), 0
    while done < number:
        day = _day(rng)
        honest_rewards, honest_wh = _replay(day, day.cars)
        for _ in range(min(LIES_PER_DAY, number - done)):
            liar, lie = rng.choice(day.cars), LIES[done % len(LIES)]
            lying = [_lying(car, lie, day, rng) if car is liar else car for car in day.cars]
            paid, wh = _replay(day, lying)
            yield Trial(lie, honest_rewards[liar.id], paid[liar.id], honest_wh[liar.id], wh[liar.id])
            done += 1


def _day(rng: random.Random) -> Day:
    """Draw 4 to 12 sessions that came on the same day of the week, a day of prices, and a capacity."""
    first = rng.choice(real_sessions())
    same_day = [one for one in real_sessions(first.site) if one.arrival.date() == first.arrival.date()]
    sessions: Sequence[RealSession] = rng.sample(same_day, min(len(same_day), rng.randint(4, 12)))
    midnight = first.arrival.replace(hour=0, minute=0, second=0)
    last = max(one.departure for one in sessions)
    grid = TimeGrid(midnight, STEP_S, -(-(last - midnight) // timedelta(seconds=STEP_S)))
    hours = hourly_prices()
    begin = 24 * rng.randrange((len(hours) - grid.steps // 4) // 24)
    prices = tuple(int(hours[begin + step // 4]) for step in range(grid.steps))
    cars = tuple(cars_of(sessions, grid, "true"))
    cap_wh = _least_capacity(cars, prices) * rng.randint(100, 160) // 100
    return Day(grid, cars, prices, cap_wh) if cars else _day(rng)


def _least_capacity(cars: Sequence[Car], prices: Sequence[int]) -> int:
    needed = sum(car.full_wh for car in cars)
    least, enough = 0, sum(car.max_wh for car in cars)
    while enough - least > 1:
        middle = (least + enough) // 2
        if offline_bound(cars, prices, middle)[0] == needed:
            enough = middle
        else:
            least = middle
    return enough


def _lying(car: Car, lie: Lie, day: Day, rng: random.Random) -> Car:
    if lie == "leaves earlier":
        return replace(
            car, stated_departure=rng.randint(car.arrival + 1, max(car.arrival + 1, car.departure - 1))
        )
    if lie == "leaves later":
        return replace(car, stated_departure=min(day.grid.steps, car.departure + rng.randint(1, 16)))
    percent = rng.randint(10, 90) if lie == "needs less" else rng.randint(110, 300)
    return replace(car, stated_wh=car.full_wh * percent // 100)


def _replay(day: Day, cars: Sequence[Car]) -> tuple[dict[str, int], dict[str, int]]:
    """Give each car's reward and energy."""
    policy = Planned(day.grid, day.cap_wh, day.prices)
    log = replay(cars, day.grid.steps, day.cap_wh, policy, policy.metered)
    supply = tuple(SupplySegment(step, Wh(day.cap_wh), Price(price)) for step, price in enumerate(day.prices))
    stays = [MeteredStay(car.id, day.grid.bounds(car.arrival)[0], tuple(log.taken[car.id])) for car in cars]
    found = rewards(GroupDay(day.grid, supply, tuple(policy.step_price), SHARE_PER_MILLE), stays)
    avoided = sum(
        (before - after) * day.prices[step]
        for car in cars
        for step, (before, after) in enumerate(
            zip(found.baselines[car.id], log.taken[car.id], strict=True), car.arrival
        )
    )
    assert sum(found.by_id.values()) * 1_000 * 1_000 <= max(0, avoided) * SHARE_PER_MILLE
    return found.by_id, {car.id: log.got(car) for car in cars}


def table(found: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Give the published table: a heading, a row for each kind of lie, and all of them."""
    by_lie: dict[str, list[Trial]] = defaultdict(list)
    for trial in found:
        by_lie[trial.lie].append(trial)
    return [HEADING, *(_row(lie, by_lie[lie]) for lie in LIES if by_lie[lie]), _row("any of them", found)]


def _row(name: str, found: Sequence[Trial]) -> tuple[str, ...]:
    gains = sorted(trial.gain for trial in found if trial.gain > 0)
    free = sum(trial.gain > 0 and trial.wh >= trial.honest_wh for trial in found)
    return (
        name,
        f"{len(found):,}",
        f"{len(gains):,} ({len(gains) / len(found):.1%})",
        f"{free:,} ({free / len(found):.1%})",
        _cent(gains[len(gains) // 2] if gains else 0),
        _cent(gains[len(gains) * 95 // 100] if gains else 0),
        _cent(gains[-1] if gains else 0),
        f"{sum(trial.gain < 0 for trial in found):,}",
        _cent(sum(trial.gain for trial in found) / len(found)),
        _cent(sum(trial.honest_reward for trial in found) / len(found)),
        f"{sum(trial.wh < trial.honest_wh for trial in found):,}",
    )


def _cent(micro: float) -> str:
    return f"{micro / 10_000:.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="bench.replay.misreport", description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    for row in table(list(trials(options.trials, options.seed))):
        print(" | ".join(row))


if __name__ == "__main__":
    main()
