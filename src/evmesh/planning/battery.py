"""Stationary batteries beside a group's cars: the cheapest plan for all, which no promise depends on.

A battery stands above the cars: what they take in a step is never more than the supply has without it. So a
plan that counts on it can still be driven, at a higher cost, when it says no. One at a part of the group
stands on that part's cable, which it loads as the part's cars do. What it gives could then let the cars
behind the cables above have more than these carry without it; steps in which the plan would do that are
closed to it, and planned again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.problem_tree import Battery
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Schedule
from evmesh.domain.units import Wh
from evmesh.planning.admission import Accepted
from evmesh.planning.optimiser import solve

MOST_CELLS: Final = 5_000
"""Steps of all windows together up to which a battery is planned: with losses it is a linear programme."""

_TRIES: Final = 4
"""How often steps are closed to batteries before they are left out."""


@dataclass(frozen=True, slots=True)
class Storage:
    """A battery and the place in the tree that it stands at: the group's name, or a part's."""

    place: str
    name: str
    capacity: Wh
    max_in: Wh
    max_out: Wh
    """Each of a step."""
    efficiency: int
    stored: Wh
    final: Wh

    def at(self, group: str) -> Battery:
        """Give it as problems have it."""
        return Battery(
            id=self.name,
            group=group,
            capacity_wh=self.capacity,
            max_in_wh=self.max_in,
            max_out_wh=self.max_out,
            efficiency=self.efficiency,
            stored_wh=self.stored,
            final_wh=self.final,
        )


def above(place: str) -> str:
    """Give the name of what stands in the tree between a place and what it hangs on."""
    return f"{place}/battery"


def with_batteries(
    problem: Problem, group: str, storages: Sequence[Storage], closed: Collection[int] = ()
) -> Problem:
    """Put batteries between the cables of a group and what these hang on.

    In `closed` steps those at parts neither take nor give. Each `place` is a group of the problem's shape.
    """
    steps = problem.steps
    if isinstance(problem.shape, TreeShape):
        groups, of = list(problem.shape.groups), problem.shape.of
    else:
        groups = [Group(group, None, tuple(problem.capacities()), (0,) * steps)]
        of = {one.id: group for one in problem.requests}
    found: list[Battery] = []
    for place in dict.fromkeys(one.place for one in storages):
        number = next(n for n, one in enumerate(groups) if one.id == place)
        here = groups[number]
        top = Group(above(place), here.parent, here.capacity_wh, (0,) * steps)
        groups[number : number + 1] = [top, replace(here, parent=top.id)]
        standing = [one for one in storages if one.place == place]
        if here.parent is None:
            found += [one.at(top.id) for one in standing]
            continue
        for one in standing:
            most = max(one.max_in, one.max_out)
            cable = tuple(0 if step in closed else most for step in range(steps))
            groups.append(Group(f"{top.id}/{one.name}", top.id, cable, (0,) * steps))
            found.append(one.at(groups[-1].id))
    return replace(problem, shape=TreeShape(tuple(groups), of, tuple(found)))


def plan_with_batteries(problem: Problem, group: str, storages: Sequence[Storage]) -> Accepted | None:
    """Plan cars and batteries together; None where that cannot be done in whole Wh, or takes too long."""
    if sum(one.window_steps for one in problem.requests) > MOST_CELLS:
        return None
    closed: set[int] = set()
    for _ in range(_TRIES):
        asked = with_batteries(problem, group, storages, closed)
        try:
            answer = solve(asked)
        except (Refused, Unavailable):
            return None
        if not isinstance(answer, Schedule):
            return None
        crowded = _beyond_cables(problem, answer)
        if not crowded:
            return Accepted(asked, answer)
        closed |= crowded
    return None


def _beyond_cables(problem: Problem, schedule: Schedule) -> set[int]:
    """Give the steps in which cars would have more than some cable carries when no battery gives."""
    if not isinstance(problem.shape, TreeShape):
        return set()
    tree = problem.shape.tree(problem)
    own = [[0] * problem.steps for _ in tree.groups]
    for row in schedule.rows:
        at = tree.tree.place[problem.shape.of[row.id]]
        for step in range(row.first, row.end):
            own[at][step] += row.at(step)
    loads, others = tree.tree.sums_below(own), tree.tree.other_below()
    return {
        step
        for number, one in enumerate(tree.groups)
        for step, capacity in enumerate(one.capacity_wh)
        if loads[number][step] > capacity - others[number][step]
    }
