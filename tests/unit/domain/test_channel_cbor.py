"""Canonical CBOR is read one way only."""

from contextlib import suppress

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.canonical import canonical_cbor
from evmesh.domain.channel_cbor import MAX_CBOR_DEPTH, CborFields, parse_canonical_cbor
from evmesh.domain.errors import InvalidInput

values = st.recursive(
    st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@given(values)
def test_what_was_written_is_read_and_another_library_agrees(value: object) -> None:
    raw = canonical_cbor(value)  # type: ignore[arg-type]
    assert parse_canonical_cbor(raw) == value
    assert cbor2.loads(raw) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_as_written_or_refused(raw: bytes) -> None:
    with suppress(InvalidInput):  # any other exception is a defect
        assert canonical_cbor(parse_canonical_cbor(raw)) == raw


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("1800", "not_canonical"),  # 0 in two bytes
        ("a2616201616102", "not_canonical"),  # b before a
        ("a2616101616102", "bad_key"),
        ("a10101", "bad_key"),
        ("9f01ff", "bad_length"),
        ("5f4101ff", "bad_length"),
        ("f5", "bad_type"),
        ("fb3ff0000000000000", "bad_type"),
        ("c001", "bad_type"),
        ("4201", "truncated"),
        ("9b7fffffffffffffff", "truncated"),
        ("", "truncated"),
        ("0101", "trailing"),
        ("61ff", "not_utf8"),
        ("81" * (MAX_CBOR_DEPTH + 2) + "01", "too_deep"),
    ],
)
def test_another_encoding_is_refused(raw: str, code: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        parse_canonical_cbor(bytes.fromhex(raw))
    assert refusal.value.code == f"cbor.{code}"


def test_members_are_taken_once_and_none_is_left() -> None:
    fields = CborFields(canonical_cbor({"a": 1, "b": b"xy", "c": None}))
    assert fields.whole("a", 1) == 1
    assert fields.octets("b", 2) == b"xy"
    with pytest.raises(InvalidInput, match=r"cbor\.unknown_key"):
        fields.done()
    assert fields.octets_or_none("c", 2) is None
    fields.done()
    with pytest.raises(InvalidInput, match=r"cbor\.missing_key"):
        fields.whole("a", 1)
