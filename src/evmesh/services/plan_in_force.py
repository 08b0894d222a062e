"""A plan as it is kept: the schedule in force, the problem that it answers, and what of promises it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from evmesh.domain.evidence import StoredPlan
from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import read_answer, read_problem
from evmesh.domain.schedule import Schedule
from evmesh.domain.sessions import Session
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import Wh


@dataclass(frozen=True, slots=True)
class Plan:
    """A schedule in force, with the problem it answers."""

    stored: StoredPlan
    problem: Problem
    schedule: Schedule

    def planned(self, session: Session, instant: datetime) -> Wh:
        """Give what the plan holds for a session in the step of `instant`."""
        wanted = self.stored.pseudonyms.get(session.id.text)
        grid = self.problem.grid
        if wanted is None or not grid.start <= instant < grid.end:
            return Wh(0)
        step = grid.index_of(instant)
        return next((row.at(step) for row in self.schedule.rows if row.id == wanted), Wh(0))

    @property
    def lacking(self) -> Mapping[str, Wh]:
        """Give, by session id, what of a promise the plan leaves out."""
        if self.stored.wanted is None:
            return {}
        wanted = {one.id: one.energy_wh for one in read_problem(self.stored.wanted).requests}
        planned = {one.id: one.energy_wh for one in self.problem.requests}
        less = {id: Wh(wanted[name] - planned[name]) for id, name in self.stored.pseudonyms.items()}
        return {id: wh for id, wh in less.items() if wh > 0}


@dataclass(frozen=True, slots=True)
class Lack:
    """What of a session's promise does not fit any more, and how much of that is for a cap."""

    group: str
    wh: Wh
    by_cap: Wh


def parse_plan(stored: StoredPlan) -> Plan:
    """Read a stored plan back."""
    schedule = read_answer(stored.schedule)
    if not isinstance(schedule, Schedule):
        raise ValueError("a stored plan is a schedule")
    return Plan(stored, read_problem(stored.problem), schedule)


def step_start(instant: datetime) -> datetime:
    """Give the boundary of the grid at or before `instant`."""
    return TimeGrid.covering(instant, instant, STEP_S).start
