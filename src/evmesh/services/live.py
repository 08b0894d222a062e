"""What stations said last, in memory: for the page and for the control loop, never for billing.

Everything here comes back by itself after a restart, with the next meter values.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise

from evmesh.domain.ids import ConnectorRef, SessionId, StationId
from evmesh.domain.sessions import Session, State
from evmesh.domain.stations import Connector, ConnectorStatus, LimitProfile, MeterSample
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import SECONDS_PER_HOUR, W, Wh, watts_from_current
from evmesh.services.cars import NEW_CAR, SETTLED_FOR, Car


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
    accepted: list[tuple[datetime, LimitProfile]] = field(default_factory=list)
    """When it accepted which limits, oldest first, as far back as samples are told by them."""

    def accept(self, profile: LimitProfile, now: datetime) -> None:
        """Note that the running transaction has these limits from now on."""
        self.held.profile = profile
        self.accepted.append((now, profile))

    def measured(self, sample: MeterSample) -> None:
        """Keep a sample; limits that were over long before are forgotten."""
        self.sample = sample
        self._drop_older_than(sample.at - SETTLED_FOR)

    def drawn_since(self, start: datetime, now: datetime, car: Car | None) -> Wh:
        """Give the energy that the limits let a car draw in [start, now): rather too much."""
        joules = 0
        for seconds, limit in self._limits(start, now):
            joules += seconds * (limit if car is None else car.drawn(limit, now))
        return Wh(joules // SECONDS_PER_HOUR)

    def lowest_since(self, start: datetime, now: datetime) -> W | None:
        """Give the lowest limit in [start, now]; None where some of it is not known."""
        if not self.accepted or self.accepted[0][0] > start:
            return None
        return min((limit for _, limit in self._limits(start, now)), default=None)

    def _limits(self, start: datetime, end: datetime) -> Iterator[tuple[int, W]]:
        """Give seconds and limit of each piece of [start, end) in which one was accepted."""
        overs = [*(at for at, _ in self.accepted), end][1:]
        for (begin, profile), over in zip(self.accepted, overs, strict=True):
            begin, over = max(begin, start), min(over, end)
            changes = (profile.starts_at + timedelta(seconds=one.offset_s) for one in profile.periods)
            for at, then in pairwise([begin, *(at for at in changes if begin < at < over), over]):
                if then > at:
                    yield (then - at) // timedelta(seconds=1), profile.limit_at(at) or W(0)

    def _drop_older_than(self, instant: datetime) -> None:
        while len(self.accepted) > 1 and self.accepted[1][0] <= instant:
            del self.accepted[0]

    @property
    def profile(self) -> LimitProfile | None:
        """The limits that the running transaction accepted last."""
        return self.held.profile

    @profile.setter
    def profile(self, profile: LimitProfile | None) -> None:
        self.held.profile = profile
        self.accepted = [] if profile is None else [(profile.starts_at, profile)]


@dataclass(frozen=True, slots=True)
class Placed:
    """What the newest dispatch of a group made of what cars were to get in the rest of a quarter-hour.

    All of it as what is kept free on the cable: a car on one phase of three takes the place of three.
    `bound_wh` is what no dispatch could exceed, whatever it did: so `gap_wh` is proven.
    """

    at: datetime
    due_wh: Wh
    placed_wh: Wh
    bound_wh: Wh
    gap_wh: Wh


class LiveState:
    """The newest facts by connector, and where each session stood when the step began."""

    def __init__(self) -> None:
        self.online: set[StationId] = set()
        self.online_since: dict[StationId, datetime] = {}
        """When each of them came; of a station that is away nothing."""
        self.awake: set[StationId] = set()
        """Stations that booted or told a status on their present line, so that they take commands."""
        self.unknown: set[ConnectorRef] = set()
        """Connectors on which a transaction runs that is no session's: they draw what they like.

    It is over when its station says that it stopped, does not know it when told to stop it, says that the
    connector is available, or begins a session's transaction there. One that no group has, by a number that
    the station made up, takes nobody's room.
    """
        self.strays: dict[ConnectorRef, int] = {}
        """Which transaction it is, by the station's id of it; the keys are those of `unknown`."""
        self.metered_at: dict[SessionId, datetime] = {}
        """When a session's transaction sent meter values last."""
        self.placed: dict[str, Placed] = {}
        """By group, what the newest dispatch could place of what was due."""
        self._connectors: dict[ConnectorRef, ConnectorLive] = {}
        self._at_step: dict[SessionId, tuple[datetime, Wh]] = {}
        self._cars: dict[SessionId, Car] = {}
        self._wanted: dict[SessionId, Wh] = {}

    def came(self, station: StationId) -> None:
        """Note that a station has a line, or has booted: what it still holds is not sure."""
        self.online.add(station)
        for live in self._of(station):
            live.held.is_sure = live.held.default_is_answered = False
            live.held.obeys = True

    def left(self, station: StationId) -> None:
        """Note that a station is away. It goes on by the limits that it holds."""
        self.online.discard(station)
        self.online_since.pop(station, None)
        self.awake.discard(station)
        for live in self._of(station):
            live.held.is_sure = False

    def _of(self, station: StationId) -> list[ConnectorLive]:
        return [live for ref, live in self._connectors.items() if ref.station == station]

    def connector(self, ref: ConnectorRef) -> ConnectorLive:
        """Give the facts of a connector."""
        return self._connectors.setdefault(ref, ConnectorLive())

    def note_wanted(self, session: SessionId, energy: Wh) -> None:
        """Note how much a car wants in all in its session, by its own word."""
        self._wanted[session] = energy

    def said_wanted(self, session: SessionId) -> Wh | None:
        """Give how much a car wants in all in its session, by its own word; None where it said nothing."""
        return self._wanted.get(session)

    def wanted(self, session: Session) -> Wh:
        """Give the energy that a session is to have: what was promised, or less where its car wants less."""
        return min(session.terms.energy, self._wanted.get(session.id, session.terms.energy))

    def got(self, session: Session, now: datetime) -> Wh:
        """Give what a session has by now: what was metered, and what it may have drawn since.

        Energy that was allowed and not metered yet must not be handed out a second time: in a full
        step another car would lack it. Where the car drew less, the next sample says so.
        """
        live = self.connector(session.terms.connector)
        if live.sample is None and session.started_at is None:
            return session.delivered
        since = live.sample.at if live.sample is not None else session.started_at or now
        return Wh(session.delivered + live.drawn_since(since, now, self._cars.get(session.id)))

    def delivered_in_step(self, session: Session, now: datetime) -> Wh:
        """Give what a session got since the present step began, as far as is known.

        After a restart in the middle of a step that is unknown, and counts as nothing.
        """
        begun = TimeGrid.covering(now, now, STEP_S).start
        known = self._at_step.get(session.id)
        if known is None or known[0] != begun:
            self._at_step[session.id] = known = (begun, self.got(session, begun))
        return Wh(max(0, self.got(session, now) - known[1]))

    def shown_power(self, session: Session, connector: Connector, now: datetime) -> W | None:
        """Give what a car drew last under a limit that would have let it draw more.

        Never below the least that a car can charge with: a plan made for less would be one that nobody
        can follow. After a quarter of an hour it is forgotten, for the car may take more by then.
        """
        power = self._cars.get(session.id, NEW_CAR).shown_power(now)
        if power is None:
            return None
        phases = self.phases(session, connector)
        return max(power, min(watts_from_current(connector.least_current, phases), connector.rating))

    def phases(self, session: Session, connector: Connector) -> int:
        """Give over how many of the outlet's phases the car charges, as far as it has shown it."""
        return min(self._cars.get(session.id, NEW_CAR).phases or connector.phases, connector.phases)

    def offer(self, session: Session, connector: Connector, now: datetime) -> W:
        """Give what a car is worth being offered: what it shows that it takes, and a little more.

        That little is how it can show that it wants more; then it is offered everything again.
        Counted as the outlet's power, so as if all of its phases carried the current.
        """
        least = min(connector.least_power, connector.rating)
        if session.state is State.SUSPENDED and session.cause == ConnectorStatus.SUSPENDED_EV:
            return least  # it says itself that it wants none
        wanted = self._cars.get(session.id, NEW_CAR).wanted(now)
        return connector.rating if wanted is None else min(connector.rating, max(least, wanted))

    def note_sample(
        self, session: Session | None, ref: ConnectorRef, sample: MeterSample, outlet: Connector | None = None
    ) -> None:
        """Keep a sample; learn what the car can take from it."""
        live = self.connector(ref)
        before = live.sample
        live.measured(sample)
        if session is None or outlet is None:
            return
        limit = live.lowest_since(sample.at - SETTLED_FOR, sample.at)
        known = self._cars.get(session.id, NEW_CAR)
        self._cars[session.id] = known.after(sample, limit, before, outlet)

    def is_held_back(self, session: SessionId) -> bool:
        """Tell whether a car took all that it was offered last, so that it might have taken more.

        Asked when the offer may have ended already: what counts is the last steady one that a car
        could charge with. True where none was seen, so that an auditor looks.
        """
        return not self._cars.get(session, NEW_CAR).took_less

    def note_stray(self, ref: ConnectorRef, transaction_id: int) -> None:
        """Note a transaction that runs and should not."""
        self.unknown.add(ref)
        self.strays[ref] = transaction_id

    def taken(self, outlets: Iterable[Connector]) -> W:
        """Give what of a cabinet is taken where nobody can steer: those connectors' ratings."""
        return W(sum(one.rating for one in outlets if one.ref in self.unknown))

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
        self._at_step.pop(session, None)
        self._cars.pop(session, None)
        self._wanted.pop(session, None)
        live = self.connector(ref)
        live.sample = None
        live.accepted.clear()
        held = live.held
        held.transaction_id, held.profile, held.doubts, held.is_sure = None, None, (), False
