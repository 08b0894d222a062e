"""Whether a charge got what was promised; what did not is flagged, for the driver and an auditor."""

from datetime import datetime

from evmesh.domain.sessions import Session
from evmesh.domain.stations import Connector
from evmesh.domain.units import Wh
from evmesh.services.live import LiveState
from evmesh.services.plan_in_force import step_start

SHORT = "promise.short"
"""The departure came before the energy, and the car would have taken more."""

FEWER_PHASES = "promise.fewer_phases"
"""The departure came before the energy, for the car charges on fewer phases than the outlet has."""

DIMMED = "promise.dimmed"
"""A cap leaves less than what was promised: while the session runs by the newest plan, then by the meter."""

_TOLERATED_PERCENT = 1
_TOLERATED_WH = 100
"""What a promise may lack, whichever is less: a car that follows its limits does so not to the Wh."""


def kept_flags(
    session: Session, ended_at: datetime, delivered: Wh, connector: Connector, live: LiveState
) -> tuple[str, ...]:
    """Give a session's flags as they are when it has ended with so much energy.

    Who leaves before the last quarter of an hour that was promised is over has broken it off.
    """
    missing = live.wanted(session) - delivered
    if missing <= tolerated(session) or ended_at < step_start(session.terms.departure):
        return _without(session.flags, DIMMED)
    if DIMMED in session.flags:
        return session.flags
    if live.phases(session, connector) < connector.phases:
        return session.flags_and(FEWER_PHASES)
    return session.flags_and(SHORT) if live.is_held_back(session.id) else session.flags


def dimmed_flags(session: Session, lacks_by_cap: Wh) -> tuple[str, ...]:
    """Give a running session's flags, where the newest plan lacks so much because of a cap."""
    if lacks_by_cap > tolerated(session):
        return session.flags_and(DIMMED)
    return _without(session.flags, DIMMED)  # what was lost is made up for


def tolerated(session: Session) -> int:
    """Give the Wh that a promise may lack."""
    return min(_TOLERATED_WH, session.terms.energy * _TOLERATED_PERCENT // 100)


def _without(flags: tuple[str, ...], flag: str) -> tuple[str, ...]:
    return tuple(one for one in flags if one != flag)
