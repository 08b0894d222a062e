"""Fill the cheapest supply first, exactly: Edmonds' greedy over a polymatroid.

Since cost depends on the step alone, the loads that a group of cars can have form a polymatroid
with rank f(S) = Σ min(energy, max_wh × steps of the window in S). So opening one (step, price)
segment after the other in price order, and giving each all the energy that it can take, is not a
heuristic but least cost (Edmonds 1970; Federgruen and Groenevelt 1986). "All that it can take"
includes making room: a car moves energy from an older step into the new one, and another car
takes its place there. That is a flow, found by Dinic's method of layers, backwards from the
opened step to the cars that still want energy.

When a step can take no more although its segment has room, it is frozen, and with it every step
that the search came through: no later segment can change them. The price at which a step freezes
is its λ in the certificate.

Sets of requests and of steps are bits of Python integers: one `|` walks a whole column.
"""

from collections.abc import Iterator

import numpy as np

from evmesh.planning.arrays import ProblemArrays
from evmesh.planning.fill import Fill


def fill(arrays: ProblemArrays) -> Fill:
    """Place as much energy as there is room for, at least cost."""
    state = _State(arrays)
    used_wh = [0] * len(arrays.segment_step)
    segments = list(
        zip(
            arrays.segment_step.tolist(),
            arrays.segment_cap_wh.tolist(),
            arrays.segment_price.tolist(),
            strict=True,
        )
    )
    for number, (step, cap_wh, price) in enumerate(segments):
        if not state.hungry:
            break
        used_wh[number] = state.open(step, cap_wh, price)
    windows = zip(state.x, arrays.arrival.tolist(), arrays.departure.tolist(), strict=True)
    return Fill(
        x_wh=np.array([wh for row, first, end in windows for wh in row[first:end]], dtype=np.int64),
        used_wh=np.array(used_wh, dtype=np.int64),
        step_price=np.array(_step_prices(state, segments, used_wh), dtype=np.int64),
        missing_wh=np.array(state.left, dtype=np.int64),
        cut=np.array(state.cut() if state.hungry else (), dtype=np.int64),
        objective=sum(wh * price for wh, (_, _, price) in zip(used_wh, segments, strict=True)),
    )


def _step_prices(state: "_State", segments: list[tuple[int, int, int]], used_wh: list[int]) -> list[int]:
    prices = state.frozen_at
    loaded = {step for wh, (step, _, _) in zip(used_wh, segments, strict=True) if wh}
    for step, cap_wh, price in reversed(segments):
        if cap_wh and step not in loaded:
            prices[step] = price
    return prices


def _bits(mask: int) -> Iterator[int]:
    """Give the positions of the ones, lowest first."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


class _State:
    """The flow so far. `x` [request][step]; masks named `..._at` [step] and `..._of` [request]."""

    def __init__(self, arrays: ProblemArrays) -> None:
        self.max_wh: list[int] = arrays.max_wh.tolist()
        self.left: list[int] = arrays.energy_wh.tolist()
        self.x = [[0] * arrays.steps for _ in self.left]
        self.hungry = sum(1 << i for i, wh in enumerate(self.left) if wh)
        self.can_take_at = [0] * arrays.steps
        """Requests that could take more in this step."""
        self.taken_of = [0] * len(self.left)
        """Steps in which this request takes something."""
        for i, (first, end) in enumerate(
            zip(arrays.arrival.tolist(), arrays.departure.tolist(), strict=True)
        ):
            for step in range(first, end if self.max_wh[i] else first):
                self.can_take_at[step] |= 1 << i
        self.frozen_steps = self.frozen_requests = 0
        self.price = 0
        self._frozen_at: list[int | None] = [None] * arrays.steps

    @property
    def frozen_at(self) -> list[int]:
        """The price of each step's freezing; a step that never froze has that of the last segment."""
        return [self.price if price is None else price for price in self._frozen_at]

    def open(self, step: int, cap_wh: int, price: int) -> int:
        """Give a new segment all that it can take; freeze its step when that is less than its size."""
        self.price = price
        if self.frozen_steps >> step & 1 or not cap_wh:
            return 0
        room = self._place_directly(step, cap_wh)
        while room and self.hungry:
            layers = self._layers(step)
            if layers is None:
                break
            room = self._place_through(step, room, *layers)
        return cap_wh - room

    def _place_directly(self, step: int, room: int) -> int:
        for i in _bits(self.can_take_at[step] & self.hungry):
            moved = min(room, self.left[i], self.max_wh[i] - self.x[i][step])
            self._take(i, step, moved)
            self._feed(i, moved)
            room -= moved
            if not room:
                break
        return room

    def _layers(self, step: int) -> tuple[list[int], list[int]] | None:
        """Search backwards from a step for hungry requests, breadth first.

        Layer k holds the steps, then the requests, that are k moves away. None where no hungry
        request is found: then everything that was seen is frozen.
        """
        steps, requests = 1 << step, 0
        seen_steps, seen_requests = steps, 0
        step_layers, request_layers = [steps], []
        while True:
            requests = 0
            for s in _bits(steps):
                requests |= self.can_take_at[s]
            requests &= ~(seen_requests | self.frozen_requests)
            seen_requests |= requests
            request_layers.append(requests)
            if requests & self.hungry:
                return step_layers, request_layers
            steps = 0
            for i in _bits(requests):
                steps |= self.taken_of[i]
            steps &= ~(seen_steps | self.frozen_steps)
            seen_steps |= steps
            step_layers.append(steps)
            if not steps:
                self._freeze(seen_steps, seen_requests)
                return None

    def _freeze(self, steps: int, requests: int) -> None:
        for step in _bits(steps):
            self._frozen_at[step] = self.price
        self.frozen_steps |= steps
        self.frozen_requests |= requests

    def _place_through(self, step: int, room: int, step_layers: list[int], request_layers: list[int]) -> int:
        """Push a blocking flow through the layers; gives the room that is left."""
        while room:
            path = self._walk(step, step_layers, request_layers)
            if path is None:
                break
            room -= self._shift(*path, room)
        return room

    def _walk(
        self, step: int, step_layers: list[int], request_layers: list[int]
    ) -> tuple[list[int], list[int]] | None:
        """Find one way from the step to a hungry request; cross dead ends off the layers."""
        steps: list[int] = [step]
        requests: list[int] = []
        while True:
            depth = len(requests)
            choice = self.can_take_at[steps[-1]] & request_layers[depth]
            if depth + 1 == len(request_layers):
                choice &= self.hungry
            if not choice:
                if not depth:
                    return None
                step_layers[depth] &= ~(1 << steps.pop())
                requests.pop()
                continue
            i = (choice & -choice).bit_length() - 1
            if depth + 1 == len(request_layers):
                return steps, [*requests, i]
            onward = self.taken_of[i] & step_layers[depth + 1]
            if onward:
                requests.append(i)
                steps.append((onward & -onward).bit_length() - 1)
            else:
                request_layers[depth] &= ~(1 << i)

    def _shift(self, steps: list[int], requests: list[int], room: int) -> int:
        """Move what fits along a way: request k leaves step k + 1 for step k, the last one is fed."""
        moved = min(room, self.left[requests[-1]])
        for k, i in enumerate(requests):
            moved = min(moved, self.max_wh[i] - self.x[i][steps[k]])
            if k + 1 < len(steps):
                moved = min(moved, self.x[i][steps[k + 1]])
        for k, i in enumerate(requests):
            self._take(i, steps[k], moved)
            if k + 1 < len(steps):
                self._leave(i, steps[k + 1], moved)
        self._feed(requests[-1], moved)
        return moved

    def _take(self, i: int, step: int, moved: int) -> None:
        self.x[i][step] += moved
        self.taken_of[i] |= 1 << step
        if self.x[i][step] == self.max_wh[i]:
            self.can_take_at[step] &= ~(1 << i)

    def _leave(self, i: int, step: int, moved: int) -> None:
        self.x[i][step] -= moved
        self.can_take_at[step] |= 1 << i
        if not self.x[i][step]:
            self.taken_of[i] &= ~(1 << step)

    def _feed(self, i: int, moved: int) -> None:
        self.left[i] -= moved
        if not self.left[i]:
            self.hungry &= ~(1 << i)

    def cut(self) -> tuple[int, ...]:
        """Search forwards from the hungry requests: the steps that are found are too small for them."""
        takers_at = [0] * len(self.can_take_at)
        for i, mask in enumerate(self.taken_of):
            for step in _bits(mask):
                takers_at[step] |= 1 << i
        steps, requests, grown = 0, self.hungry, True
        while grown:
            grown = False
            for step, takers in enumerate(self.can_take_at):
                if takers & requests and not steps >> step & 1:
                    steps |= 1 << step
                    requests |= takers_at[step]
                    grown = True
        return tuple(_bits(steps))
