"""What a value looks like on the wire."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from evmesh.domain.errors import InvalidInput, ProtocolViolation
from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.topics import (
    Reading,
    decode,
    encode,
    new_boot,
    publisher_of,
    publisher_topic,
    received,
    value_topic,
)

AT = datetime(2026, 6, 1, 8, 15, 0, 250_000, tzinfo=UTC)
BOOT = "platform-00c0ffee00c0ffee"


def power(value: int | str | None = 7_200, at: datetime = AT) -> TelemetryValue:
    return TelemetryValue("cp-1", "PowerOutput", at, value)


def payload(**changes: object) -> bytes:
    fields = {"timestamp": "2026-06-01T08:15:00Z", "value": 7_200, "boot": BOOT, "seq": 3}
    kept = {key: value for key, value in (fields | changes).items() if value != "left out"}
    return json.dumps(kept).encode()


def test_the_payload_is_what_the_design_says() -> None:
    assert json.loads(encode(Reading(power(), BOOT, 3))) == {
        "timestamp": "2026-06-01T08:15:00.250000Z",
        "value": 7_200,
        "boot": BOOT,
        "seq": 3,
    }


def test_a_value_unknown_to_the_charger_is_an_explicit_null() -> None:
    assert b'"value":null' in encode(Reading(power(None), BOOT, 3))


def test_a_reading_comes_back_as_it_was_sent() -> None:
    reading = Reading(power(), BOOT, 3)
    assert decode("chargers/cp-1/PowerOutput", encode(reading)) == reading


def test_times_of_other_zones_are_the_same_instant() -> None:
    elsewhere = AT.astimezone(timezone(timedelta(hours=2)))
    assert encode(Reading(power(at=elsewhere), BOOT, 3)) == encode(Reading(power(), BOOT, 3))
    read = decode("chargers/cp-1/PowerOutput", payload(timestamp="2026-06-01T10:15:00.25+02:00"))
    assert read.value.at == AT
    assert read.value.at.tzinfo is UTC


def test_a_foreign_publisher_is_known_by_topic_time_and_value() -> None:
    foreign = payload(boot="left out", seq="left out")
    first = decode("chargers/cp-1/PowerOutput", foreign)
    assert (first.boot, first.seq) == (None, None)
    assert first.identity == decode("chargers/cp-1/PowerOutput", foreign).identity
    others = [
        decode("chargers/cp-1/SessionEnergy", foreign),
        decode("chargers/cp-1/PowerOutput", foreign.replace(b"7200", b"7201")),
        decode("chargers/cp-1/PowerOutput", foreign.replace(b"08:15:00", b"08:15:01")),
    ]
    assert len({first.identity, *(other.identity for other in others)}) == 4


@pytest.mark.parametrize(
    "topic",
    [
        "chargers/CP-1/PowerOutput",
        "chargers//PowerOutput",
        "chargers/cp-1",
        "chargers/cp-1/set/PowerOutput",
        "chargers/cp-1/Temperature",
        "chargers/cp-1/poweroutput",
        "chargers/../PowerOutput",
        "houses/cp-1/PowerOutput",
        "publishers/platform/PowerOutput",
        "",
    ],
)
def test_a_topic_that_is_none_of_ours_is_refused_by_name(topic: str) -> None:
    with pytest.raises(ProtocolViolation) as violation:
        decode(topic, payload())
    assert violation.value.path == topic
    assert violation.value.code in ("telemetry.bad_topic", "telemetry.unknown_value")


@pytest.mark.parametrize(
    "changes",
    [
        {"timestamp": "2026-06-01T08:15:00"},
        {"timestamp": "2026-13-01T08:15:00Z"},
        {"timestamp": "yesterday"},
        {"timestamp": 1_780_000_000},
        {"timestamp": "left out"},
        {"value": 7.2},
        {"value": 7.0},
        {"value": True},
        {"value": [7]},
        {"value": "7200"},
        {"value": 2**63},
        {"value": "left out"},
        {"seq": "left out"},
        {"boot": "left out"},
        {"seq": -1},
        {"seq": 2**63},
        {"boot": "a/b"},
        {"boot": ""},
        {"unit": "kW"},
    ],
)
def test_a_payload_that_is_not_exactly_right_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ProtocolViolation) as violation:
        decode("chargers/cp-1/PowerOutput", payload(**changes))
    assert violation.value.path == "chargers/cp-1/PowerOutput"


@pytest.mark.parametrize("raw", [b"", b"7200", b"{", b"null", b"\xff\xfe", b"{}" + b" " * 4_096])
def test_a_payload_that_is_no_document_is_refused(raw: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode("chargers/cp-1/PowerOutput", raw)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OperationState", "Charging"),
        ("OperationState", None),
        ("Availability", "away"),
        ("ConnectedVehicle", ""),
        ("ConnectedVehicle", "a\u0000b"),
        ("ConnectedVehicle", "x" * 257),
        ("ConnectedVehicle", 7),
        ("PowerOutput", "7200"),
        ("PowerOutput", 2**63),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_on_both_sides(name: str, value: int | str | None) -> None:
    with pytest.raises(InvalidInput):
        encode(Reading(TelemetryValue("cp-1", name, AT, value), BOOT, 1))
    with pytest.raises(ProtocolViolation):
        decode(f"chargers/cp-1/{name}", payload(value=value))


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(ProtocolViolation):
        decode("chargers/cp-1/ConnectedVehicle", payload().replace(b"7200", b'"\\ud800"'))


@pytest.mark.parametrize(
    ("charger", "name"), [("CP1", "PowerOutput"), ("", "PowerOutput"), ("cp-1", "Power")]
)
def test_what_cannot_be_a_topic_is_refused_before_it_is_sent(charger: str, name: str) -> None:
    with pytest.raises(InvalidInput):
        value_topic(charger, name)


def test_a_time_without_a_zone_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidInput, match="time zone"):
        encode(Reading(power(at=AT.replace(tzinfo=None)), BOOT, 1))


def test_a_boot_names_its_publisher_and_is_new_each_time() -> None:
    boot = new_boot("grid-house-7")
    assert publisher_of(boot) == "grid-house-7"
    assert boot != new_boot("grid-house-7")
    assert publisher_topic("grid-house-7") == "publishers/grid-house-7/Availability"


def test_a_last_will_happens_when_it_is_delivered() -> None:
    later = AT + timedelta(hours=3)
    will = Reading(TelemetryValue("cp-1", "Availability", AT, "offline"), BOOT, 0)
    assert received(will, later).value.at == later
    said = Reading(will.value, BOOT, 1)
    assert received(said, later) == said


def test_the_first_day_of_all_in_another_zone_is_set_aside() -> None:
    payload = b'{"timestamp": "0001-01-01T00:00:00+14:00", "value": 1}'
    with pytest.raises(ProtocolViolation):
        decode("chargers/x/PowerOutput", payload)
