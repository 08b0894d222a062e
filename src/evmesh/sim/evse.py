"""One connector: meter, car, transaction and limit, moved through time in whole seconds.

`EvseRecord` is all that survives a power cut. A car that is plugged in draws what its charge curve and the
offer allow; the same watt-seconds go to the register and into the battery, in one step, so neither
can be ahead of the other on disk.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.units import (
    MIN_CURRENT,
    Milliamp,
    W,
    Wh,
    current_from_watts,
)
from evmesh.sim.car import Car, PilotState
from evmesh.sim.config import SimConnector
from evmesh.sim.meter import Meter
from evmesh.sim.misbehave import BEHAVES, Misbehaviour
from evmesh.sim.profiles import ChargingProfile, Purpose, composite

STEP_S: Final = 10
"""The longest stretch over which power is taken as constant."""
SAFE_CURRENT: Final = MIN_CURRENT


@dataclass(slots=True)
class Authorisation:
    """Somebody may charge here: a transaction begins with the first car until `until`."""

    id_tag: str
    until: datetime


@dataclass(slots=True)
class Transaction:
    """A running transaction. `local` is the station's own number, the CSMS's id may not be known yet."""

    local: int
    id_tag: str
    started_at: datetime
    meter_start: Wh


@dataclass(slots=True)
class EvseRecord:
    """What one connector remembers. `at` is the whole second up to which the physics is done."""

    at: datetime
    meter: Meter = field(default_factory=Meter)
    car: Car | None = None
    authorisation: Authorisation | None = None
    transaction: Transaction | None = None
    profiles: list[ChargingProfile] = field(default_factory=list)
    operative: bool = True
    inoperative_after: bool = False
    """ChangeAvailability came during a transaction: it holds once that has ended."""
    energised: bool = False
    """Current flowed in this transaction, so a pause is a suspension."""


class Evse:
    """One place to plug in; the station calls it, it calls nobody."""

    def __init__(
        self, connector: SimConnector, record: EvseRecord, misbehaviour: Misbehaviour = BEHAVES
    ) -> None:
        self.connector = connector
        self.record = record
        self.sharing = 1
        """How many connectors of the station have a transaction: they share what caps the station."""
        self._misbehaviour = misbehaviour

    @property
    def number(self) -> int:
        return self.connector.number

    def resume(self, now: datetime) -> None:
        """Go on after a power cut: nothing flowed meanwhile."""
        self.record.at = max(self.record.at, _whole_second(now))

    def advance(self, now: datetime) -> None:
        """Let energy flow until `now`, in steps that end on multiples of STEP_S."""
        record = self.record
        until = _whole_second(now)
        if record.transaction is None or record.car is None:
            record.at = max(record.at, until)
            return
        while record.at < until:
            second = int(record.at.timestamp())
            step = min(STEP_S - second % STEP_S, int((until - record.at).total_seconds()))
            energy = min(self.power() * step, record.car.room_ws)
            if energy:
                record.car.receive(energy)
                record.meter.count(energy)
                record.energised = True
            record.at += timedelta(seconds=step)

    def offered(self) -> Milliamp:
        """Give the current per phase that the pilot offers now; 0 where nothing may flow."""
        return self.offered_at(self.record.at)

    def offered_at(self, at: datetime) -> Milliamp:
        """Give what would be offered at `at`, as things stand."""
        record, connector = self.record, self.connector
        if record.transaction is None:
            return Milliamp(0)
        most = min(connector.max_current, current_from_watts(connector.rating, connector.phases))
        if not self._misbehaviour.ignores_limits:
            skew = self._misbehaviour.clock_skew
            start = record.transaction.started_at + skew
            allowed = composite(
                record.profiles, at + skew, start, connector.phases, SAFE_CURRENT, sharing=self.sharing
            )
            most = min(most, allowed)
        return most if most >= MIN_CURRENT else Milliamp(0)

    def power(self) -> W:
        """Give what flows at the instant `record.at`."""
        car = self.record.car
        return W(0) if car is None else car.power_at(self.offered(), self.connector.phases)

    def pilot(self) -> PilotState:
        """Give the state of the control pilot."""
        if self.record.car is None:
            return PilotState.NO_CAR
        return PilotState.CHARGING if self.power() else PilotState.CONNECTED

    def status(self) -> ConnectorStatus:
        """Give what the station would report, OCPP 1.6 section 4.9."""
        record = self.record
        if record.transaction is not None:
            return self._transaction_status()
        if not record.operative:
            return ConnectorStatus.UNAVAILABLE
        if record.authorisation is not None:
            return ConnectorStatus.PREPARING
        if record.car is not None:
            return ConnectorStatus.FINISHING if record.energised else ConnectorStatus.PREPARING
        return ConnectorStatus.AVAILABLE

    def begin(self, local: int, id_tag: str) -> Transaction:
        """Start a transaction at the meter's present register."""
        record = self.record
        record.transaction = Transaction(local, id_tag, record.at, record.meter.register)
        record.authorisation = None
        record.energised = False
        return record.transaction

    def end(self) -> None:
        """End the transaction and forget its profiles; the car may stay plugged in."""
        record = self.record
        record.transaction = None
        record.energised = record.car is not None
        record.profiles = [profile for profile in record.profiles if profile.purpose is not Purpose.TX]
        if record.inoperative_after:
            record.operative, record.inoperative_after = False, False

    def plug(self, car: Car) -> None:
        """Put a car's plug in; raises ValueError where one is in already."""
        if self.record.car is not None:
            raise ValueError(f"{self.connector.name} has a car already")
        self.record.car = car
        self.record.energised = False

    def unplug(self) -> Car:
        """Take the plug out; the station has ended the transaction before."""
        car = self.record.car
        if car is None:
            raise ValueError(f"{self.connector.name} has no car")
        self.record.car = None
        self.record.energised = False
        return car

    def _transaction_status(self) -> ConnectorStatus:
        if not self.offered():
            return ConnectorStatus.SUSPENDED_EVSE
        if self.record.car is None or not self.power():
            return ConnectorStatus.SUSPENDED_EV
        return ConnectorStatus.CHARGING


def _whole_second(instant: datetime) -> datetime:
    return instant.replace(microsecond=0)
