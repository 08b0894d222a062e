"""What stations said last, in memory: for the page and for the control loop, never for billing.

Everything here comes back by itself after a restart, with the next meter values.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from evmesh.domain.ids import ConnectorRef, SessionId, StationId
from evmesh.domain.sessions import Session
from evmesh.domain.stations import Connector, ConnectorStatus, LimitProfile, MeterSample
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import MIN_CURRENT, W, Wh, watts_from_current

_SETTLED_FOR = timedelta(minutes=2)
"""How long a car must have had its full limit before its power counts as all that it can draw."""


_REMEMBERED_FOR = timedelta(seconds=STEP_S)
"""How long a car's own limit is believed in while nothing more was offered; then it is tried again."""


@dataclass(slots=True)
class Held:
    """The limits that one connector may hold; kept while its station is away, for it keeps them too."""

    transaction_id: int | None = None
    """Whose `profile` and `doubts` these are."""
    profile: LimitProfile | None = None
    """What it accepted last."""
    doubts: tuple[LimitProfile, ...] = ()
    """What it was sent since and has not answered: it may hold any of these instead."""
    is_sure: bool = False
    """It accepted `profile` on its present line, so it holds that or a doubt and nothing else."""
    obeys: bool = True
    """It did what the last message asked for."""
    default: W | None = None
    """What it accepted as the limit of every transaction that has none of its own."""
    default_is_answered: bool = False
    """It has answered the default limit, yes or no, on its present line."""


@dataclass(slots=True)
class ConnectorLive:
    """One connector: its status, its newest sample, and the limits it may hold."""

    status: ConnectorStatus | None = None
    error: str = ""
    sample: MeterSample | None = None
    held: Held = field(default_factory=Held)

    @property
    def profile(self) -> LimitProfile | None:
        """The limits that the running transaction accepted last."""
        return self.held.profile

    @profile.setter
    def profile(self, profile: LimitProfile | None) -> None:
        self.held.profile = profile


class LiveState:
    """The newest facts by connector, and where each session stood when the step began."""

    def __init__(self) -> None:
        self.online: set[StationId] = set()
        self.awake: set[StationId] = set()
        """Stations that booted or told a status on their present line, so that they take commands."""
        self.unknown: set[ConnectorRef] = set()
        """Connectors on which a transaction runs that is no session's: they draw what they like."""
        self.strays: dict[ConnectorRef, int] = {}
        """Which transaction it is, by the station's id of it; the keys are those of `unknown`."""
        self.metered_at: dict[SessionId, datetime] = {}
        """When a session's transaction sent meter values last."""
        self._connectors: dict[ConnectorRef, ConnectorLive] = {}
        self._at_step: dict[SessionId, tuple[datetime, Wh]] = {}
        self._shown: dict[SessionId, tuple[W, datetime]] = {}
        self._took_less: set[SessionId] = set()
        """Sessions whose car took less than the last steady offer."""

    def came(self, station: StationId) -> None:
        """Note that a station has a line, or has booted: what it still holds is not sure."""
        self.online.add(station)
        for live in self._of(station):
            live.held.is_sure = live.held.default_is_answered = False
            live.held.obeys = True

    def left(self, station: StationId) -> None:
        """Note that a station is away. It goes on by the limits that it holds."""
        self.online.discard(station)
        self.awake.discard(station)
        for live in self._of(station):
            live.held.is_sure = False

    def _of(self, station: StationId) -> list[ConnectorLive]:
        return [live for ref, live in self._connectors.items() if ref.station == station]

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

    def shown_power(self, session: Session, connector: Connector, now: datetime) -> W | None:
        """Give what a car drew last under a limit that would have let it draw more.

        The last and not the most: a battery that is nearly full takes less and less. Never below the
        least that a car can charge with: a plan made for less would be one that nobody can follow.
        After a step in which it took all that it was offered it is forgotten, for it may take more.
        """
        power, at = self._shown.get(session.id, (None, now))
        if power is None or now - at > _REMEMBERED_FOR:
            return None
        return max(power, min(watts_from_current(MIN_CURRENT, connector.phases), connector.rating))

    def note_sample(self, session: Session | None, ref: ConnectorRef, sample: MeterSample) -> None:
        """Keep a sample; learn the car's own limit from it."""
        live = self.connector(ref)
        live.sample = sample
        if session is None or sample.power is None or live.profile is None:
            return
        limit = live.profile.limit_at(sample.at)
        steady = limit is not None and limit == live.profile.limit_at(sample.at - _SETTLED_FOR)
        if not limit or not steady:
            return
        takes_less = sample.power < limit * 95 // 100
        if takes_less and sample.power:
            self._shown[session.id] = (sample.power, sample.at)
        if takes_less:
            self._took_less.add(session.id)
        else:
            self._took_less.discard(session.id)

    def is_held_back(self, session: SessionId) -> bool:
        """Tell whether a car took all that it was offered last, so that it might have taken more.

        Asked when the offer may have ended already: what counts is the last steady one that a car
        could charge with. True where none was seen, so that an auditor looks.
        """
        return session not in self._took_less

    def note_stray(self, ref: ConnectorRef, transaction_id: int) -> None:
        """Note a transaction that runs and should not."""
        self.unknown.add(ref)
        self.strays[ref] = transaction_id

    def drop_stray(self, ref: ConnectorRef) -> None:
        """Note that no such transaction runs on a connector."""
        self.unknown.discard(ref)
        self.strays.pop(ref, None)

    def end_stray(self, station: StationId, transaction_id: int) -> None:
        """Note that this transaction has ended, on whichever connector it ran."""
        for ref, running in list(self.strays.items()):
            if (ref.station, running) == (station, transaction_id):
                self.drop_stray(ref)

    def forget(self, session: SessionId, ref: ConnectorRef) -> None:
        """Drop what was known of a session that has ended."""
        self.metered_at.pop(session, None)
        self._took_less.discard(session)
        self._at_step.pop(session, None)
        self._shown.pop(session, None)
        live = self.connector(ref)
        live.sample = None
        held = live.held
        held.transaction_id, held.profile, held.doubts, held.is_sure = None, None, (), False
