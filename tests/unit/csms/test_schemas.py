import subprocess
import sys

import pytest

from evmesh.csms import schemas
from evmesh.csms.frames import ErrorCode
from tests.drivers.raw_station import start_payload, stop_payload


def meter_values(**changes: object) -> dict[str, object]:
    sample = {"value": "1", **changes}
    return {
        "connectorId": 1,
        "meterValue": [{"timestamp": "2026-06-01T08:00:00Z", "sampledValue": [sample]}],
    }


@pytest.mark.parametrize(
    ("action", "payload", "code", "path"),
    [
        ("StartTransaction", {"connectorId": 1}, ErrorCode.PROTOCOL_ERROR, ""),
        (
            "StartTransaction",
            start_payload(connectorId="one"),
            ErrorCode.TYPE_CONSTRAINT_VIOLATION,
            "connectorId",
        ),
        ("StartTransaction", start_payload(extra=1), ErrorCode.FORMATION_VIOLATION, ""),
        ("StartTransaction", start_payload(idTag="x" * 21), ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, "idTag"),
        ("StopTransaction", stop_payload(reason="Bored"), ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, "reason"),
        (
            "MeterValues",
            {"connectorId": 1, "meterValue": []},
            ErrorCode.OCCURENCE_CONSTRAINT_VIOLATION,
            "meterValue",
        ),
        (
            "MeterValues",
            meter_values(unit="Furlong"),
            ErrorCode.PROPERTY_CONSTRAINT_VIOLATION,
            "meterValue[0].sampledValue[0].unit",
        ),
    ],
)
def test_each_kind_of_fault_has_the_standard_s_own_error_code(
    action: str, payload: dict[str, object], code: ErrorCode, path: str
) -> None:
    violation = schemas.check_call(action, payload)
    assert violation is not None
    assert (violation.code, violation.path) == (code, path)
    assert violation.what


def test_a_right_payload_has_no_fault() -> None:
    assert schemas.check_call("StartTransaction", start_payload()) is None
    assert schemas.check_call("MeterValues", meter_values(measurand="SoC", unit="Percent")) is None


def test_a_payload_that_is_nested_without_end_is_a_fault_and_no_crash() -> None:
    deep: dict[str, object] = {}
    for _ in range(900):
        deep = {"a": deep}
    violation = schemas.check_call("Heartbeat", deep)
    assert violation is not None
    assert violation.code == ErrorCode.FORMATION_VIOLATION


def test_actions_are_those_of_ocpp_1_6() -> None:
    assert schemas.is_action("Reset")
    assert schemas.is_action("SecurityEventNotification")
    assert not schemas.is_action("NotifyReport")
    assert not schemas.is_action("ResetResponse")


def test_the_schemas_are_read_without_the_code_of_the_package_they_come_from() -> None:
    program = (
        "import sys\n"
        "from evmesh.csms import schemas\n"
        "assert schemas.check_call('Heartbeat', {}) is None\n"
        "print([name for name in sys.modules if name.startswith(('ocpp.', 'jsonschema.'))])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
