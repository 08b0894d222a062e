"""A group's plan as the page draws it: from the running step on, each step by the plan that governs it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from evmesh.app.instants import instant
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh, energy_from_watts
from evmesh.ports import TelemetryStore
from evmesh.services.directory import Group, Place
from evmesh.services.plan_in_force import Plan, step_start

Json = dict[str, Any]
_REGISTER = "TotalEnergyConsumption"
_SAMPLED_EVERY = timedelta(minutes=2)
"""Stations tell their registers at least this often while a car charges."""

_A_MILLISECOND = timedelta(milliseconds=1)


def plan_view(running: Plan | None, newest: Plan | None, group: Group, now: datetime) -> Json | None:
    """Give the steps from the running one to the newest plan's last; None without a plan for them.

    The newest plan begins at the next boundary; what is left of the running step is governed by the
    plan that was newest when it began. A step that no plan governs has no price and no load.
    """
    if newest is None or newest.problem.grid.end <= now:
        return None
    start, grid = step_start(now), newest.problem.grid
    steps = [
        _step(newest if at >= grid.start else running, group, at)
        for at in (start + step * grid.length for step in range((grid.end - start) // grid.length))
    ]
    return {
        "problem_sha256": newest.stored.problem_sha256,
        "schedule_sha256": newest.stored.schedule_sha256,
        "made_at": instant(newest.stored.made_at),
        "start": instant(start),
        "step_s": grid.step_s,
        "supply": [
            {"step": step, "cap_wh": cap, "price": price}
            for step, one in enumerate(steps)
            for cap, price in one.supply
        ],
        "step_price": [one.price for one in steps],
        "load_wh": [one.load for one in steps],
    }


@dataclass(frozen=True, slots=True)
class _Step:
    supply: tuple[tuple[int, int | None], ...]
    price: int | None
    load: int


def _step(plan: Plan | None, group: Group, at: datetime) -> _Step:
    if plan is None or not plan.problem.grid.start <= at < plan.problem.grid.end:
        return _Step(((energy_from_watts(W(group.capacity), STEP_S), None),), None, 0)
    index = plan.problem.grid.index_of(at)
    return _Step(
        supply=tuple((one.cap_wh, one.price) for one in plan.problem.supply if one.step == index),
        price=plan.schedule.step_price[index],
        load=plan.schedule.loads()[index],
    )


@dataclass(frozen=True, slots=True)
class _Drawn:
    """What one charge point drew since a step began, and its mean power until its newest register."""

    energy: Wh
    power: W


class MeteredLoad:
    """What a group drew since the running step began, from the time series: for looking, not for billing."""

    def __init__(self, telemetry: TelemetryStore) -> None:
        self._telemetry = telemetry

    async def of(self, group: Group, now: datetime) -> Json:
        """Give `wh` since the beginning of the running step, until now, and the mean power of that.

        Each charge point's mean is over the time between the register values that it stands on, so that it
        is never above what flowed. `power_w` is None while the step is too young for every one to have told.
        """
        since = step_start(now)
        drawn = [await self._drawn(place, since, now) for place in group.places]
        is_young = now - since < _SAMPLED_EVERY
        return {
            "since": instant(since),
            "until": instant(now),
            "wh": sum(one.energy for one in drawn),
            "power_w": None if is_young else sum(one.power for one in drawn),
        }

    async def _drawn(self, place: Place, since: datetime, now: datetime) -> _Drawn:
        told = await self._telemetry.range(
            place.name.lower(), _REGISTER, since - 2 * _SAMPLED_EVERY, now + timedelta(seconds=1)
        )
        registers = [(one.at, one.value) for one in told if isinstance(one.value, int)]
        if not registers or registers[-1][0] <= since:
            return _Drawn(Wh(0), W(0))  # registers are told while a car charges
        last_at, last = registers[-1]
        energy = max(0, last - _register_at(since, registers))
        is_fresh = now - last_at <= _SAMPLED_EVERY  # else it has stopped, and nothing flows since
        elapsed_ms = ((last_at if is_fresh else now) - since) // _A_MILLISECOND
        return _Drawn(Wh(energy), W(energy * 3_600_000 // max(1, elapsed_ms)))


def _register_at(at: datetime, registers: Sequence[tuple[datetime, int]]) -> int:
    """Give a register at an instant between two of its values, in a straight line, rounded up.

    Before the first one it is the first: charging began with that.
    """
    before = [one for one in registers if one[0] <= at]
    if not before:
        return registers[0][1]
    (begin, low), (end, high) = before[-1], next(one for one in registers if one[0] > at)
    return high - (high - low) * ((end - at) // _A_MILLISECOND) // ((end - begin) // _A_MILLISECOND)
