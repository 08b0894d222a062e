"""What prices say about a tree problem: for everything that may vary, its bounds and what it costs.

Let energy change hands at the prices: at each group, above the root, in each store, for each request.
Then everything that may vary (a segment, a cable, a car, a store) stands alone: it has a least, a most,
and a cost for each Wh, which is what it pays where it takes the energy, less what it gets where it
leaves it. So the cheapest that each could do, added up, bounds the cost of every plan from below,
whatever the prices are; and a plan reaches the bound where each does the cheapest it could.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evmesh.domain.problem_tree import Store, TreeProblem
from evmesh.domain.schedule_tree import Prices
from evmesh.verify.report import require


class Term(NamedTuple):
    """One thing that may vary from `low` to `high`, and what each unit of it costs at the prices.

    `cost` is in thousandths of micro-currency per kWh, undivided; stored energy is in thousandths of
    the Wh that can still be given back, everything else in Wh.
    """

    kind: str
    path: str
    low: int
    high: int
    cost: int


@dataclass(frozen=True, slots=True)
class PricedTree:
    """A problem and the price of energy at each of its groups. Shape of `at`: [group][step]."""

    problem: TreeProblem
    prices: Prices
    at: list[tuple[int, ...]]

    @classmethod
    def of(cls, problem: TreeProblem, prices: Prices) -> "PricedTree":
        """Add up the prices along each path; raises IntegrityFailure where one is missing or too many."""
        tree, steps = problem.tree, problem.steps
        require(len(prices.grid) == steps, "schedule.step_count", "not one price a step", "prices.grid")
        _check_ids(prices.surcharges, {one.id: steps for one in problem.groups}, "groups")
        _check_ids(prices.batteries, {one.id: steps for one in problem.batteries}, "batteries")
        cars = {one.id: one.car.window_steps for one in problem.requests if one.v2g is not None}
        _check_ids(prices.cars, cars, "cars")
        plain = {one.id for one in problem.requests if one.v2g is None}
        require(set(prices.requests) == plain, "schedule.price_missing", "not those ids", "prices.requests")
        at: list[tuple[int, ...]] = [()] * len(problem.groups)
        for number in tree.downwards:
            parent = tree.parents[number]
            above = prices.grid if parent is None else at[parent]
            surcharge = prices.surcharges[problem.groups[number].id]
            at[number] = tuple(one + more for one, more in zip(above, surcharge, strict=True))
        return cls(problem, prices, at)

    def terms(self, *, supply_costs: bool) -> Iterator[Term]:
        """Give every term, in the order of `values` in `tree.py`; without costs of supply for a refusal."""
        yield from self._supply(1_000 if supply_costs else 0)
        yield from self._cables()
        for number, one in enumerate(self.problem.requests):
            if one.v2g is None:
                yield from self._request(number)
        cars = [number for number, one in enumerate(self.problem.requests) if one.v2g is not None]
        paths = [f"batteries[{number}]" for number in range(len(self.problem.batteries))]
        paths += [f"requests[{number}]" for number in cars]
        values = [self.prices.batteries[one.id] for one in self.problem.batteries]
        values += [self.prices.cars[self.problem.requests[number].id] for number in cars]
        for store, stored, path in zip(self.problem.stores(), values, paths, strict=True):
            yield from self._store(store, stored, path)

    def _supply(self, weight: int) -> Iterator[Term]:
        """Buy a segment for its price, and sell it where it stands; an export the other way round."""
        grid, place = self.prices.grid, self.problem.tree.place
        for number, one in enumerate(self.problem.imports):
            cost = weight * one.price - 1_000 * grid[one.step]
            yield Term("supply", f"import[{number}]", 0, one.cap_wh, cost)
        for number, one in enumerate(self.problem.exports):
            cost = 1_000 * grid[one.step] - weight * one.price
            yield Term("supply", f"export[{number}]", 0, one.cap_wh, cost)
        for number, local in enumerate(self.problem.local):
            one = local.segment
            cost = weight * one.price - 1_000 * self.at[place[local.group]][one.step]
            yield Term("supply", f"local[{number}]", 0, one.cap_wh, cost)

    def _cables(self) -> Iterator[Term]:
        """Buy above the cable and sell below it; what other equipment takes is not ours to move."""
        other_below = self.problem.tree.other_below()
        for number, group in enumerate(self.problem.groups):
            surcharge = self.prices.surcharges[group.id]
            for step, (capacity, other) in enumerate(
                zip(group.capacity_wh, other_below[number], strict=True)
            ):
                path = f"groups[{number}] in step {step}"
                yield Term("cable", path, -capacity - other, capacity - other, -1_000 * surcharge[step])

    def _request(self, number: int) -> Iterator[Term]:
        """Buy at the group for the request, in steps of its own choice; the request pays its price."""
        request = self.problem.requests[number]
        car, at, path = request.car, self.at[self.problem.tree.place[request.group]], f"requests[{number}]"
        price = self.prices.requests[car.id]
        for step in range(car.arrival, car.departure):
            yield Term("rate", f"{path} in step {step}", 0, car.max_wh, 1_000 * (at[step] - price))
        yield Term("energy", path, car.energy_wh, car.energy_wh, 1_000 * price)

    def _store(self, store: Store, stored: Sequence[int], path: str) -> Iterator[Term]:
        """Buy at the group and keep; take out and sell; carry what is kept to the next step."""
        at, factor = self.at[self.problem.tree.place[store.group]], store.efficiency
        initial = factor * store.stored_wh
        yield Term("level", path, initial, initial, -stored[0])
        last = store.end - store.first - 1
        for number, step in enumerate(range(store.first, store.end)):
            where = f"{path} in step {step}"
            yield Term("rate", where, 0, store.max_in_wh, 1_000 * at[step] - factor * stored[number])
            yield Term("rate", where, 0, store.max_out_wh, 1_000 * (stored[number] - at[step]))
            low = store.least_wh if number < last else max(store.least_wh, store.final_wh)
            kept_for = stored[number + 1] if number < last else 0
            yield Term("level", where, factor * low, factor * store.most_wh, stored[number] - kept_for)


def _check_ids(found: Mapping[str, Sequence[int]], expected: Mapping[str, int], name: str) -> None:
    where = f"prices.{name}"
    require(found.keys() == expected.keys(), "schedule.price_missing", "not the ids of the problem", where)
    for one, steps in expected.items():
        require(len(found[one]) == steps, "schedule.step_count", f"{one!r} has not one price a step", where)
