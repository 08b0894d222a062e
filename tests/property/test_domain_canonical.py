"""One encoding for each document: RFC 8785 and RFC 8949, held against independent implementations."""

import json

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.canonical import (
    MAX_DOCUMENT_INT,
    CborValue,
    canonical_cbor,
    canonical_json,
    parse_canonical_json,
    parse_json,
)
from evmesh.domain.errors import InvalidInput

texts = st.text(st.characters(codec="utf-8"), max_size=12)
integers = st.integers(-MAX_DOCUMENT_INT, MAX_DOCUMENT_INT)
json_values = st.recursive(
    st.none() | integers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
documents = st.dictionaries(texts, json_values, max_size=5)
cbor_values: st.SearchStrategy[CborValue] = st.recursive(
    st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=300) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_a_document_comes_back_from_its_bytes(document: dict[str, object]) -> None:
    raw = canonical_json(document)
    assert parse_canonical_json(raw) == document == json.loads(raw)
    assert canonical_json(parse_json(raw)) == raw


@given(documents)
def test_keys_are_sorted_by_utf_16_whatever_their_order_was(document: dict[str, object]) -> None:
    backwards = dict(reversed(document.items()))
    assert canonical_json(backwards) == canonical_json(document)
    keys = list(json.loads(canonical_json(document)))
    assert keys == sorted(keys, key=lambda key: key.encode("utf-16-be"))


@given(documents.filter(bool), st.data())
def test_any_other_encoding_of_the_same_is_refused(document: dict[str, object], data: st.DataObject) -> None:
    others = [
        json.dumps(document, ensure_ascii=False).encode(),
        json.dumps(document, ensure_ascii=False, indent=1).encode(),
        canonical_json(document) + b"\n",
        b"\xef\xbb\xbf" + canonical_json(document),
        json.dumps(document, ensure_ascii=True, separators=(",", ":"), sort_keys=True).encode(),
    ]
    raw = data.draw(st.sampled_from(others))
    if raw != canonical_json(document):
        with pytest.raises(InvalidInput):
            parse_canonical_json(raw)


def test_the_example_of_rfc_8785_for_keys_is_followed() -> None:
    # Section 3.2.3, with strings for its values
    document = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    assert list(json.loads(canonical_json(document)).values()) == [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ]


def test_the_example_of_rfc_8785_for_strings_is_followed() -> None:
    # Section 3.2.2.2: the short escapes, lower-case hex for other controls, all else as it is
    document = {"string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/\u007f\u2028"}
    expected = '{"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/\u007f\u2028"}'
    assert canonical_json(document) == expected.encode()


@pytest.mark.parametrize(
    ("raw", "code", "path"),
    [
        (b'{"a":1.5}', "document.not_an_integer", "a"),
        (b'{"a":[1,{"b":1e3}]}', "document.not_an_integer", "a[1].b"),
        (b'{"a":true}', "document.not_an_integer", "a"),
        (b'{"a":NaN}', "document.not_an_integer", "a"),
        (b'{"a":-Infinity}', "document.not_an_integer", "a"),
        (b'{"a":2147483648}', "document.number_too_large", "a"),
        (b'{"a":-2147483648}', "document.number_too_large", "a"),
        (b'{"a":' + b"9" * 10_000 + b"}", "document.number_too_large", "a"),
        (b'{"a":1,"a":1}', "document.duplicate_key", "a"),
        (b'{"x":{"a":1,"b":2,"a":3}}', "document.duplicate_key", "x.a"),
        (b'{"a":"\\ud800"}', "document.not_utf8", "a"),
        (b'{"\\udfff":1}', "document.not_utf8", ""),
        (b'{"a":"\xff"}', "document.not_utf8", ""),
        (b"[]", "document.not_an_object", ""),
        (b"null", "document.not_an_object", ""),
        (b'{"a":1', "document.not_json", ""),
        (b"", "document.not_json", ""),
        (b'{"a":1}{}', "document.not_json", ""),
        (b"{'a':1}", "document.not_json", ""),
    ],
)
def test_what_two_languages_might_read_differently_is_refused(raw: bytes, code: str, path: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        parse_json(raw)
    assert (refused.value.code, refused.value.path) == (code, path)


@pytest.mark.parametrize("value", [1.0, True, {1: 2}, b"x", MAX_DOCUMENT_INT + 1, {"a"}, "\ud83d"])
def test_what_has_no_exact_form_is_not_written(value: object) -> None:
    with pytest.raises(InvalidInput):
        canonical_json({"a": [value]})


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        document = parse_canonical_json(raw)
    except InvalidInput:
        return
    assert canonical_json(document) == raw


@given(cbor_values)
def test_cbor_is_what_the_cbor2_library_writes_and_reads(value: CborValue) -> None:
    raw = canonical_cbor(value)
    assert raw == cbor2.dumps(value, canonical=True)
    assert cbor2.loads(raw) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65_535, "19ffff"),
        (65_536, "1a00010000"),
        (2**32 - 1, "1affffffff"),
        (2**32, "1b0000000100000000"),
        (2**64 - 1, "1bffffffffffffffff"),
        (-1, "20"),
        (-100, "3863"),
        (-(2**64), "3bffffffffffffffff"),
        (b"\1\2\3\4", "4401020304"),
        ("\u6c34", "63e6b0b4"),
        ([1, [2, 3]], "8201820203"),
        ({"b": [2, 3], "a": 1}, "a26161016162820203"),
        (None, "f6"),
    ],
)
def test_the_examples_of_rfc_8949_are_followed(value: CborValue, expected: str) -> None:
    assert canonical_cbor(value).hex() == expected


@pytest.mark.parametrize("value", [2**64, -(2**64) - 1])
def test_a_number_that_no_head_holds_is_refused(value: int) -> None:
    with pytest.raises(InvalidInput):
        canonical_cbor(value)
