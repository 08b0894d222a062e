"""One encoding for each document, so that every changed byte shows.

Documents are RFC 8785 canonical JSON, restricted to strings, integers, null, arrays and objects:
no floats and no booleans, so there is nothing to round and nothing that two languages print
differently. Reading refuses any other encoding of the same content. Notary leaves are RFC 8949
deterministic CBOR of the same restricted kind, with byte strings added.
"""

import json
import re
from typing import Any

from evmesh.domain.errors import InvalidInput

MAX_DOCUMENT_INT = 2**31 - 1
"""The largest magnitude of a bare integer in a document; larger ones travel as decimal strings."""

MAX_DEPTH = 64
"""How deep arrays and objects may nest in a document; the formats need less than ten."""

Json = dict[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")


def canonical_json(document: Json) -> bytes:
    """Encode as RFC 8785: keys sorted by UTF-16 code unit, no white space, UTF-8.

    Raises InvalidInput where the document holds a float, a boolean or an integer past
    MAX_DOCUMENT_INT, with the path of the value.
    """
    _check(document, "")
    return json.dumps(_sorted(document), ensure_ascii=False, separators=(",", ":")).encode()


def parse_canonical_json(raw: bytes) -> Json:
    """Decode bytes that `canonical_json` could have written, and no others."""
    document = parse_json(raw)
    try:
        canonical = canonical_json(document)
    except RecursionError as error:
        raise InvalidInput("document.too_deep", "the file nests too deeply") from error
    if canonical != raw:
        line_end = raw.rstrip(b"\r\n") == canonical
        raise InvalidInput(
            "document.not_canonical",
            "there is a newline at the end, which was not signed: the file is not as it was issued"
            if line_end
            else "the file is not in canonical form (RFC 8785), so its bytes are not those that were signed",
            do="use the file as it was issued: do not reformat it, and add no line at its end",
        )
    return document


def parse_json(raw: bytes) -> Json:
    """Decode a JSON object strictly: no floats, booleans, duplicate keys or huge integers.

    Raises InvalidInput; `path` names the offending value.
    """
    refuse_deep_nesting(raw)
    try:
        document = json.loads(
            raw.decode("utf-8"), parse_int=_bounded_int, object_pairs_hook=_object_with_its_duplicates
        )
        _check(document, "")
    except UnicodeDecodeError as error:
        raise InvalidInput("document.not_utf8", f"the file is not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise InvalidInput(
            "document.not_json", f"not JSON: {error}", do="check that the file is complete"
        ) from error
    except RecursionError as error:
        raise InvalidInput("document.too_deep", "the file nests too deeply") from error
    if not isinstance(document, dict):
        raise InvalidInput("document.not_an_object", "the file must hold one JSON object")
    return document


class _Duplicates(Json):
    """An object in which a key stands twice; `_check` refuses it, once its path is known."""

    key = ""


def _object_with_its_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    duplicates = _Duplicates(found)
    unseen = set(found)
    for key, _ in pairs:
        if key not in unseen:
            duplicates.key = key
        unseen.discard(key)
    return duplicates


_JSON_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)


def refuse_deep_nesting(raw: bytes) -> None:
    """Raise InvalidInput before a parser recurses: a library may have lifted the limit, not the stack."""
    if raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for character in _JSON_STRING.sub(b"", raw):
        if character in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise InvalidInput("document.too_deep", f"the file nests deeper than {MAX_DEPTH} levels")
        elif character in b"]}":
            depth -= 1


def _bounded_int(text: str) -> int:
    if len(text) <= 11:
        return int(text)
    # Not int(text), which is quadratic in the number of digits; `_check` refuses this one with its path.
    return MAX_DOCUMENT_INT + 1


def _check(value: object, path: str) -> None:
    if isinstance(value, dict):
        _check_object(value, path)
    elif isinstance(value, list):
        for position, item in enumerate(value):
            _check(item, f"{path}[{position}]")
    elif isinstance(value, str):
        if _SURROGATE.search(value):
            raise InvalidInput("document.not_utf8", "a lone surrogate is not text", path=path)
    elif isinstance(value, (bool, float)):
        raise InvalidInput("document.not_an_integer", f"{value} is not allowed here", path=path)
    elif isinstance(value, int):
        if abs(value) > MAX_DOCUMENT_INT:
            raise InvalidInput("document.number_too_large", "the number is past 2^31 - 1", path=path)
    elif value is not None:
        raise InvalidInput("document.bad_type", f"{type(value).__name__} has no JSON form", path=path)


def _check_object(value: dict[Any, Any], path: str) -> None:
    if isinstance(value, _Duplicates):
        at = f"{path}.{value.key}" if path else value.key
        raise InvalidInput("document.duplicate_key", f"the key {value.key!r} stands twice", path=at)
    for key, item in value.items():
        if not isinstance(key, str):
            raise InvalidInput("document.bad_type", f"the key {key!r} is not a string", path=path)
        _check(key, path)
        _check(item, f"{path}.{key}" if path else str(key))


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value, key=lambda k: k.encode("utf-16-be"))}
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    return value


CborValue = int | bytes | str | list["CborValue"] | dict[str, "CborValue"] | None


def canonical_cbor(value: CborValue) -> bytes:
    """Encode as RFC 8949 section 4.2.1: shortest heads, map keys sorted by their encoding."""
    if value is None:
        return b"\xf6"
    if isinstance(value, int):
        return _cbor_head(0, value) if value >= 0 else _cbor_head(1, -1 - value)
    if isinstance(value, bytes):
        return _cbor_head(2, len(value)) + value
    if isinstance(value, str):
        text = value.encode()
        return _cbor_head(3, len(text)) + text
    if isinstance(value, list):
        return _cbor_head(4, len(value)) + b"".join(canonical_cbor(item) for item in value)
    items = sorted((canonical_cbor(key), canonical_cbor(item)) for key, item in value.items())
    return _cbor_head(5, len(items)) + b"".join(key + item for key, item in items)


def _cbor_head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << (8 * size):
            return bytes([major << 5 | code]) + argument.to_bytes(size, "big")
    raise InvalidInput("document.number_too_large", f"{argument} is past 2^64 - 1")
