"""The cheapest flow through a network without losses, in whole numbers: the network simplex method.

The flow is kept on a spanning tree of the places; every other way is empty or full. A way that would
pay is taken into the tree, energy is pushed around the cycle that it closes, and the way that blocks
leaves. Of several that block the last one on the cycle leaves, so that the tree stays strongly feasible
and the method ends (W. H. Cunningham, A network simplex method, Mathematical Programming 11, 1976).
At first each place hangs on the outside by a way of its own, which costs more than all others could:
what still flows there in the end has no other way.

The arrays of all functions are int64: `ways` [field, way] and `tree` [field, place]. numba compiles the
functions where it is there; elsewhere they run as they stand, and give the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isqrt
from typing import Any, TypeVar, cast

import numpy as np

from evmesh.planning.arrays import Int64
from evmesh.planning.tree_network import OUTSIDE, TreeNetwork, Ways

TAIL, HEAD, ROOM, COST, FLOW, STATE = range(6)  # `ways`
EMPTY, FULL, IN_TREE = range(3)  # STATE
PARENT, WAY, UP, DEPTH, PRICE, FIRST, NEXT, PREVIOUS = range(8)  # `tree`; UP is 1 where WAY leads to PARENT
NONE = -1

_MOST = 2**61

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _compiled(kernel: _Kernel) -> _Kernel:
    """Compile on first use where numba is, and keep the machine code where there is a place for it."""
    try:
        import numba
    except ImportError:
        return kernel
    try:
        return cast(_Kernel, numba.njit(cache=True)(kernel))
    except RuntimeError:  # nothing may be written beside this file nor in the home directory
        return cast(_Kernel, numba.njit(kernel))


@dataclass(frozen=True, slots=True)
class Flow:
    """The cheapest flow: Wh of each way, and what energy is worth at each place.

    Where `missing_wh` is not 0 nothing meets all that must be: the flow misses the least possible, and
    `prices` are 1, 0 or -1: of the places between which too little or too much is trapped.
    """

    wh: list[int]
    prices: list[int]
    missing_wh: int


def cheapest_flow(network: TreeNetwork) -> Flow:
    """Give the cheapest flow of a network in which every factor is 1.

    Of equally cheap flows it takes one that charges early, unless the numbers are too large for that.
    """
    ways, places = network.ways, network.places
    dearest = 1 + max((abs(cost) for cost in ways.cost), default=0)
    unit = 2 * (places + 2) * dearest  # of missing energy, in prices
    fine = 2 * (places + 2) * (1 + network.problem.steps)  # of a price, in steps
    fine = fine if 8 * fine * unit < _MOST else 1
    cost = [fine * one for one in ways.cost]
    if fine > 1:
        for first, steps in zip(network.rows, _plain_windows(network), strict=True):
            for number, step in enumerate(steps):
                cost[first + number] += step
    wh, price, missing = _solved(ways, places, cost, fine * unit)
    if missing:
        return Flow(wh, [_nearest(one, fine * unit) for one in price], missing)
    # Cutting prices off beyond those of the segments keeps the order of any two, and of each to a segment's.
    return Flow(wh, [min(max(_nearest(one, fine), -dearest), dearest) for one in price], 0)


def _plain_windows(network: TreeNetwork) -> list[range]:
    return [range(one.car.arrival, one.car.departure) for one in network.problem.requests if one.v2g is None]


def _nearest(value: int, unit: int) -> int:
    return (2 * value + unit) // (2 * unit)


def _solved(ways: Ways, places: int, cost: Sequence[int], big: int) -> tuple[list[int], list[int], int]:
    """Give the flow of each way, the price of each place, and what flows by none of the ways."""
    outside = places
    excess = [0] * (places + 1)
    for tail, head, low in zip(ways.tail, ways.head, ways.low, strict=True):
        excess[tail] -= low  # OUTSIDE is the last place here, as it is in Python
        excess[head] += low
    count = len(ways)
    table = np.zeros((6, count + places), np.int64)
    table[TAIL, :count], table[HEAD, :count] = ways.tail, ways.head
    table[TAIL, :count][table[TAIL, :count] == OUTSIDE] = outside
    table[HEAD, :count][table[HEAD, :count] == OUTSIDE] = outside
    table[ROOM, :count] = np.array(ways.high, np.int64) - np.array(ways.low, np.int64)
    table[COST, :count] = cost
    surplus = np.array(excess[:places], np.int64)
    upward, own = surplus >= 0, np.arange(places)
    table[TAIL, count:], table[HEAD, count:] = np.where(upward, own, outside), np.where(upward, outside, own)
    table[ROOM, count:], table[COST, count:] = _MOST, big
    table[FLOW, count:], table[STATE, count:] = np.abs(surplus), IN_TREE
    tree = np.full((8, places + 1), NONE, np.int64)
    tree[PARENT, :places], tree[WAY, :places], tree[UP, :places] = outside, count + own, upward
    tree[DEPTH], tree[PRICE] = 1, 0
    tree[DEPTH, outside] = 0
    tree[PRICE, :places] = np.where(upward, -big, big)
    if places:
        tree[FIRST, outside] = 0
        tree[NEXT, : places - 1], tree[PREVIOUS, 1:places] = own[1:], own[:-1]
    _run(table, tree, max(32, isqrt(count)), count)
    flow = (table[FLOW, :count] + np.array(ways.low, np.int64)).tolist()
    return flow, tree[PRICE, :places].tolist(), sum(table[FLOW, count:].tolist())


@_compiled
def _run(ways: Int64, tree: Int64, block: int, count: int) -> None:
    """Take ways into the tree until none would pay."""
    at = 0
    while True:
        way, at = _entering(ways, tree, at, block, count)
        if way == NONE:
            return
        _pivot(ways, tree, way)


@_compiled
def _entering(ways: Int64, tree: Int64, at: int, block: int, count: int) -> tuple[int, int]:
    """Give the way that pays most in the next block of ways in which one does, and where the block ends."""
    best, most, left = NONE, 0, block
    for _ in range(count):
        state = ways[STATE, at]
        if state != IN_TREE and ways[ROOM, at] > 0:
            gain = tree[PRICE, ways[HEAD, at]] - tree[PRICE, ways[TAIL, at]] - ways[COST, at]
            if state == FULL:
                gain = -gain
            if gain > most:
                best, most = at, gain
        at += 1
        if at == count:
            at = 0
        left -= 1
        if left == 0:
            if best != NONE:
                break
            left = block
    return best, at


@_compiled
def _pivot(ways: Int64, tree: Int64, way: int) -> None:
    """Push what fits around the cycle that the way closes, and swap it for the way that blocks."""
    forward = ways[STATE, way] == EMPTY
    start = ways[TAIL, way] if forward else ways[HEAD, way]
    end = ways[HEAD, way] if forward else ways[TAIL, way]
    moved, blocking, at_start = _blocking(ways, tree, way, start, end)
    ways[FLOW, way] += moved if forward else -moved
    one, other = start, end
    while one != other:
        if tree[DEPTH, one] >= tree[DEPTH, other]:
            ways[FLOW, tree[WAY, one]] += -moved if tree[UP, one] == 1 else moved
            one = tree[PARENT, one]
        else:
            ways[FLOW, tree[WAY, other]] += moved if tree[UP, other] == 1 else -moved
            other = tree[PARENT, other]
    if blocking == NONE:
        ways[STATE, way] = FULL if forward else EMPTY
        return
    leaving = tree[WAY, blocking]
    ways[STATE, leaving] = EMPTY if ways[FLOW, leaving] == 0 else FULL
    ways[STATE, way] = IN_TREE
    _graft(ways, tree, way, start if at_start else end, blocking)


@_compiled
def _blocking(ways: Int64, tree: Int64, way: int, start: int, end: int) -> tuple[int, int, bool]:
    """Give how much fits, below which place the last blocking way hangs, and whether on the start's side.

    The cycle is walked from where the two branches meet, down to `start`, over the way, and up from
    `end`. NONE where the way itself blocks first.
    """
    moved = ways[ROOM, way]
    blocking, at_start = NONE, False
    one, other = start, end
    one_room, one_place = moved, NONE
    other_room, other_place = moved, NONE
    while one != other:
        if tree[DEPTH, one] >= tree[DEPTH, other]:
            edge = tree[WAY, one]
            room = ways[FLOW, edge] if tree[UP, one] == 1 else ways[ROOM, edge] - ways[FLOW, edge]
            if room < one_room:
                one_room, one_place = room, one
            one = tree[PARENT, one]
        else:
            edge = tree[WAY, other]
            room = ways[ROOM, edge] - ways[FLOW, edge] if tree[UP, other] == 1 else ways[FLOW, edge]
            if room <= other_room:
                other_room, other_place = room, other
            other = tree[PARENT, other]
    if one_place != NONE:
        moved, blocking, at_start = one_room, one_place, True
    if other_place != NONE and other_room <= moved:
        moved, blocking, at_start = other_room, other_place, False
    return moved, blocking, at_start


@_compiled
def _graft(ways: Int64, tree: Int64, way: int, place: int, last: int) -> None:
    """Hang the branch that comes loose above `last` on the other end of the way, by `place`."""
    upward = 1 if ways[TAIL, way] == place else 0
    parent = ways[HEAD, way] if upward else ways[TAIL, way]
    gap = ways[COST, way] + tree[PRICE, ways[TAIL, way]] - tree[PRICE, ways[HEAD, way]]
    shift = -gap if upward else gap
    top, edge = place, way
    while True:
        old_parent, old_edge, old_up = tree[PARENT, place], tree[WAY, place], tree[UP, place]
        _unlink(tree, place)
        tree[PARENT, place], tree[WAY, place], tree[UP, place] = parent, edge, upward
        _link(tree, place)
        if place == last:
            break
        parent, edge, upward = place, old_edge, 1 - old_up
        place = old_parent
    place = top
    while True:  # the whole branch, without a stack
        tree[PRICE, place] += shift
        tree[DEPTH, place] = tree[DEPTH, tree[PARENT, place]] + 1
        if tree[FIRST, place] != NONE:
            place = tree[FIRST, place]
            continue
        while place != top and tree[NEXT, place] == NONE:
            place = tree[PARENT, place]
        if place == top:
            return
        place = tree[NEXT, place]


@_compiled
def _unlink(tree: Int64, place: int) -> None:
    before, after = tree[PREVIOUS, place], tree[NEXT, place]
    if before == NONE:
        tree[FIRST, tree[PARENT, place]] = after
    else:
        tree[NEXT, before] = after
    if after != NONE:
        tree[PREVIOUS, after] = before


@_compiled
def _link(tree: Int64, place: int) -> None:
    parent = tree[PARENT, place]
    after = tree[FIRST, parent]
    tree[PREVIOUS, place], tree[NEXT, place] = NONE, after
    tree[FIRST, parent] = place
    if after != NONE:
        tree[PREVIOUS, after] = place
