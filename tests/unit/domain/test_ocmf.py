from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyocmf import OCMF

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_json import Numeral
from evmesh.domain.ocmf_words import EnergyUnit, ErrorFlag, MeterState, ReadingReason, TimeStatus
from tests.unit.verify.ocmf_factory import CHARGE, payload_of, reading, record, signed

SPECIFIED = b"""OCMF|{
    "FV": "1.0", "GI": "ABL SBC-301", "GS": "808829900001", "GV": "1.4p3", "PG": "T12345",
    "MV": "Phoenix Contact", "MM": "EEM-350-D-MCB", "MS": "BQ27400330016", "MF": "1.0",
    "IS": true, "IL": "VERIFIED", "IF": ["RFID_PLAIN", "OCPP_RS_TLS"], "IT": "ISO14443",
    "ID": "1F2D3A4F5506C7", "TT": "Tarif 1",
    "LC": {"LN": "cable_name", "LI": 1, "LR": 2, "LU": "mOhm"},
    "RD": [
        {"TM": "2018-07-24T13:22:04,000+0200 S", "TX": "B", "RV": 2935.6, "RI": "1-b:1.8.0", "RU": "kWh",
         "RT": "DC", "EF": "", "ST": "G"},
        {"TM": "2018-07-24T13:26:04,000+0200 S", "TX": "E", "RV": 2965.1, "CL": 0.5, "RI": "1-b:1.8.0",
         "RU": "kWh", "RT": "DC", "EF": "", "ST": "G"}
    ]
}|{
    "SD": "887FABF407AC82782EEFFF2220C2F856AEB0BC22364BBCC6B55761911ED651D1A922BADA88818C9671AFEE7094D7F536"
}"""
"""The values of figure 1 of the specification, 1.2; its signature is of no published key."""


def parse(*readings: dict[str, Any], **changes: Any) -> OcmfRecord:
    return OcmfRecord.parse(record(*readings, **changes))


def refused(code: str, path: str, *readings: dict[str, Any], **changes: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        parse(*readings, **changes)
    assert (error.value.code, error.value.path) == (code, path)


def test_the_example_of_the_specification_is_read() -> None:
    found = OcmfRecord.parse(SPECIFIED)
    assert found.payload == SPECIFIED.split(b"|")[1]
    assert (found.version, found.pagination) == ("1.0", "T12345")
    assert (found.gateway.model, found.gateway.serial) == ("ABL SBC-301", "808829900001")
    assert (found.meter.vendor, found.meter.serial) == ("Phoenix Contact", "BQ27400330016")
    assert found.user is not None
    assert (found.user.assigned, found.user.id, found.user.tariff) == (True, "1F2D3A4F5506C7", "Tarif 1")
    assert found.cable_loss is not None
    assert (found.cable_loss.resistance, found.cable_loss.unit) == (Numeral("2"), "mOhm")
    begin, end = found.readings
    assert begin.at == datetime(2018, 7, 24, 11, 22, 4, tzinfo=UTC)
    assert (begin.time_status, begin.reason) == (TimeStatus.SYNCHRONIZED, ReadingReason.BEGIN)
    assert (begin.value, end.value, end.loss) == (2_935_600_000, 2_965_100_000, 500_000)


def test_the_payload_is_kept_verbatim_with_its_white_space() -> None:
    payload = b"\n " + payload_of(CHARGE).replace(b": ", b" :\t ") + b" \r\n"
    assert OcmfRecord.parse(signed(payload)).payload == payload


def test_a_reading_inherits_what_it_leaves_out_and_never_a_value() -> None:
    short = {"RV": "2940.1", "TM": "2026-03-01T09:15:00,000+0100 S", "TX": "C"}
    found = parse(
        CHARGE[0], short, {"TM": "2026-03-01T09:16:00,000+0100 R", "ST": "T", "EF": "Et"}, {"RV": "1"}
    )
    begin, second, event, last = found.readings
    assert (second.value, second.unit, second.status) == (
        2_940_100_000,
        EnergyUnit.KILOWATT_HOUR,
        MeterState.OK,
    )
    assert second.register == begin.register
    assert (event.value, event.reason, event.status) == (None, ReadingReason.CHARGING, MeterState.TIMEOUT)
    assert last.errors == event.errors == {ErrorFlag.ENERGY, ErrorFlag.TIME}
    assert last.at == event.at


@pytest.mark.parametrize(
    ("text", "unit", "mwh"),
    [
        ("0.2596", "kWh", 259_600),
        ("2935.600", "kWh", 2_935_600_000),
        ("0", "Wh", 0),
        ("12345", "Wh", 12_345_000),
        ("0.001", "Wh", 1),
        ("1.5e3", "kWh", 1_500_000_000),
        ("25E-4", "kWh", 2_500),
        ("9007199254740993", "Wh", None),
        ("900719925474099.3", "Wh", 900_719_925_474_099_300),
    ],
)
def test_registers_are_exact_whole_mwh(text: str, unit: str, mwh: int | None) -> None:
    only = reading("B", text, 0, RU=unit)
    if mwh is None:
        refused("ocmf.bad_register", "RD[0].RV", only)
    else:
        assert parse(only).readings[0].value == mwh


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("0.0000001", "ocmf.not_whole"),
        ("1e-7", "ocmf.not_whole"),
        ("-1", "ocmf.bad_register"),
        ("1e300", "ocmf.bad_register"),
        ("1e9999999", "ocmf.bad_number"),
        ("1" * 41, "ocmf.bad_number"),
        ('"1"', "document.bad_type"),
        ("true", "document.bad_type"),
        ("null", "document.bad_type"),
    ],
)
def test_what_is_no_exact_register_is_refused_and_says_so(text: str, code: str) -> None:
    refused(code, "RD[0].RV", reading("B", text, 0))


@given(st.decimals(min_value=0, max_value=10**8, places=6), st.sampled_from(["kWh", "Wh"]))
def test_numbers_agree_with_decimal_arithmetic(value: Decimal, unit: str) -> None:
    exact = value * (10**6 if unit == "kWh" else 10**3)
    raw = record(reading("B", str(value), 0, RU=unit))
    if exact % 1:
        with pytest.raises(InvalidInput, match=r"ocmf\.not_whole"):
            OcmfRecord.parse(raw)
    else:
        assert OcmfRecord.parse(raw).readings[0].value == exact


def test_values_times_and_inheritance_agree_with_the_oracle() -> None:
    raw = record(CHARGE[0], {"RV": "2940.17", "TM": "2026-03-01T09:15:00,250-0330 I", "TX": "C"}, CHARGE[1])
    ours, theirs = OcmfRecord.parse(raw), OCMF.from_string(raw.decode(), strict=True).payload
    for mine, other in zip(ours.readings, theirs.RD, strict=True):
        assert other.RV is not None
        assert mine.value == other.RV * 10**6
        assert (mine.at, mine.time_status.value) == (other.timestamp, str(other.time_status))
        assert (mine.reason, mine.status, mine.unit) == (other.TX, other.ST, other.RU)
        assert mine.register_text == str(other.RI)
    assert (ours.pagination, ours.meter.serial, ours.gateway.serial) == (theirs.PG, theirs.MS, theirs.GS)


@pytest.mark.parametrize(
    ("code", "path", "changes"),
    [
        ("ocmf.other_version", "FV", {"FV": "2.0"}),
        ("ocmf.other_version", "FV", {"FV": "0.4"}),
        ("ocmf.bad_pagination", "PG", {"PG": "T01"}),
        ("document.missing_key", "PG", {"PG": None}),
        ("document.missing_key", "IS", {"IS": None}),
        ("document.bad_type", "IS", {"IS": "true"}),
        ("document.bad_value", "IL", {"IL": "SURE"}),
        ("document.bad_value", "IF[0]", {"IF": ["RFID"]}),
        ("document.bad_value", "IF", {"IF": ["RFID_NONE"] * 5}),
        ("document.bad_value", "IT", {"IT": "RFID"}),
        ("document.bad_value", "CT", {"CT": "PLACE"}),
        ("document.bad_value", "MS", {"MS": "a\nb"}),
        ("document.bad_value", "LC.LU", {"LC": {"LR": 2, "LU": "Ohm"}}),
        ("document.unknown_key", "MX", {"MX": "1"}),
        ("document.unknown_key", "", {"": "1"}),
        ("ocmf.no_serial", "MS", {"MS": None, "GS": None}),
    ],
)
def test_what_the_specification_does_not_allow_is_refused(
    code: str, path: str, changes: dict[str, Any]
) -> None:
    refused(code, path, **changes)


def test_fields_that_makers_may_add_are_left_alone() -> None:
    assert parse(UX="anything", Z={"a": [1, True, None]}, CF="1.2.3").controller == "1.2.3"


@pytest.mark.parametrize(
    ("code", "path", "changes"),
    [
        ("ocmf.bad_time", "RD[0].TM", {"TM": "2026-03-01T09:00:00,000+0100"}),
        ("ocmf.bad_time", "RD[0].TM", {"TM": "2026-02-30T09:00:00,000+0100 S"}),
        ("ocmf.bad_time", "RD[0].TM", {"TM": "2026-03-01T09:00:00.000+01:00 S"}),
        ("ocmf.bad_time", "RD[0].TM", {"TM": "0001-01-01T00:00:00,000+0100 S"}),
        ("ocmf.bad_obis", "RD[0].RI", {"RI": "energy"}),
        ("document.bad_value", "RD[0].RU", {"RU": "MWh"}),
        ("document.bad_value", "RD[0].TX", {"TX": "Z"}),
        ("document.bad_value", "RD[0].EF", {"EF": "x"}),
        ("document.missing_key", "RD[0].ST", {"ST": None}),
        ("ocmf.half_a_group", "RD[0]", {"RU": None}),
        ("ocmf.no_unit", "RD[0].RV", {"RU": None, "RI": None}),
        ("document.unknown_key", "RD[0].XX", {"XX": "1"}),
    ],
)
def test_a_reading_that_is_not_as_specified_is_refused(code: str, path: str, changes: dict[str, Any]) -> None:
    refused(code, path, reading("B", "1", 0, **changes))


@pytest.mark.parametrize(
    ("code", "raw"),
    [
        ("ocmf.no_header", b""),
        ("ocmf.no_header", b"ocmf|{}|{}"),
        ("ocmf.bad_sections", b"OCMF|{}"),
        ("ocmf.embedded_key", b"OCMF|{}|{}|3059"),
        ("ocmf.bad_sections", b"OCMF|{}|{}|{}|{}"),
        ("ocmf.not_json", b"OCMF|[]|{}"),
        ("ocmf.not_json", b"OCMF|{|{}"),
        ("ocmf.not_utf8", b"OCMF|\xff|{}"),
        ("ocmf.bad_number", b'OCMF|{"RV":NaN}|{}'),
        ("document.duplicate_key", b'OCMF|{"FV":"1.0","FV":"1.0"}|{}'),
        ("document.too_deep", b'OCMF|{"U":' + b"[" * 100_000 + b"}|{}"),
        ("ocmf.too_large", b"OCMF|" + bytes(1 << 20) + b"|{}"),
        ("ocmf.no_readings", signed(payload_of([]))),
        ("document.missing_key", b"OCMF|" + payload_of(CHARGE) + b"|{}"),
        ("ocmf.bad_encoding", signed(payload_of(CHARGE), SE="hexadecimal")),
        ("ocmf.bad_encoding", signed(payload_of(CHARGE), SE="base64", SD="A")),
        ("ocmf.bad_encoding", signed(payload_of(CHARGE), SD="3O")),
        ("ocmf.bad_signature_type", signed(payload_of(CHARGE), SM="text/plain")),
        ("document.unknown_key", signed(payload_of(CHARGE), SX="1")),
    ],
)
def test_what_is_no_record_is_refused(code: str, raw: bytes) -> None:
    with pytest.raises(InvalidInput) as error:
        OcmfRecord.parse(raw)
    assert error.value.code == code


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_parser(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        OcmfRecord.parse(b"OCMF|" + payload + b'|{"SD":"30"}')
