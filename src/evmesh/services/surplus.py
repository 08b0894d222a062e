"""What PV has left after other equipment, quarter-hour by quarter-hour: for cars, or for the grid.

Plants and other equipment may hang on the group's own cable and on those of its parts. What a part has left
goes up its cable, as far as that carries; what is left at the group's own cable is what cars may have
cheaper, wherever in the group they stand. Which plant it is of, where they earn differently: other
equipment has what earns least.
"""

from datetime import datetime, timedelta

from evmesh.domain.equipment import LoadMeter, Pv
from evmesh.domain.money import Price
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import W, Wh, energy_from_watts
from evmesh.planning.forecast import expected_wh
from evmesh.services.directory import Group, Node
from evmesh.services.plan_in_force import step_start
from evmesh.services.source_values import SourceValues

_STEP = timedelta(seconds=STEP_S)


def surplus_of(group: Group, begin: datetime, values: SourceValues) -> tuple[tuple[Wh, Price], ...]:
    """Give it for the quarter-hour from `begin`, with what each part of it earns; the cheapest first.

    Measured where it is over, as in the last five minutes for the running one, expected later.
    """
    made = {
        level.equipment.pv.name: _made(level.equipment.pv, begin, values)
        for level in group.levels
        if level.equipment.pv is not None
    }
    if not made:
        return ()
    left = max(0, _left(group, begin, values, made))
    found: dict[Price, int] = {}
    plants = [level.equipment.pv for level in group.levels if level.equipment.pv is not None]
    for plant in sorted(plants, key=lambda one: -one.feed_in):
        some = min(left, made[plant.name])
        found[plant.feed_in] = found.get(plant.feed_in, 0) + some
        left -= some
    return tuple((Wh(found[price]), price) for price in sorted(found))


def _left(group: Group, begin: datetime, values: SourceValues, made: dict[str, int]) -> int:
    """Give what is left at the group's own cable; below 0 where the grid has to bring more."""
    sums: dict[str, int] = dict.fromkeys((level.name for level in group.levels), 0)
    for level in reversed(group.levels):
        plant = level.equipment.pv
        sums[level.name] += 0 if plant is None else made[plant.name]
        sums[level.name] -= _taken(level, begin, values)
        if isinstance(level, Node):
            carried = min(sums[level.name], energy_from_watts(level.capacity, STEP_S))
            sums[level.parent or group.name] += carried
    return sums[group.name]


def _made(plant: Pv, begin: datetime, values: SourceValues) -> int:
    if begin + _STEP <= values.now:
        made = values.metered(plant.name, begin)
    elif begin <= values.now:
        power = values.mean(plant.name)
        made = _energy(power or W(0))
    else:
        made = _expected(plant, begin, values)
    return max(0, made or 0)


def _expected(plant: Pv, begin: datetime, values: SourceValues) -> Wh:
    last = step_start(values.now) - _STEP
    given = values.metered(plant.name, last)
    if given is None:
        given = _energy(values.power(plant.name) or W(0))
    ahead = (begin - step_start(values.now)) // _STEP
    then, before = values.same_time(plant.name, begin), values.same_time(plant.name, last)
    return expected_wh(ahead, then, before, given, _energy(plant.peak))


def _taken(level: Group | Node, begin: datetime, values: SourceValues) -> int:
    """Give what a level's other equipment takes: by its meter, rounded up; all of it where there is none."""
    load = level.equipment.load
    metered = None if load is None else _metered(load, begin, values)
    if load is None or metered is None:
        return _energy(level.other)
    return max(0, metered + 1) + _energy(W(max(0, level.other - load.most)))


def _metered(load: LoadMeter, begin: datetime, values: SourceValues) -> int | None:
    """Give what was metered; in future the most of this time of the last days, at first what it takes now."""
    if begin + _STEP <= values.now:
        return values.metered(load.name, begin)
    usual = values.same_time(load.name, begin) if begin > values.now else []
    if usual:
        return max(usual)
    power = values.mean(load.name)
    return None if power is None else _energy(power)


def _energy(power: W) -> Wh:
    return energy_from_watts(power, STEP_S)
