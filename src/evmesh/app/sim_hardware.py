"""Where simulated hardware is found, for those who make it and for those who drive it.

DIR/sim/parts/station-{id}/   bus, controller   links to the pseudo-terminals of this run
                              rgb:status        the lamp
DIR/edge/{name}.pin           the key of a simulated Mennekes; its port is in run.json
"""

import secrets
from collections.abc import Iterator
from pathlib import Path

from evmesh.app.config import SiteConfig, StationConfig
from evmesh.app.run_file import RunFile
from evmesh.app.site_parts import MadeOf, ObservedConfig, unit_of
from evmesh.domain.ids import StationId
from evmesh.domain.units import current_from_watts
from evmesh.sim.config import SimCharger, SimConnector, SimParts, SimStation

PARTS = Path("sim") / "parts"
_PHASES = 3


def home_of(data: Path, station: StationId) -> Path:
    """Give where a station's simulated lines and lamp are."""
    return data / PARTS / f"station-{station}"


def bus_of(data: Path, station: StationId) -> Path:
    """Give the serial line with all units that speak Modbus."""
    return home_of(data, station) / "bus"


def controller_line_of(data: Path, station: StationId) -> Path:
    """Give the serial line of a controller that has one of its own."""
    return home_of(data, station) / "controller"


def lamp_of(data: Path, station: StationId) -> Path:
    """Give the directory of the lamp."""
    return home_of(data, station) / "rgb:status"


def pin_of(data: Path, name: str) -> Path:
    """Give the file with a simulated charger's key; made where it is missing."""
    path = data / "edge" / f"{name}.pin"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_hex(4) + "\n")
        fresh.replace(path)
    return path


def sim_stations(data: Path, site: SiteConfig, codes: dict[str, str]) -> Iterator[SimStation]:
    """Give the stations that the simulation makes: all but real hardware that is driven from here."""
    for group in site.groups:
        for station in group.stations:
            if station.made_of is None or station.made_of.simulated:
                yield _station(data, station, group.name, codes)


def sim_chargers(data: Path, site: SiteConfig, run: RunFile) -> Iterator[SimCharger]:
    """Give the chargers that the simulation makes and that stand for themselves."""
    for one in site.observed():
        if one.simulated:
            key = pin_of(data, one.name).read_text().strip()
            current = current_from_watts(one.rating, _PHASES)
            yield SimCharger(one.name, key, run.devices[one.name], current)


def visited(site: SiteConfig) -> set[str]:
    """Give the names of all places that simulated people may visit."""
    stations = [
        station
        for group in site.groups
        for station in group.stations
        if station.made_of is None or station.made_of.simulated
    ]
    names = {name for station in stations for name, _ in station.connectors}
    return names | {one.name for one in simulated_chargers(site)}


def simulated_chargers(site: SiteConfig) -> tuple[ObservedConfig, ...]:
    """Give the chargers that are looked at and simulated."""
    return tuple(one for one in site.observed() if one.simulated)


def _station(data: Path, station: StationConfig, group: str, codes: dict[str, str]) -> SimStation:
    return SimStation(
        id=station.id,
        vendor=station.info.vendor,
        model=station.info.model,
        serial=station.info.serial,
        group=group,
        connectors=tuple(
            SimConnector(
                number=connector.ref.connector,
                name=name,
                rating=connector.rating,
                phases=connector.phases,
                max_current=connector.max_current,
                code=codes[name],
                signing_serial=connector.evse_id.text if connector.ocmf_key else "",
            )
            for name, connector in station.connectors
        ),
        parts=None if station.made_of is None else _parts(data, station.id, station.made_of),
    )


def _parts(data: Path, station: StationId, made_of: MadeOf) -> SimParts:
    coil = made_of.contactor
    return SimParts(
        controller=made_of.controller.driver,
        meter=made_of.meter.driver,
        lines=home_of(data, station),
        lamp=lamp_of(data, station),
        meter_unit=unit_of(made_of.meter),
        controller_unit=0 if made_of.has_own_line else unit_of(made_of.controller),
        contactor=None if coil is None else (coil.unit, coil.coil),
    )
