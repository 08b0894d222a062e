"""Signed data is passed on byte for byte, in whichever of the three forms it came."""

import base64
import json
from datetime import UTC, datetime

import pytest

from evmesh.csms.v16.messages import MeterValue, SampledValue
from evmesh.csms.v16.samples import read_sample
from evmesh.csms.v16.signed_data import LONGEST, MOST, read_signed
from evmesh.domain.units import Wh
from evmesh.sim.signing_meter import SigningMeter

AT = datetime(2026, 6, 1, 8, tzinfo=UTC)
RECORD = SigningMeter("SN-1").charge(1, (AT, Wh(1_000)), (AT.replace(hour=9), Wh(3_000)))
WRAPPED = json.dumps(
    {
        "signedMeterData": base64.b64encode(RECORD.encode()).decode(),
        "encodingMethod": "OCMF",
        "signingMethod": "ECDSA-secp256r1-SHA256",
        "publicKey": "aGVyZSBpcyBteSBvd24ga2V5",
    }
)


def signed(value: str) -> SampledValue:
    return SampledValue(value, format="SignedData")


@pytest.mark.parametrize(
    "text",
    [RECORD, f"  {RECORD}\n", RECORD.encode().hex(), RECORD.encode().hex().upper(), WRAPPED],
    ids=["as it stands", "with spaces around", "hexadecimal", "capital hexadecimal", "in an object"],
)
def test_each_form_gives_the_meters_own_bytes(text: str) -> None:
    assert read_signed([signed(text)]) == (RECORD.encode(),)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "OCMF",
        "{",
        "[]",
        '{"signedMeterData": 7}',
        '{"signedMeterData": "%"}',
        "ab",
        "OCMF|\x00|",
        "OCMF|" + "x" * LONGEST,
        "[" * 10_000,
        '{"a":' * 3_000,
    ],
)
def test_what_is_no_record_is_left_out(text: str) -> None:
    assert read_signed([signed(text)]) == ()


def test_a_record_counts_once_and_a_number_not_at_all() -> None:
    values = [signed(RECORD), signed(RECORD.encode().hex()), SampledValue("OCMF|{}|{}")]
    assert read_signed(values) == (RECORD.encode(),)
    many = [signed(f"OCMF|{number}|x") for number in range(MOST + 5)]
    assert len(read_signed(many)) == MOST


def test_a_sample_of_a_record_alone_is_kept_with_its_instant() -> None:
    sample = read_sample(MeterValue("2026-06-01T08:00:00Z", (signed(RECORD),)))
    assert sample is not None
    assert (sample.at, sample.register, sample.signed) == (AT, None, (RECORD.encode(),))
    both = read_sample(MeterValue("2026-06-01T08:00:00Z", (SampledValue("3000", unit="Wh"), signed(RECORD))))
    assert both is not None
    assert (both.register, both.signed) == (3_000, (RECORD.encode(),))
