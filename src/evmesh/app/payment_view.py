"""What a wallet or a car has to know of one session in order to pay for it."""

from collections.abc import Sequence
from typing import Any

from evmesh.app.instants import instant
from evmesh.domain.money import cost_of
from evmesh.domain.sessions import TERMINAL, Session, State, Way
from evmesh.domain.streaming import Risk, StreamRules
from evmesh.domain.units import W
from evmesh.services.directory import Directory

Json = dict[str, Any]


class PaymentView:
    """Shows sessions as who pays for them sees them."""

    def __init__(self, directory: Directory, rules: StreamRules | None = None) -> None:
        self._directory = directory
        self._rules = rules or StreamRules()

    def members(self, session: Session) -> Json:
        """Give what a session's document says of its payment."""
        terms, highest = session.terms, session.voucher_cumulative
        wanted = highest or terms.base
        if session.state not in TERMINAL and terms.way is not Way.TRANSFER:
            wanted = self._first_or_wanted(session)
        by = session.deadline if session.state is State.RESERVED else session.voucher_by
        return {
            "way": terms.way.value,
            "metered_wh": session.delivered,
            "escrow": terms.escrow.text,
            "base": str(terms.base),
            "epoch": terms.epoch,
            "voucher_cumulative": None if highest is None else str(highest),
            "wanted_cumulative": str(wanted),
            "deadline": instant(by),
            "risk": _shown(self._rules.risk(terms.way, terms, self._rating(session))),
        }

    def event(self, session: Session) -> Json:
        """Give the session as its own stream of events tells it, without the time."""
        terms = session.terms
        due = min(terms.budget, cost_of(session.delivered, terms.price))
        return {
            "id": session.id.text,
            "state": session.state.value,
            "cause": session.cause,
            "flags": list(session.flags),
            "budget": str(terms.budget),
            "due": str(due if session.due is None else session.due),
            **self.members(session),
        }

    def choices(self, session: Session, ways: Sequence[Way]) -> Json:
        """Give what a driver who was promised something is told before paying for it in one of these ways."""
        terms, rating = session.terms, self._rating(session)
        streams = Way.STREAMING in ways
        return {
            "risk": {way.value: _shown(self._rules.risk(way, terms, rating)) for way in ways},
            "first_cumulative": str(
                self._rules.first_cumulative(terms) if streams else terms.base + terms.budget
            ),
        }

    def _first_or_wanted(self, session: Session) -> int:
        if session.voucher_cumulative is None:
            return self._rules.first_cumulative(session.terms)
        return self._rules.wanted_cumulative(session)

    def _rating(self, session: Session) -> W:
        return self._directory.by_asset(session.terms.asset).connector.rating


def _shown(risk: Risk) -> Json:
    return {"driver": str(risk.driver), "operator": str(risk.operator)}
