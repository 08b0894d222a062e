"""What a group-day's flexibility was worth, and who earned how much of it.

From metered facts only: m is what each car drew, b what it would have drawn as soon as possible
from its real plug-in at the power that it really showed, within the group's capacity and in the
order of the plug-ins. Stated departures and energies play no part, so stating them differently
cannot change b. A car earns for moving energy from steps where a Wh was dear to steps where it was
cheap, and all cars together no more than the operator's share of what was saved by it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evmesh.domain.errors import InvalidInput
from evmesh.domain.problem import SupplySegment
from evmesh.domain.time_grid import TimeGrid

PER_MILLE = 1_000
_WH_PER_KWH = 1_000


@dataclass(frozen=True, slots=True)
class MeteredStay:
    """One car's day as the meter saw it: `wh[k]` drawn in the k-th step, from the plug-in's on.

    The row reaches to the step of the unplug, with zeros where nothing was drawn.
    """

    id: str
    plugged_at: datetime
    wh: tuple[int, ...]
    opted_out: bool = False

    def __post_init__(self) -> None:
        if any(wh < 0 for wh in self.wh):
            raise InvalidInput("flexibility.negative", "metered energy is not negative", path=self.id)

    @property
    def shown_wh(self) -> int:
        """The power that the car really showed, as Wh in one step."""
        return max(self.wh, default=0)


@dataclass(frozen=True, slots=True)
class GroupDay:
    """What the group's day was priced at: supply segments, and λ [step] of the plans in force.

    `share_per_mille` is how much of the avoided cost the operator passes on.
    """

    grid: TimeGrid
    supply: tuple[SupplySegment, ...]
    step_price: tuple[int, ...]
    share_per_mille: int

    def __post_init__(self) -> None:
        if not 0 <= self.share_per_mille <= PER_MILLE:
            raise InvalidInput(
                "flexibility.bad_share", "a share is 0 to 1000 per mille", path="share_per_mille"
            )
        if len(self.step_price) != self.grid.steps:
            raise InvalidInput("flexibility.step_count", "one price per step is needed", path="step_price")
        if any(segment.step >= self.grid.steps for segment in self.supply):
            raise InvalidInput(
                "flexibility.outside_horizon", "a segment lies after the last step", path="supply"
            )


@dataclass(frozen=True, slots=True)
class Rewards:
    """Micro-currency per stay id, and what it was derived from.

    `avoided_millis` is cost(b) − cost(m) in Wh × price, so thousandths of a micro-currency; negative
    where the group paid more than it would have. `baselines` holds b as rows like the stays'.
    """

    by_id: dict[str, int]
    avoided_millis: int
    baselines: dict[str, tuple[int, ...]]


def rewards(day: GroupDay, stays: Sequence[MeteredStay]) -> Rewards:
    """Give each stay's reward, rounded down; the order of the stays does not matter.

    R = max(0, Σ λ′ (b − m)) with λ′ = λ capped at the step's dearest tariff; opt-outs get 0. All R
    are scaled down together where they would pass the operator's share of the avoided cost.
    Raises InvalidInput where a stay leaves the day or draws energy in a step that has no tariff.
    """
    stays = sorted(stays, key=lambda stay: (stay.plugged_at, stay.id))
    cheapest_first = _segments(day, stays)
    baselines = _baselines(day, cheapest_first, stays)
    avoided = _cost(day, cheapest_first, stays, baselines) - _cost(
        day, cheapest_first, stays, {stay.id: stay.wh for stay in stays}
    )
    raw = {stay.id: _raw(day, cheapest_first, stay, baselines[stay.id]) for stay in stays}
    budget = max(0, avoided) * day.share_per_mille
    wanted = sum(raw.values()) * PER_MILLE
    scale, unit = (budget, wanted) if wanted > budget else (1, 1)
    return Rewards(
        by_id={stay: reward * scale // unit // _WH_PER_KWH for stay, reward in raw.items()},
        avoided_millis=avoided,
        baselines=baselines,
    )


def _segments(day: GroupDay, stays: Sequence[MeteredStay]) -> list[list[SupplySegment]]:
    """Give each step's segments, cheapest first, after checking that they price what was drawn."""
    by_step: list[list[SupplySegment]] = [[] for _ in range(day.grid.steps)]
    for segment in sorted(day.supply, key=lambda one: one.price):
        by_step[segment.step].append(segment)
    if len({stay.id for stay in stays}) != len(stays):
        raise InvalidInput("flexibility.duplicate_id", "two stays have the same id", path="stays")
    for stay in stays:
        first = day.grid.index_of(stay.plugged_at)
        if first + len(stay.wh) > day.grid.steps:
            raise InvalidInput("flexibility.outside_horizon", "a stay ends after the last step", path=stay.id)
        for step, wh in enumerate(stay.wh, first):
            if wh and not by_step[step]:
                raise InvalidInput("flexibility.no_tariff", f"step {step} has no tariff", path=stay.id)
    return by_step


def _baselines(
    day: GroupDay, cheapest_first: list[list[SupplySegment]], stays: Sequence[MeteredStay]
) -> dict[str, tuple[int, ...]]:
    """Charge everybody as soon as possible, first come first served, within each one's stay.

    A car that this would send away with less than it got cannot have that as its baseline: it keeps
    its metered row, which has its place first, and the others are placed anew around it.
    """
    kept: set[str] = set()
    while True:
        room: list[int] = [sum(segment.cap_wh for segment in segments) for segments in cheapest_first]
        rows = {stay.id: stay.wh for stay in stays if stay.id in kept}
        for stay in stays:
            if stay.id in kept:
                for step, wh in enumerate(stay.wh, day.grid.index_of(stay.plugged_at)):
                    room[step] -= wh
        for stay in stays:
            if stay.id not in kept:
                rows[stay.id] = _as_soon_as_possible(day.grid, stay, room)
        short = {stay.id for stay in stays if sum(rows[stay.id]) < sum(stay.wh)}
        if not short:
            return rows
        kept |= short


def _as_soon_as_possible(grid: TimeGrid, stay: MeteredStay, room: list[int]) -> tuple[int, ...]:
    """Place the stay's energy from its plug-in on; takes it out of `room` [step].

    The step of the plug-in gives only its rest, or what the car really drew in it.
    """
    left, row = sum(stay.wh), []
    first = grid.index_of(stay.plugged_at)
    rest = grid.bounds(first)[1] - stay.plugged_at
    for number in range(len(stay.wh)):
        step, most = first + number, stay.shown_wh
        if not number:
            most = max(stay.wh[0], stay.shown_wh * rest // grid.length)
        wh = max(0, min(left, most, room[step]))
        room[step] -= wh
        left -= wh
        row.append(wh)
    return tuple(row)


def _cost(
    day: GroupDay,
    cheapest_first: list[list[SupplySegment]],
    stays: Sequence[MeteredStay],
    rows: dict[str, tuple[int, ...]],
) -> int:
    """Give Σ Wh × price; what a meter counted beyond the supply costs the dearest tariff."""
    load = [0] * day.grid.steps
    for stay in stays:
        for step, wh in enumerate(rows[stay.id], day.grid.index_of(stay.plugged_at)):
            load[step] += wh
    total = 0
    for left, segments in zip(load, cheapest_first, strict=True):
        for segment in segments:
            used = min(left, segment.cap_wh)
            total += used * segment.price
            left -= used
        if left:
            total += left * segments[-1].price
    return total


def _raw(
    day: GroupDay, cheapest_first: list[list[SupplySegment]], stay: MeteredStay, baseline: tuple[int, ...]
) -> int:
    if stay.opted_out:
        return 0
    worth, first = 0, day.grid.index_of(stay.plugged_at)
    for step, (before, after) in enumerate(zip(baseline, stay.wh, strict=True), first):
        if before != after:
            worth += min(day.step_price[step], cheapest_first[step][-1].price) * (before - after)
    return max(0, worth)
