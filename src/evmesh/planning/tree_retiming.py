"""The same plan beside batteries with losses, and everybody charged as early as that costs nothing.

Of several cheapest plans a solver takes any, and a battery that gives later than it could holds back the
cars that it gives to. So when whole Wh have been found, first what goes out of batteries is timed anew,
while what goes in stays as it is, then the other way round. What a battery still can give, counted as it
comes out (or has still to take, counted as it goes in), has no losses then: the network is a plain one, and
its cheapest flow, exact and with ties to the earlier step, costs no more than the flow that it began with.
The prices are not touched: they bound the cost of this plan as they did of the other, and its gap is no
larger.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from evmesh.planning.tree_network import OUTSIDE, StorePlaces, TreeNetwork, Ways

_ROUNDS: Final = 3
"""Times that both sides are timed; nearly always the first round says the last word."""


def earlier(network: TreeNetwork, wh: Sequence[int]) -> list[int]:
    """Give a flow that costs no more than `wh` [way], and charges earlier where that is as cheap.

    No store comes to take and give in one step that did not before. Of stores with losses only what goes
    in and out is a flow of the network; the ways that keep energy from step to step hold no meaning.
    """
    best = list(wh)
    for _ in range(_ROUNDS):
        before = _worth(network, best)
        for timed in (_out_anew, _in_anew):
            best = _cheapest(network, best, timed)
        if _worth(network, best) >= before:
            break
    return best


def _worth(network: TreeNetwork, wh: Sequence[int]) -> tuple[int, int]:
    """Give the cost, then how late cars are charged: Wh times step."""
    cost = sum(some * price for some, price in zip(wh, network.ways.cost, strict=True))
    plain = (one.car for one in network.problem.requests if one.v2g is None)
    late = 0
    for car, first in zip(plain, network.rows, strict=True):
        row = wh[first : first + car.window_steps]
        late += sum(some * step for step, some in enumerate(row, car.arrival))
    return cost, late


def _cheapest(
    network: TreeNetwork, wh: Sequence[int], timed: Callable[[Ways, StorePlaces, Sequence[int]], None]
) -> list[int]:
    # Imported when first needed: numba takes most of a second, and most commands plan nothing.
    from evmesh.planning.tree_simplex import cheapest_flow

    ways = network.ways.copy()
    batteries = len(network.problem.batteries)
    for number, one in enumerate(network.stores):
        if one.is_lossy:
            (timed if number < batteries else _as_it_is)(ways, one, wh)
    flow = cheapest_flow(replace(network, ways=ways))
    return list(wh) if flow.missing_wh else flow.wh


def _as_it_is(ways: Ways, one: StorePlaces, wh: Sequence[int]) -> None:
    """Fix what goes in and out: a car that gives back does so when it did."""
    for into, out in zip(one.into, one.out, strict=True):
        ways.fix(into, ways.tail[into], OUTSIDE, wh[into])
        ways.fix(out, OUTSIDE, ways.head[out], wh[out])
        ways.fix(out + 1, OUTSIDE, OUTSIDE, 0)
    ways.fix(one.into[0] - 1, OUTSIDE, OUTSIDE, 0)


def _out_anew(ways: Ways, one: StorePlaces, wh: Sequence[int]) -> None:
    """Fix what goes in; what the store can still give in all goes from step to step, and out at any."""
    most, least, level = [], [], one.gain * one.store.stored_wh
    for into, out in zip(one.into, one.out, strict=True):
        level += one.gain * wh[into]
        kept = out + 1  # the way to the next step
        most.append((level - ways.low[kept]) // one.loss)  # that may have gone out after this step
        least.append(-((ways.high[kept] - level) // one.loss))
    total = most[-1]
    ways.fix(one.into[0] - 1, OUTSIDE, one.place, total)  # what the store begins with
    for number, (into, out) in enumerate(zip(one.into, one.out, strict=True)):
        ways.fix(into, ways.tail[into], OUTSIDE, wh[into])
        ways.takes[out] = 1
        if wh[into]:
            ways.high[out] = wh[out]
        _bound(ways, out + 1, total - most[number], total - least[number])


def _in_anew(ways: Ways, one: StorePlaces, wh: Sequence[int]) -> None:
    """Fix what goes out; what has come in so far goes from step to step."""
    level = one.gain * one.store.stored_wh
    ways.fix(one.into[0] - 1, OUTSIDE, one.place, 0)
    for into, out in zip(one.into, one.out, strict=True):
        level -= one.loss * wh[out]
        kept = out + 1
        least = -((level - ways.low[kept]) // one.gain)
        most = (ways.high[kept] - level) // one.gain
        ways.fix(out, OUTSIDE, ways.head[out], wh[out])
        ways.gives[into] = 1
        if wh[out]:
            ways.high[into] = wh[into]
        _bound(ways, kept, least, most)


def _bound(ways: Ways, way: int, low: int, high: int) -> None:
    """Bound what is kept. It is never below 0: nothing comes back that has gone out."""
    ways.low[way], ways.high[way] = max(0, low), max(0, high)
    ways.takes[way] = ways.gives[way] = 1
