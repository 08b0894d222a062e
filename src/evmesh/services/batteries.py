"""A group's battery as the planner sees it, and what the newest plan asks of it."""

from datetime import datetime, timedelta

from evmesh.domain.problem_tree import Battery
from evmesh.domain.time_grid import STEP_S
from evmesh.domain.units import SECONDS_PER_HOUR, W, Wh, energy_from_watts
from evmesh.planning.battery import above
from evmesh.services.directory import Group
from evmesh.services.sources import Sources

_PERCENT = 100


def stored_in(group: Group, sources: Sources, start: datetime, planned: W | None) -> Battery | None:
    """Give the battery as it will be at `start`, by its state and by what is `planned` for it until then.

    Rather too empty: it counts with what it is planned to give, and with what it has been asked to take.
    None where there is none, or it does not tell how full it is. Energy counts as metered on its way in.
    """
    battery, percent = group.equipment.battery, sources.seen(group).soc_percent
    if battery is None or percent is None:
        return None
    stored = battery.capacity * percent // _PERCENT
    power = min(sources.asked(battery.name) or 0, planned or 0)
    seconds = max(0, (start - sources.now) // timedelta(seconds=1))
    moved = power * seconds // SECONDS_PER_HOUR
    stored += moved if moved >= 0 else moved * 1_000 // battery.efficiency
    stored = min(battery.capacity, max(0, stored))
    return Battery(
        id=battery.name,
        group=above(group.name),
        capacity_wh=battery.capacity,
        max_in_wh=energy_from_watts(battery.max_in, STEP_S),
        max_out_wh=energy_from_watts(battery.max_out, STEP_S),
        efficiency=battery.efficiency,
        stored_wh=Wh(stored),
        final_wh=Wh(min(stored, battery.keep)),
    )
