"""A stationary battery beside a group's cars: the cheapest plan for both, which no promise depends on.

The battery stands above the cars: what they take in a step is never more than the supply has without it. So a
plan that counts on the battery can still be driven, at a higher cost, when the battery says no.
"""

from dataclasses import replace

from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.problem import Problem
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.problem_tree import Battery
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Schedule
from evmesh.planning.admission import Accepted
from evmesh.planning.optimiser import solve

MOST_CELLS = 5_000
"""Steps of all windows together up to which a battery is planned: with losses it is a linear programme."""


def above(group: str) -> str:
    """Give the name of the place in the tree where a group's battery stands."""
    return f"{group}/battery"


def with_battery(problem: Problem, group: str, battery: Battery) -> Problem:
    """Put a battery between the supply and all cables of a group; `battery.group` is `above(group)`."""
    whole = tuple(problem.capacities())
    if isinstance(problem.shape, TreeShape):
        root, *below = problem.shape.groups
        of = problem.shape.of
    else:
        root, below = Group(group, None, whole, (0,) * problem.steps), []
        of = {one.id: group for one in problem.requests}
    top = Group(above(group), None, root.capacity_wh, (0,) * problem.steps)
    groups = (top, replace(root, parent=top.id), *below)
    return replace(problem, shape=TreeShape(groups, of, (battery,)))


def plan_with_battery(problem: Problem) -> Accepted | None:
    """Plan cars and battery together; None where that cannot be done in whole Wh, or takes too long."""
    if sum(one.window_steps for one in problem.requests) > MOST_CELLS:
        return None
    try:
        answer = solve(problem)
    except (Refused, Unavailable):
        return None
    return Accepted(problem, answer) if isinstance(answer, Schedule) else None
