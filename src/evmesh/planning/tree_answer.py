"""What a flow and its prices say, in the words of `evmesh.schedule/2`."""

from collections.abc import Sequence

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.problem_tree import LOSSLESS
from evmesh.domain.schedule import ScheduleRow
from evmesh.domain.schedule_tree import Prices, StoreRow, TreePlan, TreeRefusal
from evmesh.planning.tree_network import StorePlaces, TreeNetwork

MAX_WORTH = MAX_DOCUMENT_INT // 2
"""The difference of two prices must be an integer of a document too."""


def plan(network: TreeNetwork, sha256: str, wh: Sequence[int], worth: Sequence[int]) -> TreePlan:
    """Give the plan that takes `wh` [way], with prices `worth` [place] (see `bound_thousandths`)."""
    problem, ways = network.problem, network.ways
    imports, exports = len(problem.imports), len(problem.exports)
    supply = imports + exports + len(problem.local)
    plain = (one for one in problem.requests if one.v2g is None)
    stores = [_store_row(one, wh) for one in network.stores]
    batteries = len(problem.batteries)
    return TreePlan(
        problem_sha256=sha256,
        rows=tuple(
            _row(one.id, one.car.arrival, wh[first : first + one.car.window_steps])
            for one, first in zip(plain, network.rows, strict=True)
        ),
        cars=tuple(stores[batteries:]),
        batteries=tuple(stores[:batteries]),
        import_wh=tuple(wh[:imports]),
        export_wh=tuple(wh[imports : imports + exports]),
        local_wh=tuple(wh[imports + exports : supply]),
        prices=_prices(network, worth),
        objective=sum(some * cost for some, cost in zip(wh, ways.cost, strict=True)),
        bound_thousandths=bound_thousandths(network, worth, supply_costs=True),
    )


def refusal(network: TreeNetwork, sha256: str, worth: Sequence[int]) -> TreeRefusal | None:
    """Give the refusal that these prices prove, if they prove one."""
    deficit = bound_thousandths(network, worth, supply_costs=False)
    return TreeRefusal(sha256, _prices(network, worth), deficit) if deficit > 0 else None


def bound_thousandths(network: TreeNetwork, worth: Sequence[int], *, supply_costs: bool) -> int:
    """Give a thousand times what no plan can cost less than, by these prices.

    `worth` [place] is the price of a kWh there; in a store, of a kWh that it can still give back.
    """
    ways = network.ways
    scaled = [LOSSLESS * one for one in worth]
    for one in network.stores:
        for place in _places(one):  # of its units `loss` make a Wh given back
            scaled[place] = LOSSLESS // one.loss * worth[place]
    scaled.append(0)  # OUTSIDE
    total = 0
    for number, (tail, head) in enumerate(zip(ways.tail, ways.head, strict=True)):
        cost = LOSSLESS * ways.cost[number] if supply_costs else 0
        cost += ways.takes[number] * scaled[tail] - ways.gives[number] * scaled[head]
        total += min(cost * ways.low[number], cost * ways.high[number])
    return total


def _row(request_id: str, arrival: int, wh: Sequence[int]) -> ScheduleRow:
    used = [number for number, some in enumerate(wh) if some]
    if not used:
        return ScheduleRow(request_id, arrival, ())
    return ScheduleRow(request_id, arrival + used[0], tuple(wh[used[0] : used[-1] + 1]))


def _store_row(one: StorePlaces, wh: Sequence[int]) -> StoreRow:
    into, out = [wh[way] for way in one.into], [wh[way] for way in one.out]
    if not one.is_lossy:  # in and out at once cancel, and cost nothing
        for number, both in enumerate(map(min, into, out)):
            into[number] -= both
            out[number] -= both
    return StoreRow(one.store.id, one.store.first, tuple(into), tuple(out))


def _prices(network: TreeNetwork, worth: Sequence[int]) -> Prices:
    problem = network.problem
    steps, tree = problem.steps, problem.tree
    surcharges = {}
    for number, group in enumerate(problem.groups):
        parent = tree.parents[number]
        here, above = network.group_place(number), 0 if parent is None else network.group_place(parent)
        surcharges[group.id] = tuple(worth[here + step] - worth[above + step] for step in range(steps))
    plain = [one.id for one in problem.requests if one.v2g is None]
    stored = [tuple(worth[place] for place in _places(one)) for one in network.stores]
    batteries = len(problem.batteries)
    return Prices(
        grid=tuple(worth[:steps]),
        surcharges=surcharges,
        requests=dict(zip(plain, worth[network.first_request :], strict=False)),
        batteries={one.id: row for one, row in zip(problem.batteries, stored, strict=False)},
        cars={
            one.store.id: row for one, row in zip(network.stores[batteries:], stored[batteries:], strict=True)
        },
    )


def _places(one: StorePlaces) -> range:
    return range(one.place, one.place + one.store.end - one.store.first)
