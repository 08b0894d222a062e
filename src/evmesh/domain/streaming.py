"""Payment as energy flows: what the next voucher must reach, by when, and what each side can lose.

A voucher pays ahead for 100 Wh. The station is stopped when one is missing: when what the meter said a
grace period ago is still not covered.

*What the operator can lose.* Let P be the most that the connector delivers, I the interval of meter
values, G the grace, L the stop latency: from the decision to the moment in which no current flows, with
the delay of the meter value itself. A driver who pays as late as possible has covered the value before
the last one. Between those two values flow at most P·I, in the grace P·G, and after the decision P·L.
G is at most the time in which P delivers 100 Wh, so what is not covered in the end is at most

    100 Wh + P · (I + L).

A value that comes while another one waits for its voucher does not extend the grace. The bound holds as
long as the station sends its meter values and does what it is told; what it delivers while its line is
cut is known when it is back.

*What the driver can lose.* Who pays what is wanted, and no more, has at no time signed more than 100 Wh
above what the meter said; nothing above what was metered is ever due, so that is the most an operator
could take too much.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from evmesh.domain.money import Price, cost_of
from evmesh.domain.sessions import TERMINAL, ChargeTerms, Session, State, Way
from evmesh.domain.units import SECONDS_PER_HOUR, W, Wh, energy_from_watts

STEP: Final = Wh(100)
"""How much energy a voucher pays ahead."""

SAMPLE_INTERVAL: Final = timedelta(seconds=60)
"""How often stations are told to send meter values."""

STOP_LATENCY: Final = timedelta(seconds=30)
"""How long it may take from a meter value that asks for a stop until no current flows."""

_FLOWING: Final = frozenset({State.RESERVED, State.FUNDED, State.STARTING, State.CHARGING, State.SUSPENDED})
"""More energy may follow, so it is paid ahead."""


@dataclass(frozen=True, slots=True)
class Risk:
    """What each side can lose at most, in token units, if the other one does its worst."""

    driver: int
    operator: int


@dataclass(frozen=True, slots=True)
class StreamRules:
    """How far energy and vouchers may be apart."""

    step: Wh = STEP
    sample_interval: timedelta = SAMPLE_INTERVAL
    stop_latency: timedelta = STOP_LATENCY

    def grace(self, rating: W) -> timedelta:
        """Give how long a meter value may stay uncovered: rounded down, and at most a sample interval."""
        flows_in = timedelta(seconds=self.step * SECONDS_PER_HOUR // max(1, rating))
        return min(flows_in, self.sample_interval)

    def uncovered_at_most(self, rating: W) -> Wh:
        """Give the most energy that can flow for which no voucher is held: 100 Wh + P · (I + L)."""
        return Wh(self.step + self._overrun(rating))

    def risk(self, way: Way, terms: ChargeTerms, rating: W) -> Risk:
        """Give the figures that a driver sees before the start; rounded up, each side's worst case."""
        overrun = _cost_up(self._overrun(rating), terms.price)
        if way is Way.STREAMING:
            step = _cost_up(self.step, terms.price)
            return Risk(driver=min(step, terms.budget), operator=step + overrun)
        return Risk(driver=terms.budget, operator=overrun)

    def first_cumulative(self, terms: ChargeTerms) -> int:
        """Give the least first voucher: for 100 Wh, or for the whole budget where that is less."""
        return terms.base + min(terms.budget, max(1, cost_of(self.step, terms.price)))

    def wanted_cumulative(self, session: Session) -> int:
        """Give what the next voucher should reach: 100 Wh ahead, or what was metered where all is over."""
        ahead = self.step if session.state in _FLOWING else 0
        cost = cost_of(Wh(session.delivered + ahead), session.terms.price)
        return session.terms.base + min(session.terms.budget, cost)

    def _overrun(self, rating: W) -> Wh:
        seconds = int((self.sample_interval + self.stop_latency).total_seconds())
        return Wh(energy_from_watts(rating, seconds) + 1)


def owed_cumulative(session: Session) -> int:
    """Give what a voucher must reach to cover all that was metered, within the budget."""
    terms = session.terms
    return terms.base + min(terms.budget, cost_of(session.delivered, terms.price))


def is_covered(session: Session) -> bool:
    """Tell whether the vouchers reach what was metered; a session without vouchers is paid otherwise."""
    return session.voucher_cumulative is None or session.voucher_cumulative >= owed_cumulative(session)


def due_for(session: Session, energy: Wh) -> int:
    """Give what is billed for energy: its cost, at most the budget, and at most what the vouchers cover."""
    terms = session.terms
    due = min(cost_of(energy, terms.price), terms.budget)
    if session.voucher_cumulative is None:
        return due
    return min(due, session.voucher_cumulative - terms.base)


def takes_vouchers(session: Session) -> bool:
    """Tell whether a further voucher can still count, as far as the state says."""
    return session.state not in TERMINAL | {State.RESERVED, State.REFUNDING}


def _cost_up(energy: Wh, price: Price) -> int:
    return -(-energy * price // 1000)
