"""Which register values can be true, and at which one a charge is billed: pure decisions about a meter.

A value that cannot be true is flagged for an auditor and never stored or billed. What a driver is
asked to pay in doubt is the lower.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.readings import NO_REGISTER, is_register, most_between, most_growth
from evmesh.domain.sessions import NO_CAR_TIMEOUT, RESERVATION_TTL, Session
from evmesh.domain.stations import StoppedTransaction
from evmesh.domain.units import W, Wh

WENT_BACK: Final = "meter.register_went_back"
JUMPED: Final = "meter.jumped"
"""The register grew by more than the connector can deliver in that time."""

UNBILLED: Final = "meter.unbilled"
"""The station told of more energy after the session was metered, or after the offer had ended."""

UNPAID: Final = "meter.unpaid"
"""The station gave energy to this session's idTag for which no money is held: it began too late."""

CLOCK: Final = "station.clock"
"""The start is dated before the station was told to begin: all that it tells is dated by its arrival."""

CLOCK_SKEW: Final = timedelta(minutes=5)
"""How far a station's clock may be off: what it dates further ahead is dated by this."""

Read = tuple[datetime, Wh]
"""When a register was read, and what it showed."""


@dataclass(frozen=True, slots=True)
class Billed:
    """The register a charge is billed at, and what is odd about it."""

    register: Wh
    flag: str | None = None


def end_of(session: Session) -> datetime:
    """Give the offer's end: nothing that is metered later is billed."""
    return session.terms.departure + END_GRACE


def start_by(session: Session) -> datetime:
    """Give the offer's last start: no receipt holds for a later one."""
    return session.created_at + RESERVATION_TTL + NO_CAR_TIMEOUT


def is_before_told(session: Session, at: datetime) -> bool:
    """Tell whether a start is dated before the session that waits for it can have begun."""
    return at < session.changed_at - CLOCK_SKEW


def dated(session: Session | None, at: datetime, now: datetime) -> datetime:
    """Give when something was read: as the station says, or by its arrival where its clock is wrong."""
    is_wrong = session is not None and CLOCK in session.flags
    return now if is_wrong else min(at, now + CLOCK_SKEW)


def is_known(session: Session | None, before: Read | None, at: datetime, register: Wh) -> bool:
    """Tell whether a value was sent before; a date that is an arrival says nothing about that."""
    if before is None:
        return False
    is_wrong = session is not None and CLOCK in session.flags
    return at < before[0] or ((is_wrong or at == before[0]) and register <= before[1])


def storable(register: Wh) -> Wh:
    """Give a register as any database takes it: one that can be none is brought within 32 bits."""
    return Wh(max(-NO_REGISTER, min(register, NO_REGISTER)))


def oddity(
    before: Read | None, at: datetime, register: Wh, rating: W | None, longest: timedelta | None = None
) -> str | None:
    """Give the flag of a value that cannot follow `before`; None where it can.

    `longest` is how much time can have passed at most, whatever the station's clock says.
    """
    if not is_register(register):
        return WENT_BACK if register < 0 else JUMPED
    if before is None:
        return None
    if register < before[1]:
        return WENT_BACK
    elapsed = at - before[0]
    if longest is not None:
        elapsed = min(elapsed, longest)
    if rating is not None and register - before[1] > most_growth(rating, elapsed):
        return JUMPED
    return None


def is_above_rating(session: Session, at: datetime, register: Wh, rating: W | None) -> bool:
    """Tell whether the charge as a whole would show more than its connector can have delivered.

    What one value may be off is granted once for a charge, not anew with every sample.
    """
    if rating is None or session.started_at is None or session.meter_start is None:
        return False
    return register - session.meter_start > most_between(rating, session.started_at, at)


def ended_at(session: Session, at: datetime, before: Read | None, now: datetime) -> datetime:
    """Give the instant of an end; a clock that went back since the last reading says nothing about time."""
    if before is None or at >= before[0]:
        return at
    return min(max(now, before[0]), end_of(session))


def billed(
    session: Session, stop: StoppedTransaction, before: Read | None, rating: W, now: datetime
) -> Billed:
    """Give what an end is billed at: the meter's own last word where it can be true, else what was stored.

    The station's own word also counts where it is lower than a sample before: that one had overshot.
    `stop` is dated as its reading will be.
    """
    first = session.meter_start or Wh(0)
    last = session.meter_last or first
    if stop.at > end_of(session):
        return Billed(last, UNBILLED if stop.meter_stop > last else None)
    if stop.meter_stop < last:
        return Billed(stop.meter_stop if stop.meter_stop >= first else last, WENT_BACK)
    since = before[0] if before else now
    flag = oddity((since, last), stop.at, stop.meter_stop, rating, now - session.created_at)
    if flag is None and is_above_rating(session, stop.at, stop.meter_stop, rating):
        flag = JUMPED
    return Billed(last, flag) if flag else Billed(stop.meter_stop)
