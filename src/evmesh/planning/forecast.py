"""What PV is expected to give in the quarter-hours to come: as on the last days, corrected by today.

Persistence: a quarter-hour gives what it gave on average on the last days, at the same time of the day. How
today differs is known of the quarter-hour that has just ended; that counts in full at once and for less the
later it gets, until after `FADE_STEPS` only the days before speak. Nothing is promised on it: a plan that
expected too much costs more, and that is all.
"""

from collections.abc import Sequence
from typing import Final

from evmesh.domain.units import Wh

FADE_STEPS: Final = 16
"""Quarter-hours after which the sky of today says nothing more: four hours."""

BLIND_STEPS: Final = 4
"""Where no earlier day is known, today's sky is taken to stay for so many quarter-hours, fading."""


def expected_wh(ahead: int, then: Sequence[Wh], before: Sequence[Wh], last: Wh, most: Wh) -> Wh:
    """Give what is expected of the quarter-hour that begins `ahead` steps after the last one ended.

    Shapes: `then` [day] what the same quarter-hour gave on earlier days; `before` [day] what the one gave
    that has now ended with `last`. Rounded down, 0 to `most`.
    """
    if not then:
        return Wh(max(0, min(most, last * max(0, BLIND_STEPS - ahead) // BLIND_STEPS)))
    usual, weight = sum(then) // len(then), max(0, FADE_STEPS - ahead)
    usual_before = sum(before) // len(before) if before else 0
    today = usual
    if usual_before > 0:
        today = usual * last // usual_before
    return Wh(max(0, min(most, (usual * (FADE_STEPS - weight) + today * weight) // FADE_STEPS)))
