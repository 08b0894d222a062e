"""What it means for chargers when the one who publishes for them comes and goes.

MQTT knows one last will per connection, and a publisher may speak for a thousand chargers. So the will is
about the publisher, and readers work out the rest: a charger is as available as it said itself, as long as
the very run of the publisher that said so is there; otherwise it is offline.

A broker that dies together with a publisher says no will, and may keep an old word for ever. So publishers
repeat their word every `BEAT_S`, and a reader that hears none for `SILENT_S` doubts it until the next.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from evmesh.domain.telemetry import Availability, TelemetryValue, ValueName
from evmesh.telemetry.topics import Reading, publisher_of

BEAT_S: Final = 10.0
SILENT_S: Final = 35.0
_RUNS_KEPT: Final = 8
"""Of one publisher: so many are told apart where several have its name."""


@dataclass(frozen=True, slots=True)
class Change:
    """A value that follows from a publisher's word: an Availability, or how often names were in conflict."""

    value: TelemetryValue
    identity: str
    """The same again when the publisher's word is delivered again."""


@dataclass(slots=True)
class _Said:
    """A charger's own word, and what readers were last told."""

    reading: Reading
    told: str


@dataclass(slots=True)
class Presence:
    """Works out the changes of Availability that nobody says.

    Give it every reading, in any order, with the time it arrived. Chargers whose publisher has no topic of
    its own (a foreign one, or one with a will per charger) are left alone.
    """

    _publishers: dict[str, Reading] = field(default_factory=dict)
    _doubted: set[str] = field(default_factory=set)
    _runs: dict[str, dict[str, int]] = field(default_factory=dict)
    """By publisher, the number of the last word of each of its runs."""
    _conflicts: dict[str, int] = field(default_factory=dict)
    _chargers: dict[str, _Said] = field(default_factory=dict)

    def charger_said(self, reading: Reading, now: datetime) -> list[Change]:
        """Take a charger's own word; give what follows besides it, if its publisher is gone."""
        value = reading.value
        if value.name != ValueName.AVAILABILITY or reading.boot is None:
            return []
        said = self._chargers[value.charger] = _Said(reading, str(value.value))
        publisher = self._publishers.get(publisher_of(reading.boot))
        return [] if publisher is None else self._settle(said, publisher, now)

    def publisher_said(self, reading: Reading, now: datetime) -> list[Change]:
        """Take a publisher's word; give the chargers whose Availability changes by it."""
        publisher = reading.value.charger
        if _is_stale(reading, self._publishers.get(publisher)):
            return []
        conflict = self._conflict(reading, now)
        self._publishers[publisher] = reading
        self._doubted.discard(publisher)
        return [*conflict, *self._settle_all(publisher, now)]

    def doubt(self, publishers: Iterable[str], now: datetime) -> list[Change]:
        """Count publishers as gone until they are heard again; give what changes by it."""
        changes = []
        for publisher in publishers:
            self._doubted.add(publisher)
            changes += self._settle_all(publisher, now)
        return changes

    def _conflict(self, reading: Reading, now: datetime) -> list[Change]:
        """Notice a run that comes back after another one had its name: both are there, and take turns."""
        publisher, boot, seq = reading.value.charger, reading.boot, reading.seq
        if boot is None or not seq:
            return []
        runs = self._runs.setdefault(publisher, {})
        newest, before = next(reversed(runs), None), runs.get(boot)
        if before is not None and seq <= before:
            return []  # delivered again
        runs.pop(boot, None)
        runs[boot] = seq
        while len(runs) > _RUNS_KEPT:
            del runs[next(iter(runs))]
        if before is None or newest == boot:
            return []
        self._conflicts[publisher] = self._conflicts.get(publisher, 0) + 1
        value = TelemetryValue(publisher, ValueName.NAME_CONFLICTS, now, self._conflicts[publisher])
        return [Change(value, f"conflict:{reading.identity}")]

    def _settle_all(self, publisher: str, now: datetime) -> list[Change]:
        word = self._publishers.get(publisher)
        if word is None:
            return []
        mine = [
            said for said in self._chargers.values() if publisher_of(said.reading.boot or "") == publisher
        ]
        return [change for said in mine for change in self._settle(said, word, now)]

    def _settle(self, said: _Said, publisher: Reading, now: datetime) -> list[Change]:
        own = said.reading.value
        is_same = publisher.boot == said.reading.boot and publisher.value.charger not in self._doubted
        there = is_same and publisher.value.value == Availability.ONLINE
        effective = str(own.value) if there else str(Availability.OFFLINE)
        if effective == said.told:
            return []
        said.told = effective
        return [Change(replace(own, at=now, value=effective), f"presence:{publisher.identity}")]


def _is_stale(reading: Reading, known: Reading | None) -> bool:
    """Tell a last will that comes after a later connection was made: it is about the one before."""
    if known is None or not reading.is_last_will:
        return False
    return reading.boot != known.boot or reading.value.at < known.value.at
