"""The driver's own eye on a charge that is paid as it flows: what to sign next, and when to stop.

The station says what it metered and what it wants. The driver signs no more than the cost of what was
metered and 100 Wh, whatever is wanted, and trusts the meter only as far as the outlet's rating and
the driver's own clock allow; a car also as far as its battery has filled.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from evmesh.domain.money import Price, cost_of
from evmesh.domain.readings import most_growth
from evmesh.domain.streaming import STEP
from evmesh.domain.units import W, Wh

_LOST_PERCENT: Final = 10
_LOST: Final = Wh(200)
"""What may be metered and not reach the battery: a charger's losses, and what a sample is late."""


@dataclass(frozen=True, slots=True)
class Pay:
    """Sign a voucher of this total."""

    cumulative: int


@dataclass(frozen=True, slots=True)
class Hold:
    """What is signed is enough."""


@dataclass(frozen=True, slots=True)
class Distrust:
    """Sign nothing more, and say stop."""

    code: str
    what: str


Decision = Pay | Hold | Distrust


class StreamGuard:
    """One session, from its offer and the outlet's rating."""

    def __init__(self, price: Price, base: int, budget: int, rating: W) -> None:
        self._price = price
        self._base = base
        self._budget = budget
        self._rating = rating
        self._metered = Wh(0)
        self._grew_at = timedelta()

    def first(self) -> int:
        """Give the total of the first voucher: 100 Wh, or the budget where that is less."""
        return max(self._base + min(self._budget, 1), self._most(Wh(0)))

    def look(
        self, elapsed: timedelta, metered: Wh, wanted: int, signed: int, received: Wh | None = None
    ) -> Decision:
        """Say what to do about what the station says.

        `elapsed` is since the first voucher by the driver's own clock, `signed` the highest total so far,
        `received` what a car's own display says that came in.
        """
        if metered < self._metered:
            return Distrust(
                "stream.register_went_back",
                f"the station had metered {self._metered} Wh, and now says {metered} Wh",
            )
        if metered > self._metered:
            self._metered, self._grew_at = metered, elapsed
        possible = most_growth(self._rating, elapsed)
        if metered > possible:
            return Distrust(
                "stream.too_fast",
                f"{metered} Wh in {int(elapsed.total_seconds())} s is more than {self._rating} W can give",
            )
        if received is not None and metered > received * (100 + _LOST_PERCENT) // 100 + _LOST:
            return Distrust(
                "stream.not_received",
                f"the station says {metered} Wh, and the car has received {received} Wh",
            )
        most = self._most(metered)
        if wanted > most:
            return Distrust(
                "stream.wanted_too_much",
                f"a total of {wanted} units is wanted, and {metered} Wh and {STEP} Wh ahead come to {most}",
            )
        return Pay(wanted) if wanted > signed else Hold()

    def stalled(self, elapsed: timedelta) -> timedelta:
        """Give for how long no energy has been metered."""
        return elapsed - self._grew_at

    def _most(self, metered: Wh) -> int:
        return self._base + min(self._budget, cost_of(Wh(metered + STEP), self._price))
