"""What stations say, turned into durable facts: starts, registers, ends.

Implements the port `ChargePointEvents`. A station hears an answer only after the database
transaction that holds its message; what it sends twice is recognised by its content.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import ConnectorRef, SessionId, StationId
from evmesh.domain.readings import Reading, ReadingContext, is_register
from evmesh.domain.sessions import PLUGGED, Event, Session, State, StopCause
from evmesh.domain.signed_meter import readings_only
from evmesh.domain.stations import (
    BootInfo,
    ConnectorStatus,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
)
from evmesh.domain.units import Wh
from evmesh.ports import Clock
from evmesh.services.directory import Directory, Place
from evmesh.services.enough import after_metering
from evmesh.services.live import LiveState
from evmesh.services.meter_log import MeterLog
from evmesh.services.promises import kept_flags
from evmesh.services.receipts import Receipts
from evmesh.services.registers import (
    CLOCK,
    JUMPED,
    UNBILLED,
    UNPAID,
    WENT_BACK,
    billed,
    dated,
    end_of,
    ended_at,
    is_above_rating,
    is_before_told,
    is_known,
    oddity,
    start_by,
    storable,
)
from evmesh.services.requests import Requests
from evmesh.services.signed_meters import SignedMeters
from evmesh.services.starts import WITHDRAWN
from evmesh.services.state_feed import StateFeed
from evmesh.services.streaming import billed_by_vouchers
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)
_STOP_SAMPLES = 200
"""About how many samples of a StopTransaction are kept: they draw the curve, the stop itself bills."""

_SHORTEST = timedelta(seconds=1)

_STOPPED_BY = {
    "EVDisconnected": StopCause.UNPLUGGED,
    "Local": StopCause.DRIVER,
}


class StationEvents:
    """Keeps what stations say."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        live: LiveState,
        meter_log: MeterLog,
        requests: Requests,
        receipts: Receipts,
        feed: StateFeed,
        clock: Clock,
        signed: SignedMeters,
    ) -> None:
        self._transitions = transitions
        self._directory = directory
        self._live = live
        self._meter_log = meter_log
        self._requests = requests
        self._receipts = receipts
        self._feed = feed
        self._clock = clock
        self._signed = signed

    async def booted(self, station: StationId, info: BootInfo) -> bool:
        """Say whether this station belongs to the site."""
        if station not in self._directory.stations:
            return False
        self._live.came(station)  # after a restart it holds who knows which limits
        self._live.awake.add(station)
        return True

    async def connected(self, station: StationId) -> None:
        """Note that a station can be reached."""
        self._live.came(station)
        self._live.online_since[station] = self._clock.now()
        await self._feed.availability(station, True, self._clock.now())
        self._transitions.tell()

    async def disconnected(self, station: StationId) -> None:
        """Note that a station is away; its sessions go on by themselves."""
        self._live.left(station)
        await self._feed.availability(station, False, self._clock.now())
        self._transitions.tell()

    async def status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None:
        """Keep a status; a pause and its end move the session."""
        async with self._transitions.begin() as work:
            await work.unit.set_status(connector, status, error, min(at, work.now))
            for session in await work.unit.sessions(open_only=True):
                if session.terms.connector == connector:
                    await _follow_status(work, session, status)
        self._live.awake.add(connector.station)
        live = self._live.connector(connector)
        live.status, live.error = status, error
        if status is ConnectorStatus.AVAILABLE:  # nothing is plugged in, so nothing can run
            self._live.drop_stray(connector)
        place = self._directory.by_ref(connector)
        if place is None and connector.connector > 0:  # 0 is the station as a whole
            _log.warning("status.unknown_connector", connector=str(connector), status=status, error=error)
        if place is not None:
            await self._feed.status(place, status, min(at, work.now))

    async def authorize(self, station: StationId, id_tag: str) -> bool:
        """Say whether this idTag may charge at this station now."""
        async with self._transitions.begin() as work:
            session = await work.unit.session_of_tag(id_tag)
        return (
            session is not None
            and session.terms.connector.station == station
            and (session.state is State.STARTING or session.state in PLUGGED)
        )

    async def started(self, start: StartedTransaction) -> StartAnswer:
        """Store a start whatever it is; it is accepted where it is a funded session's.

        One that is not accepted may charge all the same: it counts as a stray until it has ended.
        """
        async with self._transitions.begin() as work:
            session = await work.unit.session_of_tag(start.id_tag)
            if session is not None and session.terms.connector != start.connector:
                session = None
            content = replace(start, meter_start=storable(start.meter_start))
            transaction = await work.unit.start_transaction(content, session.id if session else None)
            fits = is_register(start.meter_start) and transaction.stop is None and _in_time(session, start)
            accepted = session is not None and session.transaction_id == transaction.id
            if session is not None and session.state is State.STARTING and fits:
                await self._begin_session(work, session, start, transaction.id)
                accepted = True
        if transaction.stop is None:
            if accepted:
                self._live.drop_stray(start.connector)  # one connector runs one transaction
            else:
                self._live.note_stray(start.connector, transaction.id)
        return StartAnswer(transaction.id, accepted)

    async def _begin_session(
        self, work: Work, session: Session, start: StartedTransaction, transaction_id: int
    ) -> None:
        place = self._directory.by_asset(session.terms.asset)
        before = await work.unit.meter_register(start.connector)
        if is_before_told(session, start.at):
            session = replace(session, flags=session.flags_and(CLOCK))
        at = min(dated(session, start.at, work.now), start_by(session))
        flags = session.flags
        if before is not None and start.meter_start < before[1]:
            flags = session.flags_and(WENT_BACK)
        await self._meter_log.append(
            work, place.meter, at, start.meter_start, ReadingContext.START, session.id
        )
        await work.unit.set_register(start.connector, at, start.meter_start)
        begun = await work.apply(
            session,
            Event.STARTED,
            "started",
            transaction_id=transaction_id,
            started_at=at,
            meter_start=start.meter_start,
            meter_last=start.meter_start,
            flags=flags,
        )
        if WITHDRAWN in flags:
            await work.apply(begun, Event.STOP, session.cause)

    async def metered(
        self, connector: ConnectorRef, transaction_id: int | None, samples: Sequence[MeterSample]
    ) -> None:
        """Keep registers; those of a running transaction are evidence, and may end the session.

        Values without a transaction are those of the connector's running session. Late ones do not
        revive a session, and a register that cannot be true is flagged, never billed.
        """
        async with self._transitions.begin() as work:
            session, stray = await self._running(work, connector, transaction_id)
            await self._signed.keep(work, session, samples)
            for sample in samples:
                session = await self._keep_sample(work, connector, session, sample)
            place = self._directory.by_ref(connector)
            if session is not None:
                session = await after_metering(work, session, place.connector.rating if place else None)
        if stray is not None:
            self._live.note_stray(connector, stray)
        if session is not None:
            self._live.metered_at[session.id] = work.now
        for sample in samples[-1:]:
            self._live.note_sample(session, connector, sample, place.connector if place else None)
            if place is not None:
                await self._feed.sample(place, sample, session)

    async def _running(
        self, work: Work, connector: ConnectorRef, transaction_id: int | None
    ) -> tuple[Session | None, int | None]:
        """Give the session that values belong to, or the id of the transaction if it ought not to run."""
        if transaction_id is None or transaction_id <= 0:  # ours begin at 1, and some send 0 for none
            if connector in self._live.unknown:
                return None, None
            plugged = [one for one in await work.unit.sessions(open_only=True) if one.state in PLUGGED]
            here = [one for one in plugged if one.terms.connector == connector]
            return (here[0] if len(here) == 1 else None), None
        transaction = await work.unit.transaction(connector.station, transaction_id)
        if transaction is None:
            return None, transaction_id
        if transaction.stop is not None or transaction.start.connector != connector:
            return None, None
        session = await self._session_of(work, connector.station, transaction_id)
        if session is None or session.state not in PLUGGED:
            return None, transaction_id
        return session, None

    async def _keep_sample(
        self, work: Work, connector: ConnectorRef, session: Session | None, sample: MeterSample
    ) -> Session | None:
        register = sample.register
        if register is None:
            return session
        at = dated(session, sample.at, work.now)
        before = await work.unit.meter_register(connector)
        if is_known(session, before, at, register):
            return session  # sent again
        place = self._directory.by_ref(connector)
        longest = work.now - session.created_at if session else None
        rating = place.connector.rating if place else None
        odd = oddity(before, at, register, rating, longest)
        if odd is None and session is not None and is_above_rating(session, at, register, rating):
            odd = JUMPED
        if odd is not None:
            return await _flagged(work, session, odd)
        await work.unit.set_register(connector, at, register)
        if session is None or place is None or at > end_of(session) or register < (session.meter_start or 0):
            return session
        await self._meter_log.append(work, place.meter, at, register, ReadingContext.SAMPLE, session.id)
        session = replace(session, meter_last=register)
        await work.unit.touch_session(session)
        return session

    async def stopped(self, stop: StoppedTransaction) -> None:
        """Store an end; a running session is metered by it, once.

        Where a session cannot be metered the end is stored all the same: to send it again would not help,
        and at the latest at the offer's end the caretaker meters by what was stored before.
        """
        stop = replace(stop, meter_stop=storable(stop.meter_stop))
        try:
            await self._end(stop)
        except Unavailable:
            raise
        except EvmeshError as error:
            _log.error("stop.not_metered", station=stop.station.text, stop=str(stop), why=error.describe())
            async with self._transitions.begin() as work:
                await work.unit.stop_transaction(stop)
        self._live.end_stray(stop.station, stop.transaction_id)

    async def _end(self, stop: StoppedTransaction) -> None:
        async with self._transitions.begin() as work:
            transaction = await work.unit.transaction(stop.station, stop.transaction_id)
            if transaction is None or transaction.stop is not None:
                return  # never ours, or sent again
            connector = transaction.start.connector
            session = await self._session_of(work, stop.station, stop.transaction_id)
            running = session if session is not None and session.state in PLUGGED else None
            await self._signed.keep(work, running, stop.samples)
            for sample in stop.samples[:: max(1, len(stop.samples) // _STOP_SAMPLES)]:
                running = await self._keep_sample(work, connector, running, sample)
            await work.unit.stop_transaction(stop)
            if running is not None:
                await self._bill(work, running, stop)
            elif session is not None and stop.meter_stop > (session.meter_last or 0):
                await _flagged(work, session, UNBILLED)
            elif session is None and stop.meter_stop > transaction.start.meter_start:
                await self._flag_unpaid(work, transaction.session)
        if running is not None:
            self._live.forget(running.id, connector)

    async def _flag_unpaid(self, work: Work, id: SessionId | None) -> None:
        """Note at the session whose idTag it was that its station gave energy for which no money is left."""
        if id is not None:
            await _flagged(work, await work.unit.session(id), UNPAID)

    async def _bill(self, work: Work, session: Session, stop: StoppedTransaction) -> None:
        before = await work.unit.meter_register(session.terms.connector)
        rating = self._directory.by_asset(session.terms.asset).connector.rating
        at = ended_at(session, dated(session, stop.at, work.now), before, work.now)
        due = billed(session, replace(stop, at=at), before, rating, work.now)
        if due.flag:
            session = replace(session, flags=session.flags_and(due.flag))
        cause = session.cause if session.state is State.STOPPING else _cause_of(stop.reason)
        await self.meter(work, session, at, due.register, cause)

    def place_of(self, session: Session) -> Place:
        """Give where a session is."""
        return self._directory.by_asset(session.terms.asset)

    async def meter(self, work: Work, session: Session, at: datetime, register: Wh, cause: str) -> Session:
        """End a session at a register: bill it, write the receipt, owe the anchor and the claim.

        The end is dated within the offer, and after every reading before it.
        """
        place = self._directory.by_asset(session.terms.asset)
        at = min(at, end_of(session))
        for leaf in readings_only(await work.unit.session_leaves(session.id))[-1:]:
            at = max(at, Reading.parse(leaf.payload).at)
        if session.started_at is not None:  # readings count whole seconds, and a charge takes some time
            at = max(at, session.started_at + _SHORTEST)
        newest = await work.unit.meter_register(session.terms.connector)
        if newest is None or at >= newest[0]:
            await work.unit.set_register(session.terms.connector, at, register)
        await self._meter_log.append(work, place.meter, at, register, ReadingContext.STOP, session.id)
        energy = Wh(register - (session.meter_start or 0))
        session = replace(session, flags=kept_flags(session, at, energy, place.connector, self._live))
        session = await self._signed.flagged(work, session, register)
        due, flags = billed_by_vouchers(session, energy)
        metered = await work.apply(
            session, Event.METER, cause, stopped_at=at, meter_last=register, due=due, flags=flags
        )
        head = (work.log.size, work.log.root())
        await work.unit.save_head(session.id, *head)
        await self._receipts.issue(work, metered, self._requests.offer_of(metered), head)
        return metered

    async def _session_of(self, work: Work, station: StationId, transaction_id: int | None) -> Session | None:
        if transaction_id is None:
            return None
        transaction = await work.unit.transaction(station, transaction_id)
        if transaction is None or transaction.session is None:
            return None
        session = await work.unit.session(transaction.session)
        ours = session is not None and session.transaction_id == transaction_id
        return session if ours else None


def _in_time(session: Session | None, start: StartedTransaction) -> bool:
    """Tell whether it began by the offer's last start: no receipt holds for a later one."""
    if session is None:
        return False
    return start.at <= start_by(session)


async def _follow_status(work: Work, session: Session, status: ConnectorStatus) -> None:
    paused = status in (ConnectorStatus.SUSPENDED_EV, ConnectorStatus.SUSPENDED_EVSE)
    if session.state is State.CHARGING and paused:
        await work.apply(session, Event.SUSPEND, status)
    elif session.state is State.SUSPENDED and paused and session.cause != status:
        # The same pause by the other side: only a car that has refused power for a while is full.
        await work.unit.touch_session(replace(session, cause=status, changed_at=work.now))
    elif session.state is State.SUSPENDED and status is ConnectorStatus.CHARGING:
        await work.apply(session, Event.RESUME, status)


async def _flagged(work: Work, session: Session | None, flag: str) -> Session | None:
    if session is None or flag in session.flags:
        return session
    session = replace(session, flags=session.flags_and(flag))
    await work.unit.touch_session(session)
    return session


def _cause_of(reason: str) -> StopCause:
    return _STOPPED_BY.get(reason, StopCause.STATION)
