"""Check `evmesh.schedule/2` against `evmesh.problem/2`, in integers, without planning anything.

A plan holds when
  1. every car and battery stays within its rates while it is there, and no segment gives more than it has;
  2. every request gets exactly its energy; a car that gives back, and a battery, stay within their
     bounds after every step and end with what they must;
  3. every cable carries what its capacity allows, other equipment counted in, and what comes down from
     the grid is what is imported less what is exported;
  4. the objective is the cost of what is used; the gap is the objective less the bound of the prices.
The bound is no plan's cost but a number below every plan's (`tree_terms.py`): so no plan costs less than
the objective by more than the gap. Without losses the gap must be 0, for there it always can be.

A refusal holds when the bound of its prices is above 0 although no supply costs anything: a plan would
cost nothing, so there is none.
"""

from collections.abc import Iterable, Iterator, Sequence

from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.problem import problem_sha256
from evmesh.domain.problem_tree import Store, TreeProblem, TreeRequest
from evmesh.domain.problem_tree_file import parse_tree_problem
from evmesh.domain.schedule import ScheduleRow
from evmesh.domain.schedule_tree import StoreRow, TreePlan, TreeRefusal, parse_tree_schedule
from evmesh.verify.report import require
from evmesh.verify.schedule import Verdict
from evmesh.verify.tree_terms import PricedTree, Term

OUT_OF_BOUNDS = {
    "supply": "schedule.over_supply",
    "cable": "schedule.over_capacity",
    "rate": "schedule.above_max",
    "energy": "schedule.energy_differs",
    "level": "schedule.store_level",
}


def verify_tree(problem_raw: bytes, schedule_raw: bytes) -> Verdict:
    """Check an answer, both as the bytes of their files.

    Raises InvalidInput where the problem cannot be read: then there is nothing to hold an answer
    against. An answer that cannot be read is a false one.
    """
    problem = parse_tree_problem(problem_raw)
    try:
        answer = parse_tree_schedule(schedule_raw)
        same = answer.problem_sha256 == problem_sha256(problem_raw)
        require(same, "schedule.other_problem", "another problem's hash", "problem_sha256")
        priced = PricedTree.of(problem, answer.prices)
        if isinstance(answer, TreePlan):
            _check_plan(problem, answer, priced)
        else:
            _check_refusal(problem, answer, priced)
    except (InvalidInput, IntegrityFailure) as error:
        return Verdict(False, error.code, error.path)
    return Verdict(True)


def _check_plan(problem: TreeProblem, plan: TreePlan, priced: PricedTree) -> None:
    rows = _request_rows(problem, plan)
    stores = _store_rows(problem, plan)
    for name, used, segments in (
        ("import_wh", plan.import_wh, problem.imports),
        ("export_wh", plan.export_wh, problem.exports),
        ("local_wh", plan.local_wh, problem.local),
    ):
        require(len(used) == len(segments), "schedule.segment_count", "not one value a segment", name)
    flows = _flows(problem, plan, rows, stores)
    bound = 0
    values = _values(problem, plan, rows, stores, flows)
    for term, value in zip(priced.terms(supply_costs=True), values, strict=True):
        if not term.low <= value <= term.high:
            raise IntegrityFailure(OUT_OF_BOUNDS[term.kind], f"{value} is out of bounds", path=term.path)
        bound += _least(term)
    cost = sum(wh * one.price for wh, one in zip(plan.import_wh, problem.imports, strict=True))
    cost -= sum(wh * one.price for wh, one in zip(plan.export_wh, problem.exports, strict=True))
    cost += sum(wh * one.segment.price for wh, one in zip(plan.local_wh, problem.local, strict=True))
    require(cost == plan.objective, "schedule.objective_differs", "not the cost", "objective")
    gap = 1_000 * cost - bound
    require(gap == plan.gap_thousandths, "schedule.gap_differs", "the prices bound otherwise", "gap")
    require(
        gap == 0 or not problem.is_lossless(), "schedule.not_optimal", "the prices show no optimum", "gap"
    )


def _check_refusal(problem: TreeProblem, refusal: TreeRefusal, priced: PricedTree) -> None:
    bound = sum(map(_least, priced.terms(supply_costs=False)))
    require(bound > 0, "refusal.no_deficit", "at these prices everything may fit", "prices")
    require(bound == refusal.deficit_thousandths, "refusal.deficit_differs", "not the bound", "deficit")
    for number, offer in enumerate(refusal.offers or ()):
        require(offer.energy_wh > 0, "refusal.bad_offer", "of nothing", f"offers[{number}].energy_wh")
        inside = 0 < offer.departure <= problem.steps
        require(inside, "refusal.bad_offer", "outside the horizon", f"offers[{number}].departure")


def _least(term: Term) -> int:
    """Give the least that a term can cost."""
    return min(term.cost * term.low, term.cost * term.high)


def _flows(
    problem: TreeProblem,
    plan: TreePlan,
    rows: Sequence[tuple[TreeRequest, ScheduleRow]],
    stores: Sequence[tuple[Store, StoreRow]],
) -> list[list[int]]:
    """Give what comes down each cable, less what goes up; other equipment not counted. Shape: [group][step].

    Raises IntegrityFailure where the grid gives something else.
    """
    place = problem.tree.place
    taken = [[0] * problem.steps for _ in problem.groups]
    for request, row in rows:
        for step, wh in enumerate(row.wh, row.first):
            taken[place[request.group]][step] += wh
    for store, moved in stores:
        for step, (into, out) in enumerate(zip(moved.in_wh, moved.out_wh, strict=True), moved.first):
            taken[place[store.group]][step] += into - out
    for wh, local in zip(plan.local_wh, problem.local, strict=True):
        taken[place[local.group]][local.segment.step] -= wh
    flows = problem.tree.sums_below(taken)
    grid = [0] * problem.steps
    for wh, segment in zip(plan.import_wh, problem.imports, strict=True):
        grid[segment.step] += wh
    for wh, segment in zip(plan.export_wh, problem.exports, strict=True):
        grid[segment.step] -= wh
    for step, (given, needed) in enumerate(zip(grid, flows[problem.tree.downwards[0]], strict=True)):
        require(
            given == needed, "schedule.unbalanced", f"{given} from the grid, not {needed}", f"step {step}"
        )
    return flows


def _values(
    problem: TreeProblem,
    plan: TreePlan,
    rows: Sequence[tuple[TreeRequest, ScheduleRow]],
    stores: Sequence[tuple[Store, StoreRow]],
    flows: list[list[int]],
) -> Iterator[int]:
    """Give what the plan makes of every term, in the order of `PricedTree.terms`."""
    yield from plan.import_wh
    yield from plan.export_wh
    yield from plan.local_wh
    for of_group in flows:
        yield from of_group
    for request, row in rows:
        for step in range(request.car.arrival, request.car.departure):
            yield row.at(step)
        yield row.total_wh
    for store, moved in stores:
        level = store.efficiency * store.stored_wh
        yield level
        for into, out in zip(moved.in_wh, moved.out_wh, strict=True):
            yield into
            yield out
            level += store.efficiency * into - 1_000 * out
            yield level


def _request_rows(problem: TreeProblem, plan: TreePlan) -> list[tuple[TreeRequest, ScheduleRow]]:
    """Join requests and rows one to one, in the order of the problem."""
    found = {}
    plain = {one.id: one for one in problem.requests if one.v2g is None}
    _check_rows((row.id for row in plan.rows), plain.keys(), "rows")
    for number, row in enumerate(plan.rows):
        path, car = f"rows[{number}]", plain[row.id].car
        inside = row.first >= 0 and row.end <= problem.steps
        require(inside, "schedule.outside_horizon", "the row leaves the horizon", f"{path}.first")
        for position, wh in enumerate(row.wh):
            there = car.arrival <= row.first + position < car.departure
            require(there or not wh, "schedule.outside_window", "not there", f"{path}.wh[{position}]")
        found[row.id] = row
    return [(one, found[one.id]) for one in plain.values()]


def _store_rows(problem: TreeProblem, plan: TreePlan) -> list[tuple[Store, StoreRow]]:
    """Join stores and rows one to one, in the order of `TreeProblem.stores`."""
    stores = problem.stores()
    batteries, cars = stores[: len(problem.batteries)], stores[len(problem.batteries) :]
    return [
        *_joined(batteries, plan.batteries, "batteries"),
        *_joined(cars, plan.cars, "cars"),
    ]


def _joined(stores: Sequence[Store], rows: Sequence[StoreRow], name: str) -> list[tuple[Store, StoreRow]]:
    _check_rows((row.id for row in rows), {store.id for store in stores}, name)
    found = {row.id: (row, f"{name}[{number}]") for number, row in enumerate(rows)}
    pairs = []
    for store in stores:
        row, path = found[store.id]
        require(row.first == store.first, "schedule.outside_window", "not its first step", f"{path}.first")
        for member, values in (("in_wh", row.in_wh), ("out_wh", row.out_wh)):
            whole = len(values) == store.end - store.first
            require(whole, "schedule.step_count", "not one value a step", f"{path}.{member}")
        pairs.append((store, row))
    return pairs


def _check_rows(found: Iterable[str], expected: Iterable[str], name: str) -> None:
    """Raise IntegrityFailure unless each expected id is there exactly once."""
    waiting, known = set(expected), set(expected)
    for number, one in enumerate(found):
        path = f"{name}[{number}].id"
        require(one in known, "schedule.row_unknown", f"{one!r} is not in the problem", path)
        require(one in waiting, "schedule.row_twice", f"{one!r} stands twice", path)
        waiting.remove(one)
    require(not waiting, "schedule.row_missing", f"{len(waiting)} are missing", name)
