"""From energies in floats to whole Wh: stores with losses first, then everything else, which is a flow.

What goes in and out of a store with losses is rounded step by step, such that its level stays near the
one it was rounded from and inside its bounds. With those fixed, the rest of the network has no losses,
and its cheapest flow is found in whole numbers.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import floor

from evmesh.planning.tree_network import OUTSIDE, StorePlaces, TreeNetwork, Ways


def with_whole_stores(network: TreeNetwork, wh: Sequence[float]) -> TreeNetwork | None:
    """Fix what goes in and out of stores with losses to whole Wh near `wh` [way].

    Ways keep their numbers. None where no rounding was found that keeps a store inside its bounds.
    """
    ways = network.ways.copy()
    for one in network.stores:
        if one.is_lossy:
            rounded = _rounded(one, ways, wh)
            if rounded is None:
                return None
            _fix(ways, one, rounded)
    return replace(network, ways=ways)


def with_room(network: TreeNetwork) -> TreeNetwork:
    """Take a few Wh off what segments and cables carry and stores hold, so that rounding has room."""
    ways, problem = network.ways.copy(), network.problem
    lossy = [one for one in network.stores if one.is_lossy]
    supply = len(problem.imports) + len(problem.exports) + len(problem.local)
    for way in range(supply):
        ways.high[way] -= min(len(lossy) + 1, ways.high[way])
    for way in range(supply, supply + len(problem.groups) * problem.steps):
        _narrow(ways, way, len(lossy) + 1)
    for one in lossy:
        for out in one.out:
            _narrow(ways, out + 1, one.gain + one.loss)
    return replace(network, ways=ways)


def _narrow(ways: Ways, way: int, margin: int) -> None:
    margin = min(margin, (ways.high[way] - ways.low[way]) // 2)
    ways.low[way] += margin
    ways.high[way] -= margin


def _rounded(one: StorePlaces, ways: Ways, wh: Sequence[float]) -> list[tuple[int, int]] | None:
    """Give (in, out) for each step. Sums follow the sums of what is rounded, so that no error grows."""
    level = one.gain * one.store.stored_wh
    found: list[tuple[int, int]] = []
    owed_in = owed_out = 0.0
    for into, out in zip(one.into, one.out, strict=True):
        kept = out + 1  # the way to the next step
        owed_in, owed_out = owed_in + wh[into], owed_out + wh[out]
        taken = min(max(floor(owed_in + 0.5), 0), one.store.max_in_wh)
        given = min(max(floor(owed_out + 0.5), 0), one.store.max_out_wh)
        taken, given = _corrected(one, level, taken, given, ways.low[kept], ways.high[kept])
        level += one.gain * taken - one.loss * given
        if not ways.low[kept] <= level <= ways.high[kept]:
            return None
        owed_in, owed_out = owed_in - taken, owed_out - given
        found.append((taken, given))
    return found


def _corrected(one: StorePlaces, level: int, taken: int, given: int, low: int, high: int) -> tuple[int, int]:
    """Bring the level after the step between its bounds: by taking less or more, else by giving so."""
    after = level + one.gain * taken - one.loss * given
    if after > high:
        less = min(-(-(after - high) // one.gain), taken)
        taken, after = taken - less, after - one.gain * less
        given += min(-(-max(0, after - high) // one.loss), one.store.max_out_wh - given)
    elif after < low:
        less = min(-(-(low - after) // one.loss), given)
        given, after = given - less, after + one.loss * less
        taken += min(-(-max(0, low - after) // one.gain), one.store.max_in_wh - taken)
    return taken, given


def _fix(ways: Ways, one: StorePlaces, rounded: Sequence[tuple[int, int]]) -> None:
    """Cut the store out of the network: its group takes and gives what is fixed, from and to the outside."""
    level = one.gain * one.store.stored_wh
    first = one.into[0] - 1  # what the store begins with
    ways.fix(first, OUTSIDE, OUTSIDE, level)
    for into, out, (taken, given) in zip(one.into, one.out, rounded, strict=True):
        level += one.gain * taken - one.loss * given
        ways.fix(into, ways.tail[into], OUTSIDE, taken)
        ways.fix(out, OUTSIDE, ways.head[out], given)
        ways.fix(out + 1, OUTSIDE, OUTSIDE, level)
