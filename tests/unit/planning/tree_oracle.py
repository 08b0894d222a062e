"""Independent answers to problems over trees of groups.

`cheapest` writes the problem down as a linear programme the long way, cable flows as sums over what
hangs below, and asks HiGHS; `cheapest_by_trying` tries every whole number there is. Neither shares
anything with `evmesh.planning` or `evmesh.verify`.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import highspy

from evmesh.domain.problem_tree import TreeProblem


def cheapest(problem: TreeProblem) -> float | None:
    """Give the least cost, Σ Wh × price, in real numbers; None where the requests do not fit."""
    programme = _Programme()
    programme.add_supply(problem)
    programme.add_cars(problem)
    programme.add_batteries(problem)
    programme.add_cables(problem)
    solver = programme.solver
    solver.minimize()
    if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
        return None
    return float(solver.getObjectiveValue())


class _Programme:
    """A linear programme; `taken` {(group, step)} and `grid` {step} are sums of its variables."""

    def __init__(self) -> None:
        self.solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        self.solver.setOptionValue("output_flag", False)
        self.nothing = self.solver.addVariable(0, 0)
        self.taken: dict[tuple[str, int], list[Any]] = defaultdict(list)
        self.grid: dict[int, list[Any]] = defaultdict(list)

    def add_supply(self, problem: TreeProblem) -> None:
        add = self.solver.addVariable
        for one in problem.imports:
            self.grid[one.step].append(add(0, one.cap_wh, one.price))
        for one in problem.exports:
            self.grid[one.step].append(-1 * add(0, one.cap_wh, -one.price))
        for local in problem.local:
            made = add(0, local.segment.cap_wh, local.segment.price)
            self.taken[local.group, local.segment.step].append(-1 * made)

    def add_cars(self, problem: TreeProblem) -> None:
        for request in problem.requests:
            car, v2g = request.car, request.v2g
            steps = range(car.arrival, car.departure)
            if v2g is None:
                ins = [self.solver.addVariable(0, car.max_wh) for _ in steps]
                for step, into in zip(steps, ins, strict=True):
                    self.taken[request.group, step].append(into)
                self.solver.addConstr(sum(ins) == car.energy_wh)
            else:
                bounds = (v2g.stored_wh, v2g.least_wh, v2g.most_wh, v2g.stored_wh + car.energy_wh)
                self._add_store(request.group, steps, (car.max_wh, v2g.max_out_wh, v2g.efficiency), bounds)

    def add_batteries(self, problem: TreeProblem) -> None:
        for one in problem.batteries:
            rates = (one.max_in_wh, one.max_out_wh, one.efficiency)
            bounds = (one.stored_wh, 0, one.capacity_wh, one.final_wh)
            self._add_store(one.group, range(problem.steps), rates, bounds)

    def _add_store(
        self, group: str, steps: range, rates: tuple[int, int, int], bounds: tuple[int, int, int, int]
    ) -> None:
        max_in, max_out, efficiency = rates
        stored, least, most, final = bounds
        level: Any = stored
        for step in steps:
            into, out = self.solver.addVariable(0, max_in), self.solver.addVariable(0, max_out)
            self.taken[group, step].append(into - out)
            level = level + into - out * (1_000 / efficiency)
            self.solver.addConstr(level >= least)
            self.solver.addConstr(level <= most)
        self.solver.addConstr(level >= final)

    def add_cables(self, problem: TreeProblem) -> None:
        for group in problem.groups:
            below = _below(problem, group.id)
            for step in range(problem.steps):
                flow = self.nothing + sum(x for one in below for x in self.taken[one, step])
                other = sum(one.other_wh[step] for one in problem.groups if one.id in below)
                self.solver.addConstr(flow >= -group.capacity_wh[step] - other)
                self.solver.addConstr(flow <= group.capacity_wh[step] - other)
                if group.parent is None:
                    self.solver.addConstr(flow - sum(self.grid[step]) == 0)


def _below(problem: TreeProblem, group: str) -> set[str]:
    found = {group}
    while more := {one.id for one in problem.groups if one.parent in found} - found:
        found |= more
    return found


def cheapest_by_trying(problem: TreeProblem) -> int | None:
    """Give the least cost in whole Wh by trying everything: only for a handful of Wh without batteries."""
    best: int | None = None
    choices = [
        list(_rows(one.car.energy_wh, one.car.max_wh, one.car.window_steps)) for one in problem.requests
    ]
    pv = [range(one.segment.cap_wh + 1) for one in problem.local]
    for rows in itertools.product(*choices):
        for made in itertools.product(*pv):
            cost = _cost(problem, rows, made)
            if cost is not None and (best is None or cost < best):
                best = cost
    return best


def _rows(energy: int, most: int, steps: int) -> Iterator[tuple[int, ...]]:
    if steps == 0:
        if energy == 0:
            yield ()
        return
    for first in range(min(energy, most) + 1):
        for rest in _rows(energy - first, most, steps - 1):
            yield (first, *rest)


def _cost(problem: TreeProblem, rows: tuple[tuple[int, ...], ...], made: tuple[int, ...]) -> int | None:
    cost = sum(wh * one.segment.price for wh, one in zip(made, problem.local, strict=True))
    for step in range(problem.steps):
        at = dict.fromkeys((one.id for one in problem.groups), 0)
        for request, row in zip(problem.requests, rows, strict=True):
            if request.car.arrival <= step < request.car.departure:
                at[request.group] += row[step - request.car.arrival]
        for wh, one in zip(made, problem.local, strict=True):
            at[one.group] -= wh if one.segment.step == step else 0
        for group in problem.groups:
            below = _below(problem, group.id)
            carried = sum(at[one.id] + one.other_wh[step] for one in problem.groups if one.id in below)
            if abs(carried) > group.capacity_wh[step]:
                return None
        best = _grid_cost(problem, step, sum(at.values()))
        if best is None:
            return None
        cost += best
    return cost


def _grid_cost(problem: TreeProblem, step: int, needed: int) -> int | None:
    imports = [one for one in problem.imports if one.step == step]
    exports = [one for one in problem.exports if one.step == step]
    best = None
    for amounts in itertools.product(*(range(one.cap_wh + 1) for one in [*imports, *exports])):
        bought, sold = amounts[: len(imports)], amounts[len(imports) :]
        if sum(bought) - sum(sold) == needed:
            cost = sum(wh * one.price for wh, one in zip(bought, imports, strict=True))
            cost -= sum(wh * one.price for wh, one in zip(sold, exports, strict=True))
            best = cost if best is None else min(best, cost)
    return best


def cost_of(problem: TreeProblem, document: dict[str, Any]) -> int | None:
    """Give what a plan costs, from the JSON of its file alone; None where it breaks a rule."""
    at: dict[tuple[str, int], int] = defaultdict(int)
    if not (_cars_are_served(problem, document, at) and _stores_are_kept(problem, document, at)):
        return None
    grid: dict[int, int] = defaultdict(int)
    cost = _cost_of_supply(problem, document, at, grid)
    if cost is None:
        return None
    for group in problem.groups:
        below = _below(problem, group.id)
        for step in range(problem.steps):
            ours = sum(at[one, step] for one in below)
            other = sum(one.other_wh[step] for one in problem.groups if one.id in below)
            if abs(ours + other) > group.capacity_wh[step]:
                return None
            if group.parent is None and ours != grid[step]:
                return None
    return cost


def _cost_of_supply(
    problem: TreeProblem, document: dict[str, Any], at: dict[tuple[str, int], int], grid: dict[int, int]
) -> int | None:
    cost = 0
    for name, sign, segments in (
        ("import_wh", 1, problem.imports),
        ("export_wh", -1, problem.exports),
        ("local_wh", 1, tuple(one.segment for one in problem.local)),
    ):
        if len(document[name]) != len(segments):
            return None
        for number, (wh, one) in enumerate(zip(document[name], segments, strict=True)):
            if not 0 <= wh <= one.cap_wh:
                return None
            cost += sign * wh * one.price
            if name == "local_wh":
                at[problem.local[number].group, one.step] -= wh
            else:
                grid[one.step] += sign * wh
    return cost


def _cars_are_served(problem: TreeProblem, document: dict[str, Any], at: dict[tuple[str, int], int]) -> bool:
    plain = {one.id: one for one in problem.requests if one.v2g is None}
    if sorted(row["id"] for row in document["rows"]) != sorted(plain):
        return False
    for row in document["rows"]:
        request = plain[row["id"]]
        for step, wh in enumerate(row["wh"], row["first"]):
            there = request.car.arrival <= step < request.car.departure
            if wh and not (there and 0 <= wh <= request.car.max_wh):
                return False
            at[request.group, step] += wh
        if sum(row["wh"]) != request.car.energy_wh:
            return False
    return True


def _stores_are_kept(problem: TreeProblem, document: dict[str, Any], at: dict[tuple[str, int], int]) -> bool:
    rows = [*document["batteries"], *document["cars"]]
    stores = problem.stores()
    if [row["id"] for row in rows] != [one.id for one in stores]:
        return False
    for row, store in zip(rows, stores, strict=True):
        level = Fraction(store.stored_wh)
        if (
            row["first"] != store.first
            or not len(row["in_wh"]) == len(row["out_wh"]) == store.end - store.first
        ):
            return False
        for step, (into, out) in enumerate(zip(row["in_wh"], row["out_wh"], strict=True), store.first):
            level += into - out * Fraction(1_000, store.efficiency)
            fits = 0 <= into <= store.max_in_wh and 0 <= out <= store.max_out_wh
            if not (fits and store.least_wh <= level <= store.most_wh):
                return False
            at[store.group, step] += into - out
        if level < store.final_wh:
            return False
    return True
