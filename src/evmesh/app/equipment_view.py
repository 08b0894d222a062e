"""What stands beside a group's charge points, as the page shows it: PV, other equipment, battery."""

from typing import Any

from evmesh.services.directory import Group
from evmesh.services.sources import Sources

Json = dict[str, Any]


class EquipmentView:
    """Reads what was told last; null where it is not known."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def of(self, group: Group) -> Json | None:
        """Give a group's equipment; None where it has none."""
        one, seen = group.equipment, self._sources.seen(group)
        if not one.names:
            return None
        return {
            "pv": None if one.pv is None else {"power_w": seen.pv, "peak_w": one.pv.peak},
            "other": None
            if one.load is None
            else {"power_w": seen.other, "counted_w": self._sources.at_present(group).others},
            "battery": None
            if one.battery is None
            else {
                "power_w": seen.battery,
                "soc_percent": seen.soc_percent,
                "capacity_wh": one.battery.capacity,
                "asked_w": self._sources.asked(one.battery.name),
            },
        }
