"""Reads canonical CBOR: the one encoding that `canonical_cbor` writes, and no other.

Frames, grants and announcements are signed and hashed as bytes. A second encoding of the same content
would be a second message with the same meaning, so whatever is not canonical is refused.
"""

from typing import Final

from evmesh.domain.canonical import CborValue, canonical_cbor
from evmesh.domain.errors import InvalidInput

MAX_CBOR_DEPTH: Final = 8
"""How deep arrays and maps may nest; the formats need three."""

_NULL: Final = 0xF6
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}


def parse_canonical_cbor(raw: bytes) -> CborValue:
    """Decode what `canonical_cbor` could have written; raises InvalidInput `cbor.*` for all else."""
    reader = _Reader(raw)
    value = reader.value(0)
    if reader.at != len(raw):
        raise InvalidInput("cbor.trailing", f"{len(raw) - reader.at} bytes follow the value")
    if canonical_cbor(value) != raw:
        raise InvalidInput("cbor.not_canonical", "the bytes are not in canonical form (RFC 8949, 4.2.1)")
    return value


class _Reader:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.at = 0

    def value(self, depth: int) -> CborValue:
        """Read one value of the restricted kind."""
        if depth > MAX_CBOR_DEPTH:
            raise InvalidInput("cbor.too_deep", f"the value nests deeper than {MAX_CBOR_DEPTH} levels")
        first = self._take(1)[0]
        if first == _NULL:
            return None
        major, argument = first >> 5, self._argument(first & 31)
        match major:
            case 0:
                return argument
            case 1:
                return -1 - argument
            case 2:
                return self._take(argument)
            case 3:
                return _text(self._take(argument))
            case 4:
                return [self.value(depth + 1) for _ in range(self._count(argument))]
            case 5:
                return self._map(argument, depth)
            case _:
                raise InvalidInput("cbor.bad_type", f"nothing of ours begins with the byte {first:#04x}")

    def _map(self, count: int, depth: int) -> dict[str, CborValue]:
        found: dict[str, CborValue] = {}
        for _ in range(self._count(count)):
            key = self.value(depth + 1)
            if not isinstance(key, str) or key in found:
                raise InvalidInput("cbor.bad_key", "the keys of a map are texts, each there once")
            found[key] = self.value(depth + 1)
        return found

    def _argument(self, code: int) -> int:
        if code < 24:
            return code
        if code not in _SIZES:
            raise InvalidInput("cbor.bad_length", "a length is missing or open")
        return int.from_bytes(self._take(_SIZES[code]), "big")

    def _count(self, count: int) -> int:
        """Refuse a count that the rest of the bytes cannot hold, before a loop believes it."""
        if count > len(self._raw) - self.at:
            raise InvalidInput("cbor.truncated", "the bytes end before the value does")
        return count

    def _take(self, count: int) -> bytes:
        taken = self._raw[self.at : self.at + count]
        if len(taken) != count:
            raise InvalidInput("cbor.truncated", "the bytes end before the value does")
        self.at += count
        return taken


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput("cbor.not_utf8", "a text is not UTF-8") from error


class CborFields:
    """The members of a map, each taken once; `done` refuses what nobody asked for.

    Every method raises InvalidInput `cbor.bad_value` with the member's name as path.
    """

    def __init__(self, raw: bytes) -> None:
        value = parse_canonical_cbor(raw)
        if not isinstance(value, dict):
            raise InvalidInput("cbor.not_a_map", "a map was expected")
        self._left = dict(value)

    def whole(self, key: str, highest: int) -> int:
        """Give an integer in [0, highest]."""
        value = self._take(key)
        if not isinstance(value, int) or not 0 <= value <= highest:
            raise _bad(key, f"no integer of 0 to {highest}")
        return value

    def whole_or_none(self, key: str, highest: int) -> int | None:
        """Give an integer in [0, highest], or None for null."""
        return None if self._is_null(key) else self.whole(key, highest)

    def octets(self, key: str, size: int) -> bytes:
        """Give a byte string of exactly `size` bytes."""
        value = self._take(key)
        if not isinstance(value, bytes) or len(value) != size:
            raise _bad(key, f"not {size} bytes")
        return value

    def octets_or_none(self, key: str, size: int) -> bytes | None:
        """Give a byte string of exactly `size` bytes, or None for null."""
        return None if self._is_null(key) else self.octets(key, size)

    def some_octets(self, key: str, longest: int) -> bytes:
        """Give a byte string of at most `longest` bytes."""
        value = self._take(key)
        if not isinstance(value, bytes) or len(value) > longest:
            raise _bad(key, f"not at most {longest} bytes")
        return value

    def text(self, key: str, longest: int) -> str:
        """Give a text of at most `longest` printable characters; it may be empty."""
        value = self._take(key)
        if not isinstance(value, str) or len(value) > longest or not value.isprintable():
            raise _bad(key, f"no text of at most {longest} printable characters")
        return value

    def text_or_none(self, key: str, longest: int) -> str | None:
        """Give a text of at most `longest` printable characters, or None for null."""
        return None if self._is_null(key) else self.text(key, longest)

    def items(self, key: str) -> list[CborValue]:
        """Give an array as it is."""
        value = self._take(key)
        if not isinstance(value, list):
            raise _bad(key, "no array")
        return value

    def map_or_none(self, key: str) -> dict[str, CborValue] | None:
        """Give a map as it is, or None for null."""
        value = self._take(key)
        if value is not None and not isinstance(value, dict):
            raise _bad(key, "no map")
        return value

    def done(self) -> None:
        """Raise InvalidInput `cbor.unknown_key` where a member is left."""
        if self._left:
            key = min(self._left)
            raise InvalidInput("cbor.unknown_key", f"the member {key[:40]!r} means nothing here", path=key)

    def _is_null(self, key: str) -> bool:
        """Say whether a member is null; then it is taken."""
        if self._left.get(key, b"") is not None:
            return False
        del self._left[key]
        return True

    def _take(self, key: str) -> CborValue:
        if key not in self._left:
            raise InvalidInput("cbor.missing_key", f"the member {key!r} is missing", path=key)
        return self._left.pop(key)


def _bad(key: str, what: str) -> InvalidInput:
    return InvalidInput("cbor.bad_value", f"{key} is {what}", path=key)
