"""Turn a step's planned energy into currents that a charger can set and a fuse can carry.

A plan is energy per quarter of an hour; a charger knows 0 or 6 to 32 A, and a fuse knows no
average. So the step is cut into slots of a minute. A car whose mean current is 6 A or more runs
steadily at it. A car that needs less gets one block of slots at 6 A or little more; the blocks
follow one another round the step, so that the group's load stays as level as it can. Then what
is still due is added wherever the limit leaves room, earliest slot first.

Exact in mA-slots (1 mA on each phase of a connector during one slot); currents round down.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import MIN_CURRENT, NOMINAL_VOLTAGE, Milliamp, Millivolt, W, Wh

LINES = (1, 2, 3)
_MICROWATT_SECONDS_PER_WH = 3_600_000_000


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


@dataclass(frozen=True, slots=True)
class Dispatched:
    """Currents per connector and slot, in mA on each of its lines, and what had no place.

    `shortfall_wh` rounds down, so what rounding currents loses (below 1 Wh) is none. `bound_wh` is
    what no dispatch could exceed: it ignores the least current and the length of slots.
    """

    slot_s: int
    currents: Mapping[str, tuple[Milliamp, ...]]
    shortfall_wh: Mapping[str, Wh]
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

    level = _Board(connectors, limit, slots, slot_s)
    level.run_steadily()
    level.run_in_blocks()
    level.add_what_is_due()
    best = level
    if any(level.due.values()):
        packed = _Board(connectors, limit, slots, slot_s)
        packed.add_what_is_due()
        if packed.placed_wh() > level.placed_wh():
            best = packed
    return best.result(_bound_wh(connectors, limit, slots * slot_s))


class _Board:
    """Slots × connectors, with the room that the limit leaves in each slot."""

    def __init__(
        self, connectors: Sequence[DispatchConnector], limit: GroupLimit, slots: int, slot_s: int
    ) -> None:
        self.connectors = connectors
        self.limit = limit
        self.slot_s = slot_s
        self.due = {
            one.id: max(0, one.due_wh) * _MICROWATT_SECONDS_PER_WH // self._unit(one) for one in connectors
        }
        """mA-slots still to be placed."""
        self.currents = {one.id: [0] * slots for one in connectors}
        self._line_room = [dict.fromkeys(LINES, limit.per_line) for _ in range(slots)]
        self._power_room = [None if limit.power is None else limit.power * 1_000_000] * slots

    def run_steadily(self) -> None:
        """Give the mean current throughout to every car whose mean is one that it can charge at."""
        for one in self._by_urgency():
            slots = range(len(self.currents[one.id]))
            mean = min(
                self.due[one.id] // len(slots), one.max_current, *(self._room(one, slot) for slot in slots)
            )
            if mean >= one.min_current:
                for slot in slots:
                    self._add(one, slot, mean)

    def run_in_blocks(self) -> None:
        """Give the others whole slots at the least current, one car's block after the other's."""
        cursor = 0
        for one in self._by_urgency():
            currents = self.currents[one.id]
            blocks = self.due[one.id] // one.min_current
            if any(currents) or not blocks:
                continue
            height = min(self.due[one.id] // blocks, one.max_current)
            for slot in [*range(cursor, len(currents)), *range(cursor)]:
                if blocks and self._room(one, slot) >= height >= one.min_current:
                    self._add(one, slot, height)
                    blocks -= 1
                    cursor = (slot + 1) % len(currents)

    def add_what_is_due(self) -> None:
        """Fill the room that is left, the most urgent car first, each from the earliest slot on."""
        for one in self._by_urgency():
            currents = self.currents[one.id]
            for slot, current in enumerate(currents):
                due = self.due[one.id]
                if due * self._unit(one) < _MICROWATT_SECONDS_PER_WH:
                    break  # what rounding left: not worth an uneven current
                more = min(due, one.max_current - current, self._room(one, slot))
                if not current and 0 < due - more < one.min_current and slot + 1 < len(currents):
                    more = min(more, max(one.min_current, due - one.min_current))  # leave a whole current
                if more > 0 and current + more >= one.min_current:
                    self._add(one, slot, more)

    def placed_wh(self) -> Wh:
        """Give the energy that all currents carry, rounded down."""
        carried = sum(sum(self.currents[one.id]) * self._unit(one) for one in self.connectors)
        return Wh(carried // _MICROWATT_SECONDS_PER_WH)

    def result(self, bound_wh: Wh) -> Dispatched:
        """Give what stands on the board."""
        return Dispatched(
            slot_s=self.slot_s,
            currents={
                one.id: tuple(Milliamp(current) for current in self.currents[one.id])
                for one in self.connectors
            },
            shortfall_wh={one.id: self._shortfall_wh(one) for one in self.connectors},
            placed_wh=self.placed_wh(),
            bound_wh=bound_wh,
        )

    def _shortfall_wh(self, one: DispatchConnector) -> Wh:
        carried = sum(self.currents[one.id]) * self._unit(one)
        return Wh((max(0, one.due_wh) * _MICROWATT_SECONDS_PER_WH - carried) // _MICROWATT_SECONDS_PER_WH)

    def _unit(self, one: DispatchConnector) -> int:
        """Microwatt-seconds of one mA-slot."""
        return self.limit.voltage * len(one.lines) * self.slot_s

    def _by_urgency(self) -> list[DispatchConnector]:
        """Least time to spare first: by the share of the slots that it needs at full current."""
        return sorted(
            (one for one in self.connectors if one.max_current >= one.min_current),
            key=lambda one: (-self.due[one.id] * 1_000 // one.max_current, one.id),
        )

    def _room(self, one: DispatchConnector, slot: int) -> int:
        """Give the current that the connector could take more in this slot, as far as the group goes."""
        rooms = [room for line in one.lines if (room := self._line_room[slot][line]) is not None]
        power = self._power_room[slot]
        if power is not None:
            rooms.append(power // (self.limit.voltage * len(one.lines)))
        return min([one.max_current, *rooms])

    def _add(self, one: DispatchConnector, slot: int, current: int) -> None:
        self.currents[one.id][slot] += current
        self.due[one.id] -= current
        for line in one.lines:
            room = self._line_room[slot][line]
            if room is not None:
                self._line_room[slot][line] = Milliamp(room - current)
        power = self._power_room[slot]
        if power is not None:
            self._power_room[slot] = power - current * self.limit.voltage * len(one.lines)


def _bound_wh(connectors: Iterable[DispatchConnector], limit: GroupLimit, seconds: int) -> Wh:
    """Give what no dispatch exceeds: each line's share of what is due, capped by what it can carry."""
    second = limit.voltage * seconds  # microwatt-seconds of 1 mA on one line
    per_line = dict.fromkeys(LINES, 0)
    for one in connectors:
        most = min(max(0, one.due_wh) * _MICROWATT_SECONDS_PER_WH, one.max_current * second * len(one.lines))
        for line in one.lines:
            per_line[line] += most // len(one.lines) + 1  # rounded up: a bound must not be too low
    if limit.per_line is not None:
        per_line = {line: min(wanted, limit.per_line * second) for line, wanted in per_line.items()}
    bound = sum(per_line.values())
    if limit.power is not None:
        bound = min(bound, limit.power * 1_000_000 * seconds)
    return Wh(bound // _MICROWATT_SECONDS_PER_WH)
