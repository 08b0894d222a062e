"""Each CALL and each failure, against what the table in the router's docstring says."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from evmesh.csms import schemas
from evmesh.csms.config import CsmsConfig
from evmesh.csms.frames import Call, CallError
from evmesh.csms.v16.peer import Peer, Registration
from evmesh.csms.v16.router import Answered, answer
from evmesh.domain.errors import IntegrityFailure, Refused
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import BootInfo, ConnectorStatus, StartedTransaction
from evmesh.domain.units import Wh
from tests.drivers.raw_station import NOW, FixedClock, start_payload, stop_payload
from tests.drivers.recording_events import RecordingEvents

STATION = StationId("CP-1")
BOOT = {"chargePointVendor": "V", "chargePointModel": "M", "chargeBoxSerialNumber": "S"}
STATUS = {"connectorId": 1, "errorCode": "NoError", "status": "Available"}


def peer(events: RecordingEvents, registration: Registration = Registration.ACCEPTED) -> Peer:
    return Peer(STATION, events, FixedClock(), CsmsConfig(heartbeat_interval_s=77), registration)


async def ask(of: Peer, action: str, payload: dict[str, Any]) -> Any:
    """Give the payload of the result, the CallError, or None; a result must keep to its schema."""
    reply = await answer(of, Call("id-1", action, payload))
    if not isinstance(reply, Answered):
        assert reply is None or reply.id == "id-1"
        return reply
    assert reply.id == "id-1"
    result = msgspec.to_builtins(reply.payload)
    assert schemas.check_result(action, result) is None
    return result


def meter_values(*sampled: dict[str, str], at: str = "2026-06-01T08:00:00Z") -> dict[str, Any]:
    return {
        "connectorId": 1,
        "transactionId": 7,
        "meterValue": [{"timestamp": at, "sampledValue": list(sampled)}],
    }


async def test_a_boot_is_accepted_with_our_time_and_interval() -> None:
    events = RecordingEvents()
    of = peer(events, Registration.UNKNOWN)
    assert await ask(of, "BootNotification", BOOT) == {
        "status": "Accepted",
        "currentTime": "2026-06-01T08:00:00Z",
        "interval": 77,
    }
    assert events.heard == [("booted", BootInfo("V", "M", "S", ""))]
    assert of.registration is Registration.ACCEPTED


async def test_a_station_that_is_not_ours_is_rejected_whatever_it_was_before() -> None:
    of = peer(RecordingEvents(ours=False), Registration.ACCEPTED)
    assert (await ask(of, "BootNotification", BOOT))["status"] == "Rejected"
    assert of.registration is Registration.REJECTED


async def test_a_heartbeat_is_answered_with_platform_time() -> None:
    assert await ask(peer(RecordingEvents()), "Heartbeat", {}) == {"currentTime": "2026-06-01T08:00:00Z"}


async def test_a_status_carries_the_station_s_time_and_its_error_in_words() -> None:
    events = RecordingEvents()
    fault = {
        "connectorId": 2,
        "errorCode": "GroundFailure",
        "status": "Faulted",
        "info": "relay\0",
        "vendorErrorCode": "E7",
        "timestamp": "2026-06-01T10:00:00+02:00",
    }
    assert await ask(peer(events), "StatusNotification", fault) == {}
    assert await ask(peer(events), "StatusNotification", STATUS) == {}
    assert [what for _, what in events.heard] == [
        (ConnectorRef(STATION, 2), ConnectorStatus.FAULTED, "GroundFailure E7 relay�", NOW),
        (ConnectorRef(STATION, 1), ConnectorStatus.AVAILABLE, "", NOW),
    ]


async def test_a_tag_is_accepted_or_invalid() -> None:
    of = peer(RecordingEvents(funded={"GOOD"}))
    assert await ask(of, "Authorize", {"idTag": "GOOD"}) == {"idTagInfo": {"status": "Accepted"}}
    assert await ask(of, "Authorize", {"idTag": "BAD"}) == {"idTagInfo": {"status": "Invalid"}}


async def test_an_unfunded_start_is_stored_and_answered_invalid() -> None:
    events = RecordingEvents(funded={"TAG"})
    assert await ask(peer(events), "StartTransaction", start_payload()) == {
        "transactionId": 1,
        "idTagInfo": {"status": "Accepted"},
    }
    assert await ask(peer(events), "StartTransaction", start_payload(idTag="STRANGER")) == {
        "transactionId": 2,
        "idTagInfo": {"status": "Invalid"},
    }
    assert StartedTransaction(ConnectorRef(STATION, 1), "STRANGER", NOW, Wh(1000)) in events.transactions


@pytest.mark.parametrize(
    "changes",
    [
        {"idTag": "T" * 21},
        {"vendorExtra": {"a": 1}},
        {"meterStart": 1000.0},
        {"meterStart": 1000.7},
        {"meterStart": "1000"},
        {"connectorId": "1"},
        {"timestamp": "2026-06-01 08:00:00"},
        {"timestamp": "yesterday"},
        {"timestamp": 1780300800},
    ],
)
async def test_a_start_that_breaks_the_schema_and_can_be_read_is_stored(changes: dict[str, Any]) -> None:
    events = RecordingEvents()
    result = await ask(peer(events), "StartTransaction", start_payload(**changes))
    assert result == {"transactionId": 1, "idTagInfo": {"status": "Invalid"}}
    (start,) = events.transactions
    assert (start.connector.connector, start.meter_start, start.at) == (1, 1000, NOW)


@pytest.mark.parametrize(
    "payload",
    [
        {},
        {"connectorId": 1},
        start_payload(meterStart=None),
        start_payload(meterStart=10**18),
        start_payload(connectorId=-1),
        start_payload(connectorId=2**70),
        start_payload(idTag=None),
        start_payload(meterStart=1e300),
    ],
)
async def test_a_start_that_cannot_be_read_is_invalid_and_never_an_error(payload: dict[str, Any]) -> None:
    events = RecordingEvents()
    result = await ask(peer(events), "StartTransaction", payload)
    assert result == {"transactionId": -1, "idTagInfo": {"status": "Invalid"}}
    assert events.heard == []


async def test_a_start_is_invalid_and_a_stop_unanswered_where_the_services_refuse() -> None:
    events = RecordingEvents(raises={"started": Refused("x", "no"), "stopped": IntegrityFailure("x", "no")})
    result = await ask(peer(events), "StartTransaction", start_payload())
    assert result == {"transactionId": -1, "idTagInfo": {"status": "Invalid"}}
    assert await answer(peer(events), Call("1", "StopTransaction", stop_payload())) is None


@pytest.mark.parametrize(("sent", "stored"), [(10**18, 10**15), (-(10**18), -(10**15)), (1e300, 10**15)])
async def test_a_stop_at_a_register_out_of_all_bounds_is_stored(sent: float, stored: int) -> None:
    events = RecordingEvents()
    assert await ask(peer(events), "StopTransaction", stop_payload(meterStop=sent)) == {}
    assert events.stops[1].meter_stop == stored


async def test_a_stop_is_stored_with_its_samples() -> None:
    events = RecordingEvents()
    data = [
        {"timestamp": "2026-06-01T08:30:00Z", "sampledValue": [{"value": "3.5", "unit": "kWh"}]},
        {"timestamp": "2026-06-01T09:00:00Z", "sampledValue": [{"value": "6000"}]},
    ]
    payload = stop_payload(reason="EVDisconnected", transactionData=data)
    assert await ask(peer(events), "StopTransaction", payload) == {}
    stop = events.stops[1]
    assert (stop.at, stop.meter_stop, stop.reason) == (NOW + timedelta(hours=1), 6000, "EVDisconnected")
    assert [sample.register for sample in stop.samples] == [3500, 6000]


@pytest.mark.parametrize(
    ("changes", "reason", "samples"),
    [
        ({}, "Local", 0),
        ({"reason": "Bored"}, "Bored", 0),
        ({"reason": 7}, "Local", 0),
        ({"extra": 1}, "Local", 0),
        ({"meterStop": "6000"}, "Local", 0),
        ({"meterStop": 6000.9}, "Local", 0),
        ({"timestamp": None}, "Local", 0),
        ({"transactionData": "none"}, "Local", 0),
        ({"transactionData": [{"timestamp": "x", "sampledValue": [{"value": "1"}]}]}, "Local", 0),
        (
            {"transactionData": [{"timestamp": "2026-06-01T08:00:00Z", "sampledValue": [{"value": 1}]}]},
            "Local",
            0,
        ),
        (
            {
                "transactionData": [
                    {
                        "timestamp": "2026-06-01T08:00:00Z",
                        "sampledValue": [{"value": "1"}, {"value": "2", "measurand": "Vendor.Thing"}],
                    }
                ]
            },
            "Local",
            1,
        ),
    ],
)
async def test_a_stop_that_can_be_read_is_stored(changes: dict[str, Any], reason: str, samples: int) -> None:
    events = RecordingEvents()
    assert await ask(peer(events), "StopTransaction", stop_payload(**changes)) == {}
    stop = events.stops[1]
    assert (stop.meter_stop, stop.reason, len(stop.samples)) == (6000, reason, samples)


async def test_a_stop_without_a_register_is_an_error_that_says_so() -> None:
    payload = stop_payload()
    del payload["meterStop"]
    error = await ask(peer(RecordingEvents()), "StopTransaction", payload)
    assert isinstance(error, CallError)
    assert (error.code, "meterStop" in error.description) == ("ProtocolError", True)


async def test_meter_values_are_passed_on_in_whole_units() -> None:
    events = RecordingEvents()
    sampled = (
        {"value": "1.5", "unit": "kWh"},
        {"value": "11.04", "unit": "kW", "measurand": "Power.Active.Import"},
    )
    assert await ask(peer(events), "MeterValues", meter_values(*sampled)) == {}
    ((connector, transaction, sample),) = events.samples
    assert (connector.connector, transaction, sample.register, sample.power) == (1, 7, 1500, 11_040)


async def test_an_unknown_measurand_does_not_cost_the_known_ones() -> None:
    events = RecordingEvents()
    sampled = {"value": "5", "measurand": "Vendor.Magic"}, {"value": "1500", "vendor": "x"}
    assert await ask(peer(events), "MeterValues", meter_values(*sampled)) == {}
    assert [sample.register for _, _, sample in events.samples] == [1500]


async def test_meter_values_without_any_number_of_use_are_received() -> None:
    events = RecordingEvents()
    assert (
        await ask(peer(events), "MeterValues", meter_values({"value": "230", "measurand": "Voltage"})) == {}
    )
    assert events.heard == []


@pytest.mark.parametrize(
    ("action", "payload", "code"),
    [
        ("BootNotification", {"chargePointVendor": "V"}, "ProtocolError"),
        ("BootNotification", {**BOOT, "chargePointModel": 5}, "TypeConstraintViolation"),
        ("BootNotification", {**BOOT, "chargePointModel": "x" * 21}, "PropertyConstraintViolation"),
        ("BootNotification", {**BOOT, "colour": "red"}, "FormationViolation"),
        ("StatusNotification", {**STATUS, "status": "Bored"}, "PropertyConstraintViolation"),
        ("StatusNotification", {**STATUS, "timestamp": "today"}, "PropertyConstraintViolation"),
        ("StatusNotification", {**STATUS, "connectorId": 2**40}, "PropertyConstraintViolation"),
        ("MeterValues", {"connectorId": 1, "meterValue": []}, "OccurenceConstraintViolation"),
        ("MeterValues", meter_values({"value": "1"}, at="today"), "PropertyConstraintViolation"),
        ("MeterValues", {**meter_values({"value": "1"}), "connectorId": "one"}, "TypeConstraintViolation"),
        ("Reset", {"type": "Hard"}, "NotSupported"),
        ("MakeCoffee", {}, "NotImplemented"),
        ("", {}, "NotImplemented"),
    ],
)
async def test_a_faulty_message_gets_the_standard_s_error(
    action: str, payload: dict[str, Any], code: str
) -> None:
    events = RecordingEvents()
    error = await ask(peer(events), action, payload)
    assert isinstance(error, CallError)
    assert error.code == code
    assert error.description
    assert events.heard == []


@pytest.mark.parametrize(
    ("action", "payload", "result"),
    [
        ("DataTransfer", {"vendorId": "V", "data": "x"}, {"status": "UnknownVendorId"}),
        ("FirmwareStatusNotification", {"status": "Idle"}, {}),
        ("DiagnosticsStatusNotification", {"status": "Idle"}, {}),
        ("SecurityEventNotification", {"type": "T", "timestamp": "2026-06-01T08:00:00Z"}, {}),
    ],
)
async def test_notices_are_received(action: str, payload: dict[str, Any], result: dict[str, Any]) -> None:
    assert await ask(peer(RecordingEvents()), action, payload) == result


@pytest.mark.parametrize(
    ("method", "action", "payload", "code"),
    [
        ("booted", "BootNotification", BOOT, "InternalError"),
        ("status", "StatusNotification", STATUS, "InternalError"),
        ("authorize", "Authorize", {"idTag": "T"}, "InternalError"),
        ("metered", "MeterValues", meter_values({"value": "1"}), "InternalError"),
        ("started", "StartTransaction", start_payload(), None),
        ("stopped", "StopTransaction", stop_payload(), None),
    ],
)
async def test_while_nothing_can_be_stored_nothing_is_acknowledged(
    method: str, action: str, payload: dict[str, Any], code: str | None
) -> None:
    error = await ask(peer(RecordingEvents(away={method})), action, payload)
    if code is None:
        assert error is None
    else:
        assert isinstance(error, CallError)
        assert error.code == code


async def test_a_refusal_of_the_services_is_told_in_words() -> None:
    events = RecordingEvents(raises={"status": Refused("connector.unknown", "there is no connector 9")})
    error = await ask(peer(events), "StatusNotification", STATUS)
    assert isinstance(error, CallError)
    assert (error.code, "no connector 9" in error.description) == ("GenericError", True)


async def test_a_programming_error_is_not_swallowed() -> None:
    events = RecordingEvents(raises={"status": ZeroDivisionError()})
    with pytest.raises(ZeroDivisionError):
        await ask(peer(events), "StatusNotification", STATUS)


async def test_a_rejected_station_is_heard_only_about_transactions_and_its_boot() -> None:
    events = RecordingEvents(ours=False)
    of = peer(events, Registration.REJECTED)
    unheard: list[tuple[str, dict[str, Any]]] = [
        ("Heartbeat", {}),
        ("StatusNotification", STATUS),
        ("Authorize", {"idTag": "T"}),
    ]
    for action, payload in unheard:
        error = await ask(of, action, payload)
        assert isinstance(error, CallError)
        assert error.code == "SecurityError"
    assert events.heard == []
    assert (await ask(of, "StartTransaction", start_payload()))["transactionId"] == 1
    assert await ask(of, "MeterValues", meter_values({"value": "1"})) == {}
    assert await ask(of, "StopTransaction", stop_payload()) == {}
    assert (await ask(of, "BootNotification", BOOT))["status"] == "Rejected"
    events.ours = True
    assert (await ask(of, "BootNotification", BOOT))["status"] == "Accepted"
    assert of.registration is Registration.ACCEPTED
