"""Who came to a group in the last days, for what its energy will be worth to those who come next.

Looked up once a quarter of an hour; nothing is kept of it that the sessions do not say.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from evmesh.domain.problem import Problem
from evmesh.domain.sessions import Session
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import Wh, energy_from_watts
from evmesh.planning.newcomers import DAYS_BACK, PastStay, as_many_as_fit, expected, foresee
from evmesh.ports import Unit
from evmesh.services.directory import Directory, Group
from evmesh.services.plan_in_force import step_start


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

    def foresee(self, group: Group, problem: Problem) -> Problem:
        """Price a problem's later energy at what it will be worth by them, or as it is."""
        stays: Sequence[PastStay] = self._by_group.get(group.name, ())
        newcomers = expected(stays, problem.grid)
        if newcomers is None:
            newcomers = as_many_as_fit(problem) if group.is_crowded else ()
        return foresee(problem, newcomers)

    def _add(self, session: Session, now: datetime) -> None:
        place = self._directory.by_ref(session.terms.connector)
        if place is None or session.started_at is None or place.connector.group not in self._by_group:
            return
        most = max(session.delivered, energy_from_watts(place.connector.rating, STEP_S))
        stay = PastStay(session.started_at, session.stopped_at or now, session.delivered, Wh(most))
        self._by_group[place.connector.group].append(stay)
