"""Turn a step's planned energy into currents that a charger can set and a fuse can carry.

A plan is energy per quarter of an hour; a charger knows 0 or 6 to 32 A, and a fuse knows no
average. So the step is cut into slots of a minute. A car whose mean current is 6 A or more runs
steadily at it. A car that needs less gets one block of slots at 6 A or little more; the blocks
follow one another round the step, so that the group's load stays as level as it can. Then what
is still due is added wherever the limit leaves room, earliest slot first. Where that leaves
anything out, the step is too full to be level: cars then take turns (`turns.py`).

Exact in mA-slots (1 mA on each phase of a connector during one slot); currents round down.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import Milliamp, Wh
from evmesh.planning.board import LINES, MICROWATT_SECONDS_PER_WH, Board, DispatchConnector, GroupLimit
from evmesh.planning.turns import mend, pour

__all__ = ["LINES", "DispatchConnector", "Dispatched", "GroupLimit", "dispatch"]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """Currents per connector and slot, in mA on each of its lines, and what had no place.

    `shortfall_wh` rounds down, so what rounding currents loses (below 1 Wh) is none. `bound_wh` is
    what no dispatch could exceed: it ignores the least current and the length of slots.
    """

    slot_s: int
    currents: Mapping[str, tuple[Milliamp, ...]]
    shortfall_wh: Mapping[str, Wh]
    due_wh: Wh
    placed_wh: Wh
    bound_wh: Wh

    @property
    def gap_wh(self) -> Wh:
        """How far this is from the bound at most: the proven gap."""
        return Wh(max(0, self.bound_wh - self.placed_wh))


def dispatch(
    connectors: Sequence[DispatchConnector], limit: GroupLimit, seconds_left: int, slot_s: int = 60
) -> Dispatched:
    """Give the currents for the rest of a step, in whole slots; never above the limit in any slot.

    Deterministic, whatever the order of the connectors. Where less than a slot is left, it is one
    shorter slot.
    """
    if len({one.id for one in connectors}) != len(connectors):
        raise InvalidInput("dispatch.duplicate_id", "two connectors have the same id", path="connectors")
    if seconds_left <= 0 or slot_s <= 0:
        raise InvalidInput("dispatch.no_time", "a dispatch needs time that is left", path="seconds_left")
    slot_s = min(slot_s, seconds_left)
    slots = seconds_left // slot_s
    connectors = sorted(connectors, key=lambda one: one.id)

    empty = Board(connectors, limit, slots, slot_s)
    best, bound_wh = _levelled(empty.copy()), _bound_wh(connectors, limit, slots * slot_s)
    others = _when_full(empty)
    while best.lacks_anything and best.placed_wh() < bound_wh - 1:
        other = next(others, None)
        if other is None:
            break
        best = max(best, other, key=Board.placed)  # the first of equals
    return Dispatched(
        slot_s=slot_s,
        currents={one.id: tuple(Milliamp(ma) for ma in best.currents[one.id]) for one in connectors},
        shortfall_wh={one.id: best.shortfall_wh(one) for one in connectors},
        due_wh=Wh(sum(max(0, one.due_wh) for one in connectors)),
        placed_wh=best.placed_wh(),
        bound_wh=bound_wh,
    )


def _levelled(board: Board) -> Board:
    board.run_steadily()
    board.run_in_blocks()
    board.add_what_is_due()
    return board


def _packed(board: Board) -> Board:
    board.add_what_is_due()
    return board


def _when_full(empty: Board) -> Iterator[Board]:
    """Give what is tried, in order, where a level load leaves something out."""
    poured = pour(empty.copy())
    yield poured
    yield mend(poured.copy())
    yield mend(_levelled(empty.copy()))
    yield mend(_packed(empty.copy()))


def _bound_wh(connectors: Sequence[DispatchConnector], limit: GroupLimit, seconds: int) -> Wh:
    """Give what no dispatch exceeds: what is due on each line, capped by each limit that carries it.

    The limits with the least on them come first; one that carries a part of what another has capped, and
    not all of it, says nothing more. So it is the tightest for limits that nest.
    """
    second = limit.voltage * seconds  # microwatt-seconds of 1 mA on one line
    parts: list[tuple[frozenset[tuple[str, int]], int]] = []
    for one in connectors:
        most = min(max(0, one.due_wh) * MICROWATT_SECONDS_PER_WH, one.max_current * second * len(one.lines))
        each = -(-most // len(one.lines))  # rounded up: a bound must not be too low
        parts += [(frozenset({(one.id, line)}), each) for line in one.lines]
    limits = []
    for power, weights, line in limit.carriers(connectors):
        atoms = ((one.id, at) for one in connectors if one.id in weights for at in one.lines)
        limits.append((frozenset(atom for atom in atoms if line in (None, atom[1])), power))
    for carried, power in sorted(limits, key=lambda one: (len(one[0]), one[1])):
        inside = [part for part in parts if part[0] <= carried]
        if inside:
            parts = [part for part in parts if not part[0] <= carried]
            whole = frozenset().union(*(atoms for atoms, _ in inside))
            parts.append((whole, min(sum(most for _, most in inside), power * seconds)))
    return Wh(sum(most for _, most in parts) // MICROWATT_SECONDS_PER_WH)
