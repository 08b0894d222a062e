from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import cbor2
import pytest

from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.readings import Reading, ReadingContext, meter_leaf_hash
from evmesh.domain.signed_types import Document
from evmesh.domain.units import Wh
from tests.unit.verify.receipt_factory import GATEWAY, SESSION, make_reading

READING = make_reading(ReadingContext.START, meter="SDM630-4711")
FROZEN = (
    '{"at":"2026-03-01T08:00:00Z","context":"start","format":"evmesh.reading/1","meter":"SDM630-4711",'
    '"register_wh":41200,"seq":7,"session":"'
    + SESSION.text
    + '","signature":"0x'
    + READING.signature.hex()
    + '","signer":"'
    + GATEWAY.address.text
    + '"}'
)


def test_a_reading_is_these_very_bytes() -> None:
    assert READING.encode().decode() == FROZEN
    assert Reading.parse(FROZEN.encode()) == READING


def test_the_signature_is_over_everything_but_itself() -> None:
    content = parse_canonical_json(READING.encode())
    del content["signature"]
    assert READING.to_sign() == Document("evmesh.reading/1", sha256(canonical_json(content)).digest())
    assert replace(READING, register=Wh(1)).to_sign() != READING.to_sign()


def test_a_sample_needs_no_session() -> None:
    sample = make_reading(ReadingContext.SAMPLE, session=None)
    assert b'"session":null' in sample.encode()
    assert Reading.parse(sample.encode()) == sample


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"meter": ""}, "meter"),
        ({"meter": "a\nb"}, "meter"),
        ({"meter": "x" * 129}, "meter"),
        ({"seq": 0}, "seq"),
        ({"seq": "7"}, "seq"),
        ({"at": "2026-03-01T08:00:00+00:00"}, "at"),
        ({"at": "2026-03-01T08:00:00.0Z"}, "at"),
        ({"at": "2026-02-29T08:00:00Z"}, "at"),
        ({"register_wh": -1}, "register_wh"),
        ({"context": "middle"}, "context"),
        ({"session": "x"}, "session"),
        ({"session": 5}, "session"),
        ({"signer": "0xABC"}, "signer"),
        ({"signature": "0x00"}, "signature"),
        ({"format": "evmesh.reading/2"}, "format"),
        ({"unit": "Wh"}, "unit"),
    ],
)
def test_anything_else_is_refused_by_name(changes: dict[str, object], path: str) -> None:
    raw = canonical_json(parse_canonical_json(READING.encode()) | changes)
    with pytest.raises(InvalidInput) as refused:
        Reading.parse(raw)
    assert refused.value.path == path


def test_an_unsigned_reading_is_never_encoded() -> None:
    unsigned = replace(READING, signature=b"")
    with pytest.raises(ValueError, match="not signed"):
        unsigned.encode()
    with pytest.raises(ValueError, match="64 bytes"):
        unsigned.signed(bytes(65))


def test_an_instant_without_exact_form_is_refused_before_it_is_signed() -> None:
    for instant in (datetime(2026, 3, 1, 8, 0, 0, 1, UTC), datetime(2026, 3, 1, 8)):  # noqa: DTZ001
        with pytest.raises(InvalidInput, match="exact form"):
            replace(READING, at=instant).to_sign()


def test_a_leaf_is_the_salted_hash_of_canonical_cbor() -> None:
    salt, before, payload = bytes(range(32)), bytes(32), READING.encode()
    content = {"meter": "SDM630-4711", "seq": 7, "prev_hash": before, "payload": payload}
    theirs = sha256(b"\0" + salt + cbor2.dumps(content, canonical=True)).digest()
    assert meter_leaf_hash("SDM630-4711", 7, salt, before, payload) == theirs


def test_a_leaf_without_a_whole_salt_is_never_made() -> None:
    for salt, before in ((bytes(31), bytes(32)), (bytes(32), b"")):
        with pytest.raises(ValueError, match="32 bytes"):
            meter_leaf_hash("m", 1, salt, before, b"")
