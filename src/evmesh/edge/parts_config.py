"""What a station is built from, and where each part is."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PartAt:
    """One part: its driver, its line (`/dev/ttyUSB0`, `tcp://host:port`), its Modbus unit.

    The line is empty where a site file leaves it to the simulation.
    """

    driver: str
    line: str
    unit: int | None = None


@dataclass(frozen=True, slots=True)
class CoilAt:
    """A contactor: a coil, counted from 0, of a Modbus unit; at the speed of the meter's line."""

    line: str
    unit: int
    coil: int = 0


@dataclass(frozen=True, slots=True)
class PartsConfig:
    """What a station is made of. `lamp` is a directory of Linux's multicolor class."""

    controller: PartAt
    meter: PartAt
    contactor: CoilAt | None = None
    lamp: Path | None = None
