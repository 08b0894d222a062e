"""Brings limits to stations, so that what these hold never adds up to more than the cabinet carries.

A station may be slow, away, or say no. What counts is therefore not what it was told but all that it
may hold: its last accepted limits, and every one since that it has not answered. Limits that add to
that wait until there is room, so reductions go out and are answered first; a mute station keeps
nobody waiting but itself. Each station is sent one message at a time, and always the newest.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import ConnectorRef, SessionId, StationId
from evmesh.domain.sessions import PLUGGED, Session, State
from evmesh.domain.stations import DRAWING, Connector, LimitProfile
from evmesh.domain.units import W
from evmesh.ports import ChargePoint, Clock
from evmesh.services.caps import GroupCaps
from evmesh.services.courses import Course, adds_nothing, course_of, fits, highest, lowered, steady, total
from evmesh.services.directory import Directory, Group, Place
from evmesh.services.fuses import ROOT, Fuse, fuses_of, least_fits
from evmesh.services.live import Held, LiveState
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)

_MOST_DOUBTS = 8
"""Unanswered limits that are kept for one connector; with so many it is only asked for less."""

NOTHING_DRAWN = Course(())

_DRAWS = PLUGGED | {State.FUNDED, State.STARTING}
"""A transaction runs, or may begin before we hear of it."""


@dataclass(frozen=True, slots=True)
class Room:
    """What some connectors may draw in all: in the rest of the step, in what follows it, and later."""

    now: W
    next: W
    later: W


@dataclass(frozen=True, slots=True)
class FuseRoom:
    """What a limit that several share has left for those of them that are asked for."""

    fuse: Fuse
    room: Room


@dataclass(frozen=True, slots=True)
class Times:
    """Now, the end of the step, and when limits that were planned for it give way to the safe ones."""

    now: datetime
    end: datetime
    over: datetime


@dataclass(frozen=True, slots=True)
class _Wish:
    """Limits that a connector shall hold; None is the default of every transaction."""

    ref: ConnectorRef
    session: Session | None
    profile: LimitProfile | None
    until: datetime | None = None
    adds: bool = False


class Limits:
    """The one writer of limits."""

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        directory: Directory,
        live: LiveState,
        stations: ChargePoint,
        caps: GroupCaps,
        at_present: Callable[[Group], Group] = lambda group: group,
    ) -> None:
        """`others` gives what other equipment takes of a group's capacity at present."""
        self._caps = caps
        self._at_present = at_present
        self._transitions = transitions
        self._clock = clock
        self._directory = directory
        self._live = live
        self._stations = stations
        self._sessions: dict[ConnectorRef, Session] = {}
        self._looked: set[str] = set()
        self._inherited: set[SessionId] = set()
        """Sessions that ran before we did: their stations hold limits that we know nothing of."""
        self._wishes: dict[ConnectorRef, _Wish] = {}
        self._asked: set[ConnectorRef] = set()
        """Connectors whose default limit was asked for in this cycle."""
        self._busy: set[StationId] = set()
        self._fuses: dict[str, tuple[Fuse, ...]] = {}
        """As the site file says: what holds when nobody speaks."""
        self._fuses_now: dict[str, tuple[tuple[W, ...], tuple[Fuse, ...]]] = {}
        """With what other equipment is counted with at present, by which they were made."""

    def look(self, group: Group, sessions: Sequence[Session]) -> None:
        """Take note of a group's open sessions; wishes of the last cycle are dropped."""
        refs = {place.connector.ref for place in group.places}
        for ref in refs:
            self._sessions.pop(ref, None)
            self._wishes.pop(ref, None)
        self._asked -= refs
        self._sessions |= {one.terms.connector: one for one in sessions if one.state in _DRAWS}
        if group.name not in self._looked:
            self._looked.add(group.name)
            self._inherited |= {one.id for one in sessions if one.state in PLUGGED}
            for ref in refs - self._sessions.keys():
                if self._live.connector(ref).status in DRAWING:  # by what was stored: it may still do so
                    self._live.unknown.add(ref)

    def wish(self, profiles: Mapping[Session, LimitProfile], until: datetime) -> None:
        """Say what connectors shall hold; it goes out with `start`, as room allows."""
        for session, profile in profiles.items():
            ref = session.terms.connector
            self._wishes[ref] = _Wish(ref, session, profile, until)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Send whatever may go out now, each station by a task of its own."""
        now = self._clock.now()
        for station in self._directory.stations - self._busy:
            if self._next(station, now) is not None:
                self._busy.add(station)
                tasks.create_task(self._serve(station, tasks))

    def is_steered(self, ref: ConnectorRef) -> bool:
        """Tell whether a connector can be reached and has done what it was last asked for."""
        return self._stations.is_connected(ref.station) and self._live.connector(ref).held.obeys

    def may_begin(self, session: Session) -> bool:
        """Tell whether a session may begin: the cabinet carries its first limit beside all others.

        What others have to give up for it is asked of them from the session's start on.
        """
        ref = session.terms.connector
        place, now = self._directory.by_ref(ref), self._clock.now()
        if place is None or place.connector.group not in self._looked:
            return False  # gone from the site, or nobody has looked yet at what runs in its group
        self._sessions.setdefault(ref, session)
        group = self._directory.groups[place.connector.group]
        draws = self._draws(group, now)
        return all(
            _carried(fuse, draws).most(now) <= self._capacity(group, fuse, now).points[0][1]
            for fuse in self._fuses_of(group)
            if ref in fuse.shares
        )

    def carries(self, group: Group, until: datetime) -> bool:
        """Tell whether a group carries all that its connectors may draw until then, beside all else."""
        now = self._clock.now()
        draws = self._draws(group, now)
        return all(
            _carried(fuse, draws).most(now, until) <= self._capacity(group, fuse, now).least(now, until)
            for fuse in self._fuses_of(group)
        )

    def room(self, group: Group, wanted: Collection[ConnectorRef], times: Times) -> list[FuseRoom]:
        """Give what each limit has left for some connectors, when all others draw what they may."""
        others = {ref: one for ref, one in self._draws(group, times.now).items() if ref not in wanted}
        found = []
        for fuse in self._fuses_of(group):
            taken, capacity = _carried(fuse, others), self._capacity(group, fuse, times.now)
            room = Room(
                now=W(max(0, capacity.least(times.now, times.end) - taken.most(times.now, times.end))),
                next=W(max(0, capacity.least(times.end, times.over) - taken.most(times.end, times.over))),
                later=W(max(0, capacity.least(times.over) - taken.most(times.over))),
            )
            found.append(FuseRoom(fuse, room))
        return found

    def safe(self, group: Group, connector: Connector) -> W:
        """Give what a connector may draw when nobody tells it: the least, if all may at once; else none."""
        if group.name not in self._fuses:
            self._fuses[group.name] = fuses_of(group)
        fits_all = least_fits(self._fuses[group.name], connector, group)
        return connector.least_power if fits_all else W(0)

    def _draws(self, group: Group, now: datetime) -> dict[ConnectorRef, Course]:
        return {one.connector.ref: self._may_draw(group, one, now) for one in group.places}

    def _fuses_of(self, group: Group) -> tuple[Fuse, ...]:
        present = self._at_present(group)
        counted = present.counted
        known = self._fuses_now.get(group.name)
        if known is None or known[0] != counted:
            known = self._fuses_now[group.name] = counted, fuses_of(present)
        return known[1]

    def _capacity(self, group: Group, fuse: Fuse, now: datetime) -> Course:
        """Give what a limit carries from now on, beside other equipment; caps lower the group's own."""
        if fuse.name != ROOT:
            return steady(now, fuse.capacity)
        course = self._caps.course(group, now)
        others = self._at_present(group).others
        if not others:
            return course
        return Course(tuple((at, max(0, power - others)) for at, power in course.points))

    def rating(self, group: Group, connector: Connector, times: Times) -> Room:
        """Give what one connector may draw: its rating, or less while a cap of its own is in force."""
        course = self._caps.rating_course(group, connector, times.now)
        return Room(
            now=W(course.least(times.now, times.end)),
            next=W(course.least(times.end, times.over)),
            later=W(course.least(times.over)),
        )

    def held(self, group: Group, place: Place, times: Times) -> list[FuseRoom]:
        """Give the most that one connector may draw by what it holds."""
        course = self._may_draw(group, place, times.now)
        ref = place.connector.ref
        room = Room(
            now=W(course.most(times.now, times.end)),
            next=W(course.most(times.end, times.over)),
            later=W(course.most(times.over)),
        )
        return [FuseRoom(Fuse(ROOT, place.connector.rating, {ref: 1}), room)]

    async def _serve(self, station: StationId, tasks: asyncio.TaskGroup) -> None:
        try:
            while wish := self._next(station, self._clock.now()):
                if wish.session is None or wish.profile is None:
                    await self._send_default(wish.ref)
                else:
                    await self._send(wish.session, wish.profile, adds=wish.adds)
                self.start(tasks)  # the answer may have made room for others
        finally:
            self._busy.discard(station)

    def _next(self, station: StationId, now: datetime) -> _Wish | None:
        """Give what goes to a station next: its default limits, then reductions, then what has room."""
        if not self._stations.is_connected(station):
            return None
        places = [place for place in self._directory.places if place.connector.ref.station == station]
        for place in places:
            ref = place.connector.ref
            answered = self._live.connector(ref).held.default_is_answered
            if station in self._live.awake and not answered and ref not in self._asked:
                return _Wish(ref, None, None)
        adding = None
        for place in places:
            wish = self._due(place, now)
            if wish is not None and not wish.adds:
                return wish
            adding = adding or wish
        return adding

    def _due(self, place: Place, now: datetime) -> _Wish | None:
        """Give a connector's wish if it says something new and may go out now."""
        ref, group = place.connector.ref, self._directory.groups[place.connector.group]
        wish = self._wishes.get(ref)
        if wish is None or wish.session is None or wish.profile is None or wish.until is None:
            return None
        held = self._live.connector(ref).held
        is_known = held.transaction_id == wish.session.transaction_id and held.is_sure and not held.doubts
        if is_known and _same(held.profile, wish.profile, now, wish.until):
            return None
        before = self._may_draw(group, place, now)
        after = highest([before, course_of(wish.profile, self._fallback(place.connector, held), now)])
        if adds_nothing(before, after):
            return wish
        if len(held.doubts) < _MOST_DOUBTS and self._carry(group, ref, before, after, now):
            return _Wish(ref, wish.session, wish.profile, wish.until, adds=True)
        # Two that each want more now and less later would wait for each other: first give up, then get.
        less = lowered(wish.profile, before)
        if adds_nothing(course_of(less, self._fallback(place.connector, held), now), before):
            return None  # there is nothing to give up
        return _Wish(ref, wish.session, less, wish.until)

    def _carry(self, group: Group, ref: ConnectorRef, before: Course, after: Course, now: datetime) -> bool:
        """Tell whether every limit that a connector is behind carries what it would get more."""
        others = {other: one for other, one in self._draws(group, now).items() if other != ref}
        return all(
            fits(
                _carried(fuse, others),
                fuse.carried(ref, before),
                fuse.carried(ref, after),
                self._capacity(group, fuse, now),
            )
            for fuse in self._fuses_of(group)
            if ref in fuse.shares
        )

    def _may_draw(self, group: Group, place: Place, now: datetime) -> Course:
        """Give the most that a connector may draw from now on, by all that is known of it."""
        connector = place.connector
        ref = connector.ref
        if ref in self._live.unknown:
            return steady(now, connector.rating)
        session, held = self._sessions.get(ref), self._live.connector(ref).held
        fallback = self._fallback(connector, held)
        if session is None:  # away, somebody may begin a charge that we hear of later
            away = not self._stations.is_connected(ref.station)
            return steady(now, self.safe(group, connector) if away else 0)
        if session.transaction_id is None:
            return steady(now, fallback)
        is_own = held.transaction_id == session.transaction_id
        profiles = [one for one in (held.profile, *held.doubts) if one is not None] if is_own else []
        courses = [course_of(one, fallback, now) for one in profiles]
        if not is_own or held.profile is None or not held.is_sure:
            courses.append(steady(now, connector.rating if session.id in self._inherited else fallback))
        return highest(courses)

    def _fallback(self, connector: Connector, held: Held) -> W:
        """Give what a transaction without limits of its own may draw."""
        return connector.rating if held.default is None else min(held.default, connector.rating)

    async def _send_default(self, ref: ConnectorRef) -> None:
        self._asked.add(ref)
        place = self._directory.by_ref(ref)
        if place is None:
            return
        connector, held = place.connector, self._live.connector(ref).held
        limit = self.safe(self._directory.groups[connector.group], connector)
        try:
            accepted = await self._stations.set_default_limit(ref, limit)
        except Unavailable:
            return  # the next cycle asks again
        held.default, held.default_is_answered = (limit if accepted else None), True
        if not accepted:
            _log.warning("limit.no_default", connector=str(ref))

    async def _send(self, session: Session, profile: LimitProfile, *, adds: bool) -> None:
        ref, transaction_id = session.terms.connector, session.transaction_id
        if transaction_id is None:
            raise AssertionError("limits are for transactions")
        self._drop_wish(ref, profile)
        held = self._live.connector(ref).held
        if held.transaction_id != transaction_id:
            held.transaction_id, held.profile, held.doubts, held.is_sure = transaction_id, None, (), False
        held.doubts = (*held.doubts, profile)
        try:
            accepted = await self._stations.set_limit(ref, transaction_id, profile)
        except Unavailable:
            self._wishes.pop(ref, None)  # the next cycle asks again
            held.obeys = False
            if not adds:  # all that it could have added is in what stood before
                held.doubts = tuple(one for one in held.doubts if one is not profile)
            return
        if all(one is not profile for one in held.doubts):
            return  # the transaction has ended meanwhile
        if accepted:
            self._live.connector(ref).accept(profile, self._clock.now())
            held.doubts, held.is_sure, held.obeys = (), True, True
            self._inherited.discard(session.id)
            self._transitions.tell()
            return
        if held.obeys:
            _log.warning("limit.rejected", session=session.id.text, connector=str(ref))
        self._wishes.pop(ref, None)
        held.doubts = tuple(one for one in held.doubts if one is not profile)
        held.obeys = False

    def _drop_wish(self, ref: ConnectorRef, profile: LimitProfile) -> None:
        wish = self._wishes.get(ref)
        if wish is not None and wish.profile is profile:
            del self._wishes[ref]


def _carried(fuse: Fuse, draws: Mapping[ConnectorRef, Course]) -> Course:
    """Add up what a limit carries of what connectors may draw."""
    carried = [fuse.carried(ref, course) for ref, course in draws.items() if ref in fuse.shares]
    return total(carried) if carried else NOTHING_DRAWN


def _same(held: LimitProfile | None, new: LimitProfile, now: datetime, until: datetime) -> bool:
    """Tell whether the limits already held say the same, minute by minute until then, or up to 2 % less.

    Never more: what one car keeps above its new limit, another has been given.
    """
    if held is None:
        return False
    minutes = (until - now) // timedelta(minutes=1)
    for at in [*(now + timedelta(minutes=minute) for minute in range(minutes + 1)), until]:
        before, after = held.limit_at(at), new.limit_at(at)
        if before != after and (
            before is None or after is None or before > after or (after - before) * 50 > after
        ):
            return False
    return True
