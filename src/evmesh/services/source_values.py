"""What equipment beside the charge points told: its power now, its quarter-hours, how full a battery is.

A power that cannot be, since the device or the cable is not made for it, is set aside and said so: one absurd
reading is no reason to plan by.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.equipment import Equipment, MeteredStep
from evmesh.domain.telemetry import Availability, TelemetryValue, ValueName
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh
from evmesh.ports import Clock
from evmesh.services.directory import Directory, Group, Node
from evmesh.services.source_meter import SourceMeter

_log = structlog.get_logger(__name__)

KEPT_FOR: Final = timedelta(days=14)
"""How far back quarter-hours are at hand: the rewards of a day are computed when it is over."""

MOST_POWER: Final = W(10_000_000)
"""What is told above that is no power of anything that a site file can describe."""

_USUAL_DAYS: Final = 3
_PERCENT: Final = 100
_DAY: Final = timedelta(days=1)
_STEP: Final = timedelta(seconds=STEP_S)


class SourceValues:
    """Keeps what was measured of all equipment, by the name that it publishes under."""

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self._clock = clock
        now = clock.now()
        self._values: dict[str, ValueName] = {}
        self._most: dict[str, W] = {}
        """What each can tell at most, in either direction."""
        for group in directory.groups.values():
            for level in group.levels:
                self._values |= _told_by(level.equipment)
                self._most |= dict(_credible(group, level))
        self._meters = {name: SourceMeter(name, now) for name in self._values}
        self._told: dict[str, W | None] = {}
        """The power that each told last, whether it still counts or not."""
        self._beyond: set[str] = set()
        self._offline: set[str] = set()
        self._has_line = True
        self._soc: dict[str, int] = {}
        self._steps: dict[tuple[str, datetime], MeteredStep] = {}

    @property
    def now(self) -> datetime:
        """Give the time at which everything here is looked at."""
        return self._clock.now()

    @property
    def names(self) -> frozenset[str]:
        """The names that all equipment publishes under."""
        return frozenset(self._values)

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
            self._told[value.charger] = self._power_of(value)
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

    def power(self, name: str) -> W | None:
        """Give what one does at present; None where that is not known."""
        return self._meters[name].power

    def mean(self, name: str) -> W | None:
        """Give its mean power of the last five minutes; None where it is not known."""
        return self._meters[name].mean(self._clock.now())

    def stored(self, name: str) -> int | None:
        """Give how full a battery is, in percent; None where it is not known."""
        return self._soc.get(name) if self._counts(name) else None

    def is_beyond(self, name: str) -> bool:
        """Tell whether what it told last was set aside: more than it, or its cable, is made for."""
        return name in self._beyond

    def metered(self, name: str, begin: datetime) -> Wh | None:
        """Give what one did in the quarter-hour from `begin`; None where that is not known."""
        step = self._steps.get((name, begin))
        return None if step is None else step.wh

    def same_time(self, name: str, begin: datetime) -> list[Wh]:
        """Give the same quarter-hour of the last days of which it is known, the newest first."""
        now, found = self._clock.now(), []
        for days in range(1, KEPT_FOR // _DAY):
            at = begin - days * _DAY
            wh = self.metered(name, at) if at < now - _STEP else None
            if wh is not None:
                found.append(wh)
        return found[:_USUAL_DAYS]

    def highest_again(self, name: str, since: datetime) -> Wh:
        """Give the most that was reached in two quarter-hours which did not follow each other.

        One reading that cannot be seen to be wrong makes one quarter-hour too high, or two in a row.
        """
        highest_first = sorted(self._since(name, since), key=lambda one: -one.wh)
        for number, one in enumerate(highest_first):
            if any(abs(other.start - one.start) > _STEP for other in highest_first[:number]):
                return one.wh
        return Wh(0)

    def _since(self, name: str, since: datetime) -> Iterable[MeteredStep]:
        return (step for (other, _), step in self._steps.items() if other == name and step.start >= since)

    def _power_of(self, value: TelemetryValue) -> W | None:
        """Give a power that was told; None for what is none, or is set aside."""
        name, told = value.charger, value.value
        if not isinstance(told, int):
            self._beyond.discard(name)
            return None
        if abs(told) <= self._most[name]:
            self._beyond.discard(name)
            return W(told)
        if name not in self._beyond:
            self._beyond.add(name)
            _log.warning("source.beyond_rating", name=name, told_w=told, most_w=self._most[name])
        return None

    def _settle(self, name: str) -> list[MeteredStep]:
        power = self._told.get(name) if self._counts(name) else None
        return self._meters[name].tell(power, self._clock.now())

    def _counts(self, name: str) -> bool:
        return self._has_line and name not in self._offline


def _told_by(one: Equipment) -> dict[str, ValueName]:
    """Give the value that each piece of equipment tells its power in."""
    found = {one.pv.name: ValueName.GENERATED_POWER} if one.pv else {}
    found |= {one.load.name: ValueName.POWER_OUTPUT} if one.load else {}
    return found | ({one.battery.name: ValueName.BATTERY_POWER} if one.battery else {})


def _credible(group: Group, level: Group | Node) -> Iterator[tuple[str, W]]:
    """Give what each piece of equipment of a level can tell at most.

    A quarter more than a plant or a battery is made for: clouds' edges do that. A meter can see what its
    cable brings, twice over, since fuses let that pass for minutes, and all that is made below it.
    """
    here = level.equipment
    below = [one.equipment for one in group.at_or_below(level.name)]
    plants, batteries = [one.pv for one in below if one.pv], [one.battery for one in below if one.battery]
    made = sum(one.peak for one in plants) + sum(one.max_out for one in batteries)
    if here.pv is not None:
        yield here.pv.name, _at_most(here.pv.peak * 5 // 4)
    if here.load is not None:
        yield here.load.name, _at_most(2 * max(level.capacity, here.load.most) + made)
    if here.battery is not None:
        yield here.battery.name, _at_most(max(here.battery.max_in, here.battery.max_out) * 5 // 4)


def _at_most(power: int) -> W:
    return W(min(power, MOST_POWER))
