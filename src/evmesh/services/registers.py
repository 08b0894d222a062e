"""Which register values can be true, and at which one a charge is billed: pure decisions about a meter.

A value that cannot be true is flagged for an auditor and never stored or billed. What a driver is
asked to pay in doubt is the lower.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.offer_times import END_GRACE
from evmesh.domain.readings import NO_REGISTER, is_register, most_growth
from evmesh.domain.sessions import Session
from evmesh.domain.stations import StoppedTransaction
from evmesh.domain.units import W, Wh

WENT_BACK: Final = "meter.register_went_back"
JUMPED: Final = "meter.jumped"
"""The register grew by more than the connector can deliver in that time."""

UNBILLED: Final = "meter.unbilled"
"""The station told of more energy after the session was metered, or after the offer had ended."""

UNPAID: Final = "meter.unpaid"
"""The station gave energy to this session's idTag for which no money is held: it began too late."""

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


def billed(
    session: Session, stop: StoppedTransaction, before: Read | None, rating: W, now: datetime
) -> Billed:
    """Give what an end is billed at: the meter's own last word where it can be true, else what was stored.

    The station's own word also counts where it is lower than a sample before: that one had overshot.
    """
    first = session.meter_start or Wh(0)
    last = session.meter_last or first
    if stop.at > end_of(session):
        return Billed(last, UNBILLED if stop.meter_stop > last else None)
    if stop.meter_stop < last:
        return Billed(stop.meter_stop if stop.meter_stop >= first else last, WENT_BACK)
    since = before[0] if before else now
    at = stop.at if stop.at >= since else now  # a clock that went back says nothing about time
    flag = oddity((since, last), at, stop.meter_stop, rating, now - session.created_at)
    return Billed(last, flag) if flag else Billed(stop.meter_stop)
