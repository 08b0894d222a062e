"""What flows at a connector and what may flow: both of one instant, and of which."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from evmesh.domain.stations import Connector, MeterSample
from evmesh.domain.units import W, watts_from_current
from evmesh.services.live import ConnectorLive

_FOLLOWS_WITHIN = timedelta(minutes=1)
"""How long a new limit may take to reach the station and the car before power above it counts as too
much. Messages take a moment, IEC 61851-1 gives a car 5 s, and fast clocks make both longer."""

_ACCURACY_PERCENT = 2
"""A meter of class B may be that wrong, EN 50470-3."""


@dataclass(frozen=True, slots=True)
class PowerView:
    """Power beside the limit that was in force when it was measured."""

    power: W
    limit: W | None
    at: datetime | None
    """When it was measured; None where nothing was since the connector came to its state."""
    exceeds: bool = False
    """It draws more than it may, and not only for the moment in which a limit changes."""


def power_view(live: ConnectorLive, connector: Connector, since: datetime | None, now: datetime) -> PowerView:
    """Give the newest measure if it is of `since` or later, else that nothing was measured yet."""
    sample = live.sample
    if sample is None or sample.power is None or (since is not None and sample.at < since):
        return PowerView(W(0), live.profile.limit_at(now) if live.profile else None, None)
    limit, allowed = _limit_at(live, connector, sample), _held_limit(live, sample.at)
    exceeds = allowed is not None and sample.power * 100 > allowed * (100 + _ACCURACY_PERCENT)
    if exceeds or (limit is not None and sample.power > limit):
        limit = allowed  # the station's word of its limit is not what it was told, or the limit just fell
    return PowerView(sample.power, limit, sample.at, exceeds)


def _limit_at(live: ConnectorLive, connector: Connector, sample: MeterSample) -> W | None:
    """Give the limit when the sample was taken: by the station's own word, or else by what it was sent."""
    if sample.offered is not None:
        return min(connector.rating, watts_from_current(sample.offered, connector.phases))
    return live.profile.limit_at(sample.at) if live.profile else None


def _held_limit(live: ConnectorLive, at: datetime) -> W | None:
    """Give the most that was allowed during the last minute; None where that is not known."""
    if live.profile is None:
        return None
    limits = [live.profile.limit_at(instant) for instant in (at - _FOLLOWS_WITHIN, at)]
    known = [limit for limit in limits if limit is not None]
    return max(known) if len(known) == len(limits) else None
