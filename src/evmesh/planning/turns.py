"""Lay out a step that is too full to be level, and move cars about until it carries what is due.

First those that need less than 6 A on average: they get as many slots as they can, each where most
room is, so they stand one beside the other and not one on another. Then the rest, each of which
leaves as level a room to those after it as it can. Where a car still lacks something, others give
way: one that draws in a slot of its draws elsewhere instead.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evmesh.planning.board import MICROWATT_SECONDS_PER_WH, Board, DispatchConnector

_MOST_PASSES = 4
"""A car that got its energy may have taken another's way out: once more, but not for ever."""

_MOST_TRIES = 200
"""How many cars are asked to give way in one dispatch: some milliseconds."""


def pour(board: Board) -> Board:
    """Lay out what is due, the small ones first."""
    urgent = board.by_urgency()
    small = [one for one in urgent if board.due[one.id] < one.min_current * board.slots]
    for one in sorted(small, key=lambda one: (-_height(board, one), one.id)):
        _pour(board, one)
    for one in urgent:
        _pour(board, one)
    return board


def _height(board: Board, one: DispatchConnector) -> int:
    """Give the current at which a car takes as many slots as it can."""
    due = board.due[one.id]
    return due // max(1, due // one.min_current)


def _pour(board: Board, one: DispatchConnector) -> None:
    """Fill the slots that have most room, so that the room which stays is level."""
    due, rooms = board.due[one.id], board.rooms(one)
    usable = [slot for slot, room in enumerate(rooms) if room >= one.min_current]
    slots = sorted(usable, key=lambda slot: (-rooms[slot], slot))[: due // one.min_current]
    most = [min(rooms[slot], one.max_current) for slot in slots]

    def down_to(level: int) -> list[int]:
        return [
            max(one.min_current, min(rooms[slot] - level, top)) for slot, top in zip(slots, most, strict=True)
        ]

    edges = {0, *(rooms[slot] - one.min_current for slot in slots)}
    edges |= {rooms[slot] - top for slot, top in zip(slots, most, strict=True)}
    low = _lowest(sorted(edges), due, lambda level: sum(down_to(level)))
    currents = down_to(low)
    rest = due - sum(currents)  # less than one mA a slot, where there is room for it
    for slot, current, top in zip(slots, currents, most, strict=True):
        more = min(rest, 1, top - current)
        board.add(one, slot, current + more)
        rest -= more


def _lowest(edges: list[int], most: int, height: Callable[[int], int]) -> int:
    """Give the lowest level ≥ 0 at which `height` is at most `most`.

    It falls, evenly between two edges; at the last one it is low enough.
    """
    first, last = 0, len(edges) - 1
    while first < last:
        middle = (first + last) // 2
        first, last = (first, middle) if height(edges[middle]) <= most else (middle + 1, last)
    if not first:
        return edges[0]
    below, above = edges[first - 1], edges[first]
    high = height(below)
    fall = (high - height(above)) // (above - below)
    return below - (most - high) // fall


def mend(board: Board) -> Board:
    """Let others give way to cars that lack something."""
    patience = _Patience()
    for _ in range(_MOST_PASSES):
        gained = False
        for one in board.by_urgency():
            while board.lacks(one) and _gain(board, one, patience):
                gained = True
        if not gained:
            break
    return board


class _Patience:
    """How many moves are still looked at: a step that is overfull cannot be mended, and others wait."""

    def __init__(self) -> None:
        self.left = _MOST_TRIES


def _gain(board: Board, one: DispatchConnector, patience: _Patience) -> bool:
    return (
        _take(board, one)
        or _begin(board, one)
        or any(_push(board, one, slot, patience) for slot in range(board.slots))
    )


def _take(board: Board, one: DispatchConnector) -> bool:
    """Use room that is there."""
    before = board.due[one.id]
    for slot, (current, room) in enumerate(zip(board.currents[one.id], board.rooms(one), strict=True)):
        more = min(board.due[one.id], one.max_current - current, room)
        if more > 0 and current + more >= one.min_current:
            board.add(one, slot, more)
    return before - board.due[one.id] >= min(before, _worth(board, one))


def _begin(board: Board, one: DispatchConnector) -> bool:
    """Draw less in other slots, so that what is missing makes the least current in one more."""
    currents = board.currents[one.id]
    less = one.min_current - board.due[one.id]
    spare = [max(0, current - one.min_current) for current in currents]
    if not 0 < less <= sum(spare):
        return False
    for slot, room in enumerate(board.rooms(one)):
        if not currents[slot] and room >= one.min_current:
            for other, most in enumerate(spare):
                board.add(one, other, -min(less, most))
                less -= min(less, most)
            board.add(one, slot, one.min_current)
            return True
    return False


def _push(board: Board, one: DispatchConnector, slot: int, patience: _Patience) -> bool:
    """Let another draw elsewhere what it draws in this slot."""
    current = board.currents[one.id][slot]
    want = min(board.due[one.id], one.max_current - current)
    if not patience.left or want <= 0 or current + want < one.min_current:
        return False
    least = min(want, max(_worth(board, one), one.min_current - current))
    best: _Move | None = None
    pressed: dict[int, _Press] = {}
    for other in board.drawing(slot):
        if not patience.left:
            break
        if other is one:
            continue
        patience.left -= 1
        kind = board.kinds[other.id]
        if kind not in pressed:
            pressed[kind] = _press(board, one, slot, (least, want), other)
        press = pressed[kind]
        move = _move(board, other, slot, press) if press.open else None
        if move is not None and (best is None or move.rank(press.most) < best.rank(press.most)):
            best = move
    if best is None:
        return False
    best.make(board, 1)
    more = min(want, board.room(one, slot))
    if more >= least:
        board.add(one, slot, more)
        return True
    best.make(board, -1)
    return False


class _Press(NamedTuple):
    """How much less a car of one kind would have to draw in a slot: at least, and at most of use.

    `open` are the other slots that have room for it, and how much; none where that is too little, as in
    most slots of a step that is overfull, or where it would not help.
    """

    least: int
    most: int
    open: tuple[tuple[int, int], ...]


def _press(
    board: Board, one: DispatchConnector, slot: int, wanted: tuple[int, int], other: DispatchConnector
) -> _Press:
    least, most = (board.missing(one, slot, current, other) for current in wanted)
    found = tuple((to, room) for to, room in enumerate(board.rooms(other)) if room > 0 and to != slot)
    helps = most and sum(room for _, room in found) >= max(1, least)
    return _Press(max(1, least), most, found if helps else ())


@dataclass(frozen=True, slots=True)
class _Move:
    """A car draws less in one slot, and as much more in others."""

    car: DispatchConnector
    slot: int
    current: int
    to: tuple[tuple[int, int], ...]
    """Slots, and how much more in each."""

    def rank(self, missing: int) -> tuple[int, int, int]:
        """Give the least for the best: what gives most of what is missing, and moves least."""
        return max(0, missing - self.current), self.current, len(self.to)

    def make(self, board: Board, sign: int) -> None:
        """Make the move, or take it back."""
        board.add(self.car, self.slot, -sign * self.current)
        for slot, current in self.to:
            board.add(self.car, slot, sign * current)


def _move(board: Board, car: DispatchConnector, slot: int, press: _Press) -> _Move | None:
    """Give how a car can best draw elsewhere what it draws in a slot: some of it, or all.

    Best is what gives most of what is missing, moves least, and to the fewest slots.
    """
    currents = board.currents[car.id]
    drawn = currents[slot]
    if drawn < press.least:
        return None
    top = car.max_current
    rooms = [
        (to, room if room <= top - currents[to] else top - currents[to]) for to, room in press.open
    ]  # min() takes most of this function's time
    some = min(press.most, drawn - car.min_current)
    # Some of it is best where it is all that is missing; else all that is drawn, for that is more.
    for current in (some, drawn) if some == press.most else (drawn, some):
        if current >= press.least and (places := _places(car, current, rooms, currents)):
            return _Move(car, slot, current, places)
    part, at = 0, slot
    for to, room in rooms:
        less = min(some, room)
        if less > part and currents[to] + less >= car.min_current:
            part, at = less, to
    return _Move(car, slot, part, ((at, part),)) if part >= press.least else None


def _places(
    car: DispatchConnector, current: int, rooms: Sequence[tuple[int, int]], currents: Sequence[int]
) -> tuple[tuple[int, int], ...]:
    """Give where a current has room: in one slot, or, in parts, where the car draws anyway."""
    for to, room in rooms:
        if room >= current and currents[to] + current >= car.min_current:
            return ((to, current),)
    drawing = [one for one in rooms if currents[one[0]]]
    if sum(room for _, room in drawing) < current:
        return ()
    parts = []
    for to, room in sorted(drawing, key=_roomiest):
        part = min(current, room)
        if part > 0:
            parts.append((to, part))
            current -= part
    return tuple(parts)


def _roomiest(slot_and_room: tuple[int, int]) -> tuple[int, int]:
    return -slot_and_room[1], slot_and_room[0]


def _worth(board: Board, one: DispatchConnector) -> int:
    """Give the current of a slot that makes a Wh: moves for less are not worth their time."""
    return -(-MICROWATT_SECONDS_PER_WH // board.unit(one))
