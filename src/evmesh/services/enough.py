"""What a new meter value means for a charge: enough energy, no more money, or a voucher that is wanted."""

from datetime import datetime

from evmesh.domain.money import cost_of
from evmesh.domain.sessions import Event, Session, State, StopCause
from evmesh.domain.streaming import StreamRules
from evmesh.domain.units import W
from evmesh.services.streaming import is_missing_voucher, watched
from evmesh.services.transitions import Work

_RULES = StreamRules()


async def after_metering(work: Work, session: Session, rating: W | None) -> Session:
    """Stop at the energy that was asked for or where the budget is used; else say when a voucher must come.

    Also stops where the voucher for an earlier value should have come by now.
    """
    cause = _cause_to_stop(session, work.now)
    if cause is not None:
        return await work.apply(session, Event.STOP, cause)
    seen = session if rating is None else watched(session, rating, _RULES, work.now)
    if seen != session:
        await work.unit.touch_session(seen)
    return seen


def _cause_to_stop(session: Session, now: datetime) -> StopCause | None:
    if session.state not in (State.CHARGING, State.SUSPENDED):
        return None
    terms = session.terms
    if session.delivered >= terms.energy:
        return StopCause.DELIVERED
    if terms.price and cost_of(session.delivered, terms.price) >= terms.budget:
        return StopCause.BUDGET
    return StopCause.VOUCHER if is_missing_voucher(session, now) else None
