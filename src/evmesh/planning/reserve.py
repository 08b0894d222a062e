"""How much of a step is not promised, so that what is promised can be delivered.

Currents are 0 or at least 6 A and last for minutes; limits arrive late and cars follow them with a
delay. A step that is promised to the last Wh is therefore not delivered to the last Wh.

What a step can lose to the least current comes to a sum. Take a cabinet that carries its largest
outlets at full power, and a little more: less than 12 A. Where only these cars draw, that little is
left unused; where another draws its 6 to 12 A for a minute, they must draw less. A car that is
planned at 90 % of its outlet can catch up with a tenth of a step. If that tenth is used up in fewer
minutes than the step has, the other minutes' little is lost.
"""

from collections.abc import Sequence

from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh, energy_from_watts

RESERVE_PERCENT = 5
"""Of a step's supply: what delays and rounding take."""

UNSHOWN_POWER_PERCENT = 90
"""Of its outlet's rating: what a car is planned with until it has shown its power. Many on-board chargers
take 6.6 kW where the outlet could give 7.4; a plan at full rating would leave them short at the end, and
without a minute in which to make room for others."""

_MINUTES = range(10, STEP_S // 60 + 1)
"""For which rests of a step, in minutes, the reserve is enough."""


def reserve_wh(step_wh: Wh, capacity: W, ratings: Sequence[W], least: W) -> Wh:
    """Give what is kept back of a step's supply, rounded up; it may be more than the supply.

    5 %, or what the least current can cost where that is more; and what rounding up to a minute at it
    costs: one minute where others can draw less meanwhile, but one for each outlet of a cabinet that
    carries one car at a time, which has no such play.
    """
    minute = energy_from_watts(least, 60)
    minutes = minute if capacity >= 2 * least else minute * len(ratings)
    lost = energy_from_watts(unusable(capacity, ratings, least), STEP_S)
    return Wh(max(-(-step_wh * RESERVE_PERCENT // 100), lost) + minutes)


def unusable(capacity: W, ratings: Sequence[W], least: W) -> W:
    """Give the most that a step can lose on average because nobody draws less than `least` (6 A).

    `ratings` are the outlets', of 16 A or more; 0 where all are small against the capacity, or where
    the largest can use all of it.
    """
    largest = sorted(ratings, reverse=True)
    worst = carried = 0
    for count, rating in enumerate(largest[:-1], 1):
        carried += rating
        beside = capacity - carried
        if 0 < beside < 2 * least:
            starved = count == 1 and capacity < 3 * least  # beside 12 A it has not 6 A left
            once = carried if starved else 2 * least - beside
            for minutes in _MINUTES:
                play = carried * minutes * (100 - UNSHOWN_POWER_PERCENT) // 100
                used = _minutes_to_use_up(play, minutes, len(largest) - count, (least - beside, once))
                idle = (minutes - used) * beside + (used * least if starved else 0) * (used < minutes)
                worst = max(worst, idle // minutes)
    return W(worst)


def _minutes_to_use_up(play: int, most: int, others: int, losses: tuple[int, int]) -> int:
    """Give the fewest minutes, or `most`, in which others take the play (watt-minutes) of the largest.

    Each of them can take up to 12 A in one minute, for what is less than 12 A in a minute cannot be
    had in two; in any more minutes 6 A. `losses` are the play that is lost to 6 A and to 12 A.
    """
    often, once = losses
    for minutes in range(1, most):
        for full in range(1, min(minutes, others) + 1):
            if full * once + (minutes - full) * often > play:
                return minutes
    return most
