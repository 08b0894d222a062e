"""What stands beside a group's charge points, as the page shows it: PV, other equipment, battery."""

from typing import Any

from evmesh.domain.units import W
from evmesh.services.directory import Group, Node
from evmesh.services.sources import Sources

Json = dict[str, Any]


class EquipmentView:
    """Reads what was told last; null where it is not known."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources

    def of(self, group: Group) -> Json | None:
        """Give a group's equipment; None where it has none."""
        present = self._sources.at_present(group)
        parts = [
            {"name": node.name} | self._level(node, now.other)
            for node, now in zip(group.nodes, present.nodes, strict=True)
            if node.equipment.names
        ]
        if not group.equipment.names and not parts:
            return None
        return self._level(group, present.others) | {"parts": parts}

    def _level(self, level: Group | Node, counted: W) -> Json:
        one, seen = level.equipment, self._sources.seen(level)
        return {
            "pv": None
            if one.pv is None
            else {
                "power_w": seen.pv,
                "peak_w": one.pv.peak,
                "beyond_rating": self._sources.is_beyond(one.pv.name),
            },
            "other": None
            if one.load is None
            else {
                "power_w": seen.other,
                "counted_w": counted,
                "beyond_rating": self._sources.is_beyond(one.load.name),
            },
            "battery": None
            if one.battery is None
            else {
                "power_w": seen.battery,
                "soc_percent": seen.soc_percent,
                "capacity_wh": one.battery.capacity,
                "asked_w": self._sources.asked(one.battery.name),
                "beyond_rating": self._sources.is_beyond(one.battery.name),
            },
        }
