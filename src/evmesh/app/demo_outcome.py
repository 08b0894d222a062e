"""Why a charge ended with the energy it has: less than was asked for must be the car's doing, not ours."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Final

from evmesh.domain.errors import IntegrityFailure

Json = dict[str, Any]
_FLOWING: Final = frozenset({"charging", "suspended"})
_TOOK_ALL_PERCENT: Final = 97
"""A car that draws less of its limit than this is held back by itself: limits follow what cars can take."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a car drew and might have drawn at one instant; `soc` in percent."""

    at: datetime
    power_w: int
    limit_w: int
    soc: int | None

    @property
    def takes_less(self) -> bool:
        """Tell whether the car itself drew less than it was offered."""
        return self.power_w * 100 < self.limit_w * _TOOK_ALL_PERCENT


def measured(snapshots: Sequence[Json], session: str) -> list[Measured]:
    """Give what the site showed of a session while it charged, each measure once, in order of time."""
    found = {one.at: one for snapshot in snapshots for one in _measures(snapshot, session)}
    return [found[at] for at in sorted(found)]


def _measures(snapshot: Json, session: str) -> Iterator[Measured]:
    points = {point["code"]: point for group in snapshot["groups"] for point in group["charge_points"]}
    for one in snapshot["sessions"]:
        is_known = one["measured_at"] is not None and one["limit_w"] is not None
        if one["id"] == session and one["state"] in _FLOWING and is_known:
            at, soc = datetime.fromisoformat(one["measured_at"]), points[one["code"]]["soc_percent"]
            yield Measured(at, one["power_w"], one["limit_w"], soc)


def untaken_wh(rating_w: int, measures: Sequence[Measured]) -> int:
    """Give the energy that a charge point could have given and the car did not want, at least.

    Counted is only what lies between two measures at both of which the car drew less than it was
    allowed, and by the greater of the two powers: a battery that fills takes less and less.
    """
    watt_seconds = 0
    for before, after in pairwise(measures):
        if before.takes_less and after.takes_less:
            seconds = int((after.at - before.at).total_seconds())
            watt_seconds += (rating_w - max(before.power_w, after.power_w)) * seconds
    return watt_seconds // 3600


def outcome(asked_wh: int, got_wh: int, rating_w: int, measures: Sequence[Measured]) -> str:
    """Say in a sentence what was asked for, what was charged, and why it is less.

    Less is the car's doing where its battery was full at the end, or where all that is missing could have
    flowed while the car drew less than it was allowed. Raises IntegrityFailure `demo.our_shortfall` where
    the measures show neither.
    """
    said = f"asked {asked_wh:,} Wh, got {got_wh:,} Wh"
    if got_wh >= asked_wh:
        return said
    alone = [one for one in measures if one.takes_less]
    left = untaken_wh(rating_w, measures)
    if measures and measures[-1].soc == 100:
        return f"{said}: the car took less, its battery was full by {_full_at(measures):%H:%M} UTC"
    if left < asked_wh - got_wh:
        raise IntegrityFailure(
            "demo.our_shortfall",
            f"{said}, and only {left:,} Wh of that are missing because the car took less",
        )
    last = alone[-1]
    return (
        f"{said}: the car took less; from {alone[0].at:%H:%M} UTC on {left:,} Wh more were to be had;"
        f" at {last.at:%H:%M} UTC its battery was at {last.soc} % and it drew {last.power_w:,} W"
    )


def _full_at(measures: Sequence[Measured]) -> datetime:
    return next(one.at for one in measures if one.soc == 100)
