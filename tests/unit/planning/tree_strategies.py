"""Random problems over trees of groups: small ones for hypothesis, large ones from a seed."""

import random
from datetime import UTC, datetime

from hypothesis import strategies as st

from evmesh.domain.money import Price
from evmesh.domain.problem import Request, SupplySegment
from evmesh.domain.problem_tree import Battery, GiveBack, LocalSegment, TreeProblem, TreeRequest
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh

START = datetime(2026, 9, 1, 6, tzinfo=UTC)


def tree_problem(rng: random.Random, *, unit: int = 1, lossy: bool = False, steps: int = 0) -> TreeProblem:
    """Give a small problem in multiples of `unit` Wh, feasible about as often as not."""
    steps = steps or rng.randint(1, 4)
    groups = _groups(rng, steps, unit, rng.randint(1, 4))
    leaves = [one.id for one in groups if one.id not in {other.parent for other in groups}]
    imports = [_segment(rng, step, unit, 9) for step in range(steps) for _ in range(rng.choice([0, 1, 1, 2]))]
    return TreeProblem(
        TimeGrid(START, 900, steps),
        tuple(groups),
        tuple(imports),
        tuple(
            _request(rng, rng.choice(leaves), f"car-{n}", steps, unit, lossy)
            for n in range(rng.randint(0, 3))
        ),
        tuple(_segment(rng, rng.randrange(steps), unit, 3) for _ in range(rng.choice([0, 0, 1]))),
        tuple(
            LocalSegment(rng.choice(groups).id, _segment(rng, rng.randrange(steps), unit, 5))
            for _ in range(rng.choice([0, 1, 2]))
        ),
        tuple(
            _battery(rng, rng.choice(groups).id, f"battery-{n}", unit, lossy)
            for n in range(rng.choice([0, 1, 1]))
        ),
    )


@st.composite
def tree_problems(draw: st.DrawFn, lossy: bool = False, unit: int = 1) -> TreeProblem:
    """Draw a small problem."""
    return tree_problem(draw(st.randoms(use_true_random=False)), unit=unit, lossy=lossy)


def crowded_tree(
    rng: random.Random, steps: int = 24, cars: int = 24, *, lossy: bool = False, room: float = 1.2
) -> TreeProblem:
    """Give a transformer, two feeders, four cabinets, PV, a battery, and `room` times what cars need."""
    names = {"transformer": None, "feeder-a": "transformer", "feeder-b": "transformer"}
    names |= {f"cabinet-{n}": "feeder-a" if n < 2 else "feeder-b" for n in range(4)}
    requests = []
    for number in range(cars):
        arrival = rng.randrange(steps - 4)
        departure = rng.randint(arrival + 2, min(steps, arrival + steps // 2))
        max_wh = rng.choice([925, 1_850, 2_750])
        energy_wh = int(max_wh * (departure - arrival) * rng.uniform(0.2, 0.7))
        v2g = None
        if lossy and number % 6 == 0:
            v2g = GiveBack(Wh(max_wh), 880, Wh(20_000), Wh(10_000), Wh(20_000 + energy_wh + 15_000))
        car = Request(f"car-{number:03}", arrival, departure, Wh(energy_wh), Wh(max_wh))
        requests.append(TreeRequest(f"cabinet-{rng.randrange(4)}", car, v2g))
    mean_wh = room * sum(one.car.energy_wh for one in requests) / steps
    share = {"transformer": 1.3, "feeder-a": 0.9, "feeder-b": 0.9}
    groups = [
        Group(
            name,
            parent,
            tuple(int(mean_wh * share.get(name, 0.6) * rng.uniform(0.9, 1.2)) for _ in range(steps)),
            tuple(rng.randint(-50, 300) for _ in range(steps)),
        )
        for name, parent in names.items()
    ]
    imports = [
        SupplySegment(step, Wh(int(mean_wh * part)), Price(rng.randint(90_000, 300_000)))
        for step in range(steps)
        for part in (1.0, 0.8)
    ]
    local = [
        LocalSegment(f"cabinet-{step % 4}", SupplySegment(step, Wh(rng.randint(0, 4_000)), Price(80_000)))
        for step in range(steps)
    ]
    efficiency = 900 if lossy else 1_000
    battery = Battery(
        "battery", "feeder-a", Wh(30_000), Wh(5_000), Wh(5_000), efficiency, Wh(10_000), Wh(10_000)
    )
    return TreeProblem(
        TimeGrid(START, 900, steps),
        tuple(groups),
        tuple(imports),
        tuple(requests),
        (),
        tuple(local),
        (battery,),
    )


def _groups(rng: random.Random, steps: int, unit: int, count: int) -> list[Group]:
    names = ["transformer", "feeder", "cabinet", "shed"][:count]
    found = []
    for number, name in enumerate(names):
        parent = rng.choice(names[:number]) if number else None
        capacity = tuple(unit * rng.choice([0, 2, 4, 6, 9, 9]) for _ in range(steps))
        other = tuple(unit * rng.choice([0, 0, 0, 1, 2, -1, -2]) for _ in range(steps))
        found.append(Group(name, parent, capacity, other))
    rng.shuffle(found)
    return found


def _segment(rng: random.Random, step: int, unit: int, most: int) -> SupplySegment:
    price = rng.choice([-70, -5, 0, 3, 10, 10, 25, 400])
    return SupplySegment(step, Wh(unit * rng.randint(0, most)), Price(price))


def _request(rng: random.Random, group: str, name: str, steps: int, unit: int, lossy: bool) -> TreeRequest:
    arrival = rng.randrange(steps)
    departure = rng.randint(arrival + 1, steps)
    max_wh = unit * rng.randint(0, 5)
    energy_wh = rng.randint(0, max_wh * (departure - arrival) + (rng.random() < 0.1))
    car = Request(name, arrival, departure, Wh(energy_wh), Wh(max_wh))
    if rng.random() < 0.7:
        return TreeRequest(group, car)
    stored = unit * rng.randint(0, 4)
    efficiency = rng.choice([500, 900, 970]) if lossy else 1_000
    most = stored + energy_wh + unit * rng.randint(0, 3)
    v2g = GiveBack(Wh(unit * rng.randint(0, 4)), efficiency, Wh(stored), Wh(rng.randint(0, stored)), Wh(most))
    return TreeRequest(group, car, v2g)


def _battery(rng: random.Random, group: str, name: str, unit: int, lossy: bool) -> Battery:
    capacity = unit * rng.randint(0, 6)
    efficiency = rng.choice([500, 900, 973]) if lossy else 1_000
    rate = unit * rng.randint(0, 4)
    stored, final = rng.randint(0, capacity), rng.randint(0, capacity)
    return Battery(name, group, Wh(capacity), Wh(rate), Wh(rate), efficiency, Wh(stored), Wh(final))
