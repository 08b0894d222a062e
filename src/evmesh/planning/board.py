"""Where a dispatch is laid out: connectors × slots, with the room that the limit leaves in each slot.

Each `run_…` is one way to lay out what is due; `dispatch.py` says which are tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import MIN_CURRENT, NOMINAL_VOLTAGE, Milliamp, Millivolt, W, Wh

LINES = (1, 2, 3)
MICROWATT_SECONDS_PER_WH = 3_600_000_000


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

    def __post_init__(self) -> None:
        if not self.lines or len(set(self.lines)) != len(self.lines) or not set(self.lines) <= set(LINES):
            raise InvalidInput("dispatch.bad_lines", f"{self.lines} are not lines of 1, 2, 3", path="lines")
        if self.min_current <= 0 or self.max_current < 0:
            raise InvalidInput("dispatch.bad_current", "a current is positive", path="max_current")


@dataclass(frozen=True, slots=True)
class GroupLimit:
    """What the group may draw at any instant: current on each line, power in all; None is no limit."""

    per_line: Milliamp | None = None
    power: W | None = None
    voltage: Millivolt = NOMINAL_VOLTAGE


class Board:
    """Slots × connectors, with the room that the limit leaves in each slot."""

    def __init__(
        self, connectors: Sequence[DispatchConnector], limit: GroupLimit, slots: int, slot_s: int
    ) -> None:
        self.connectors = connectors
        self.limit = limit
        self.slots = slots
        self.slot_s = slot_s
        self.due = {
            one.id: max(0, one.due_wh) * MICROWATT_SECONDS_PER_WH // self.unit(one) for one in connectors
        }
        """mA-slots still to be placed."""
        self.currents = {one.id: [0] * slots for one in connectors}
        self._line_room = [dict.fromkeys(LINES, limit.per_line) for _ in range(slots)]
        self._power_room = [None if limit.power is None else limit.power * 1_000_000] * slots

    def run_steadily(self) -> None:
        """Give the mean current throughout to every car whose mean is one that it can charge at."""
        for one in self.by_urgency():
            slots = range(len(self.currents[one.id]))
            mean = min(
                self.due[one.id] // len(slots), one.max_current, *(self.room(one, slot) for slot in slots)
            )
            if mean >= one.min_current:
                for slot in slots:
                    self.add(one, slot, mean)

    def run_in_blocks(self) -> None:
        """Give the others whole slots at the least current, one car's block after the other's."""
        cursor = 0
        for one in self.by_urgency():
            currents = self.currents[one.id]
            blocks = self.due[one.id] // one.min_current
            if any(currents) or not blocks:
                continue
            height = min(self.due[one.id] // blocks, one.max_current)
            for slot in [*range(cursor, len(currents)), *range(cursor)]:
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
        """Tell whether a whole Wh of anybody's is still without a place."""
        return any(self.due[one.id] * self.unit(one) >= MICROWATT_SECONDS_PER_WH for one in self.connectors)

    def shortfall_wh(self, one: DispatchConnector) -> Wh:
        """Give what a connector lacks, rounded down: what rounding currents loses is none."""
        carried = sum(self.currents[one.id]) * self.unit(one)
        return Wh((max(0, one.due_wh) * MICROWATT_SECONDS_PER_WH - carried) // MICROWATT_SECONDS_PER_WH)

    def unit(self, one: DispatchConnector) -> int:
        """Microwatt-seconds of one mA-slot."""
        return self.limit.voltage * len(one.lines) * self.slot_s

    def by_urgency(self) -> list[DispatchConnector]:
        """Least time to spare first: by the share of the slots that it needs at full current."""
        return sorted(
            (one for one in self.connectors if one.max_current >= one.min_current),
            key=lambda one: (-self.due[one.id] * 1_000 // one.max_current, one.id),
        )

    def room(self, one: DispatchConnector, slot: int) -> int:
        """Give the current that the connector could take more in this slot, as far as the group goes."""
        rooms = [room for line in one.lines if (room := self._line_room[slot][line]) is not None]
        power = self._power_room[slot]
        if power is not None:
            rooms.append(power // (self.limit.voltage * len(one.lines)))
        return min([one.max_current, *rooms])

    def slack(self, one: DispatchConnector, later: int) -> int:
        """Give how much less than due a connector could still take in `later` slots; negative is more."""
        return later * one.max_current - self.due[one.id]

    def missing(self, one: DispatchConnector, slot: int, current: int, other: DispatchConnector) -> int:
        """Give by how much `other` would have to draw less in a slot for `one` to draw `current`."""
        lines = [
            current - room
            for line in one.lines
            if line in other.lines and (room := self._line_room[slot][line]) is not None
        ]
        power = self._power_room[slot]
        if power is not None:
            over = current * self.limit.voltage * len(one.lines) - power
            lines.append(-(-over // (self.limit.voltage * len(other.lines))))
        return max([0, *lines])

    def add(self, one: DispatchConnector, slot: int, current: int) -> None:
        self.currents[one.id][slot] += current
        self.due[one.id] -= current
        for line in one.lines:
            room = self._line_room[slot][line]
            if room is not None:
                self._line_room[slot][line] = Milliamp(room - current)
        power = self._power_room[slot]
        if power is not None:
            self._power_room[slot] = power - current * self.limit.voltage * len(one.lines)
