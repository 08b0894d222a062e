"""What the simulation is given: stations, visits, where the platform is, and what misbehaves."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import StationId
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.sim.misbehave import BEHAVES, Misbehaviour
from evmesh.sim.visits import Visit


@dataclass(frozen=True, slots=True)
class SimConnector:
    """One place to plug in. `name` is what visits call it, `code` what is printed on it.

    `signing_serial` is the serial number of a meter that signs; empty where it does not.
    """

    number: int
    name: str
    rating: W
    phases: int
    max_current: Milliamp
    code: str = ""
    signing_serial: str = ""


@dataclass(frozen=True, slots=True)
class SimParts:
    """What a station is built from, where it is no OCPP charge point.

    `lines` is where its serial lines are found: `controller`, for one with a line of its own, and `bus`,
    which has all units that speak Modbus.
    """

    controller: str
    """`smartevse-2` or `smartevse-3`."""
    meter: str
    """`eastron-sdm630` or `gavazzi-em340`."""
    lines: Path
    lamp: Path
    meter_unit: int = 1
    controller_unit: int = 2
    contactor: tuple[int, int] | None = None
    """Unit and coil."""


@dataclass(frozen=True, slots=True)
class SimCharger:
    """A Mennekes that stands for itself: people charge there, and nobody here is told."""

    name: str
    key: str
    port: int
    current: Milliamp


@dataclass(frozen=True, slots=True)
class SimEquipment:
    """What stands beside the charge points: PV, the meter of other equipment, or a battery."""

    name: str
    kind: str
    """`pv`, `load` or `battery`."""
    port: int
    most: W
    latitude_udeg: int
    longitude_udeg: int
    capacity: Wh = Wh(0)  # noqa: RUF009 - a number
    efficiency: int = 1_000


@dataclass(frozen=True, slots=True)
class SimStation:
    """One station: an OCPP charge point with connectors 1 to n, or one that is built from parts."""

    id: StationId
    vendor: str
    model: str
    serial: str
    group: str
    connectors: tuple[SimConnector, ...]
    firmware: str = "1.0"
    password: str | None = None
    """OCPP security profile 1, where the CSMS wants it."""
    parts: SimParts | None = None

    def __post_init__(self) -> None:
        numbers = [connector.number for connector in self.connectors]
        if numbers != list(range(1, len(numbers) + 1)):
            raise InvalidInput(
                "sim.bad_connectors", f"{self.id} must number its connectors from 1", path="connector"
            )


@dataclass(frozen=True, slots=True)
class SimTiming:
    """How often things happen. Names with `wall` are seconds of wall time, all others of platform time."""

    tick_s: int = 10
    """Between two looks at the physics; the integration itself never takes longer steps than 10 s."""
    watch_s: int = 300
    """Between two looks of a driver at the own session."""
    api_retry_s: int = 5
    api_retry_max_s: int = 300
    receipt_patience_s: int = 6 * 3600
    """How long a driver who left keeps asking for the receipt."""
    call_timeout_wall_s: int = 30
    reconnect_wall_ms: int = 500
    reconnect_max_wall_ms: int = 2_000


@dataclass(frozen=True, slots=True)
class SimConfig:
    """Everything `Simulation` needs to know.

    `ocpp_url` is the CSMS's address without the station, e.g. `ws://127.0.0.1:9000/ocpp`; `api_url` is
    e.g. `http://127.0.0.1:8080`. `misbehaviour` is by station id or driver name.
    """

    state_dir: Path
    ocpp_url: str
    api_url: str
    stations: tuple[SimStation, ...]
    visits: tuple[Visit, ...] = ()
    misbehaviour: Mapping[str, Misbehaviour] = field(default_factory=dict)
    timing: SimTiming = SimTiming()
    chargers: tuple[SimCharger, ...] = ()
    equipment: tuple[SimEquipment, ...] = ()

    def __post_init__(self) -> None:
        known = {connector.name for station in self.stations for connector in station.connectors}
        known |= {charger.name for charger in self.chargers}
        for visit in self.visits:
            if visit.connector not in known:
                raise InvalidInput(
                    "sim.unknown_connector",
                    f"{visit.driver} wants to visit {visit.connector}, which the site does not have",
                    do="name a connector of the site file in the sessions file",
                    path="connector",
                )

    def behaviour_of(self, name: str) -> Misbehaviour:
        """Give how the station or driver of this name misbehaves; by default it does not."""
        return self.misbehaviour.get(name, BEHAVES)
