"""Stations, connectors and what they say, in OCPP's words but of no OCPP version."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from evmesh.domain.ids import Address, ConnectorRef, EvseId, SessionId, StationId
from evmesh.domain.money import Price
from evmesh.domain.units import MIN_CURRENT, Milliamp, W, Wh, watts_from_current


class ConnectorStatus(StrEnum):
    """OCPP 1.6 section 7.7, ChargePointStatus."""

    AVAILABLE = "Available"
    PREPARING = "Preparing"
    CHARGING = "Charging"
    SUSPENDED_EV = "SuspendedEV"
    SUSPENDED_EVSE = "SuspendedEVSE"
    FINISHING = "Finishing"
    RESERVED = "Reserved"
    UNAVAILABLE = "Unavailable"
    FAULTED = "Faulted"


DRAWING: Final = frozenset(
    {ConnectorStatus.CHARGING, ConnectorStatus.SUSPENDED_EV, ConnectorStatus.SUSPENDED_EVSE}
)
"""A transaction runs on the connector, so that energy may flow."""


@dataclass(frozen=True, slots=True)
class Connector:
    """One place to plug in, as the site file and the registry describe it."""

    ref: ConnectorRef
    evse_id: EvseId
    rating: W
    phases: int
    max_current: Milliamp
    group: str
    latitude_udeg: int
    longitude_udeg: int
    price: Price
    lines: tuple[int, ...] = ()
    """Which lines of the supply its phases are on, in the order of the phases, as it was installed; empty
    where the site file does not say it. A car on one phase loads the first."""
    ocmf_key: bytes = b""
    """The public key of its meter, a DER SubjectPublicKeyInfo, where the meter signs what it says."""
    least_current: Milliamp = MIN_CURRENT
    """The least current that it can offer a car."""

    @property
    def least_power(self) -> W:
        """What its least current carries on all of its phases."""
        return watts_from_current(self.least_current, self.phases)


@dataclass(frozen=True, slots=True)
class AssetFacts:
    """One EVSE as the public registry holds it."""

    asset: int
    owner: Address
    code: str
    rating: W
    price: Price
    deposit_address: Address
    latitude_udeg: int
    longitude_udeg: int
    active: bool
    record_hash: bytes
    base_url: str


@dataclass(frozen=True, slots=True)
class BootInfo:
    """Who a station says it is."""

    vendor: str
    model: str
    serial: str
    firmware: str


@dataclass(frozen=True, slots=True)
class MeterSample:
    """What a station measured at one instant; `register` is lifetime import."""

    at: datetime
    register: Wh | None
    power: W | None = None
    soc_percent: int | None = None
    offered: Milliamp | None = None
    currents: tuple[Milliamp, Milliamp, Milliamp] | None = None
    """What flows on each of three lines, where the station tells it."""
    signed: tuple[bytes, ...] = ()
    """What the meter itself has signed, byte for byte: OCMF records."""


@dataclass(frozen=True, slots=True)
class StartedTransaction:
    """A start as its content, which is its identity: the same content is the same start."""

    connector: ConnectorRef
    id_tag: str
    at: datetime
    meter_start: Wh


@dataclass(frozen=True, slots=True)
class StartAnswer:
    """The answer to a start: the id from the database, and whether the driver may charge."""

    transaction_id: int
    accepted: bool


@dataclass(frozen=True, slots=True)
class StoppedTransaction:
    """An end, identified by station and transaction id."""

    station: StationId
    transaction_id: int
    at: datetime
    meter_stop: Wh
    reason: str
    samples: tuple[MeterSample, ...] = ()


@dataclass(frozen=True, slots=True)
class Transaction:
    """An OCPP transaction: kept whether or not a session stands behind it."""

    id: int
    start: StartedTransaction
    session: SessionId | None
    stop: StoppedTransaction | None


@dataclass(frozen=True, slots=True)
class LimitPeriod:
    """From `offset_s` after the profile's start, at most `limit`; 0 pauses."""

    offset_s: int
    limit: W


@dataclass(frozen=True, slots=True)
class LimitProfile:
    """A limit over time, who set it, and until when it holds."""

    starts_at: datetime
    expires_at: datetime
    periods: tuple[LimitPeriod, ...]
    source: str

    def limit_at(self, instant: datetime) -> W | None:
        """Give the limit at an instant; None before the first period and from the expiry on."""
        if instant >= self.expires_at:
            return None
        offset_s = (instant - self.starts_at).total_seconds()
        begun = [period.limit for period in self.periods if period.offset_s <= offset_s]
        return begun[-1] if begun else None
