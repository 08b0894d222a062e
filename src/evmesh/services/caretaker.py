"""Looks after what nobody else would: time-outs, departures, full cars, lost transactions, restarts."""

import asyncio
from datetime import datetime, timedelta

from evmesh.domain.sessions import PLUGGED, TABLE, Event, Session, State, StopCause
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import Wh
from evmesh.ports import Clock
from evmesh.services.live import LiveState
from evmesh.services.payments import Payments, find
from evmesh.services.stations import StationEvents
from evmesh.services.transitions import Transitions, Work

FULL_AFTER = timedelta(minutes=10)
"""How long a car may refuse power before it counts as full."""

GHOST_AFTER = timedelta(minutes=5)
"""How long a connector may stand free before the transaction it should hold counts as lost."""

_CAUSES = {State.RESERVED: "not_paid_in_time", State.STARTING: "no_car", State.FUNDED: "no_start"}
_ON_TIMEOUT = {row.target: row.on_timeout for row in TABLE if row.on_timeout} | {State.RESERVED: Event.EXPIRE}
SHORT = "promise.short"
"""The departure came before the energy, and the car would have taken more."""

_KEPT_PERCENT = 99
_POLL_S = 0.2


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
        self._free_since: dict[str, datetime] = {}

    async def run(self) -> None:
        """Look at every open session, a few times a second of wall time."""
        while True:
            async with self._transitions.read() as unit:
                sessions = await unit.sessions(open_only=True)
            now = self._clock.now()
            for session in sessions:
                if session.state is State.FUNDED:
                    await self._payments.start(session.id)  # a crash came between the two
                elif self._has_work(session, now):
                    async with self._transitions.begin() as work:
                        await self._care(work, await find(work, session.id))
            await asyncio.sleep(_POLL_S)

    def _has_work(self, session: Session, now: datetime) -> bool:
        return (
            (session.deadline is not None and session.deadline <= now)
            or (session.state in PLUGGED and (session.terms.departure <= now or self._is_ghost(session, now)))
            or self._is_full(session, now)
        )

    async def _care(self, work: Work, session: Session) -> None:
        now = work.now
        if session.state in PLUGGED and self._is_ghost(session, now):
            register = session.meter_last or session.meter_start or Wh(0)
            await self._stations.meter(work, session, now, register, StopCause.GHOST)
        elif session.deadline is not None and session.deadline <= now:
            event = _ON_TIMEOUT.get(session.state)
            if event is not None:
                await work.apply(session, event, _CAUSES[session.state])
        elif session.state in (State.CHARGING, State.SUSPENDED):
            if session.terms.departure <= now:
                await work.apply(session, Event.STOP, StopCause.DEPARTURE, flags=self._flags(session, now))
            elif self._is_full(session, now):
                await work.apply(session, Event.STOP, StopCause.FULL)

    def _flags(self, session: Session, now: datetime) -> tuple[str, ...]:
        short = session.delivered * 100 < session.terms.energy * _KEPT_PERCENT
        if short and self._live.is_held_back(session.terms.connector, now):
            return (*session.flags, SHORT)
        return session.flags

    def _is_full(self, session: Session, now: datetime) -> bool:
        return (
            session.state is State.SUSPENDED
            and session.cause == ConnectorStatus.SUSPENDED_EV
            and session.changed_at + FULL_AFTER <= now
        )

    def _is_ghost(self, session: Session, now: datetime) -> bool:
        """Tell whether the station is here and says, for a while, that nothing is plugged."""
        ref = session.terms.connector
        gone = (
            ref.station in self._live.online and self._live.connector(ref).status is ConnectorStatus.AVAILABLE
        )
        if not gone:
            self._free_since.pop(session.id.text, None)
            return False
        return self._free_since.setdefault(session.id.text, now) + GHOST_AFTER <= now
