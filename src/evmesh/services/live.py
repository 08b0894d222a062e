"""What stations said last, in memory: for the page and for the control loop, never for billing.

Everything here comes back by itself after a restart, with the next meter values.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from evmesh.domain.ids import ConnectorRef, SessionId, StationId
from evmesh.domain.sessions import Session
from evmesh.domain.stations import ConnectorStatus, LimitProfile, MeterSample
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import W, Wh

_SETTLED_FOR = timedelta(minutes=2)
"""How long a car must have had its full limit before its power counts as all that it can draw."""


@dataclass(slots=True)
class ConnectorLive:
    """One connector: its status, its newest sample, and the limits it was sent last."""

    status: ConnectorStatus | None = None
    error: str = ""
    sample: MeterSample | None = None
    profile: LimitProfile | None = None


class LiveState:
    """The newest facts by connector, and where each session stood when the step began."""

    def __init__(self) -> None:
        self.online: set[StationId] = set()
        self._connectors: dict[ConnectorRef, ConnectorLive] = {}
        self._at_step: dict[SessionId, tuple[datetime, Wh]] = {}
        self._shown: dict[SessionId, W] = {}

    def connector(self, ref: ConnectorRef) -> ConnectorLive:
        """Give the facts of a connector."""
        return self._connectors.setdefault(ref, ConnectorLive())

    def delivered_in_step(self, session: Session, now: datetime) -> Wh:
        """Give what a session got since the present step began, as far as meter values tell.

        After a restart in the middle of a step that is unknown, and counts as nothing.
        """
        begun = TimeGrid.covering(now, now, STEP_S).start
        known = self._at_step.get(session.id)
        if known is None or known[0] != begun:
            self._at_step[session.id] = known = (begun, session.delivered)
        return Wh(session.delivered - known[1])

    def shown_power(self, session: Session) -> W | None:
        """Give what a car drew last under a limit that would have let it draw more.

        The last and not the most: a battery that is nearly full takes less and less.
        """
        return self._shown.get(session.id)

    def note_sample(self, session: Session | None, ref: ConnectorRef, sample: MeterSample) -> None:
        """Keep a sample; learn the car's own limit from it."""
        live = self.connector(ref)
        live.sample = sample
        if session is None or sample.power is None or live.profile is None:
            return
        limit = live.profile.limit_at(sample.at)
        steady = limit is not None and limit == live.profile.limit_at(sample.at - _SETTLED_FOR)
        if limit is not None and steady and 0 < sample.power < limit * 95 // 100:
            self._shown[session.id] = sample.power

    def is_held_back(self, ref: ConnectorRef, now: datetime) -> bool:
        """Tell whether a car draws all that its limit allows, so that it might have taken more."""
        live = self.connector(ref)
        limit = live.profile.limit_at(now) if live.profile else None
        if limit is None or live.sample is None or live.sample.power is None:
            return True  # not known, so an auditor should look
        return live.sample.power * 100 >= limit * 95

    def forget(self, session: SessionId, ref: ConnectorRef) -> None:
        """Drop what was known of a session that has ended."""
        self._at_step.pop(session, None)
        self._shown.pop(session, None)
        live = self.connector(ref)
        live.profile = live.sample = None
