"""What stands beside the charge points of each group: what it does now, did, and is expected to do.

Measured values come over the bus (`source_feed.py`). PV is a cheaper part of what the group's cable carries
anyway, never more of it: whatever is promised stays possible when no sun shines. Other equipment is counted
with at no less than the site file says, and with more where more was measured. All of that holds at the
group's own cable and at those of its parts alike.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, TypeVar

from evmesh.domain.equipment import LoadMeter
from evmesh.domain.money import Price
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh, watts_from_energy
from evmesh.ports import Clock
from evmesh.services.directory import Directory, Group, Node
from evmesh.services.source_values import KEPT_FOR, SourceValues
from evmesh.services.surplus import surplus_of

__all__ = ["ASKED_FOR", "KEPT_FOR", "Seen", "Sources"]

HIGHEST_OF: Final = timedelta(days=7)
"""Over how long the highest quarter-hours of other equipment count for what is promised."""

ASKED_FOR: Final = timedelta(minutes=3)
"""How long a battery does what it was asked. Then it goes its own way."""

_Level = TypeVar("_Level", Group, Node)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a level's equipment at present; None where it is not."""

    pv: W | None
    other: W | None
    battery: W | None
    """Into the battery."""
    soc_percent: int | None


class Sources(SourceValues):
    """Answers what follows from what was measured of all groups' equipment."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        super().__init__(directory, clock)
        self._asked_before = self.now
        """Until when a battery may do what the process before this one asked of it."""
        self._asked: dict[str, tuple[W, datetime]] = {}
        """What batteries are asked to take, and until when."""

    def begin(self) -> None:
        """Take note that a process before this one may have asked for something that still holds."""
        self._asked_before = self.now + ASKED_FOR

    def seen(self, level: Group | Node) -> Seen:
        """Give what is known at present of the equipment on a group's or a part's own cable."""
        one = level.equipment
        return Seen(
            pv=self.power(one.pv.name) if one.pv else None,
            other=self.power(one.load.name) if one.load else None,
            battery=self.power(one.battery.name) if one.battery else None,
            soc_percent=self.stored(one.battery.name) if one.battery else None,
        )

    def ask(self, battery: str, power: W, until: datetime) -> None:
        """Count with what a battery is asked to take, from before it is asked until that is over."""
        self._asked[battery] = power, until

    def asked(self, battery: str) -> W | None:
        """Give what a battery is asked to take at present; None where it goes its own way."""
        power, until = self._asked.get(battery, (W(0), None))
        return None if until is None or until <= self.now else power

    def to_promise(self, group: Group) -> Group:
        """Give a group with what other equipment is counted with where energy is promised.

        At each level what the site file says, or what it takes now, or took more than once in the last
        week, where that is more.
        """
        nodes = tuple(self._to_promise(node) for node in group.nodes)
        return replace(self._to_promise(group), nodes=nodes)

    def at_present(self, group: Group) -> Group:
        """Give a group with what other equipment is counted with while limits go out.

        At each level what the site file says, or what is measured where that is more. Where the meter's
        headroom is given, less than the site file says: what is measured and that. And what goes into a
        battery from the grid.
        """
        nodes = tuple(self._at_present(node) for node in group.nodes)
        return replace(self._at_present(group), nodes=nodes)

    def surplus(self, group: Group, begin: datetime) -> tuple[tuple[Wh, Price], ...]:
        """Give what PV has left after other equipment in the quarter-hour from `begin`, cheapest first."""
        return surplus_of(group, begin, self)

    def _to_promise(self, level: _Level) -> _Level:
        load = level.equipment.load
        if load is None:
            return level
        highest = self.highest_again(load.name, self.now - HIGHEST_OF)
        measured = max(watts_from_energy(highest, STEP_S), self.power(load.name) or 0)
        return _with_load(level, load, max(load.most, measured))

    def _at_present(self, level: _Level) -> _Level:
        load, into = level.equipment.load, self._into_battery(level)
        level = replace(level, other=W(level.other + into), balanced=W(level.balanced + into))
        measured = None if load is None else self.power(load.name)
        if load is None or measured is None:
            return level
        may_become = load.most if load.headroom is None else min(load.most, max(0, measured) + load.headroom)
        return _with_load(level, load, max(measured, may_become))

    def _into_battery(self, level: Group | Node) -> int:
        """Give what a battery takes off the cable: all that it is asked to; else what PV does not cover.

        All that it can take where it may still be asked to by a process before us, and does not tell.
        """
        battery, seen = level.equipment.battery, self.seen(level)
        if battery is None:
            return 0
        asked = self.asked(battery.name)
        if asked is not None:
            return max(0, asked)
        if seen.battery is None and self.now < self._asked_before:
            return battery.max_in
        spare = max(0, (seen.pv or 0) - max(0, seen.other or 0))
        return max(0, (seen.battery or 0) - spare)


def _with_load(level: _Level, load: LoadMeter, power: int) -> _Level:
    """Give a level whose metered equipment is counted with so much; the rest of it has no meter."""
    return replace(level, other=W(level.other - load.most + power))
