"""OCPP 1.6 messages that we take and give, as msgspec Structs. Field names are the standard's.

Integers are bounded to what a station can mean (32 bits; registers to 10^15 Wh), so that nothing
further in has to think about larger ones. Members we have no use for are not listed and are passed over.
"""

from typing import Annotated, Final

import msgspec

from evmesh.domain.units import Wh

Int32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
ConnectorNumber = Annotated[int, msgspec.Meta(ge=0, le=65_535)]
REGISTER_BOUND: Final = 10**15
RegisterWh = Annotated[Wh, msgspec.Meta(ge=-REGISTER_BOUND, le=REGISTER_BOUND)]


class Request(msgspec.Struct, frozen=True, rename="camel"):
    """What a station asks."""


class Answer(msgspec.Struct, frozen=True, rename="camel"):
    """What we send."""


class Empty(Answer, frozen=True):
    """An answer that only says: received."""


class BootNotification(Request, frozen=True):
    """Who the station is, after a start."""

    charge_point_vendor: str
    charge_point_model: str
    charge_point_serial_number: str = ""
    charge_box_serial_number: str = ""
    firmware_version: str = ""


class BootNotificationConf(Answer, frozen=True):
    """Whether it may talk to us, what time it is, and how often to say that it is alive."""

    status: str
    current_time: str
    interval: int


class Heartbeat(Request, frozen=True):
    """I am here."""


class HeartbeatConf(Answer, frozen=True):
    """The time."""

    current_time: str


class StatusNotification(Request, frozen=True):
    """What a connector does; connector 0 is the station as a whole."""

    connector_id: ConnectorNumber
    error_code: str
    status: str
    info: str = ""
    timestamp: str | None = None
    vendor_error_code: str = ""


class Authorize(Request, frozen=True):
    """Ask whether this card or app may charge."""

    id_tag: str


class IdTagInfo(Answer, frozen=True):
    """Accepted, Blocked, Expired, Invalid or ConcurrentTx."""

    status: str


class AuthorizeConf(Answer, frozen=True):
    """Whether it may."""

    id_tag_info: IdTagInfo


class StartTransaction(Request, frozen=True):
    """A charge has begun; `meter_start` is the register in Wh."""

    connector_id: ConnectorNumber
    id_tag: str
    meter_start: RegisterWh
    timestamp: str


class StartTransactionConf(Answer, frozen=True):
    """Its number, and whether it may go on."""

    transaction_id: int
    id_tag_info: IdTagInfo


class SampledValue(Request, frozen=True):
    """One number; what is left out has the standard's default (section 7.43)."""

    value: str
    context: str = "Sample.Periodic"
    format: str = "Raw"
    measurand: str = "Energy.Active.Import.Register"
    phase: str | None = None
    location: str = "Outlet"
    unit: str | None = None


class MeterValue(Request, frozen=True):
    """All numbers of one instant."""

    timestamp: str
    sampled_value: tuple[SampledValue, ...] = ()


class MeterValues(Request, frozen=True):
    """Samples of one connector, of a transaction or by the clock."""

    connector_id: ConnectorNumber
    meter_value: tuple[MeterValue, ...]
    transaction_id: Int32 | None = None


class StopTransaction(Request, frozen=True):
    """A charge has ended; `meter_stop` is the register in Wh."""

    transaction_id: Int32
    meter_stop: RegisterWh
    timestamp: str
    reason: str = "Local"
    """The standard's default where it is left out (section 6.49)."""
    transaction_data: tuple[MeterValue, ...] = ()


class DataTransfer(Request, frozen=True):
    """A vendor's own message."""

    vendor_id: str


class StatusConf(Answer, frozen=True):
    """An answer that is one word."""

    status: str


class RemoteStartTransaction(Answer, frozen=True):
    """Begin a charge with this tag."""

    connector_id: int
    id_tag: str


class RemoteStopTransaction(Answer, frozen=True):
    """End this charge."""

    transaction_id: int


class ChangeConfiguration(Answer, frozen=True):
    """Set one configuration key."""

    key: str
    value: str


class SchedulePeriod(Answer, frozen=True):
    """From `start_period` seconds on, at most `limit`."""

    start_period: int
    limit: int


class ChargingSchedule(Answer, frozen=True, omit_defaults=True):
    """A limit over time, in W."""

    charging_schedule_period: tuple[SchedulePeriod, ...]
    charging_rate_unit: str
    start_schedule: str | None = None
    duration: int | None = None


class ChargingProfile(Answer, frozen=True, omit_defaults=True):
    """A schedule, whom it is for, and how long it counts."""

    charging_profile_id: int
    stack_level: int
    charging_profile_purpose: str
    charging_profile_kind: str
    charging_schedule: ChargingSchedule
    transaction_id: int | None = None
    valid_from: str | None = None
    valid_to: str | None = None


class SetChargingProfile(Answer, frozen=True):
    """Put a profile on a connector."""

    connector_id: int
    cs_charging_profiles: ChargingProfile


NO_TRANSACTION: Final = -1
"""What a start is answered that could not even be read: no database gives such an id."""
