"""What a CSMS may ask of a station, OCPP 1.6 chapter 5: each command read, carried out and answered.

Answers follow the specification, not our CSMS: what is unknown is NotImplemented, what belongs to a
feature profile that the station does not have is NotSupported, and a payload that does not hold what
the command needs is answered with the error that OCPP-J has for it (with its own misspelling).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final

from evmesh.sim import messages
from evmesh.sim.profiles import ChargingProfile, Purpose, install
from evmesh.sim.station import Station

_MAX_PROFILES: Final = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """A CALLRESULT, and whether the station reboots after it."""

    payload: messages.Payload
    reboot: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """A CALLERROR."""

    code: str
    description: str


def carry_out(station: Station, action: str, payload: Mapping[str, Any]) -> Answer | Refusal:
    """Do what the CSMS asks; the station's changes are durable when this returns."""
    if action in _NOT_SUPPORTED:
        return Refusal("NotSupported", f"{action} belongs to a profile that this station does not have")
    command = _COMMANDS.get(action)
    if command is None:
        return Refusal("NotImplemented", f"unknown action {action[:40]}")
    try:
        return command(station, payload)
    except KeyError as error:
        return Refusal("OccurenceConstraintViolation", f"{error.args[0]} is missing")
    except TypeError as error:
        return Refusal("TypeConstraintViolation", str(error))
    except ValueError as error:
        return Refusal("PropertyConstraintViolation", str(error))


def _remote_start(station: Station, payload: Mapping[str, Any]) -> Answer:
    raw = payload.get("chargingProfile")
    profile = None if raw is None else ChargingProfile.parse(raw)
    if profile is not None and profile.purpose is not Purpose.TX:
        return _status("Rejected")
    number = None if payload.get("connectorId") is None else _integer(payload, "connectorId")
    id_tag = _text(payload, "idTag", 20)
    return _accepted(station.remote_start(number, id_tag, profile))


def _remote_stop(station: Station, payload: Mapping[str, Any]) -> Answer:
    return _accepted(station.remote_stop(_integer(payload, "transactionId")))


def _set_charging_profile(station: Station, payload: Mapping[str, Any]) -> Answer:
    number = _integer(payload, "connectorId")
    profile = ChargingProfile.parse(payload["csChargingProfiles"])
    if number != 0 and number not in station.evses:
        return _status("Rejected")
    if profile.purpose is Purpose.TX and not _is_of_running(station, number, profile):
        return _status("Rejected")
    if profile.purpose is Purpose.CHARGE_POINT_MAX and number != 0:
        return _status("Rejected")
    numbers = list(station.evses) if number == 0 else [number]
    changed = {n: install(station.evses[n].record.profiles, profile) for n in numbers}
    if any(len(profiles) > _MAX_PROFILES for profiles in changed.values()):
        return _status("Rejected")
    for each, profiles in changed.items():
        station.change_profiles(each, profiles)
    return _status("Accepted")


def _is_of_running(station: Station, number: int, profile: ChargingProfile) -> bool:
    """Say whether a transaction runs on the connector, and is the one the profile names, if it names one."""
    if number == 0 or not station.is_running(number):
        return False
    if profile.transaction_id is None:
        return True
    return station.evse_of(profile.transaction_id) is station.evses[number]


def _clear_charging_profile(station: Station, payload: Mapping[str, Any]) -> Answer:
    cleared = False
    for number, evse in station.evses.items():
        if payload.get("connectorId") in (None, 0, number):
            kept = [profile for profile in evse.record.profiles if not _matches(profile, payload)]
            if len(kept) != len(evse.record.profiles):
                station.change_profiles(number, kept)
                cleared = True
    return _status("Accepted" if cleared else "Unknown")


def _matches(profile: ChargingProfile, payload: Mapping[str, Any]) -> bool:
    if "id" in payload:
        return bool(profile.id == payload["id"])
    purpose, level = payload.get("chargingProfilePurpose"), payload.get("stackLevel")
    return purpose in (None, profile.purpose.value) and level in (None, profile.stack_level)


def _get_composite_schedule(station: Station, payload: Mapping[str, Any]) -> Answer:
    number, duration = _integer(payload, "connectorId"), _integer(payload, "duration")
    evse = station.evses.get(number)
    if evse is None or evse.record.transaction is None:
        return _status("Rejected")
    at = evse.record.at
    periods: list[dict[str, Any]] = []
    for offset in range(0, max(1, min(duration, 86_400)), 60):
        limit = evse.offered_at(at + timedelta(seconds=offset))
        if not periods or periods[-1]["limit"] != Decimal(limit) / 1000:
            periods.append({"startPeriod": offset, "limit": Decimal(limit) / 1000})
    start = messages.wire_time(station.station_time(at))
    schedule = {"duration": duration, "chargingRateUnit": "A", "chargingSchedulePeriod": periods}
    return Answer(
        {
            "status": "Accepted",
            "connectorId": number,
            "scheduleStart": start,
            "chargingSchedule": schedule | {"startSchedule": start},
        }
    )


def _change_configuration(station: Station, payload: Mapping[str, Any]) -> Answer:
    return _status(station.change_setting(_text(payload, "key", 50), _text(payload, "value", 500)))


def _get_configuration(station: Station, payload: Mapping[str, Any]) -> Answer:
    return Answer(station.configuration.answer([str(key) for key in payload.get("key") or ()]))


def _trigger_message(station: Station, payload: Mapping[str, Any]) -> Answer:
    number = payload.get("connectorId")
    if number is not None and number not in station.evses:
        return _status("Rejected")
    evses = [evse for evse in station.evses.values() if number in (None, evse.number)]
    match _text(payload, "requestedMessage", 50):
        case "BootNotification":
            station.outbox.say("BootNotification", messages.boot_notification(station.config))
        case "Heartbeat":
            station.outbox.say("Heartbeat", {})
        case "StatusNotification":
            for evse in evses:
                at = station.station_time(evse.record.at)
                station.outbox.say(
                    "StatusNotification", messages.status_notification(evse.number, evse.status(), at)
                )
        case "MeterValues":
            for evse in evses:
                station.read_meter(evse.number)
        case _:
            return _status("NotImplemented")
    return _status("Accepted")


def _reset(station: Station, payload: Mapping[str, Any]) -> Answer:
    kind = _text(payload, "type", 10)
    if kind not in ("Soft", "Hard"):
        raise ValueError(f"unknown type {kind!r}")
    station.stop_all(f"{kind}Reset")
    return Answer({"status": "Accepted"}, reboot=True)


def _change_availability(station: Station, payload: Mapping[str, Any]) -> Answer:
    number, operative = _integer(payload, "connectorId"), _text(payload, "type", 20) == "Operative"
    if number != 0 and number not in station.evses:
        return _status("Rejected")
    numbers = list(station.evses) if number == 0 else [number]
    at_once = [station.set_operative(each, operative=operative) for each in numbers]
    return _status("Accepted" if all(at_once) else "Scheduled")


def _unlock_connector(station: Station, payload: Mapping[str, Any]) -> Answer:
    number = _integer(payload, "connectorId")
    if number not in station.evses:
        return _status("NotSupported")
    station.unlock(number)
    return _status("Unlocked")


def _clear_cache(station: Station, payload: Mapping[str, Any]) -> Answer:
    return _status("Rejected")  # there is no authorisation cache (AuthorizationCacheEnabled is false)


def _data_transfer(station: Station, payload: Mapping[str, Any]) -> Answer:
    _text(payload, "vendorId", 255)
    return _status("UnknownVendorId")


def _get_diagnostics(station: Station, payload: Mapping[str, Any]) -> Answer:
    _text(payload, "location", 2000)
    return Answer({})  # no file name: there is nothing to upload


def _accepted(done: bool) -> Answer:
    return _status("Accepted" if done else "Rejected")


def _status(status: str) -> Answer:
    return Answer({"status": status})


def _integer(payload: Mapping[str, Any], name: str) -> int:
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer")
    return value


def _text(payload: Mapping[str, Any], name: str, longest: int) -> str:
    value = payload[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text")
    if len(value) > longest:
        raise ValueError(f"{name} is longer than {longest} characters")
    return value


_COMMANDS: Final[Mapping[str, Callable[[Station, Mapping[str, Any]], Answer]]] = {
    "ChangeAvailability": _change_availability,
    "ChangeConfiguration": _change_configuration,
    "ClearCache": _clear_cache,
    "ClearChargingProfile": _clear_charging_profile,
    "DataTransfer": _data_transfer,
    "GetCompositeSchedule": _get_composite_schedule,
    "GetConfiguration": _get_configuration,
    "GetDiagnostics": _get_diagnostics,
    "RemoteStartTransaction": _remote_start,
    "RemoteStopTransaction": _remote_stop,
    "Reset": _reset,
    "SetChargingProfile": _set_charging_profile,
    "TriggerMessage": _trigger_message,
    "UnlockConnector": _unlock_connector,
}
_NOT_SUPPORTED: Final = frozenset(
    {"CancelReservation", "GetLocalListVersion", "ReserveNow", "SendLocalList", "UpdateFirmware"}
)
