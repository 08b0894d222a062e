"""What groups and charge points may draw at present: their rating, or less while a cap is in force.

Anybody with a say over a group (a grid operator's channel, an operator) puts a `Cap` here. It is durable
before `put` returns, the control loop wakes and plans anew, and the one writer of limits (`limits.py`)
takes the lower capacity from that instant on. Of one source the newest word stands wherever its window
holds; among sources the lowest wins. A grid operator's cap never lowers a group below its floor.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import structlog

from evmesh.domain.caps import LONGEST_CAP, Cap, CapKind
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import ConnectorRef
from evmesh.domain.stations import Connector
from evmesh.domain.units import W
from evmesh.ports import Clock
from evmesh.services.courses import Course
from evmesh.services.directory import Directory, Group
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
_KEPT_FOR = timedelta(days=3)
"""How long a cap that is over is still known: the rewards of a day count with what its steps had."""


class GroupCaps:
    """Every cap that is in force or still to come, in memory and in the store."""

    def __init__(self, transitions: Transitions, clock: Clock, directory: Directory) -> None:
        self._transitions = transitions
        self._clock = clock
        self._directory = directory
        self._caps: list[Cap] = []

    async def load(self) -> None:
        """Read what was in force when the platform went down, and what is to come."""
        async with self._transitions.read() as unit:
            self._caps = list(await unit.caps(until=self._clock.now() - _KEPT_FOR))

    async def put(self, cap: Cap) -> Cap:
        """Keep a cap, durably; from its start on it holds. Give it with its number.

        The same words of the same source again change nothing. Raises InvalidInput `cap.unknown_group`
        or `cap.unknown_charge_point`.
        """
        group = self._directory.groups.get(cap.group)
        if group is None:
            raise InvalidInput("cap.unknown_group", f"there is no group {cap.group[:64]}", path="group")
        if cap.connector is not None and cap.connector not in (one.connector.ref for one in group.places):
            what = f"group {cap.group} has no charge point {cap.connector}"
            raise InvalidInput("cap.unknown_charge_point", what, path="connector")
        if cap.expires_at > self._clock.now() + LONGEST_CAP:
            what = (
                f"a cap ends within {LONGEST_CAP.days} days: for longer, lower the capacity in the site file"
            )
            raise InvalidInput("cap.bad_time", what, path="expires_at")
        for known in self._caps:
            if _same_words(known, cap) and self._rules(known):
                return known
        async with self._transitions.begin() as work:
            kept = await work.unit.add_cap(cap, work.now)
        over = self._clock.now() - _KEPT_FOR
        self._caps = [one for one in self._caps if one.expires_at > over]
        self._caps.append(kept)
        _log.info(
            "cap.put",
            group=kept.group,
            by=kept.by,
            power_w=kept.power,
            since=kept.starts_at.isoformat(),
            until=kept.expires_at.isoformat(),
            reason=kept.reason,
        )
        self._transitions.wake()
        return kept

    async def lift(
        self,
        group: str,
        source: str,
        reason: str,
        *,
        kind: CapKind = CapKind.GRID,
        at: ConnectorRef | None = None,
    ) -> bool:
        """Take back, from now on, all that a source has said; tell whether it had said anything."""
        now = self._clock.now()
        by = f"{kind}:{source}"
        ends = [
            cap.expires_at
            for instant in self._instants(group, now)
            for cap in self.of(group, instant, at)
            if cap.by == by
        ]
        if not ends:
            return False
        await self.put(Cap(group, source, None, now, max(ends), reason, at, kind))
        return True

    def of(self, group: str, instant: datetime, connector: ConnectorRef | None = None) -> tuple[Cap, ...]:
        """Give what each source says at an instant about a group, or about one charge point; lowest first."""
        newest: dict[str, Cap] = {}
        for cap in self._caps:
            if cap.group == group and cap.connector == connector and cap.holds_at(instant):
                newest[cap.by] = cap
        found = [cap for cap in newest.values() if cap.power is not None]
        return tuple(sorted(found, key=lambda cap: (cap.power or 0, cap.number)))

    def binding(self, group: Group, instant: datetime) -> Cap | None:
        """Give the cap that lowers a group below its rating at an instant, if one does."""
        lowest = min(self.of(group.name, instant), key=lambda cap: _held(cap, group.floor), default=None)
        return None if lowest is None or _held(lowest, group.floor) >= group.capacity else lowest

    def binding_at(self, group: Group, connector: Connector, instant: datetime) -> Cap | None:
        """Give the cap of one charge point that lowers it below its rating, if one does."""
        caps = self.of(group.name, instant, connector.ref)
        lowest = min(caps, key=lambda cap: _held(cap, group.floor_each), default=None)
        if lowest is None or _held(lowest, group.floor_each) >= connector.rating:
            return None
        return lowest

    def capacity(self, group: Group, instant: datetime) -> W:
        """Give what a group may draw at an instant."""
        cap = self.binding(group, instant)
        return group.capacity if cap is None else W(_held(cap, group.floor))

    def rating(self, group: Group, connector: Connector, instant: datetime) -> W:
        """Give what one charge point may draw at an instant."""
        cap = self.binding_at(group, connector, instant)
        return connector.rating if cap is None else W(_held(cap, group.floor_each))

    def course(self, group: Group, now: datetime) -> Course:
        """Give what a group may draw from now on."""
        instants = self._instants(group.name, now)
        return Course(tuple((at, int(self.capacity(group, at))) for at in instants))

    def rating_course(self, group: Group, connector: Connector, now: datetime) -> Course:
        """Give what a charge point may draw from now on."""
        instants = self._instants(group.name, now)
        return Course(tuple((at, int(self.rating(group, connector, at))) for at in instants))

    def next_change(self, now: datetime) -> datetime | None:
        """Give the first instant after now at which a cap begins or ends."""
        instants = (at for cap in self._caps for at in (cap.starts_at, cap.expires_at))
        return min((at for at in instants if at > now), default=None)

    def _instants(self, group: str, now: datetime) -> Iterable[datetime]:
        instants = {at for cap in self._caps if cap.group == group for at in (cap.starts_at, cap.expires_at)}
        return sorted({now, *(at for at in instants if at > now)})

    def _rules(self, cap: Cap) -> bool:
        """Tell whether nothing newer of the same source speaks about any of a cap's window."""
        return not any(
            one.number > cap.number
            and (one.group, one.by, one.connector) == (cap.group, cap.by, cap.connector)
            and one.starts_at < cap.expires_at
            and cap.starts_at < one.expires_at
            for one in self._caps
        )


def _held(cap: Cap, floor: W) -> int:
    """Give a cap's power, or the floor where a grid operator's is lower."""
    power = cap.power or 0
    return max(power, floor) if cap.kind is CapKind.GRID else power


def _same_words(one: Cap, other: Cap) -> bool:
    return (one.group, one.by, one.connector, one.power, one.starts_at, one.expires_at, one.reason) == (
        other.group,
        other.by,
        other.connector,
        other.power,
        other.starts_at,
        other.expires_at,
        other.reason,
    )
