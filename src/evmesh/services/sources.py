"""What stands beside the charge points of each group: what it does now, did, and is expected to do.

Measured values come over the bus (`source_feed.py`). PV is a cheaper part of what the group's cable carries
anyway, never more of it: whatever is promised stays possible when no sun shines. Other equipment is counted
with at no less than the site file says, and with more where more was measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from evmesh.domain.equipment import LoadMeter, MeteredStep
from evmesh.domain.money import Price
from evmesh.domain.telemetry import Availability, TelemetryValue, ValueName
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh, energy_from_watts, watts_from_energy
from evmesh.planning.forecast import expected_wh
from evmesh.ports import Clock
from evmesh.services.directory import Directory, Group
from evmesh.services.plan_in_force import step_start
from evmesh.services.source_meter import SourceMeter

KEPT_FOR = timedelta(days=14)
"""How far back quarter-hours are at hand: the rewards of a day are computed when it is over."""

HIGHEST_OF = timedelta(days=7)
"""Over how long the highest quarter-hour of other equipment counts for what is promised."""

ASKED_FOR = timedelta(minutes=3)
"""How long a battery does what it was asked. Then it goes its own way."""

MOST_POWER = W(10_000_000)
"""What is told above that is no power of anything that a site file can describe, and counts as not known."""

_USUAL_DAYS = 3
_PERCENT = 100
_DAY = timedelta(days=1)
_STEP = timedelta(seconds=STEP_S)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of a group's equipment at present; None where it is not."""

    pv: W | None
    other: W | None
    battery: W | None
    """Into the battery."""
    soc_percent: int | None


class Sources:
    """Keeps what was measured of every group's equipment, and answers what follows from it."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._clock = clock
        now = clock.now()
        equipment = [group.equipment for group in directory.groups.values()]
        self._values: dict[str, ValueName] = {}
        for one in equipment:
            self._values |= {one.pv.name: ValueName.GENERATED_POWER} if one.pv else {}
            self._values |= {one.load.name: ValueName.POWER_OUTPUT} if one.load else {}
            self._values |= {one.battery.name: ValueName.BATTERY_POWER} if one.battery else {}
        self._meters = {name: SourceMeter(name, now) for name in self._values}
        self._told: dict[str, W | None] = {}
        """The power that each told last, whether it still counts or not."""
        self._offline: set[str] = set()
        self._has_line = True
        self._soc: dict[str, int] = {}
        self._asked_before = now
        """Until when a battery may do what the process before this one asked of it."""
        self._asked: dict[str, tuple[W, datetime]] = {}
        """What batteries are asked to take, and until when."""
        self._steps: dict[tuple[str, datetime], MeteredStep] = {}

    @property
    def now(self) -> datetime:
        """Give the time at which everything here is looked at."""
        return self._clock.now()

    @property
    def names(self) -> frozenset[str]:
        """The names that all equipment publishes under."""
        return frozenset(self._values)

    def begin(self) -> None:
        """Take note that a process before this one may have asked for something that still holds."""
        self._asked_before = self._clock.now() + ASKED_FOR

    def remember(self, steps: Sequence[MeteredStep]) -> None:
        """Take quarter-hours that were metered; forget those that are too old."""
        self._steps |= {(one.name, one.start): one for one in steps}
        oldest = self._clock.now() - KEPT_FOR
        for key in [key for key in self._steps if key[1] < oldest]:
            del self._steps[key]

    def kept(self) -> tuple[MeteredStep, ...]:
        """Give the quarter-hours that are at hand."""
        return tuple(self._steps.values())

    def heard(self, value: TelemetryValue) -> list[MeteredStep]:
        """Take a value of the bus; give the quarter-hours that have ended."""
        if value.charger not in self._values:
            return []
        if value.name == ValueName.AVAILABILITY:
            gone = value.value == Availability.OFFLINE
            self._offline = self._offline | {value.charger} if gone else self._offline - {value.charger}
            return self._settle(value.charger)
        if value.name == ValueName.STATE_OF_CHARGE:
            self._soc.pop(value.charger, None)
            if isinstance(value.value, int) and 0 <= value.value <= _PERCENT:
                self._soc[value.charger] = value.value
        if value.name == self._values[value.charger]:
            is_power = isinstance(value.value, int) and abs(value.value) <= MOST_POWER
            self._told[value.charger] = W(int(value.value or 0)) if is_power else None
            return self._settle(value.charger)
        return []

    def line(self, *, is_up: bool) -> list[MeteredStep]:
        """Take note whether the bus is heard: what it told counts only while it could say something else."""
        if is_up == self._has_line:
            return []
        self._has_line = is_up
        return [one for name in self._meters for one in self._settle(name)]

    def pass_time(self) -> list[MeteredStep]:
        """Let time pass; give the quarter-hours that have ended."""
        now = self._clock.now()
        return [one for meter in self._meters.values() for one in meter.pass_to(now)]

    def seen(self, group: Group) -> Seen:
        """Give what is known of a group's equipment at present."""
        one = group.equipment
        return Seen(
            pv=self._power(one.pv.name) if one.pv else None,
            other=self._power(one.load.name) if one.load else None,
            battery=self._power(one.battery.name) if one.battery else None,
            soc_percent=self._stored(one.battery.name) if one.battery else None,
        )

    def ask(self, battery: str, power: W, until: datetime) -> None:
        """Count with what a battery is asked to take, from before it is asked until that is over."""
        self._asked[battery] = power, until

    def asked(self, battery: str) -> W | None:
        """Give what a battery is asked to take at present; None where it goes its own way."""
        power, until = self._asked.get(battery, (W(0), None))
        return None if until is None or until <= self._clock.now() else power

    def to_promise(self, group: Group) -> Group:
        """Give a group with what other equipment is counted with where energy is promised.

        What the site file says, or the highest quarter-hour of the last week where that is more.
        """
        load = group.equipment.load
        if load is None:
            return group
        since = self._clock.now() - HIGHEST_OF
        highest = max((one.wh for one in self._of(load.name) if one.start >= since), default=Wh(0))
        measured = max(watts_from_energy(highest, STEP_S), self._power(load.name) or 0)
        return _with_load(group, load, max(load.most, measured))

    def at_present(self, group: Group) -> Group:
        """Give a group with what other equipment is counted with while limits go out.

        What the site file says, or what is measured where that is more. Where the meter's headroom is given,
        less than the site file says: what is measured and that. And what goes into a battery from the grid.
        """
        load = group.equipment.load
        group = replace(group, other=W(group.other + self._into_battery(group)))
        measured = None if load is None else self._power(load.name)
        if load is None or measured is None:
            return group
        may_become = load.most if load.headroom is None else min(load.most, max(0, measured) + load.headroom)
        return _with_load(group, load, max(measured, may_become))

    def _into_battery(self, group: Group) -> int:
        """Give what a battery takes off the cable: all that it is asked to; else what PV does not cover.

        All that it can take where it may still be asked to by a process before us, and does not tell.
        """
        battery, seen = group.equipment.battery, self.seen(group)
        if battery is None:
            return 0
        asked = self.asked(battery.name)
        if asked is not None:
            return max(0, asked)
        if seen.battery is None and self._clock.now() < self._asked_before:
            return battery.max_in
        spare = max(0, (seen.pv or 0) - max(0, seen.other or 0))
        return max(0, (seen.battery or 0) - spare)

    def surplus(self, group: Group, begin: datetime) -> tuple[Wh, Price] | None:
        """Give what PV has left after other equipment in the quarter-hour from `begin`, and what it earns.

        Measured where it is over, as in the last five minutes for the running one, expected later.
        """
        pv, now = group.equipment.pv, self._clock.now()
        if pv is None:
            return None
        if begin + _STEP <= now:
            given, taken = self._metered(pv.name, begin), self._taken(group, begin)
        elif begin <= now:
            power = self._meters[pv.name].mean(now)
            given, taken = _energy(power or W(0)), self._taken_now(group, now)
        else:
            given, taken = self._expected(group, begin), self._usual_load(group, begin)
        return Wh(max(0, (given or 0) - taken)), pv.feed_in

    def _settle(self, name: str) -> list[MeteredStep]:
        power = self._told.get(name) if self._counts(name) else None
        return self._meters[name].tell(power, self._clock.now())

    def _counts(self, name: str) -> bool:
        return self._has_line and name not in self._offline

    def _stored(self, name: str) -> int | None:
        return self._soc.get(name) if self._counts(name) else None

    def _power(self, name: str) -> W | None:
        return self._meters[name].power

    def _of(self, name: str) -> list[MeteredStep]:
        return [step for (other, _), step in self._steps.items() if other == name]

    def _metered(self, name: str, begin: datetime) -> Wh | None:
        step = self._steps.get((name, begin))
        return None if step is None else step.wh

    def _taken(self, group: Group, begin: datetime) -> int:
        """Give what other equipment took, rounded up; all of it where it was not heard."""
        load = group.equipment.load
        wh = None if load is None else self._metered(load.name, begin)
        return _taken(group, None if wh is None else wh + 1)

    def _taken_now(self, group: Group, now: datetime) -> int:
        load = group.equipment.load
        power = None if load is None else self._meters[load.name].mean(now)
        return _taken(group, None if power is None else _energy(power) + 1)

    def _usual_load(self, group: Group, begin: datetime) -> int:
        """Give the most that other equipment took at this time of the last days; at first, what it takes."""
        load = group.equipment.load
        days = [] if load is None else self._same_time(load.name, begin)
        if load is not None and not days:
            power = self._meters[load.name].mean(self._clock.now())
            days = [] if power is None else [_energy(power)]
        return _taken(group, max(days) + 1 if days else None)

    def _expected(self, group: Group, begin: datetime) -> Wh:
        pv, now = group.equipment.pv, self._clock.now()
        if pv is None:
            return Wh(0)
        last = step_start(now) - _STEP
        given = self._metered(pv.name, last)
        if given is None:
            given = _energy(self._power(pv.name) or W(0))
        ahead = (begin - step_start(now)) // _STEP
        then, before = self._same_time(pv.name, begin), self._same_time(pv.name, last)
        return expected_wh(ahead, then, before, given, _energy(pv.peak))

    def _same_time(self, name: str, begin: datetime) -> list[Wh]:
        """Give the same quarter-hour of the last days of which it is known, the newest first."""
        now, found = self._clock.now(), []
        for days in range(1, KEPT_FOR // _DAY):
            at = begin - days * _DAY
            wh = self._metered(name, at) if at < now - _STEP else None
            if wh is not None:
                found.append(wh)
        return found[:_USUAL_DAYS]


def _with_load(group: Group, load: LoadMeter, power: int) -> Group:
    """Give a group whose metered equipment is counted with so much; the rest of it has no meter."""
    return replace(group, other=W(group.other - load.most + power))


def _energy(power: W) -> Wh:
    return energy_from_watts(power, STEP_S)


def _taken(group: Group, metered: int | None) -> int:
    """Give what other equipment takes in a quarter-hour: what its meter says, and at most all without one."""
    load = group.equipment.load
    if load is None or metered is None:
        return _energy(group.others)
    return max(0, metered) + _energy(W(max(0, group.others - load.most)))
