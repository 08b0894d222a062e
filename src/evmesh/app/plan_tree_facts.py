"""Why one request's plan over a tree of groups is as it is: facts read off a certificate that was checked.

A price at a group is what energy is worth above the root and what each cable on the way adds. So each
step of the request's window has the reason for its price: the cables that are full, and who else is below
them. Others appear as counts and energies only.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem_tree import TreeProblem, TreeRequest
from evmesh.domain.schedule import Offer
from evmesh.domain.schedule_tree import StoreRow, TreePlan, TreeRefusal
from evmesh.verify.tree_terms import PricedTree


@dataclass(frozen=True, slots=True)
class CableFacts:
    """A cable on the request's way that is full, or that adds to the price, in one step.

    `carries_wh` is what goes down it, less what goes up: from `least_wh`, all that can go up, to `most_wh`.
    Other equipment is taken off all three.
    """

    group: str
    surcharge: int
    carries_wh: int
    least_wh: int
    most_wh: int
    others: int
    others_wh: int

    @property
    def is_full(self) -> bool:
        """It carries, in one direction or the other, all it can."""
        return self.carries_wh in (self.least_wh, self.most_wh)


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """Supply or a battery on the way, in one step: what it gives (less what it takes), and whether all."""

    name: str
    wh: int
    is_used_up: bool


@dataclass(frozen=True, slots=True)
class TreeStepFacts:
    """One step of the window. Prices are micro-currency per kWh.

    `price` is that at the request's group: `grid_price` above the root, and what the cables add. `stored`
    is what a kWh is worth that the car can still give back; None of a car that cannot.
    """

    step: int
    in_wh: int
    out_wh: int
    price: int
    grid_price: int
    cables: tuple[CableFacts, ...]
    sources: tuple[SourceFacts, ...]
    others: int
    others_wh: int
    stored: int | None


@dataclass(frozen=True, slots=True)
class TreePlanFacts:
    """A yes, for one request; `path` names its group and those above it.

    `worth` is the price of its last kWh, None of a car that gives back. Both `gap` and prices as in the
    schedule; the gap in thousandths, undivided.
    """

    request: TreeRequest
    path: tuple[str, ...]
    steps: tuple[TreeStepFacts, ...]
    worth: int | None
    gap_thousandths: int


@dataclass(frozen=True, slots=True)
class TreeRefusalFacts:
    """A no, as it looks to one request: what must go through the scarce places, and what they carry.

    Energies are thousandths of a Wh; where `is_weighed` each is multiplied by its price in the certificate.
    What batteries and cars can give counts as carried.
    """

    request: TreeRequest
    path: tuple[str, ...]
    scarce: tuple[tuple[str, tuple[int, ...]], ...]
    own: int
    others: int
    others_need: int
    carried: int
    deficit: int
    is_weighed: bool
    offers: tuple[Offer, ...]


def explain_tree(
    problem: TreeProblem, answer: TreePlan | TreeRefusal, request_id: str
) -> TreePlanFacts | TreeRefusalFacts:
    """Give the facts of one request; `answer` must have been verified against `problem`.

    Raises InvalidInput `problem.unknown_id`.
    """
    found = [number for number, one in enumerate(problem.requests) if one.id == request_id]
    if not found:
        raise InvalidInput("problem.unknown_id", f"no request has the id {request_id!r}")
    if isinstance(answer, TreePlan):
        return _plan_facts(problem, answer, problem.requests[found[0]])
    return _refusal_facts(problem, answer, found[0])


def _plan_facts(problem: TreeProblem, plan: TreePlan, request: TreeRequest) -> TreePlanFacts:
    priced, moves = PricedTree.of(problem, plan.prices), _Moves(problem, plan)
    path = _path(problem, request)
    stored = plan.prices.cars.get(request.id)
    steps = tuple(
        _step(problem, plan, priced, moves, request, path, step)
        for step in range(request.car.arrival, request.car.departure)
    )
    worth = None if stored is not None else plan.prices.requests[request.id]
    return TreePlanFacts(request, _names(problem, path), steps, worth, plan.gap_thousandths)


def _path(problem: TreeProblem, request: TreeRequest) -> list[int]:
    """Give the places of the groups on the way, the request's own first."""
    at: int | None = problem.tree.place[request.group]
    path = []
    while at is not None:
        path.append(at)
        at = problem.tree.parents[at]
    return path


def _names(problem: TreeProblem, path: Iterable[int]) -> tuple[str, ...]:
    return tuple(problem.groups[number].id for number in path)


class _Moves:
    """What everybody takes (less what is given back): of each request, and down each cable by step."""

    def __init__(self, problem: TreeProblem, plan: TreePlan) -> None:
        place = problem.tree.place
        self.net: dict[str, dict[int, int]] = {
            row.id: dict(enumerate(row.wh, row.first)) for row in plan.rows
        }
        self.out: dict[tuple[str, int], int] = {}
        for moved in plan.cars:
            both = enumerate(zip(moved.in_wh, moved.out_wh, strict=True), moved.first)
            for step, (into, out) in both:
                self.net.setdefault(moved.id, {})[step] = into - out
                self.out[moved.id, step] = out
        taken = [[0] * problem.steps for _ in problem.groups]
        for request in problem.requests:
            for step, wh in self.net[request.id].items():
                taken[place[request.group]][step] += wh
        for battery, moved in zip(problem.batteries, _in_order(problem, plan), strict=True):
            for step, (into, out) in enumerate(zip(moved.in_wh, moved.out_wh, strict=True), moved.first):
                taken[place[battery.group]][step] += into - out
        for wh, local in zip(plan.local_wh, problem.local, strict=True):
            taken[place[local.group]][local.segment.step] -= wh
        self.down = problem.tree.sums_below(taken)
        """[group][step]"""

    def others(self, problem: TreeProblem, below: set[int], step: int, mine: str) -> tuple[int, int]:
        """Give how many others charge below some groups, and how much."""
        found = [
            wh
            for one in problem.requests
            if one.id != mine and problem.tree.place[one.group] in below
            if (wh := self.net[one.id].get(step, 0)) > 0
        ]
        return len(found), sum(found)


def _in_order(problem: TreeProblem, plan: TreePlan) -> list[StoreRow]:
    rows = {row.id: row for row in plan.batteries}
    return [rows[one.id] for one in problem.batteries]


def _below(problem: TreeProblem, top: int) -> set[int]:
    """Give a group's place and those of all that hang on it."""
    found = {top}
    for number in problem.tree.downwards:
        if problem.tree.parents[number] in found:
            found.add(number)
    return found


def _step(
    problem: TreeProblem,
    plan: TreePlan,
    priced: PricedTree,
    moves: _Moves,
    request: TreeRequest,
    path: Sequence[int],
    step: int,
) -> TreeStepFacts:
    net, out = moves.net[request.id].get(step, 0), moves.out.get((request.id, step), 0)
    cables = [_cable(problem, plan, moves, request, number, step) for number in path]
    others = moves.others(problem, set(range(len(problem.groups))), step, request.id)
    stored = plan.prices.cars.get(request.id)
    return TreeStepFacts(
        step=step,
        in_wh=net + out,
        out_wh=out,
        price=priced.at[path[0]][step],
        grid_price=plan.prices.grid[step],
        cables=tuple(one for one in cables if one.surcharge or one.is_full),
        sources=tuple(_sources(problem, plan, set(path), step)),
        others=others[0],
        others_wh=others[1],
        stored=None if stored is None else stored[step - request.car.arrival],
    )


def _cable(
    problem: TreeProblem, plan: TreePlan, moves: _Moves, request: TreeRequest, number: int, step: int
) -> CableFacts:
    group = problem.groups[number]
    others = moves.others(problem, _below(problem, number), step, request.id)
    carries, other = moves.down[number][step], problem.tree.other_below()[number][step]
    capacity = group.capacity_wh[step]
    return CableFacts(
        group=group.id,
        surcharge=plan.prices.surcharges[group.id][step],
        carries_wh=carries,
        least_wh=-capacity - other,
        most_wh=capacity - other,
        others=others[0],
        others_wh=others[1],
    )


def _sources(problem: TreeProblem, plan: TreePlan, path: set[int], step: int) -> Iterator[SourceFacts]:
    """Give what comes from where in one step: the grid, then supply and batteries on the way."""
    imports = [
        (wh, one.cap_wh) for wh, one in zip(plan.import_wh, problem.imports, strict=True) if one.step == step
    ]
    if imports:
        given, most = sum(wh for wh, _ in imports), sum(cap for _, cap in imports)
        yield SourceFacts("the grid", given, given == most)
    place = problem.tree.place
    for wh, local in zip(plan.local_wh, problem.local, strict=True):
        if local.segment.step == step and place[local.group] in path and local.segment.cap_wh:
            yield SourceFacts(f"supply at {local.group}", wh, wh == local.segment.cap_wh)
    for battery, moved in zip(problem.batteries, _in_order(problem, plan), strict=True):
        wh = moved.out_wh[step - moved.first] - moved.in_wh[step - moved.first]
        if place[battery.group] in path and wh:
            yield SourceFacts(f"battery {battery.id}", wh, wh == battery.max_out_wh)


def _refusal_facts(problem: TreeProblem, refusal: TreeRefusal, number: int) -> TreeRefusalFacts:
    least: dict[str, int] = defaultdict(int)
    for term in PricedTree.of(problem, refusal.prices).terms(supply_costs=False):
        owner = term.path.split(" in step ")[0]
        least[owner] += min(term.cost * term.low, term.cost * term.high)
    needs = {name: value for name, value in least.items() if name.startswith("requests[")}
    own = needs.pop(f"requests[{number}]", 0)
    rows = {"the grid": refusal.prices.grid, **refusal.prices.surcharges}
    scarce = [(name, tuple(step for step, price in enumerate(row) if price)) for name, row in rows.items()]
    prices = [abs(price) for row in rows.values() for price in row]
    request = problem.requests[number]
    return TreeRefusalFacts(
        request=request,
        path=_names(problem, _path(problem, request)),
        scarce=tuple((name, steps) for name, steps in scarce if steps),
        own=own,
        others=sum(value > 0 for value in needs.values()),
        others_need=sum(needs.values()),
        carried=own + sum(needs.values()) - refusal.deficit_thousandths,
        deficit=refusal.deficit_thousandths,
        is_weighed=max(prices, default=0) > 1,
        offers=refusal.offers or (),
    )
