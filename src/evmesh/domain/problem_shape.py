"""A problem whose supply goes through a tree of cables: how it is written, and how it is read back.

Whoever plans for people (admission, replans, receipts) thinks in one supply and one row per car, whatever
the cables are like. `TreeShape` says which cables the supply of a `Problem` goes through; with it the file is
`evmesh.problem/2`, and the answer `evmesh.schedule/2`, of which `Schedule` and `Refusal` are the view
from above: λ of a step is the price above the root, and a refusal's steps are those in which some cable
or the grid is short.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import InvalidInput
from evmesh.domain.money import Price
from evmesh.domain.problem import Problem, parse_problem
from evmesh.domain.problem_tree import Battery, TreeProblem, TreeRequest
from evmesh.domain.problem_tree_file import parse_tree_problem, write_tree_problem
from evmesh.domain.problem_tree_groups import Group
from evmesh.domain.schedule import Refusal, Schedule, parse_schedule
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal, parse_tree_schedule
from evmesh.domain.units import Wh

_TREE_PROBLEM: Final = re.compile(rb'"format"\s*:\s*"evmesh\.problem/2"')
_TREE_SCHEDULE: Final = re.compile(rb'"format"\s*:\s*"evmesh\.schedule/2"')
_PER_WH: Final = 1_000
"""A deficit of a tree counts thousandths."""


@dataclass(frozen=True, slots=True)
class TreeShape:
    """The cables between the supply and the requests; `of` names the group of each request by its id.

    Batteries on the way take and give what the plan says; the view from above does not show them.
    """

    groups: tuple[Group, ...]
    of: Mapping[str, str] = field(hash=False)
    batteries: tuple[Battery, ...] = ()

    def tree(self, problem: Problem) -> TreeProblem:
        """Give the problem with its cables."""
        requests = tuple(TreeRequest(self.of[one.id], one) for one in problem.requests)
        return TreeProblem(problem.grid, self.groups, problem.supply, requests, batteries=self.batteries)

    def write(self, problem: Problem) -> bytes:
        """Write `evmesh.problem/2`."""
        return write_tree_problem(self.tree(problem))


def is_tree(raw: bytes) -> bool:
    """Tell whether a problem file says that it is of the format 2; whether it is, its parser says."""
    return _TREE_PROBLEM.search(raw) is not None


def read_problem(raw: bytes, *, with_batteries: bool = False) -> Problem:
    """Read a problem of either format; of a tree its cables are the problem's shape.

    Raises InvalidInput, with `problem.not_one_supply` for a tree with supply on the way, exports, cars that
    give back or, where they are not asked for, batteries: of these there is no view from above.
    """
    if not is_tree(raw):
        return parse_problem(raw)
    tree = parse_tree_problem(raw)
    stores = () if with_batteries else tree.batteries
    if stores or tree.local or tree.exports or any(one.v2g is not None for one in tree.requests):
        raise InvalidInput("problem.not_one_supply", "this tree has more than one supply and cars that take")
    shape = TreeShape(tree.groups, {one.id: one.group for one in tree.requests}, tree.batteries)
    return Problem(tree.grid, tree.imports, tuple(one.car for one in tree.requests), shape)


def read_answer(raw: bytes) -> Schedule | Refusal:
    """Read a schedule or refusal of either format, as seen from above."""
    if _TREE_SCHEDULE.search(raw) is None:
        return parse_schedule(raw)
    answer = parse_tree_schedule(raw)
    return seen_plan(answer, raw) if isinstance(answer, TreePlan) else seen_refusal(answer, raw)


def seen_plan(plan: TreePlan, raw: bytes) -> Schedule:
    """Give a plan as seen from above; `raw` is its file."""
    prices = tuple(map(Price, plan.prices.grid))
    return Schedule(plan.problem_sha256, plan.rows, prices, plan.objective, raw)


def seen_refusal(refusal: TreeRefusal, raw: bytes) -> Refusal:
    """Give a refusal as seen from above; `raw` is its file. Its deficit is rounded up to whole Wh."""
    rows = (refusal.prices.grid, *refusal.prices.surcharges.values())
    steps = sorted({step for row in rows for step, price in enumerate(row) if price})
    deficit = Wh(min(-(-refusal.deficit_thousandths // _PER_WH), MAX_DOCUMENT_INT))
    return Refusal(refusal.problem_sha256, tuple(steps), deficit, refusal.offers, raw)
