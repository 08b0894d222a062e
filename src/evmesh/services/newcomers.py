"""Who came in the last days, quarter of an hour by quarter of an hour: what planned energy will be worth.

The metered sessions are the memory (`planning/newcomers.py` says what is made of them); nothing is kept but
what was read last. In a group with parts or fuses of lines everybody is looked at where they stood, so
that what is kept for those to come is kept at every cable on their way.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.sessions import Session
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import Wh, energy_from_watts
from evmesh.planning.newcomers import (
    DAYS_BACK,
    Foreseen,
    Newcomer,
    PastStay,
    as_many_as_fit,
    expected,
    foresee,
)
from evmesh.planning.newcomers_tree import foresee_tree
from evmesh.ports import Unit
from evmesh.services.cabling import has_cables, leaf_of
from evmesh.services.directory import Directory, Group, Place
from evmesh.services.plan_in_force import Plan, step_start

_PER_MILLE = 1_000


class PastStays:
    """The stays of the last days, of each group."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._as_of: datetime | None = None
        self._by_group: dict[str, list[PastStay]] = {}

    async def look(self, unit: Unit, now: datetime) -> None:
        """Read them again, where a new quarter of an hour has begun."""
        if self._as_of == step_start(now):
            return
        self._as_of = step_start(now)
        self._by_group = {name: [] for name in self._directory.groups}
        for session in await unit.sessions_begun(now - timedelta(days=DAYS_BACK), now):
            self._add(session, now)

    def foresee(
        self, group: Group, problem: Problem, newest: Plan, places: Mapping[str, Place], left_s: int
    ) -> Foreseen:
        """Price a problem's later energy at what it will be worth by them, or as it is.

        The problem's second step is the first of the newest plan, of its first `left_s` seconds are left;
        `places` is where each of its requests stands.
        """
        stays: Sequence[PastStay] = self._by_group.get(group.name, ())
        newcomers = expected(stays, problem.grid)
        if not has_cables(group) or not isinstance(newest.problem.shape, TreeShape):
            return Foreseen(foresee(problem, self._or_as_many(newcomers, group, problem, [""])))
        leaves = sorted({leaf_of(group, place) for place in group.places})
        came = self._or_as_many(newcomers, group, problem, leaves)
        of = {id: leaf_of(group, place) for id, place in places.items()}
        left = left_s * _PER_MILLE // STEP_S
        return foresee_tree(problem, newest.problem.shape, of, came, left)

    def _or_as_many(
        self,
        newcomers: tuple[Newcomer, ...] | None,
        group: Group,
        problem: Problem,
        leaves: Sequence[str],
    ) -> tuple[Newcomer, ...]:
        if newcomers is not None:
            return newcomers
        return as_many_as_fit(problem, leaves) if group.is_crowded else ()

    def _add(self, session: Session, now: datetime) -> None:
        place = self._directory.by_ref(session.terms.connector)
        if place is None or session.started_at is None or place.connector.group not in self._by_group:
            return
        most = max(session.delivered, energy_from_watts(place.connector.rating, STEP_S))
        group = self._directory.groups[place.connector.group]
        at = leaf_of(group, place) if has_cables(group) else ""
        stay = PastStay(session.started_at, session.stopped_at or now, session.delivered, Wh(most), at)
        self._by_group[group.name].append(stay)
