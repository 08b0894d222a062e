"""A plan as it is kept: the schedule in force, the problem that it answers, and what of promises it lacks."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from evmesh.domain.evidence import StoredPlan
from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import TreeShape, read_answer, read_problem
from evmesh.domain.schedule import Schedule
from evmesh.domain.schedule_tree import TreePlan, parse_tree_schedule
from evmesh.domain.sessions import Session
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import W, Wh, watts_from_energy


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

    def battery_power(self, battery: str, instant: datetime) -> W | None:
        """Give what goes into a battery in the step of `instant`; None where nothing is planned for it."""
        grid, shape = self.problem.grid, self.problem.shape
        if not isinstance(shape, TreeShape) or not shape.batteries or not grid.start <= instant < grid.end:
            return None
        answer, step = parse_tree_schedule(self.stored.schedule), grid.index_of(instant)
        if not isinstance(answer, TreePlan):
            raise AssertionError("a stored plan is a plan")
        row = next((one for one in answer.batteries if one.id == battery), None)
        return None if row is None else watts_from_energy(Wh(row.in_wh[step] - row.out_wh[step]), grid.step_s)

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
    return Plan(stored, read_problem(stored.problem, with_batteries=True), schedule)


def step_start(instant: datetime) -> datetime:
    """Give the boundary of the grid at or before `instant`."""
    return TimeGrid.covering(instant, instant, STEP_S).start
