"""What it means for chargers when the one who publishes for them comes and goes.

MQTT knows one last will per connection, and a publisher may speak for a thousand chargers. So the will is
about the publisher, and readers work out the rest: a charger is as available as it said itself, as long as
the very run of the publisher that said so is there; otherwise it is offline.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from evmesh.domain.telemetry import Availability, TelemetryValue, ValueName
from evmesh.telemetry.topics import Reading, publisher_of


@dataclass(frozen=True, slots=True)
class Change:
    """An Availability that follows from a publisher's word."""

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
    _chargers: dict[str, _Said] = field(default_factory=dict)

    def charger_said(self, reading: Reading, now: datetime) -> list[Change]:
        """Take a charger's own word; give what follows besides it, if its publisher is gone."""
        value = reading.value
        if value.name != ValueName.AVAILABILITY or reading.boot is None:
            return []
        said = self._chargers[value.charger] = _Said(reading, str(value.value))
        publisher = self._publishers.get(publisher_of(reading.boot))
        return [] if publisher is None else _settle(said, publisher, now)

    def publisher_said(self, reading: Reading, now: datetime) -> list[Change]:
        """Take a publisher's word; give the chargers whose Availability changes by it."""
        publisher = reading.value.charger
        if _is_stale(reading, self._publishers.get(publisher)):
            return []
        self._publishers[publisher] = reading
        mine = [
            said for said in self._chargers.values() if publisher_of(said.reading.boot or "") == publisher
        ]
        return [change for said in mine for change in _settle(said, reading, now)]


def _is_stale(reading: Reading, known: Reading | None) -> bool:
    """Tell a last will that comes after a later connection was made: it is about the one before."""
    if known is None or not reading.is_last_will:
        return False
    return reading.boot != known.boot or reading.value.at < known.value.at


def _settle(said: _Said, publisher: Reading, now: datetime) -> list[Change]:
    own = said.reading.value
    there = publisher.boot == said.reading.boot and publisher.value.value == Availability.ONLINE
    effective = str(own.value) if there else str(Availability.OFFLINE)
    if effective == said.told:
        return []
    said.told = effective
    return [Change(replace(own, at=now, value=effective), f"presence:{publisher.identity}")]
