"""A planning problem over a tree of groups: the nouns of `evmesh.problem/2`.

Like `evmesh.problem/1`, deliver every request's energy inside its window at least cost; but the
energy travels along cables that nest, may come from supply on the way, and may wait in batteries.
`problem_tree_file.py` reads and writes them.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import Request, SupplySegment
from evmesh.domain.problem_tree_groups import MAX_CELLS, Group, GroupTree, check_id, check_range
from evmesh.domain.time_grid import TimeGrid
from evmesh.domain.units import Wh

TREE_PROBLEM_FORMAT = "evmesh.problem/2"
LOSSLESS = 1_000
"""The efficiency, in parts per thousand, of a store that gives back all it took."""

MAX_WINDOWS = 10_000_000
"""Steps of all requests' windows together: a hundred thousand cars for a day."""

MAX_PRICE = 1_000_000_000
"""Smaller than in `evmesh.problem/1`, so that the difference of two prices is a document's integer."""


@dataclass(frozen=True, slots=True)
class LocalSegment:
    """Supply that stands at a group: PV, for the feed-in price that it would have earned."""

    group: str
    segment: SupplySegment


@dataclass(frozen=True, slots=True)
class Store:
    """Energy that waits at a group, in steps `first` ≤ t < `end`: a battery, or a car that gives back.

    Stored energy is counted as it was metered on its way in; of 1,000 Wh stored, `efficiency` Wh come
    out. At least `least_wh` and at most `most_wh` are stored after every step, at least `final_wh` at
    the end; `stored_wh` before the first.
    """

    id: str
    group: str
    first: int
    end: int
    max_in_wh: Wh
    max_out_wh: Wh
    efficiency: int
    least_wh: Wh
    most_wh: Wh
    stored_wh: Wh
    final_wh: Wh


@dataclass(frozen=True, slots=True)
class Battery:
    """A stationary battery: at most `max_in_wh` in and `max_out_wh` out a step."""

    id: str
    group: str
    capacity_wh: Wh
    max_in_wh: Wh
    max_out_wh: Wh
    efficiency: int
    stored_wh: Wh
    final_wh: Wh

    def __post_init__(self) -> None:
        check_id(self.id, "id")
        for name in ("capacity_wh", "max_in_wh", "max_out_wh"):
            check_range(getattr(self, name), 0, name)
        check_range(self.efficiency, 1, "efficiency", LOSSLESS)
        check_range(self.stored_wh, 0, "stored_wh", self.capacity_wh)
        check_range(self.final_wh, 0, "final_wh", self.capacity_wh)


@dataclass(frozen=True, slots=True)
class GiveBack:
    """What a car's battery allows: at most `max_out_wh` out a step, between `least_wh` and `most_wh` stored.

    It arrives with `stored_wh` and leaves with at least its request's energy more.
    """

    max_out_wh: Wh
    efficiency: int
    stored_wh: Wh
    least_wh: Wh
    most_wh: Wh

    def __post_init__(self) -> None:
        check_range(self.max_out_wh, 0, "max_out_wh")
        check_range(self.efficiency, 1, "efficiency", LOSSLESS)
        check_range(self.most_wh, 0, "most_wh")
        check_range(self.stored_wh, 0, "stored_wh", self.most_wh)
        check_range(self.least_wh, 0, "least_wh", self.stored_wh)


@dataclass(frozen=True, slots=True)
class TreeRequest:
    """A car at a group that has no groups below it; with `v2g` it may give back meanwhile."""

    group: str
    car: Request
    v2g: GiveBack | None = None

    def __post_init__(self) -> None:
        if self.v2g is not None and self.v2g.stored_wh + self.car.energy_wh > self.v2g.most_wh:
            raise InvalidInput(
                "problem.beyond_battery",
                f"{self.v2g.stored_wh} stored and {self.car.energy_wh} more are above most_wh",
                do="ask for what the battery can hold",
                path="v2g.most_wh",
            )

    @property
    def id(self) -> str:
        """The pseudonym of the request."""
        return self.car.id


@dataclass(frozen=True, slots=True)
class TreeProblem:
    """A grid of steps, a tree of groups, all supply, the batteries, and the requests to be served.

    `imports` come from the grid above the root, `exports` are what it would take at most, for what it
    pays; `local` supply stands at groups. What is not taken of a segment is not produced (or is fed in
    by somebody else, for the segment's price).
    """

    grid: TimeGrid
    groups: tuple[Group, ...]
    imports: tuple[SupplySegment, ...]
    requests: tuple[TreeRequest, ...]
    exports: tuple[SupplySegment, ...] = ()
    local: tuple[LocalSegment, ...] = ()
    batteries: tuple[Battery, ...] = ()
    tree: GroupTree = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", GroupTree.of(self.groups, self.steps))
        for name, segments in (
            ("import", self.imports),
            ("export", self.exports),
            ("local", tuple(one.segment for one in self.local)),
        ):
            for number, segment in enumerate(segments):
                check_range(segment.price, -MAX_PRICE, f"{name}[{number}].price", MAX_PRICE)
                self._check_inside(segment.step, self.steps - 1, f"{name}[{number}].step")
        for number, one in enumerate(self.local):
            self._check_group(one.group, f"local[{number}]")
        self._check_batteries()
        if sum(one.car.window_steps for one in self.requests) > MAX_WINDOWS:
            what = f"the windows of all requests have more than {MAX_WINDOWS} steps together"
            raise InvalidInput("problem.too_large", what, path="requests")
        leaves = self.tree.leaves()
        for number, request in enumerate(self.requests):
            path = f"requests[{number}]"
            self._check_inside(request.car.departure, self.steps, f"{path}.departure")
            self._check_group(request.group, path)
            if self.tree.place[request.group] not in leaves:
                what = f"{request.group!r} has groups below it"
                raise InvalidInput("problem.not_a_leaf", what, path=f"{path}.group")
        _check_unique((one.id for one in self.batteries), "batteries")
        _check_unique((one.id for one in self.requests), "requests")

    @property
    def steps(self) -> int:
        """How many steps the horizon has."""
        return self.grid.steps

    def stores(self) -> list[Store]:
        """Give the batteries, then the cars that may give back, each in the order of the file."""
        found = [_battery_store(battery, self.steps) for battery in self.batteries]
        return found + [_car_store(one, one.v2g) for one in self.requests if one.v2g is not None]

    def is_lossless(self) -> bool:
        """Tell whether every store gives back all it took: then whole numbers are enough for the optimum."""
        return all(store.efficiency == LOSSLESS for store in self.stores())

    def with_requests(self, requests: Iterable[TreeRequest]) -> "TreeProblem":
        """Give the same groups and supply with other requests."""
        return replace(self, requests=tuple(requests))

    def _check_batteries(self) -> None:
        if self.batteries and not self.steps:
            what = "a battery needs a step in which it is there"
            raise InvalidInput("problem.empty_window", what, path="steps")
        if len(self.batteries) * self.steps > MAX_CELLS:
            what = f"{len(self.batteries)} batteries × {self.steps} steps are more than {MAX_CELLS}"
            raise InvalidInput("problem.too_large", what, path="batteries")
        for number, battery in enumerate(self.batteries):
            self._check_group(battery.group, f"batteries[{number}]")

    def _check_group(self, group: str, path: str) -> None:
        if group not in self.tree.place:
            raise InvalidInput("problem.unknown_group", f"there is no group {group!r}", path=f"{path}.group")

    def _check_inside(self, step: int, last: int, path: str) -> None:
        if step > last:
            what = f"step {step} is outside the {self.steps} steps of the horizon"
            raise InvalidInput("problem.outside_horizon", what, path=path)


def _check_unique(ids: Iterable[str], name: str) -> None:
    seen: set[str] = set()
    for number, one in enumerate(ids):
        if one in seen:
            raise InvalidInput(
                "problem.duplicate_id", f"the id {one!r} stands twice", path=f"{name}[{number}].id"
            )
        seen.add(one)


def _battery_store(battery: Battery, steps: int) -> Store:
    return Store(
        id=battery.id,
        group=battery.group,
        first=0,
        end=steps,
        max_in_wh=battery.max_in_wh,
        max_out_wh=battery.max_out_wh,
        efficiency=battery.efficiency,
        least_wh=Wh(0),
        most_wh=battery.capacity_wh,
        stored_wh=battery.stored_wh,
        final_wh=battery.final_wh,
    )


def _car_store(request: TreeRequest, v2g: GiveBack) -> Store:
    return Store(
        id=request.id,
        group=request.group,
        first=request.car.arrival,
        end=request.car.departure,
        max_in_wh=request.car.max_wh,
        max_out_wh=v2g.max_out_wh,
        efficiency=v2g.efficiency,
        least_wh=v2g.least_wh,
        most_wh=v2g.most_wh,
        stored_wh=v2g.stored_wh,
        final_wh=Wh(v2g.stored_wh + request.car.energy_wh),
    )
