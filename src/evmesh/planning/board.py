"""Where a dispatch is laid out: connectors × slots, with the room that the limit leaves in each slot.

The steps of a level layout are here; `turns.py` has what is done where it leaves something out.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import MIN_CURRENT, NOMINAL_VOLTAGE, Milliamp, Millivolt, W, Wh

LINES = (1, 2, 3)
MICROWATT_SECONDS_PER_WH = 3_600_000_000
UNLIMITED = 1 << 40
"""More mA than any car draws."""


@dataclass(frozen=True, slots=True)
class DispatchConnector:
    """A connector with a car: `due_wh` is what the plan gives it in this step less what it got.

    `lines` are the phases of the group's supply that it loads, as it was installed: (1,) or (2,)
    or (3,) for a single-phase car, (1, 2, 3) for a three-phase one.
    """

    id: str
    lines: tuple[int, ...]
    max_current: Milliamp
    due_wh: Wh
    min_current: Milliamp = MIN_CURRENT
    draws: bool = False
    """It draws already: its block comes first, so that it is not switched off and on again."""

    def __post_init__(self) -> None:
        if not self.lines or len(set(self.lines)) != len(self.lines) or not set(self.lines) <= set(LINES):
            raise InvalidInput("dispatch.bad_lines", f"{self.lines} are not lines of 1, 2, 3", path="lines")
        if self.min_current <= 0 or self.max_current < 0:
            raise InvalidInput("dispatch.bad_current", "a current is positive", path="max_current")


@dataclass(frozen=True, slots=True)
class Fuse:
    """What some of the connectors may draw together: power in all, or on one line of the supply."""

    power: W
    members: frozenset[str]
    line: int | None = None

    def weight(self, one: DispatchConnector) -> int:
        """Give how many lines' currents of a connector it carries."""
        if one.id not in self.members:
            return 0
        return len(one.lines) if self.line is None else int(self.line in one.lines)


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """What the group may draw at any instant: current on each line, power in all; None is no limit.

    `fuses` are limits of parts of the group: cables on the way to it, or lines of one of them.
    """

    per_line: Milliamp | None = None
    power: W | None = None
    voltage: Millivolt = NOMINAL_VOLTAGE
    fuses: tuple[Fuse, ...] = ()

    def carriers(
        self, connectors: Sequence[DispatchConnector]
    ) -> list[tuple[int, dict[str, int], int | None]]:
        """Give every limit in microwatts, how many lines of each connector it carries, and its line."""
        found: list[tuple[int, dict[str, int], int | None]] = []
        if self.power is not None:
            found.append((self.power * 1_000_000, {one.id: len(one.lines) for one in connectors}, None))
        if self.per_line is not None:
            for line in LINES:
                weights = {one.id: 1 for one in connectors if line in one.lines}
                found.append((self.per_line * self.voltage, weights, line))
        for fuse in self.fuses:
            weights = {one.id: weight for one in connectors if (weight := fuse.weight(one))}
            found.append((fuse.power * 1_000_000, weights, fuse.line))
        return [one for one in found if one[1]]


class Board:
    """Slots × connectors, with the room that the limit leaves in each slot."""

    def __init__(
        self, connectors: Sequence[DispatchConnector], limit: GroupLimit, slots: int, slot_s: int
    ) -> None:
        self.connectors = connectors
        self.limit = limit
        self.slots = slots
        self.slot_s = slot_s
        self._units = {one.id: limit.voltage * len(one.lines) * slot_s for one in connectors}
        self.due = {
            one.id: max(0, one.due_wh) * MICROWATT_SECONDS_PER_WH // self.unit(one) for one in connectors
        }
        """mA-slots still to be placed."""
        self.currents = {one.id: [0] * slots for one in connectors}
        carriers = limit.carriers(connectors)
        self._rooms = [[most // limit.voltage] * slots for most, _, _ in carriers]
        """Room of each limit by slot, as the current of one line that carries it all."""
        behind = {
            one.id: tuple(
                (number, weights[one.id])
                for number, (_, weights, _) in enumerate(carriers)
                if one.id in weights
            )
            for one in connectors
        }
        self._behind = list(dict.fromkeys(behind.values()))
        """By kind, the limits that connectors are behind, and how many of their lines each carries."""
        numbers = {limits: kind for kind, limits in enumerate(self._behind)}
        self.kinds = {name: numbers[limits] for name, limits in behind.items()}
        """Connectors of one kind are behind the same limits, and so have the same room."""
        self._room_of_kind = [[0] * slots for _ in self._behind]
        self._changed = list(range(slots))
        """The slots that something was added to, in order; each kind has looked at the first few."""
        self._looked_at = [0] * len(self._behind)
        self._drawing: dict[int, list[DispatchConnector]] = {}
        """By slot, who draws in it, where that was asked for since the last change."""

    def copy(self) -> "Board":
        """Give a board of its own with the same currents."""
        other = copy(self)
        other.due = dict(self.due)
        other.currents = {name: list(currents) for name, currents in self.currents.items()}
        other._rooms = [list(rooms) for rooms in self._rooms]
        other._room_of_kind = [list(rooms) for rooms in self._room_of_kind]
        other._changed, other._looked_at = list(self._changed), list(self._looked_at)
        other._drawing = {}
        return other

    def run_steadily(self) -> None:
        """Give the mean current throughout to every car whose mean is one that it can charge at."""
        for one in self.by_urgency():
            mean = min(self.due[one.id] // self.slots, one.max_current)
            if mean >= one.min_current and (mean := min(mean, *self.rooms(one))) >= one.min_current:
                for slot in range(self.slots):
                    self.add(one, slot, mean)

    def run_in_blocks(self) -> None:
        """Give the others whole slots at the least current, one car's block after the other's.

        Those that draw go on from the first slot; those that do not begin where the block before ends.
        """
        cursor = 0
        for one in sorted(self.by_urgency(), key=lambda one: not one.draws):
            currents = self.currents[one.id]
            blocks = self.due[one.id] // one.min_current
            if any(currents) or not blocks:
                continue
            height = min(self.due[one.id] // blocks, one.max_current)
            begin = 0 if one.draws else cursor
            for slot in [*range(begin, len(currents)), *range(begin)]:
                if blocks and self.room(one, slot) >= height >= one.min_current:
                    self.add(one, slot, height)
                    blocks -= 1
                    cursor = (slot + 1) % len(currents)

    def add_what_is_due(self) -> None:
        """Fill the room that is left, the most urgent car first, each from the earliest slot on."""
        for one in self.by_urgency():
            currents = self.currents[one.id]
            for slot, current in enumerate(currents):
                due = self.due[one.id]
                if due * self.unit(one) < MICROWATT_SECONDS_PER_WH:
                    break  # what rounding left: not worth an uneven current
                more = min(due, one.max_current - current, self.room(one, slot))
                if not current and 0 < due - more < one.min_current and slot + 1 < len(currents):
                    more = min(more, max(one.min_current, due - one.min_current))  # leave a whole current
                if more > 0 and current + more >= one.min_current:
                    self.add(one, slot, more)

    def placed_wh(self) -> Wh:
        """Give the energy that all currents carry, rounded down."""
        return Wh(self.placed() // MICROWATT_SECONDS_PER_WH)

    def placed(self) -> int:
        """Give the energy that all currents carry, in microwatt-seconds."""
        return sum(sum(self.currents[one.id]) * self.unit(one) for one in self.connectors)

    @property
    def lacks_anything(self) -> bool:
        """Tell whether that is so of any."""
        return any(self.lacks(one) for one in self.connectors)

    def lacks(self, one: DispatchConnector) -> bool:
        """Tell whether a whole Wh of a connector's is still without a place."""
        return self.due[one.id] * self.unit(one) >= MICROWATT_SECONDS_PER_WH

    def shortfall_wh(self, one: DispatchConnector) -> Wh:
        """Give what a connector lacks, rounded down: what rounding currents loses is none."""
        carried = sum(self.currents[one.id]) * self.unit(one)
        return Wh((max(0, one.due_wh) * MICROWATT_SECONDS_PER_WH - carried) // MICROWATT_SECONDS_PER_WH)

    def unit(self, one: DispatchConnector) -> int:
        """Microwatt-seconds of one mA-slot."""
        return self._units[one.id]

    def by_urgency(self) -> list[DispatchConnector]:
        """Least time to spare first: by the share of the slots that it needs at full current."""
        return sorted(
            (one for one in self.connectors if one.max_current >= one.min_current),
            key=lambda one: (-self.due[one.id] * 1_000 // one.max_current, one.id),
        )

    def room(self, one: DispatchConnector, slot: int) -> int:
        """Give the current that the group could carry more in this slot on the lines of a connector."""
        return self._room(self.kinds[one.id], slot)

    def rooms(self, one: DispatchConnector) -> list[int]:
        """Give `room` of every slot: a list that nobody changes, and that the next call renews."""
        kind = self.kinds[one.id]
        rooms = self._room_of_kind[kind]
        for slot in set(self._changed[self._looked_at[kind] :]):
            rooms[slot] = self._room(kind, slot)
        self._looked_at[kind] = len(self._changed)
        return rooms

    def drawing(self, slot: int) -> list[DispatchConnector]:
        """Give the connectors that draw in a slot."""
        found = self._drawing.get(slot)
        if found is None:
            found = [one for one in self.connectors if self.currents[one.id][slot]]
            self._drawing[slot] = found
        return found

    def missing(self, one: DispatchConnector, slot: int, current: int, other: DispatchConnector) -> int:
        """Give by how much `other` would have to draw less in a slot for `one` to draw `current`."""
        over = 0
        theirs = dict(self._behind[self.kinds[other.id]])
        for number, weight in self._behind[self.kinds[one.id]]:
            lacks = current * weight - self._rooms[number][slot]
            if lacks > 0 and number in theirs:
                over = max(over, -(-lacks // theirs[number]))
        return over

    def add(self, one: DispatchConnector, slot: int, current: int) -> None:
        """Let a connector draw more in a slot, or less."""
        self.currents[one.id][slot] += current
        self.due[one.id] -= current
        for number, weight in self._behind[self.kinds[one.id]]:
            self._rooms[number][slot] -= current * weight
        self._changed.append(slot)
        self._drawing.pop(slot, None)

    def _room(self, kind: int, slot: int) -> int:
        room = UNLIMITED
        for number, weight in self._behind[kind]:
            if (here := self._rooms[number][slot] // weight) < room:
                room = here
        return room
