import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from typer.testing import CliRunner, Result

from evmesh.app.verify import app
from tests.unit.verify.ocmf_factory import CHARGE, METER, THIEF, der_of, payload_of, record, signed

HEX = der_of(METER).hex()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, content in {
        "charge.ocmf": record() + b"\n",
        "begin.ocmf": record(CHARGE[0]),
        "end.ocmf": record(CHARGE[1], PG="T42"),
        "secp192k1.ocmf": signed(payload_of(CHARGE), METER, "ECDSA-secp192k1-SHA256"),
        "key.hex": HEX.encode() + b"\n",
        "key.pem": METER.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "key.der": der_of(METER),
        "thief.hex": der_of(THIEF).hex().encode(),
    }.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


def run(folder: Path, *arguments: str, stdin: bytes | None = None) -> Result:
    names = [str(folder / word) if "." in word else word for word in arguments]
    return CliRunner().invoke(app, ["ocmf", *names], input=stdin)


@pytest.mark.parametrize("key", [HEX, "key.hex", "key.pem", "key.der"])
def test_both_answers_stand_at_the_end(folder: Path, key: str) -> None:
    result = run(folder, "charge.ocmf", "--key", key)
    assert result.exit_code == 0
    assert result.output.splitlines()[-2:] == [
        "the signature is true",
        "the readings are plausible: 29523456 mWh",
    ]


def test_records_that_are_checked_only_in_part_are_not_enough_for_who_is_strict(folder: Path) -> None:
    assert run(folder, "charge.ocmf", "--key", "key.hex", "--strict").exit_code == 0
    assert run(folder, "charge.ocmf").exit_code == 0
    words = run(folder, "charge.ocmf", "--strict")
    assert words.exit_code == 3
    assert "error verify.not_checked" in words.output
    done = run(folder, "charge.ocmf", "--strict", "--json")
    assert (done.exit_code, json.loads(done.output)["code"]) == (3, "verify.not_checked")


def test_two_records_of_one_charge_are_two_files(folder: Path) -> None:
    result = run(folder, "begin.ocmf", "end.ocmf", "--key", "key.hex")
    assert result.exit_code == 0
    assert "ok          pagination: pages T41 to T42, none missing" in result.output
    half = run(folder, "begin.ocmf", "--key", "key.hex")
    assert half.exit_code == 0
    assert half.output.endswith("not a whole charge, and were checked as far as they go\n")


def test_a_false_signature_exits_6(folder: Path) -> None:
    result = run(folder, "charge.ocmf", "--key", "thief.hex")
    assert result.exit_code == 6
    assert "(ocmf.false_signature at SD)" in result.output
    assert result.output.splitlines()[-2] == "the signature is FALSE"


def test_what_is_no_record_exits_6(folder: Path) -> None:
    result = run(folder, "-", stdin=b"{}")
    assert result.exit_code == 6
    assert result.output.endswith("this is NOT a record that can be read\n")


def test_json_has_both_answers_and_every_check(folder: Path) -> None:
    answer = json.loads(run(folder, "charge.ocmf", "--key", "thief.hex", "--json").stdout)
    assert {key: answer[key] for key in ("ok", "signature", "plausible", "energy_mwh")} == {
        "ok": False,
        "signature": "failed",
        "plausible": "ok",
        "energy_mwh": "29523456",
    }
    assert len(answer["checks"]) == 12


def test_a_curve_that_cannot_be_checked_is_refused_by_name_and_its_readings_still_can_be(
    folder: Path,
) -> None:
    result = run(folder, "secp192k1.ocmf", "--key", "key.hex")
    assert result.exit_code == 3
    assert "ocmf.cannot_check: ECDSA-secp192k1-SHA256" in result.output
    without = run(folder, "secp192k1.ocmf")
    assert without.exit_code == 0
    assert "the signature was not checked" in without.output


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("none.ocmf",), "file.unreadable"),
        (("charge.ocmf", "--key", "none.hex"), "file.unreadable"),
        (("charge.ocmf", "--key", "charge.ocmf"), "ocmf.bad_key"),
        (("-", "--key", "-"), "file.stdin_twice"),
    ],
)
def test_what_cannot_be_looked_at_exits_2(folder: Path, arguments: tuple[str, ...], code: str) -> None:
    result = run(folder, *arguments)
    assert result.exit_code == 2
    assert code in result.output
