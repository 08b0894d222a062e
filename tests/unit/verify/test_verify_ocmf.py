"""Both answers on a meter's records: a true signature does not make readings plausible, nor the reverse."""

from typing import Any

import pytest
from pyocmf import OCMF

from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.verify.ocmf import OcmfReport, verify_ocmf
from evmesh.verify.report import Status
from tests.unit.verify.ocmf_factory import CHARGE, METER, THIEF, der_of, payload_of, reading, record, signed

KEY = der_of(METER)
BEGIN, END = CHARGE
OTHER = "01-00:B3.08.00*FF"


def verify(*raws: bytes, key: bytes | None = KEY) -> OcmfReport:
    return verify_ocmf(raws, key, EcdsaMeterSignatures())


def codes(found: OcmfReport) -> list[str]:
    return [check.code for check in found.report.failed()]


def test_a_whole_charge_in_one_record_is_true_and_plausible() -> None:
    found = verify(record())
    assert (found.signed, found.plausible, found.energy) == (Status.OK, Status.OK, 29_523_456)
    assert found.report.checks[-1].what == "29523456 mWh, of which 29523 Wh can be billed"


def test_begin_and_end_may_be_two_records_on_following_pages() -> None:
    found = verify(record(BEGIN), record(END, PG="T42"))
    assert (found.signed, found.plausible, found.energy) == (Status.OK, Status.OK, 29_523_456)
    assert [check.name for check in found.signatures] == ["signature 1", "signature 2"]


def test_a_true_signature_says_nothing_on_plausibility() -> None:
    found = verify(record(BEGIN, reading("E", "2000", 45)))
    assert (found.signed, found.plausible, found.energy) == (Status.OK, Status.FAILED, None)
    assert codes(found) == ["ocmf.register_went_back"]


def test_plausible_readings_say_nothing_on_the_signature() -> None:
    found = verify(record(), key=der_of(THIEF))
    assert (found.signed, found.plausible, found.energy) == (Status.FAILED, Status.OK, 29_523_456)
    assert codes(found) == ["ocmf.false_signature"]
    assert not found.report.ok


def test_without_a_key_the_signature_is_not_checked_and_never_ok() -> None:
    found = verify(record(), key=None)
    assert (found.signed, found.plausible) == (Status.NOT_CHECKED, Status.OK)


@pytest.mark.parametrize("alone", [BEGIN, END, reading("C", "2940", 10)])
def test_half_a_charge_is_not_false_and_has_no_energy(alone: dict[str, Any]) -> None:
    found = verify(record(alone))
    assert (found.signed, found.plausible, found.energy) == (Status.OK, Status.NOT_CHECKED, None)
    assert found.report.ok


def test_a_fiscal_record_is_of_no_charge() -> None:
    found = verify(record(reading(None, "5", 0), PG="F3", IS=None, IL=None, IF=None, IT=None, ID=None))
    assert (found.signed, found.plausible) == (Status.OK, Status.NOT_CHECKED)


@pytest.mark.parametrize(
    ("code", "readings", "changes"),
    [
        ("ocmf.meter_not_ok", (BEGIN, reading("E", "2965.1", 45, ST="M")), {}),
        ("ocmf.meter_not_ok", (BEGIN, {"TM": "2026-03-01T09:01:00,000+0100 S", "ST": "T"}, END), {}),
        ("ocmf.error_flag", (BEGIN, reading("E", "2965.1", 45, EF="E")), {}),
        ("ocmf.error_flag", (BEGIN, reading("E", "2965.1", 45, EF="t")), {}),
        ("ocmf.exception", (BEGIN, reading("X", "2940", 10), END), {}),
        ("ocmf.time_went_back", (reading("B", "1", 50), reading("E", "2", 45)), {}),
        ("ocmf.time_stood", (BEGIN, reading("E", "2965.1", 0)), {}),
        (
            "ocmf.other_clock",
            (reading("B", "1", 0), reading("C", "2", 1, TM="2026-03-01T09:01:00,000+0100 R"), END),
            {},
        ),
        ("ocmf.other_register", (BEGIN, reading("E", "2965.1", 45, RI="01-00:B0.08.00*FF")), {}),
        ("ocmf.other_unit", (BEGIN, reading("E", "2965100", 45, RU="Wh")), {}),
        ("ocmf.other_current", (BEGIN, reading("E", "2965.1", 45, RT="DC")), {}),
        ("ocmf.no_register", tuple({**one, "RI": "01-00:C2.08.00*FF"} for one in CHARGE), {}),
        ("ocmf.no_value", (BEGIN, reading("E", "0", 45, RV=None)), {}),
        ("ocmf.many_begins", (BEGIN, reading("B", "2940", 10), END), {}),
        ("ocmf.many_ends", (BEGIN, reading("L", "2940", 10), END), {}),
        ("ocmf.out_of_order", (reading("C", "2900", 0), reading("B", "2935.6", 1), END), {}),
        ("ocmf.register_went_back", (BEGIN, reading("C", "2970", 10), END), {}),
        ("ocmf.user_error", CHARGE, {"IL": "MISMATCH"}),
        ("ocmf.loss_not_reset", (reading("B", "1", 0, CL="0.1"), reading("E", "2", 45, CL="0.2")), {}),
        ("ocmf.loss_went_back", (BEGIN, reading("C", "2940", 9, CL="0.2"), {**END, "CL": "0.1"}), {}),
    ],
)
def test_each_thing_that_makes_readings_useless_is_named(
    code: str, readings: tuple[dict[str, Any], ...], changes: dict[str, Any]
) -> None:
    found = verify(record(*readings, **changes))
    assert codes(found) == [code]
    assert (found.signed, found.plausible, found.energy) == (Status.OK, Status.FAILED, None)


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("ocmf.other_meter", {"MS": "M-2"}),
        ("ocmf.other_gateway", {"GS": "G-2"}),
        ("ocmf.missing_page", {"PG": "T43"}),
        ("ocmf.missing_page", {"PG": "T41"}),
        ("ocmf.other_context", {"PG": "F42"}),
        ("ocmf.other_user", {"ID": "driver-2"}),
    ],
)
def test_two_records_that_do_not_belong_together_are_named(code: str, changes: dict[str, Any]) -> None:
    assert codes(verify(record(BEGIN), record(END, **{"PG": "T42", **changes}))) == [code]


def test_a_register_without_the_cables_loss_is_billed_before_one_with_it() -> None:
    pair = [
        {**one, "RI": register, "RV": value}
        for one, values in ((BEGIN, ("10", "10")), (END, ("20", "19.5")))
        for register, value in zip((BEGIN["RI"], OTHER), values, strict=True)
    ]
    assert verify(record(*pair)).energy == 9_500_000


def test_what_cannot_be_read_is_false_and_nothing_else_is_said_of_it() -> None:
    found = verify(record(), b"OCMF|{}|{}")
    assert not found.report.ok
    assert (found.signed, found.plausible, found.energy) == (Status.NOT_CHECKED, Status.NOT_CHECKED, None)


@pytest.mark.parametrize(
    "readings",
    [
        CHARGE,
        (BEGIN, reading("E", "2000", 45)),
        (BEGIN, reading("E", "2965.1", 45, ST="M")),
        (BEGIN, reading("E", "2965.1", 45, EF="E")),
        (reading("B", "1", 50), reading("E", "2", 45)),
        (BEGIN, reading("L", "2940", 10), END),
    ],
)
def test_the_oracle_agrees_on_what_is_plausible(readings: tuple[dict[str, Any], ...]) -> None:
    raw = signed(payload_of(readings))
    plausible = OCMF.from_string(raw.decode(), strict=True).is_eichrecht_compliant
    assert (verify(raw).plausible is Status.OK) == plausible
