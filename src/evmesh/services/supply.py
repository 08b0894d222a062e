"""What a group can draw in each step and at what price, and what of it is promised."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from evmesh.domain.money import Price
from evmesh.domain.problem import SupplySegment
from evmesh.domain.time_grid import STEP_S, TimeGrid
from evmesh.domain.units import W, Wh, energy_from_watts, watts_from_energy
from evmesh.planning.reserve import reserve_wh
from evmesh.services.caps import GroupCaps
from evmesh.services.courses import steady
from evmesh.services.directory import Group, Supply
from evmesh.services.sources import Sources


def flat_tariff_supply(
    price_at: Callable[[datetime], int], caps: GroupCaps | None = None, sources: Sources | None = None
) -> Supply:
    """Give the supply of groups that draw from the grid at one price a step, and from PV where they have it.

    PV's surplus is a cheaper part of what the group's cable carries, at what it would earn if it was fed in;
    the whole is what it is without it, for nobody promises the sun.

    A step that a cap touches has no more than the cap throughout: what a car can take before or after it
    in the same step is handed out when it comes, but nothing is promised of it.
    """

    def supply(group: Group, grid: TimeGrid) -> tuple[SupplySegment, ...]:
        course = steady(grid.start, group.capacity)
        if caps is not None and group.is_capped:
            course = caps.course(group, grid.start)
        found = []
        for step in range(grid.steps):
            begin, end = grid.bounds(step)
            power = W(max(0, course.least(begin, end) - group.taken - group.others))
            price = Price(price_at(begin))
            whole = energy_from_watts(power, grid.step_s)
            for wh, earns in () if sources is None else sources.surplus(group, begin):
                if earns < price and (cheap := min(wh, whole)):
                    found.append(SupplySegment(step, cheap, earns))
                    whole = Wh(whole - cheap)
            found.append(SupplySegment(step, whole, price))
        return tuple(found)

    return supply


def promisable(group: Group, supply: Sequence[SupplySegment], steps: int) -> tuple[SupplySegment, ...]:
    """Take the reserve out of each step, from its dearest segments."""
    least = max(place.connector.least_power for place in group.places)
    ratings = [place.connector.rating for place in group.places]
    whole = [0] * steps
    for one in supply:
        whole[one.step] += one.cap_wh
    kept_back = [int(reserve_wh(Wh(wh), _power(group, wh), ratings, least)) for wh in whole]
    left: list[SupplySegment] = []
    for one in sorted(supply, key=lambda one: (one.step, -one.price)):
        taken = min(kept_back[one.step], one.cap_wh)
        kept_back[one.step] -= taken
        left.append(replace(one, cap_wh=Wh(one.cap_wh - taken)))
    return tuple(left)


def _power(group: Group, wh: int) -> W:
    """Give the capacity that a step's energy stands for: the group's, or less where a cap lowers it."""
    return min(group.capacity, W(watts_from_energy(Wh(wh + 1), STEP_S)))
