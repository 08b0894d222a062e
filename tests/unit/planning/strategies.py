"""Random planning problems for hypothesis: small enough to shrink, odd enough to matter."""

import random
from datetime import UTC, datetime

from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, Request, SupplySegment
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh

START = datetime(2026, 9, 1, 6, tzinfo=UTC)
PRICES = st.sampled_from([-70, -5, 0, 0, 3, 10, 10, 25, 400])


@st.composite
def requests(draw: st.DrawFn, steps: int, request_id: str) -> Request:
    """Draw a car; now and then it wants more than it can take while it is there."""
    arrival = draw(st.integers(0, steps - 1))
    departure = draw(st.integers(arrival + 1, steps))
    max_wh = draw(st.integers(0, 9))
    energy_wh = draw(st.integers(0, max_wh * (departure - arrival) + draw(st.sampled_from([0, 0, 0, 0, 1]))))
    return Request(request_id, arrival, departure, Wh(energy_wh), Wh(max_wh))


@st.composite
def problems(draw: st.DrawFn, max_steps: int = 6, max_requests: int = 5, generous: bool = False) -> Problem:
    """Draw a problem; a generous one has a dear segment in each step that makes most of them feasible."""
    steps = draw(st.integers(1, max_steps))
    segments = st.builds(
        SupplySegment,
        step=st.integers(0, steps - 1),
        cap_wh=st.integers(0, 20).map(Wh),
        price=PRICES.map(Price),
    )
    supply = draw(st.lists(segments, max_size=3 * steps))
    if generous:
        supply += [SupplySegment(step, Wh(60), Price(1_000 + step % 2)) for step in range(steps)]
    names = draw(st.permutations(["kia", "audi", "bus", "fiat", "lada"]))[
        : draw(st.integers(0, max_requests))
    ]
    cars = tuple(draw(requests(steps, name)) for name in names)
    return Problem(TimeGrid(START, 900, steps), tuple(supply), cars)


def crowded_problem(
    rng: random.Random, steps: int = 16, cars: int = 10, supply_share: float = 1.0
) -> Problem:
    """Give a group whose supply is a little above or below `supply_share` of what its cars need."""
    fleet = []
    for number in range(cars):
        arrival = rng.randrange(steps - 3)
        departure = rng.randint(arrival + 2, min(steps, arrival + steps // 2))
        max_wh = rng.choice([575, 925, 1_850, 2_750])
        energy_wh = int(max_wh * (departure - arrival) * rng.uniform(0.2, 0.9))
        fleet.append(Request(f"car-{number:02}", arrival, departure, Wh(energy_wh), Wh(max_wh)))
    mean_wh = supply_share * sum(car.energy_wh for car in fleet) / steps
    supply = [
        SupplySegment(step, Wh(int(mean_wh * rng.uniform(*share))), Price(rng.randint(*prices)))
        for step in range(steps)
        for share, prices in (((0, 0.4), (-20_000, 80_000)), ((0.9, 1.6), (90_000, 300_000)))
    ]
    return Problem(TimeGrid(START, 900, steps), tuple(supply), tuple(fleet))
