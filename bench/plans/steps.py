"""Steps that are hard to cut into currents: all that is due just fits by energy, or does not quite."""

import random
from collections.abc import Callable, Iterator

from evmesh.domain.units import Milliamp, W, Wh
from evmesh.planning.board import Fuse
from evmesh.planning.dispatch import DispatchConnector, GroupLimit, dispatch

Step = tuple[list[DispatchConnector], GroupLimit]
STEP_S = 900
DUE: dict[str, Callable[[random.Random, float], float]] = {
    "a minute or two at 6 A": lambda rng, full: rng.choice([23, 46, 92]),
    "less than 6 A": lambda rng, full: rng.uniform(20, 300),
    "anything": lambda rng, full: rng.uniform(0, full),
    "nearly all that it can": lambda rng, full: rng.uniform(0.6, 1) * full,
}


def hard_steps(cars: int, number: int, seed: int = 1) -> Iterator[Step]:
    """Give steps of which each leaves something out when it is laid out level."""
    rng = random.Random(seed)
    while number:
        connectors, limit = _step(rng, cars)
        found = dispatch(connectors, limit, STEP_S)
        if found.gap_wh > 1 or any(found.shortfall_wh.values()):
            number -= 1
            yield connectors, limit


def _step(rng: random.Random, cars: int) -> Step:
    due = rng.choice(list(DUE.values()))
    lines = [rng.choice([(1,), (2,), (3,), (1, 2, 3)]) if rng.random() < 0.5 else (1,) for _ in range(cars)]
    connectors = []
    for number, one in enumerate(lines):
        most = rng.choice([16_000, 20_000, 32_000])
        full = most * 230 * len(one) / 1_000 / 4
        connectors.append(
            DispatchConnector(
                f"car-{number:02}", one, Milliamp(most), Wh(int(due(rng, full))), draws=rng.random() < 0.5
            )
        )
    part = frozenset(one.id for one in connectors[: cars // 2])
    room = rng.choice([0.97, 0.99, 1.0, 1.005, 1.02])
    whole = 4 * sum(one.due_wh for one in connectors)
    feeder = 4 * sum(one.due_wh for one in connectors if one.id in part)
    fuses = (Fuse(W(int(feeder * room)), part),) if rng.random() < 0.5 else ()
    return connectors, GroupLimit(power=W(int(whole * room)), fuses=fuses)
