"""The same greedy as `greedy.py`, over arrays that numba compiles: what runs where numba is.

Both give the same answer bit for bit, ties and splits included. `greedy.py` explains the method and
keeps sets as the bits of one Python integer; here a set is a row of 64-bit words, so one operation
still looks at 64 cars. Two things are only here, for speed: a search stops looking for steps when no
loaded one is left to be found, and a walk takes up a step's cars at the word where the last one was.

The arrays of all functions are int64 in C order, few and wide because each costs a call some time:
`cars` [request, field]; `x` [cell] the energy of a request in a step, one window after the other;
`can_take` [step, word] the requests that could take more; `taken` [request, word] the steps in which a
request takes something; `some_cars` and `some_steps` [which, word] sets that change as the flow does;
`car_layers` and `step_layers` [moves, word] what a search found; `way` [which, move].
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from evmesh.planning.arrays import Int64, ProblemArrays
from evmesh.planning.fill import Fill

CELL, MAX, LEFT = range(3)  # `cars`; CELL is where step 0 of the horizon would be in `x`
HUNGRY, FROZEN, SEEN = range(3)  # `some_cars`; the last two also `some_steps`
LOADED = 0  # `some_steps`: steps with energy in them
STEPS, REQUESTS, PLACE = range(3)  # `way`; PLACE [step] is the word where the next walk goes on

_ONE = np.int64(1)

_Kernel = TypeVar("_Kernel", bound=Callable[..., Any])


def _compiled(kernel: _Kernel) -> _Kernel:
    """Compile on first use, and keep the machine code on disk where there is a place for it."""
    try:
        return cast(_Kernel, numba.njit(cache=True, error_model="numpy")(kernel))
    except RuntimeError:  # neither beside this file nor in the home directory may anything be written
        return cast(_Kernel, numba.njit(error_model="numpy")(kernel))


def fill(arrays: ProblemArrays) -> Fill:
    """Place as much energy as there is room for, at least cost."""
    x, used, step_price, missing, cut, high, low = _fill(
        arrays.steps,
        arrays.arrival,
        arrays.departure,
        arrays.energy_wh,
        arrays.max_wh,
        arrays.segment_step,
        arrays.segment_cap_wh,
        arrays.segment_price,
    )
    return Fill(x, used, step_price, missing, cut, (int(high) << 32) + int(low))


@_compiled
def _fill(
    horizon: int,
    arrival: Int64,
    departure: Int64,
    energy_wh: Int64,
    max_wh: Int64,
    segment_step: Int64,
    segment_cap_wh: Int64,
    segment_price: Int64,
) -> tuple[Int64, Int64, Int64, Int64, Int64, int, int]:
    cars, x, can_take, some_cars = _begin(horizon, arrival, departure, energy_wh, max_wh)
    words = (horizon + 63) >> 6
    taken = np.zeros((len(cars), words), np.int64)
    some_steps = np.zeros((3, words), np.int64)
    car_layers = np.empty((horizon + 1, some_cars.shape[1]), np.int64)
    step_layers = np.empty((horizon + 2, words), np.int64)
    way = np.empty((3, horizon + 1), np.int64)
    used = np.zeros(len(segment_step), np.int64)
    frozen_at = np.zeros(horizon, np.int64)
    price = 0
    hungry = some_cars[HUNGRY]
    for segment in range(len(segment_step)):
        if not _meet(hungry, hungry):
            break
        price = int(segment_price[segment])
        step, room = segment_step[segment], segment_cap_wh[segment]
        if room == 0 or _has(some_steps[FROZEN], step):
            continue
        left = _place_directly(cars, x, can_take[step], taken, hungry, step, room)
        while left and _meet(hungry, hungry):
            depth = _search(can_take, taken, some_cars, some_steps, car_layers, step_layers, step)
            if depth < 0:
                _freeze(some_cars, some_steps, frozen_at, price)
                break
            way[PLACE] = 0
            way[STEPS, 0] = step
            while left and _walk(can_take, taken, hungry, car_layers, step_layers, way, depth):
                left -= _shift(cars, x, can_take, taken, hungry, way, depth, left)
        used[segment] = room - left
        if used[segment]:
            _add(some_steps[LOADED], step)
    cut = _cut(can_take, taken, some_cars, horizon)
    _price_the_rest(some_steps, frozen_at, price, segment_step, segment_cap_wh, segment_price)
    high, low = _objective(used, segment_price)
    return x, used, frozen_at, cars[:, LEFT].copy(), cut, high, low


@_compiled
def _begin(
    horizon: int, arrival: Int64, departure: Int64, energy_wh: Int64, max_wh: Int64
) -> tuple[Int64, Int64, Int64, Int64]:
    requests = len(arrival)
    words = (requests + 63) >> 6
    cars = np.empty((requests, 3), np.int64)
    can_take = np.zeros((horizon, words), np.int64)
    some_cars = np.zeros((3, words), np.int64)
    cells = 0
    for i in range(requests):
        cars[i, CELL], cars[i, MAX], cars[i, LEFT] = cells - arrival[i], max_wh[i], energy_wh[i]
        cells += departure[i] - arrival[i]
        if energy_wh[i]:
            _add(some_cars[HUNGRY], i)
        if max_wh[i]:
            for step in range(arrival[i], departure[i]):
                can_take[step, i >> 6] |= _ONE << (i & 63)
    return cars, np.zeros(cells, np.int64), can_take, some_cars


@_compiled
def _add(some: Int64, member: int) -> None:
    some[member >> 6] |= _ONE << (member & 63)


@_compiled
def _drop(some: Int64, member: int) -> None:
    some[member >> 6] &= ~(_ONE << (member & 63))


@_compiled
def _has(some: Int64, member: int) -> bool:
    return bool((some[member >> 6] >> (member & 63)) & _ONE)


@_compiled
def _meet(some: Int64, other: Int64) -> bool:
    for word in range(len(some)):  # noqa: SIM110 - numba compiles no generator
        if some[word] & other[word]:
            return True
    return False


def _lowest_bit(typing_context: Any, word: Any) -> Any:
    """Give the position of the lowest bit, by one machine instruction; the word is not 0."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.cttz(values[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate


_lowest = cast(Callable[[int], int], intrinsic(_lowest_bit))


@_compiled
def _place_directly(
    cars: Int64, x: Int64, can_take_here: Int64, taken: Int64, hungry: Int64, step: int, room: int
) -> int:
    for word in range(len(hungry)):
        choice = can_take_here[word] & hungry[word]
        while choice:
            i = (word << 6) + _lowest(choice)
            choice &= choice - 1
            cell = cars[i, CELL] + step
            moved = min(room, cars[i, LEFT], cars[i, MAX] - x[cell])
            x[cell] += moved
            if x[cell] == cars[i, MAX]:
                _drop(can_take_here, i)
            _add(taken[i], step)
            cars[i, LEFT] -= moved
            if cars[i, LEFT] == 0:
                _drop(hungry, i)
            room -= moved
            if room == 0:
                return room
    return room


@_compiled
def _search(
    can_take: Int64,
    taken: Int64,
    some_cars: Int64,
    some_steps: Int64,
    car_layers: Int64,
    step_layers: Int64,
    step: int,
) -> int:
    """Find how many moves away the nearest hungry request is, breadth first; -1 where there is none."""
    some_cars[SEEN] = some_cars[FROZEN]
    some_steps[SEEN] = 0
    _add(some_steps[SEEN], step)
    step_layers[0] = some_steps[SEEN]
    depth = 0
    while True:
        if _reach_cars(can_take, some_cars, step_layers[depth], car_layers[depth]):
            return depth
        _reach_steps(taken, some_steps, car_layers[depth], step_layers[depth + 1])
        depth += 1
        if not _meet(step_layers[depth], step_layers[depth]):
            return -1


@_compiled
def _reach_cars(can_take: Int64, some_cars: Int64, steps: Int64, cars: Int64) -> bool:
    """Set `cars` to those not seen that could take more in one of `steps`; tell if one is hungry."""
    cars[:] = 0
    for word in range(len(steps)):
        left = steps[word]
        while left:
            here = can_take[(word << 6) + _lowest(left)]
            left &= left - 1
            for k in range(len(cars)):
                cars[k] |= here[k]
    hungry = np.int64(0)
    for k in range(len(cars)):
        cars[k] &= ~some_cars[SEEN, k]
        some_cars[SEEN, k] |= cars[k]
        hungry |= cars[k] & some_cars[HUNGRY, k]
    return bool(hungry)


@_compiled
def _reach_steps(taken: Int64, some_steps: Int64, cars: Int64, steps: Int64) -> None:
    """Set `steps` to those not seen, nor frozen, in which one of `cars` takes something."""
    steps[:] = 0
    wanted = np.int64(0)
    for k in range(len(steps)):
        wanted |= some_steps[LOADED, k] & ~(some_steps[SEEN, k] | some_steps[FROZEN, k])
    for word in range(len(cars)):
        left = cars[word]
        while left and wanted:
            i = (word << 6) + _lowest(left)
            left &= left - 1
            wanted = np.int64(0)
            for k in range(len(steps)):
                new = taken[i, k] & ~(some_steps[SEEN, k] | some_steps[FROZEN, k])
                steps[k] |= new
                some_steps[SEEN, k] |= new
                wanted |= some_steps[LOADED, k] & ~(some_steps[SEEN, k] | some_steps[FROZEN, k])


@_compiled
def _freeze(some_cars: Int64, some_steps: Int64, frozen_at: Int64, price: int) -> None:
    some_cars[FROZEN] = some_cars[SEEN]
    for word in range(some_steps.shape[1]):
        new = some_steps[SEEN, word] & ~some_steps[FROZEN, word]
        some_steps[FROZEN, word] |= new
        while new:
            frozen_at[(word << 6) + _lowest(new)] = price
            new &= new - 1


@_compiled
def _price_the_rest(
    some_steps: Int64,
    step_price: Int64,
    last_price: int,
    segment_step: Int64,
    segment_cap_wh: Int64,
    segment_price: Int64,
) -> None:
    """Give steps that never froze the last price; each without load that of its own next Wh, if any."""
    for step in range(len(step_price)):
        if not _has(some_steps[FROZEN], step):
            step_price[step] = last_price
    some_steps[SEEN] = some_steps[LOADED]
    for segment in range(len(segment_step)):
        step = segment_step[segment]
        if segment_cap_wh[segment] and not _has(some_steps[SEEN], step):
            _add(some_steps[SEEN], step)
            step_price[step] = segment_price[segment]


@_compiled
def _objective(used: Int64, price: Int64) -> tuple[int, int]:
    """Give Σ used × price as high × 2^32 + low: a product fits into 64 bits, their sum may not."""
    high = low = np.int64(0)
    for segment in range(len(used)):
        cost = used[segment] * price[segment]
        high += cost >> 32
        low += cost & 0xFFFFFFFF
    return int(high), int(low)


@_compiled
def _walk(
    can_take: Int64,
    taken: Int64,
    hungry: Int64,
    car_layers: Int64,
    step_layers: Int64,
    way: Int64,
    last: int,
) -> bool:
    """Find one way from the opened step to a hungry request, left in `way`; cross off dead ends."""
    depth = 0
    while True:
        here = way[STEPS, depth]
        if depth == last:
            i = _first(can_take[here], car_layers[depth], hungry, way[PLACE], here)
        else:
            i = _first(can_take[here], car_layers[depth], car_layers[depth], way[PLACE], here)
        if i < 0 and depth == 0:
            return False
        if i < 0:
            _drop(step_layers[depth], here)
            depth -= 1
            continue
        way[REQUESTS, depth] = i
        if depth == last:
            return True
        onward = _first_step(taken[i], step_layers[depth + 1])
        if onward < 0:
            _drop(car_layers[depth], i)
        else:
            depth += 1
            way[STEPS, depth] = onward


@_compiled
def _first(some: Int64, other: Int64, third: Int64, place: Int64, step: int) -> int:
    """Give the lowest member of all three sets, or -1; what was passed before never comes back."""
    for word in range(place[step], len(some)):
        choice = some[word] & other[word] & third[word]
        if choice:
            place[step] = word
            return (word << 6) + _lowest(choice)
    place[step] = len(some)
    return -1


@_compiled
def _first_step(some: Int64, other: Int64) -> int:
    for word in range(len(some)):
        choice = some[word] & other[word]
        if choice:
            return (word << 6) + _lowest(choice)
    return -1


@_compiled
def _shift(
    cars: Int64, x: Int64, can_take: Int64, taken: Int64, hungry: Int64, way: Int64, last: int, room: int
) -> int:
    """Move what fits along the way: request k leaves step k + 1 for step k, the last one is fed."""
    fed = way[REQUESTS, last]
    moved = min(room, cars[fed, LEFT])
    for k in range(last + 1):
        i = way[REQUESTS, k]
        moved = min(moved, cars[i, MAX] - x[cars[i, CELL] + way[STEPS, k]])
        if k < last:
            moved = min(moved, x[cars[i, CELL] + way[STEPS, k + 1]])
    for k in range(last + 1):
        i, step = way[REQUESTS, k], way[STEPS, k]
        cell = cars[i, CELL]
        x[cell + step] += moved
        _add(taken[i], step)
        if x[cell + step] == cars[i, MAX]:
            _drop(can_take[step], i)
        if k < last:
            left = way[STEPS, k + 1]
            x[cell + left] -= moved
            _add(can_take[left], i)
            if x[cell + left] == 0:
                _drop(taken[i], left)
    cars[fed, LEFT] -= moved
    if cars[fed, LEFT] == 0:
        _drop(hungry, fed)
    return int(moved)


@_compiled
def _cut(can_take: Int64, taken: Int64, some_cars: Int64, horizon: int) -> Int64:
    """Search forwards from the hungry requests: the steps that are found are too small for them."""
    inside = np.zeros(taken.shape[1], np.int64)
    some_cars[SEEN] = some_cars[HUNGRY]
    grown = True
    while grown:
        grown = False
        for step in range(horizon):
            if not _has(inside, step) and _meet(can_take[step], some_cars[SEEN]):
                grown = True
                _add(inside, step)
                for i in range(len(taken)):
                    if _has(taken[i], step):
                        _add(some_cars[SEEN], i)
    return np.array([step for step in range(horizon) if _has(inside, step)], np.int64)
