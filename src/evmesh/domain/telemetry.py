"""One value of a charger at one time: what flows on the bus and into the time series."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ValueName(StrEnum):
    """The values of the generic charger state; the unit is said here and nowhere on the wire."""

    OPERATION_STATE = "OperationState"
    TOTAL_ENERGY_CONSUMPTION = "TotalEnergyConsumption"  # Wh, lifetime import register
    POWER_OUTPUT = "PowerOutput"  # W, positive into the car
    OUTPUT_CURRENT = "OutputCurrent"  # mA on the most loaded phase, measured
    MAXIMUM_OUTPUT_CURRENT = "MaximumOutputCurrent"  # mA, the limit in force
    CONNECTED_VEHICLE = "ConnectedVehicle"  # what the car calls itself; null without a car
    SESSION_ENERGY = "SessionEnergy"  # Wh since plug-in
    STATE_OF_CHARGE = "StateOfCharge"  # whole percent
    AVAILABILITY = "Availability"
    GENERATED_POWER = "GeneratedPower"  # W that a PV inverter feeds in
    GENERATED_ENERGY = "GeneratedEnergy"  # Wh, lifetime register of a PV inverter
    BATTERY_POWER = "BatteryPower"  # W, positive into a stationary battery
    AVAILABLE_ENERGY = "AvailableEnergy"  # Wh that a stationary battery can give now
    READINGS_LOST = "ReadingsLost"  # readings that a gateway had no room to keep, in all
    METER_ID = "MeterId"  # which meter the registers are of: `serial 4711`, or since when it is another one
    NAME_CONFLICTS = "NameConflicts"  # how often another publisher of the same name pushed this one off
    CLOCK_SKEW = "ClockSkew"  # ms that a gateway's clock is ahead of the ingest's


ANOTHER_METER = "another since "
"""How a `MeterId` begins that a person's word stands behind; the instant follows."""


class OperationState(StrEnum):
    """What a charger is doing."""

    UNKNOWN = "unknown"
    OFF = "off"
    IDLE = "idle"
    CHARGING = "charging"
    SCHEDULED_DOWNTIME = "scheduled_downtime"
    UNSCHEDULED_DOWNTIME = "unscheduled_downtime"


class Availability(StrEnum):
    """Whether a charger, or a publisher, can be heard."""

    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class TelemetryValue:
    """One value of the generic charger state, DESIGN section 8: topic `chargers/{charger}/{value}`."""

    charger: str
    name: str
    at: datetime
    value: int | str | None


@dataclass(frozen=True, slots=True)
class NumberedValue:
    """A value with its number in one run (`boot`) of its publisher: (charger, boot, seq) is its identity."""

    value: TelemetryValue
    boot: str
    seq: int


@dataclass(frozen=True, slots=True)
class Ack:
    """What is in the database of one run of one charger's publisher."""

    charger: str
    boot: str
    ranges: tuple[tuple[int, int], ...]
    """Each (first, last), both included; ascending, with a gap between any two."""
    at: datetime | None = None
    """When it was said, by the ingest's clock."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a charger is told: `set/{what}`. `value` is in the unit of that value."""

    charger: str
    what: str
    id: str
    expires_at: datetime
    value: int


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What became of a command; `code` is empty where it was done."""

    charger: str
    what: str
    id: str
    code: str = ""
    why: str = ""
