"""A replay of one site under all policies: the rows of a table."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache

from bench.replay.loop import Car, Knowledge, Policy, cars_of, grid_of, replay, to_wh
from bench.replay.outcome import Outcome, measure, offline_bound
from bench.replay.planned import Planned
from bench.replay.queues import MostUrgentFirst, RoundRobin, deadline, laxity
from bench.sessions import RealSession, price_at, real_sessions
from evmesh.domain.time_grid import TimeGrid


@cache
def sessions_of(site: str, days: int) -> tuple[RealSession, ...]:
    """Give the sessions of the first `days` days of the week."""
    sessions = real_sessions(None if site == "both" else site)
    first = sessions[0].arrival.date()
    return tuple(one for one in sessions if (one.arrival.date() - first).days < days)


def prices_of(grid: TimeGrid) -> list[int]:
    """Give the price of each step."""
    return [price_at(grid.bounds(step)[0]) for step in range(grid.steps)]


def outcomes(site: str, cap_kw: float, step_s: int, knowledge: Knowledge, days: int = 7) -> Iterator[Outcome]:
    """Replay under each policy, the offline bound first."""
    sessions = sessions_of(site, days)
    grid = grid_of(sessions, step_s)
    cars, prices, cap_wh = cars_of(sessions, grid, knowledge), prices_of(grid), to_wh(cap_kw, step_s)
    bound_wh, bound_cost = offline_bound(cars, prices, cap_wh)
    told = {car.id: car.stated_wh for car in cars}
    queues: dict[str, Policy] = {
        "earliest deadline first": MostUrgentFirst(cap_wh, deadline),
        "least laxity first": MostUrgentFirst(cap_wh, laxity),
        "round robin": RoundRobin(cap_wh),
    }
    for name, queue in queues.items():
        log = replay(cars, grid.steps, cap_wh, queue)
        yield replace(measure(name, cars, log, prices, told, 0, cap_wh), bound_wh=bound_wh)
    for name, policy in _ours(grid, cap_wh, prices).items():
        log = replay(cars, grid.steps, cap_wh, policy, policy.metered)
        found = measure(name, cars, log, prices, policy.promised, policy.refused, cap_wh)
        yield replace(found, bound_wh=bound_wh)
    yield _bound(cars, bound_wh, bound_cost)


def _ours(grid: TimeGrid, cap_wh: int, prices: list[int]) -> dict[str, Planned]:
    """Give our policy as it runs where the operator says that the group is short, and other ways."""
    return {
        "ours": Planned(grid, cap_wh, prices, crowded=True),
        "ours, not said to be crowded": Planned(grid, cap_wh, prices),
        "ours, on prices alone": Planned(grid, cap_wh, prices, foresees=False),
        "ours, blind to prices": Planned(grid, cap_wh, [0] * grid.steps, foresees=False),
    }


def _bound(cars: list[Car], bound_wh: int, cost: int) -> Outcome:
    wanted = sum(car.full_wh for car in cars)
    return Outcome("offline bound", len(cars), bound_wh, wanted, bound_wh, 0, 0, 0, 0, 0, 0, 0, cost)


HEADING = (
    "policy",
    "energy",
    "of the bound",
    "demands met",
    "told yes",
    "took an offer",
    "promises kept",
    "peak, kW",
    "unused though wanted",
    "cent per kWh",
)


def table(found: Iterable[Outcome], step_s: int) -> list[tuple[str, ...]]:
    """Give the published table; a heading, and a row for each policy."""
    return [HEADING, *(_row(one, step_s) for one in found)]


def _row(one: Outcome, step_s: int) -> tuple[str, ...]:
    is_bound = not one.peak_wh
    return (
        one.policy,
        f"{one.energy_wh / one.wanted_wh:.2%}",
        f"{one.energy_wh / one.bound_wh:.2%}",
        "" if is_bound else f"{one.met} of {one.cars} ({one.met / one.cars:.1%})",
        "" if is_bound else f"{one.yes}",
        "" if is_bound else f"{one.offered}",
        "" if is_bound else f"{one.kept} of {one.judged} ({one.kept / one.judged:.1%})",
        "" if is_bound else f"{one.peak_wh * 3_600 / step_s / 1_000:.1f}",
        "" if is_bound else f"{one.unused_wh / one.wanted_wh:.0%}",
        f"{one.cost_millis / one.energy_wh / 10_000:.2f}",
    )
