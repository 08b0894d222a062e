"""A start that was sent may have begun out of our hearing: no money goes back before the station was heard.

A station that took its RemoteStart and lost its line charges the first car that comes, and tells of it
when it is back. So a session whose start ran out of time, or was withdrawn, waits for its station, at the
longest until its offer ends; what the station then tells is billed like any other charge.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Final

from evmesh.domain.sessions import EffectKind, Event, Session, State
from evmesh.domain.stations import ConnectorStatus
from evmesh.services.live import LiveState
from evmesh.services.registers import end_of
from evmesh.services.transitions import Work

HEARD_AFTER: Final = timedelta(minutes=2)
"""How long a station that is back has to send the messages that it kept."""

_LOOK_AGAIN: Final = timedelta(seconds=30)

NO_ROOM: Final = "cabinet.no_room"
"""What nobody steers draws all that the cabinet carries, so the station was never told to start."""

UNHEARD: Final = "station.unheard"
"""The start ran out of time while the station could not be asked."""

WITHDRAWN: Final = "start.withdrawn"
"""Somebody wants the money back; what begins all the same is stopped at once, and billed."""

_RUNNING: Final = frozenset(
    {ConnectorStatus.CHARGING, ConnectorStatus.SUSPENDED_EV, ConnectorStatus.SUSPENDED_EVSE}
)


async def refund_once_heard(
    work: Work, live: LiveState, session: Session, cause: str, *, flag: str
) -> Session:
    """Give the money of a session that has not begun back, now or when its station was heard.

    Where it waits, `flag` says why, and the session's deadline is when to ask this again.
    """
    if session.state is State.FUNDED or await _cannot_have_begun(work, live, session):
        return await work.apply(session, Event.REFUND, cause)
    waiting = replace(session, cause=cause, deadline=work.now + _LOOK_AGAIN, flags=session.flags_and(flag))
    await work.unit.touch_session(waiting)
    return waiting


async def is_untold(work: Work, session: Session) -> bool:
    """Tell whether the start was never sent to the station."""
    pending = await work.unit.pending_effects()
    untried = {one.session for one in pending if one.kind is EffectKind.REMOTE_START and not one.attempts}
    return session.id in untried


async def _cannot_have_begun(work: Work, live: LiveState, session: Session) -> bool:
    """Tell whether the station never had the start, has told since what it did, or never will."""
    if work.now >= end_of(session):
        return True
    if await is_untold(work, session):
        return True
    connector = session.terms.connector
    if connector.station not in live.online:
        return False
    if live.connector(connector).status in _RUNNING and connector not in live.unknown:
        return False  # it charges there, and the message that says for whom is still to come
    since = live.online_since.get(connector.station)
    return since is None or since <= session.changed_at or since + HEARD_AFTER <= work.now
