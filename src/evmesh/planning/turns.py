"""Let cars take turns, so that a step which is full by energy is full by currents too.

One slot after the other is filled to the brim by as few cars as it takes. Who could not catch up
later goes first; of the others the order says. Where the rest of a slot is less than the least
current of the next car, those before it make room. Nobody is left with less than a slot at the
least current, for that would never come.
"""

from collections.abc import Callable

from evmesh.planning.board import Board, DispatchConnector

Order = Callable[[Board, DispatchConnector], tuple[int, str]]
"""Who goes first among the cars that could as well go later: the least."""


def shortest_first(board: Board, one: DispatchConnector) -> tuple[int, str]:
    """Let those finish first that need least: fewer cars with little left at the end."""
    return board.due[one.id] * board.unit(one), one.id


def longest_first(board: Board, one: DispatchConnector) -> tuple[int, str]:
    """Let those go first that need most: more cars are left to fill the last slots."""
    return -board.due[one.id] * board.unit(one), one.id


def run_in_turn(board: Board, order: Order) -> Board:
    """Lay out what is due, slot by slot."""
    for slot in range(board.slots):
        later = board.slots - slot - 1
        for one in sorted(
            board.connectors, key=lambda one: (board.slack(one, later) >= 0, order(board, one))
        ):
            _run(board, one, slot)
    return board


def _run(board: Board, one: DispatchConnector, slot: int) -> None:
    later = board.slots - slot - 1
    due = board.due[one.id]
    most = min(due, one.max_current)
    if most < one.min_current:
        return
    # What is too little for two slots needs one that is large enough.
    least = most if due < 2 * one.min_current else one.min_current
    if board.room(one, slot) < least:
        _make_room(board, one, slot, least)
    current = min(most, board.room(one, slot))
    if 0 < due - current < one.min_current and later:
        current = min(current, due - one.min_current)
    if current >= one.min_current:
        board.add(one, slot, current)


def _make_room(board: Board, one: DispatchConnector, slot: int, current: int) -> None:
    """Let others draw less in this slot, as far as they can catch up later, so that one more can run."""
    taken: list[tuple[DispatchConnector, int]] = []
    for other in board.connectors:
        less = _spared(board, other, slot, board.missing(one, slot, current, other))
        if less:
            board.add(other, slot, -less)
            taken.append((other, less))
        if board.room(one, slot) >= current:
            return
    for other, less in taken:
        board.add(other, slot, less)


def _spared(board: Board, other: DispatchConnector, slot: int, missing: int) -> int:
    """Give by how much less `other` draws; 0 where it draws nothing, or could not catch up."""
    most = min(
        board.currents[other.id][slot] - other.min_current,
        board.slack(other, board.slots - slot - 1),
    )
    if missing and not board.due[other.id]:
        missing = max(missing, other.min_current)  # what it then has left must be worth a slot
        return missing if missing <= most else 0
    return max(0, min(missing, most))
