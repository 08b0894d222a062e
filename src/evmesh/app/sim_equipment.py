"""The equipment of a site that the simulation makes: what it is, and where it is found."""

from collections.abc import Iterator, Mapping
from typing import Final

from evmesh.app.config import GroupConfig, SiteConfig
from evmesh.app.run_file import RunFile
from evmesh.app.sim_hardware import simulated_chargers
from evmesh.domain.equipment import Equipment
from evmesh.domain.units import W, Wh
from evmesh.sim.config import SimEquipment

DRIVERS: Final[Mapping[str, str]] = {
    "pv": "sunspec-inverter",
    "load": "eastron-sdm630",
    "battery": "sunspec-storage",
}
"""The template that reads each kind of it."""


def simulated_devices(site: SiteConfig) -> list[str]:
    """Give the names of all that needs a port of its own."""
    names = [one.name for one in simulated_chargers(site)]
    return names + sorted(name for group in site.groups for name in group.wiring.simulated)


def simulated_equipment(site: SiteConfig, run: RunFile) -> Iterator[SimEquipment]:
    """Give each piece of equipment that the simulation makes."""
    for group in site.groups:
        for equipment in group.wiring.all_equipment:
            for one in _of(group, equipment, run):
                if one.name in group.wiring.simulated:
                    yield one


def _of(group: GroupConfig, equipment: Equipment, run: RunFile) -> Iterator[SimEquipment]:
    here = group.stations[0].connectors[0][1]
    latitude, longitude = here.latitude_udeg, here.longitude_udeg

    def made(name: str, kind: str, most: int, capacity: int = 0, efficiency: int = 1_000) -> SimEquipment:
        port = run.devices.get(name, 0)
        return SimEquipment(name, kind, port, W(most), latitude, longitude, Wh(capacity), efficiency)

    if (pv := equipment.pv) is not None:
        yield made(pv.name, "pv", pv.peak)
    if (load := equipment.load) is not None:
        yield made(load.name, "load", load.most)
    if (battery := equipment.battery) is not None:
        most = max(battery.max_in, battery.max_out)
        yield made(battery.name, "battery", most, battery.capacity, battery.efficiency)
