"""A group's batteries as the planner sees them, and what the newest plan asks of them."""

from datetime import datetime, timedelta

from evmesh.domain.equipment import StationaryBattery
from evmesh.domain.problem_shape import TreeShape
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import SECONDS_PER_HOUR, W, Wh, energy_from_watts
from evmesh.planning.battery import Storage
from evmesh.services.directory import Group, Node
from evmesh.services.plan_in_force import Plan
from evmesh.services.sources import Sources

_PERCENT = 100


def storages_of(
    group: Group, sources: Sources, start: datetime, running: Plan | None, shape: object
) -> tuple[Storage, ...]:
    """Give the batteries that tell how full they are, as they will be at `start`.

    Each stands at its part of the group, or at the nearest one around it that is a place in the `shape`:
    inside a part with fuses lines nest instead of parts.
    """
    places = {one.id for one in shape.groups} if isinstance(shape, TreeShape) else {group.name}
    found = []
    for level in group.levels:
        battery, percent = level.equipment.battery, sources.seen(level).soc_percent
        if battery is not None and percent is not None:
            planned = None if running is None else running.battery_power(battery.name, sources.now)
            place = next(one for one in (*_way_up(group, level), group.name) if one in places)
            found.append(_stored(battery, place, percent, sources, start, planned))
    return tuple(found)


def _way_up(group: Group, level: Group | Node) -> list[str]:
    parents = {node.name: node.parent for node in group.nodes}
    at, found = (level.name if isinstance(level, Node) else ""), []
    while at:
        found.append(at)
        at = parents[at]
    return found


def _stored(
    battery: StationaryBattery,
    place: str,
    percent: int,
    sources: Sources,
    start: datetime,
    planned: W | None,
) -> Storage:
    """Give a battery by its state now and by what is `planned` for it until `start`.

    Rather too empty: it counts with what it is planned to give, and with what it has been asked to take.
    Energy counts as metered on its way in.
    """
    stored = battery.capacity * percent // _PERCENT
    power = min(sources.asked(battery.name) or 0, planned or 0)
    seconds = max(0, (start - sources.now) // timedelta(seconds=1))
    moved = power * seconds // SECONDS_PER_HOUR
    stored += moved if moved >= 0 else moved * 1_000 // battery.efficiency
    stored = min(battery.capacity, max(0, stored))
    return Storage(
        place=place,
        name=battery.name,
        capacity=battery.capacity,
        max_in=energy_from_watts(battery.max_in, STEP_S),
        max_out=energy_from_watts(battery.max_out, STEP_S),
        efficiency=battery.efficiency,
        stored=Wh(stored),
        final=Wh(min(stored, battery.keep)),
    )
