"""Looks after what nobody else would: time-outs, departures, full cars, lost transactions, restarts."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import PLUGGED, TABLE, Event, Session, State, StopCause
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import Wh
from evmesh.ports import Clock
from evmesh.services.live import LiveState
from evmesh.services.payments import Payments, find
from evmesh.services.registers import end_of
from evmesh.services.starts import NO_ROOM, UNHEARD, WITHDRAWN, is_untold, refund_once_heard
from evmesh.services.stations import StationEvents
from evmesh.services.streaming import is_missing_voucher
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)
FULL_AFTER = timedelta(minutes=10)
"""How long a car may refuse power that it is offered before it counts as full."""

GHOST_AFTER = timedelta(minutes=5)
"""How long a connector may stand free before the transaction it should hold counts as lost."""

GHOST_TOLD = timedelta(minutes=1)
"""How long a station has to end a lost transaction after all, once it was told to."""

_AGAIN_AFTER = timedelta(minutes=1)
"""When a session that could not be looked after is looked at again."""

_CAUSES = {State.RESERVED: "not_paid_in_time", State.STARTING: "no_car", State.FUNDED: "no_start"}
_ON_TIMEOUT = {row.target: row.on_timeout for row in TABLE if row.on_timeout} | {State.RESERVED: Event.EXPIRE}
UNCONFIRMED = "meter.unconfirmed"
"""The station never told the end of the charge, and was away when the offer ended."""

_POLL_S = 0.2


@dataclass(slots=True)
class _Refused:
    """For how long a car has refused power in one pause, as far as it was offered any."""

    paused_at: datetime
    looked_at: datetime
    offered: timedelta = timedelta(0)


class Caretaker:
    """Runs until cancelled: applies what time alone brings about."""

    name = "caretaker"

    def __init__(
        self,
        transitions: Transitions,
        clock: Clock,
        live: LiveState,
        payments: Payments,
        stations: StationEvents,
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._live = live
        self._payments = payments
        self._stations = stations
        self._free_since: dict[SessionId, datetime] = {}
        self._refused: dict[SessionId, _Refused] = {}
        self._failed_at: dict[SessionId, datetime] = {}
        self._began = clock.now()

    async def run(self) -> None:
        """Look at every open session, a few times a second of wall time.

        One that cannot be looked after is logged and left for a minute; the others are looked after.
        """
        while True:
            async with self._transitions.read() as unit:
                sessions = await unit.sessions(open_only=True)
            now = self._clock.now()
            self._forget_all_but({session.id for session in sessions})
            for session in sessions:
                failed_at = self._failed_at.get(session.id)
                if failed_at is not None and now < failed_at + _AGAIN_AFTER:
                    continue
                try:
                    await self._look_after(session, now)
                except Unavailable:
                    raise
                except EvmeshError as error:
                    self._failed_at[session.id] = now
                    _log.error("session.not_cared_for", session=session.id.text, why=error.describe())
            await asyncio.sleep(_POLL_S)

    def _forget_all_but(self, open_: set[SessionId]) -> None:
        self._free_since = {id: at for id, at in self._free_since.items() if id in open_}
        self._refused = {id: one for id, one in self._refused.items() if id in open_}
        self._failed_at = {id: at for id, at in self._failed_at.items() if id in open_}

    async def _look_after(self, session: Session, now: datetime) -> None:
        if session.state is State.FUNDED:
            await self._payments.start(session.id)  # a crash came between the two
        elif self._has_work(session, now):
            async with self._transitions.begin() as work:
                after = await self._care(work, await find(work, session.id))
            if after.state is State.METERED:
                self._let_go(after)

    def _let_go(self, session: Session) -> None:
        ref = session.terms.connector
        self._live.forget(session.id, ref)
        if self._live.connector(ref).status is not ConnectorStatus.AVAILABLE and session.transaction_id:
            self._live.note_stray(ref, session.transaction_id)  # nobody has heard that it ended

    def _has_work(self, session: Session, now: datetime) -> bool:
        return (
            (session.deadline is not None and session.deadline <= now)
            or (session.state in (State.CHARGING, State.SUSPENDED) and session.terms.departure <= now)
            or is_missing_voucher(session, now)
            or self._must_close(session, now)
            or self._is_full(session, now)
        )

    async def _care(self, work: Work, session: Session) -> Session:
        now = work.now
        if self._must_close(session, now):
            return await self._close(work, session)
        if session.deadline is not None and session.deadline <= now:
            event = _ON_TIMEOUT.get(session.state)
            if session.state is State.STARTING:
                cause = await _why_not_begun(work, session)
                return await refund_once_heard(work, self._live, session, cause, flag=UNHEARD)
            if event is not None:
                return await work.apply(session, event, _CAUSES[session.state])
        elif session.state in (State.CHARGING, State.SUSPENDED):
            if session.terms.departure <= now:
                return await work.apply(session, Event.STOP, StopCause.DEPARTURE)
            if is_missing_voucher(session, now):
                return await work.apply(session, Event.STOP, StopCause.VOUCHER)
            if self._is_full(session, now):
                return await work.apply(session, Event.STOP, StopCause.FULL)
        return session

    def _must_close(self, session: Session, now: datetime) -> bool:
        """Tell whether to end what the station does not: a ghost, or what outlives its offer."""
        if session.state not in PLUGGED:
            return False
        if end_of(session) <= now:
            return True
        is_time = session.state is not State.STOPPING or session.changed_at + GHOST_TOLD <= now
        return self._is_ghost(session, now) and is_time

    async def _close(self, work: Work, session: Session) -> Session:
        """Tell the station first, should it run all the same; then bill up to the last register stored."""
        if session.state is not State.STOPPING and work.now < end_of(session):
            return await work.apply(session, Event.STOP, StopCause.GHOST)
        register = session.meter_last or session.meter_start or Wh(0)
        if session.terms.connector.station not in self._live.online:
            session = replace(session, flags=session.flags_and(UNCONFIRMED))
        return await self._stations.meter(work, session, work.now, register, StopCause.GHOST)

    def _is_full(self, session: Session, now: datetime) -> bool:
        """Tell whether the car has refused power for long enough, while it was offered any.

        Some stations blame the car for a pause that our own limit of 0 makes: that time does not count.
        """
        if session.state is not State.SUSPENDED or session.cause != ConnectorStatus.SUSPENDED_EV:
            self._refused.pop(session.id, None)
            return False
        known = self._refused.get(session.id)
        if known is None or known.paused_at != session.changed_at:
            looked_at = max(session.changed_at, self._began)
            known = self._refused[session.id] = _Refused(session.changed_at, looked_at)
        if self._is_offered(session, known.looked_at) and self._is_offered(session, now):
            known.offered += max(timedelta(0), now - known.looked_at)
        known.looked_at = now
        return known.offered >= FULL_AFTER

    def _is_offered(self, session: Session, at: datetime) -> bool:
        """Tell whether the limit held lets the least current flow; one that is not known may."""
        profile = self._live.connector(session.terms.connector).profile
        limit = profile.limit_at(at) if profile else None
        return limit is None or limit >= self._stations.place_of(session).connector.least_power

    def _is_ghost(self, session: Session, now: datetime) -> bool:
        """Tell whether the station is here and says, for a while, that nothing is plugged or metered."""
        ref = session.terms.connector
        gone = (
            ref.station in self._live.online and self._live.connector(ref).status is ConnectorStatus.AVAILABLE
        )
        if not gone:
            self._free_since.pop(session.id, None)
            return False
        since = self._free_since.setdefault(session.id, now)
        return max(since, self._live.metered_at.get(session.id, since)) + GHOST_AFTER <= now


async def _why_not_begun(work: Work, session: Session) -> str:
    if WITHDRAWN in session.flags:
        return session.cause
    if session.cause == NO_ROOM and await is_untold(work, session):
        return NO_ROOM
    return _CAUSES[session.state]
