"""What a station's parts amount to: the current that may flow, OCPP's status, the lamp's colour. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from evmesh.domain.stations import ConnectorStatus, StartAnswer
from evmesh.domain.units import MIN_CURRENT, Milliamp, W, Wh, current_from_watts
from evmesh.edge.led import Colour
from evmesh.edge.pilot import WITH_CAR, WRONG, Pilot
from evmesh.edge.station_record import Charge, Record, StationConfig

FLOWS: Final = W(100)
"""From here on power is a car's: 6 A on one phase are 1 380 W, and what a meter shows at rest is less."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one look at the parts found. None is not known, and never guessed."""

    pilot: Pilot | None
    register: Wh | None
    power: W | None
    trouble: str = ""
    """What has been wrong for too long: an error code of OCPP 1.6 section 7.6, then words."""
    is_fresh: bool = False
    """A current is offered, and has not been for long: a car takes its time to follow."""
    is_back: bool = False
    """The controller had been away: it may have started anew, and forgotten what it was told."""
    meter: str = ""
    """Which meter the register is of; empty where that is not known."""
    is_other_meter: bool = False
    """The meter is not the one that the charge began with: its register is not known in this charge."""


def allowed(config: StationConfig, record: Record, answer: StartAnswer | None, now: datetime) -> Milliamp:
    """Give the current that may flow on each phase now: none without a charge that was accepted.

    The charge's own profile speaks first, then the default limit, then the safe current.
    """
    charge = record.charge
    if charge is None or charge.stopping or answer is None or not answer.accepted:
        return Milliamp(0)
    limit = None if charge.profile is None else charge.profile.limit_at(now)
    if limit is None:
        limit = record.default_limit
    current = config.safe_current if limit is None else current_from_watts(limit, config.phases)
    current = min(current, config.max_current)
    return current if current >= MIN_CURRENT else Milliamp(0)


def status_of(
    record: Record, answer: StartAnswer | None, seen: Seen, offered: Milliamp
) -> tuple[ConnectorStatus, str] | None:
    """Give status and error; None where nothing is known that would change what was told."""
    if seen.trouble:
        return ConnectorStatus.FAULTED, seen.trouble
    if record.charge is not None:
        status = _in_charge(record.charge, answer, seen, offered)
        return None if status is None else (status, "")
    if record.authorisation is not None:
        return ConnectorStatus.PREPARING, ""
    if seen.pilot is None:
        return ConnectorStatus.UNAVAILABLE, "OtherError whether a car is there is not known"
    if seen.pilot is Pilot.NO_CAR:
        return ConnectorStatus.AVAILABLE, ""
    return (ConnectorStatus.FINISHING if record.is_over else ConnectorStatus.PREPARING), ""


def _in_charge(
    charge: Charge, answer: StartAnswer | None, seen: Seen, offered: Milliamp
) -> ConnectorStatus | None:
    if charge.stopping:
        return ConnectorStatus.FINISHING
    if answer is None:
        return ConnectorStatus.PREPARING
    if seen.power is not None and seen.power >= FLOWS:
        return ConnectorStatus.CHARGING
    if offered == 0:
        return ConnectorStatus.SUSPENDED_EVSE
    if seen.pilot is None or seen.power is None or seen.is_fresh:
        return None
    return ConnectorStatus.SUSPENDED_EV


def colour_of(record: Record, seen: Seen, offered: Milliamp) -> Colour:
    """Give what the lamp shows; dark where nothing is known."""
    if seen.trouble or seen.pilot in WRONG:
        return Colour.RED
    if offered > 0 and record.charge is not None:
        flows = seen.power is not None and seen.power >= FLOWS
        return Colour.DARK_BLUE if flows else Colour.LIGHT_BLUE
    if seen.pilot is Pilot.NO_CAR:
        return Colour.YELLOW
    return Colour.GREEN if seen.pilot in WITH_CAR else Colour.OFF
