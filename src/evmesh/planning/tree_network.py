"""A tree problem as a network: places where energy can be, and ways for it from one to another.

A place is a group in a step, the grid above the root in a step, a store in a step, or a request. A way
takes from its tail and gives to its head, each times a factor; only a store with losses has factors
other than 1, and without losses the network is a plain one, whose cheapest flow is whole numbers.
"""

from dataclasses import dataclass, field
from math import gcd

from evmesh.domain.problem_tree import LOSSLESS, Store, TreeProblem

OUTSIDE = -1
"""Where segments come from, and where what is delivered, exported or left in a store goes."""


@dataclass(slots=True)
class Ways:
    """Columns, one entry a way: from `low` to `high` Wh may take it, for `cost` each.

    Each takes `takes` from its tail and gives `gives` to its head. A place has no way of its own to
    keep energy: what comes in goes out.
    """

    tail: list[int] = field(default_factory=list)
    head: list[int] = field(default_factory=list)
    low: list[int] = field(default_factory=list)
    high: list[int] = field(default_factory=list)
    cost: list[int] = field(default_factory=list)
    takes: list[int] = field(default_factory=list)
    gives: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.tail)

    def add(
        self, tail: int, head: int, low: int, high: int, *, cost: int = 0, takes: int = 1, gives: int = 1
    ) -> int:
        """Add a way; gives its number."""
        self.tail.append(tail)
        self.head.append(head)
        self.low.append(low)
        self.high.append(high)
        self.cost.append(cost)
        self.takes.append(takes)
        self.gives.append(gives)
        return len(self.tail) - 1

    def fix(self, way: int, tail: int, head: int, wh: int) -> None:
        """Make a way one without losses, between these places, that carries exactly this much."""
        self.tail[way], self.head[way], self.low[way], self.high[way] = tail, head, wh, wh
        self.takes[way] = self.gives[way] = 1

    def copy(self) -> "Ways":
        """Give ways of their own with the same entries."""
        columns = (self.tail, self.head, self.low, self.high, self.cost, self.takes, self.gives)
        return Ways(*(list(column) for column in columns))


@dataclass(frozen=True, slots=True)
class StorePlaces:
    """Where a store is in the network: `place` + k in its k-th step, and the ways of each step.

    Of the units it counts in, a Wh taken makes `gain`, and a Wh given back uses `loss`.
    """

    store: Store
    place: int
    gain: int
    loss: int
    into: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def is_lossy(self) -> bool:
        """Whether less comes out than went in."""
        return self.gain != self.loss


@dataclass(frozen=True, slots=True)
class TreeNetwork:
    """The network of a problem, and what each place and way of it stands for.

    Places: the grid in step t is t; group g in step t is (1 + g) × steps + t; requests follow from
    `first_request` on, those that only take, in the order of the file; then the stores. `rows` [request]
    is the first way into each such request, one a step of its window. Ways of segments come first.
    """

    problem: TreeProblem
    ways: Ways
    places: int
    first_request: int
    rows: tuple[int, ...]
    stores: tuple[StorePlaces, ...]

    @classmethod
    def of(cls, problem: TreeProblem) -> "TreeNetwork":
        """Lay out the network of a problem."""
        ways = Ways()
        _add_supply(problem, ways)
        _add_cables(problem, ways)
        first_request = (1 + len(problem.groups)) * problem.steps
        place, rows = first_request, []
        for request in problem.requests:
            if request.v2g is None:
                car = request.car
                at = _group_place(problem, request.group)
                steps = range(car.arrival, car.departure)
                rows.append(len(ways))
                for step in steps:
                    ways.add(at + step, place, 0, car.max_wh)
                ways.add(place, OUTSIDE, car.energy_wh, car.energy_wh)
                place += 1
        stores = []
        for store in problem.stores():
            stores.append(_add_store(problem, ways, store, place))
            place += store.end - store.first
        return cls(problem, ways, place, first_request, tuple(rows), tuple(stores))

    def group_place(self, group: int) -> int:
        """Give the place of a group in step 0."""
        return (1 + group) * self.problem.steps


def _group_place(problem: TreeProblem, group: str) -> int:
    return (1 + problem.tree.place[group]) * problem.steps


def _add_supply(problem: TreeProblem, ways: Ways) -> None:
    for one in problem.imports:
        ways.add(OUTSIDE, one.step, 0, one.cap_wh, cost=one.price)
    for one in problem.exports:
        ways.add(one.step, OUTSIDE, 0, one.cap_wh, cost=-one.price)
    for local in problem.local:
        one = local.segment
        ways.add(OUTSIDE, _group_place(problem, local.group) + one.step, 0, one.cap_wh, cost=one.price)


def _add_cables(problem: TreeProblem, ways: Ways) -> None:
    other_below = problem.tree.other_below()
    for number, group in enumerate(problem.groups):
        parent = problem.tree.parents[number]
        above = 0 if parent is None else (1 + parent) * problem.steps
        below = (1 + number) * problem.steps
        for step, (capacity, other) in enumerate(zip(group.capacity_wh, other_below[number], strict=True)):
            ways.add(above + step, below + step, -capacity - other, capacity - other)


def _add_store(problem: TreeProblem, ways: Ways, store: Store, place: int) -> StorePlaces:
    """Add what the store begins with, then for each step what comes in, goes out and is kept.

    Stored energy is counted in units of which `loss` make a Wh given back, and a Wh taken makes `gain`.
    """
    common = gcd(store.efficiency, LOSSLESS)
    gain, loss = store.efficiency // common, LOSSLESS // common
    at = _group_place(problem, store.group)
    ways.add(OUTSIDE, place, gain * store.stored_wh, gain * store.stored_wh)
    into, out = [], []
    last = store.end - 1
    for number, step in enumerate(range(store.first, store.end)):
        here = place + number
        into.append(ways.add(at + step, here, 0, store.max_in_wh, gives=gain))
        out.append(ways.add(here, at + step, 0, store.max_out_wh, takes=loss))
        low = store.least_wh if step < last else max(store.least_wh, store.final_wh)
        then = here + 1 if step < last else OUTSIDE
        ways.add(here, then, gain * low, gain * store.most_wh)
    return StorePlaces(store, place, gain, loss, tuple(into), tuple(out))
