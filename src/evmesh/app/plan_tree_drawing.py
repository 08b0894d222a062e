"""A plan over a tree of groups as it looks from above the root, for the one plot that all plans have.

Supply is what the root's cable carries of the imports, what stands below it, and what batteries and cars give
back, at λ. Each car has its band, and each battery, with what goes into it.
"""

from collections.abc import Iterator
from itertools import chain, count

from evmesh.app.plan_plot import plot_svg
from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.money import Price
from evmesh.domain.problem import MAX_ID_LENGTH, Problem, Request, SupplySegment
from evmesh.domain.problem_tree import TreeProblem
from evmesh.domain.problem_tree_file import parse_tree_problem
from evmesh.domain.schedule import Refusal, Schedule, ScheduleRow
from evmesh.domain.schedule_tree import TreePlan, TreeRefusal, parse_tree_schedule
from evmesh.domain.units import Wh


def plot_tree(problem_raw: bytes, schedule_raw: bytes) -> bytes:
    """Draw an answer to a problem, both as the bytes of their files."""
    problem, answer = parse_tree_problem(problem_raw), parse_tree_schedule(schedule_raw)
    requests = [one.car for one in problem.requests]
    supply = [*_imports(problem), *(one.segment for one in problem.local)]
    if isinstance(answer, TreeRefusal):
        return plot_svg(Problem(problem.grid, tuple(supply), tuple(requests)), _refusal(problem, answer))
    supply += _given_back(answer)
    rows = [*answer.rows, *(ScheduleRow(one.id, one.first, tuple(map(Wh, one.in_wh))) for one in answer.cars)]
    batteries = set()
    taken = {one.id: one.in_wh for one in answer.batteries}
    for battery in problem.batteries:
        name, wh = _battery_name(battery.id, requests), tuple(map(Wh, taken[battery.id]))
        batteries.add(name)
        requests.append(Request(name, 0, problem.steps, Wh(sum(wh)), battery.max_in_wh))
        rows.append(ScheduleRow(name, 0, wh))
    prices = tuple(map(Price, answer.prices.grid))
    schedule = Schedule(answer.problem_sha256, tuple(rows), prices, answer.objective)
    drawn = Problem(problem.grid, tuple(supply), tuple(requests))
    return plot_svg(drawn, schedule, frozenset(batteries))


def _imports(problem: TreeProblem) -> Iterator[SupplySegment]:
    """Give the imports, the cheapest first, as far as the root's cable carries them."""
    root = problem.tree.downwards[0]
    other = problem.tree.other_below()[root]
    room = [max(0, most - less) for most, less in zip(problem.groups[root].capacity_wh, other, strict=True)]
    for one in sorted(problem.imports, key=lambda one: (one.step, one.price)):
        carried = min(one.cap_wh, room[one.step])
        room[one.step] -= carried
        yield SupplySegment(one.step, Wh(carried), one.price)


def _given_back(plan: TreePlan) -> Iterator[SupplySegment]:
    for store in (*plan.cars, *plan.batteries):
        for step, wh in enumerate(store.out_wh, store.first):
            if wh:
                yield SupplySegment(step, Wh(wh), Price(plan.prices.grid[step]))


def _refusal(problem: TreeProblem, refusal: TreeRefusal) -> Refusal:
    """Name every step in which something on the way is too small."""
    rows = [refusal.prices.grid, *refusal.prices.surcharges.values()]
    steps = tuple(step for step in range(problem.steps) if any(row[step] for row in rows))
    missing = -(-refusal.deficit_thousandths // 1_000)
    return Refusal(refusal.problem_sha256, steps, Wh(min(missing, MAX_DOCUMENT_INT)))


def _battery_name(battery: str, requests: list[Request]) -> str:
    """Give a name that no band has yet, and that is not too long for one."""
    known = {one.id for one in requests}
    numbered = (f"battery no. {number}" for number in count(1))
    return next(one for one in chain([f"battery {battery}"[:MAX_ID_LENGTH]], numbered) if one not in known)
