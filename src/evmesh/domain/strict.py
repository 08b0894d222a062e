"""Strict reading of documents: every member is expected, typed and bounded, or named as wrong.

Texts have one spelling each: addresses and bytes are lower-case hexadecimal with 0x, instants
RFC 3339 in UTC with whole seconds and `Z`, money and other large integers decimal strings.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from evmesh.domain.canonical import MAX_DOCUMENT_INT
from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.fields import Fields
from evmesh.domain.ids import Address
from evmesh.domain.money import parse_units

T = TypeVar("T")

_HEX: Final = re.compile(r"0x(?:[0-9a-f]{2})*")
_ADDRESS: Final = re.compile(r"0x[0-9a-f]{40}")
_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,77}")


class StrictFields(Fields):
    """Fields of a document of ours: besides its type, each value has bounds and one spelling.

    Each method takes one field and raises InvalidInput, with the field's path, where it is not
    what it must be.
    """

    def take(self, key: str) -> Any:
        """Take a field as it is."""
        return self._take(key)

    def literal(self, key: str, *allowed: str) -> str:
        """Give a text that is one of `allowed`."""
        value = self._take(key)
        if value not in allowed:
            wanted = " or ".join(allowed)
            raise InvalidInput("document.bad_value", f"{_show(value)} is not {wanted}", path=self.path(key))
        return str(value)

    def key(self, key: str, longest: int = 1_024) -> bytes:
        """Give a public key of any length from its hexadecimal text of at most `longest` characters."""
        text = self.text(key, longest)
        if not _HEX.fullmatch(text) or text == "0x":
            what = f"{_show(text)} is not lower-case hexadecimal"
            raise InvalidInput("document.bad_value", what, path=self.path(key))
        return bytes.fromhex(text[2:])

    def text(self, key: str, longest: int = 128) -> str:
        """Give a text of 1 to `longest` printable characters."""
        value = self._take(key)
        if not isinstance(value, str) or not 0 < len(value) <= longest or not value.isprintable():
            raise InvalidInput(
                "document.bad_value",
                f"{_show(value)} is not a text of 1 to {longest} characters",
                path=self.path(key),
            )
        return value

    def integer(self, key: str, lowest: int = 0, highest: int = MAX_DOCUMENT_INT) -> int:
        """Give an integer in [lowest, highest]."""
        return checked_integer(self._take(key), self.path(key), lowest, highest)

    def units(self, key: str) -> int:
        """Give token units from their decimal string."""
        return parse_units(self._take(key), self.path(key))

    def decimal(self, key: str) -> int:
        """Give a non-negative integer of up to 78 digits from its decimal string."""
        return checked_decimal(self._take(key), self.path(key))

    def address(self, key: str) -> Address:
        """Give an account."""
        return checked_address(self._take(key), self.path(key))

    def bytes_of(self, key: str, size: int) -> bytes:
        """Give exactly `size` bytes."""
        return checked_bytes(self._take(key), size, self.path(key))

    def instant(self, key: str) -> datetime:
        """Give an instant."""
        return checked_instant(self._take(key), self.path(key))

    def parsed(self, key: str, parse: Callable[[str], T]) -> T:
        """Give a text through its own parser, whose InvalidInput then carries the path."""
        return self._parsed(key, self.text(key), parse)

    def parsed_or_none(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Give a text through its own parser, or None where null stands."""
        value = self._take(key)
        return None if value is None else self._parsed(key, value, parse)

    def _parsed(self, key: str, value: object, parse: Callable[[str], T]) -> T:
        if not isinstance(value, str):
            raise InvalidInput("document.bad_value", f"{_show(value)} is not a text", path=self.path(key))
        try:
            return parse(value)
        except EvmeshError as error:
            raise InvalidInput(error.code, error.what, do=error.do, path=self.path(key)) from error

    def object(self, key: str) -> "StrictFields":
        """Give an object, to be taken apart in turn."""
        return StrictFields(self._take(key), self.path(key))

    def array(self, key: str, longest: int) -> "list[tuple[Any, str]]":
        """Give the items of an array of at most `longest`, each with its path."""
        value = self._take(key)
        if not isinstance(value, list) or len(value) > longest:
            raise InvalidInput(
                "document.bad_value",
                f"an array of at most {longest} items must stand here",
                path=self.path(key),
            )
        return [(item, f"{self.path(key)}[{position}]") for position, item in enumerate(value)]

    def bounded_integers(self, key: str, longest: int, lowest: int = 0) -> tuple[int, ...]:
        """Give an array of at most `longest` integers."""
        return tuple(checked_integer(item, path, lowest) for item, path in self.array(key, longest))


def checked_integer(value: object, path: str, lowest: int = 0, highest: int = MAX_DOCUMENT_INT) -> int:
    """Give `value` if it is an integer (not a boolean) in [lowest, highest]."""
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise InvalidInput(
            "document.bad_value", f"{_show(value)} is not an integer from {lowest} to {highest}", path=path
        )
    return value


def checked_decimal(value: object, path: str) -> int:
    """Give the integer that a decimal string without sign or leading zeros stands for."""
    if not isinstance(value, str) or not _DECIMAL.fullmatch(value):
        raise InvalidInput("document.bad_value", f"{_show(value)} is not a decimal string", path=path)
    return int(value)


def checked_address(value: object, path: str) -> Address:
    """Give the account that a lower-case text names."""
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise InvalidInput(
            "document.bad_value", f"{_show(value)} is not a lower-case account of 20 bytes", path=path
        )
    return Address(value)


def checked_bytes(value: object, size: int, path: str) -> bytes:
    """Give the bytes of a lower-case hexadecimal text with 0x."""
    if not isinstance(value, str) or not _HEX.fullmatch(value) or len(value) != 2 + 2 * size:
        raise InvalidInput(
            "document.bad_value", f"{_show(value)} is not {size} bytes of lower-case hexadecimal", path=path
        )
    return bytes.fromhex(value[2:])


def checked_instant(value: object, path: str) -> datetime:
    """Give the aware instant that an RFC 3339 text in UTC with whole seconds names."""
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass  # a thirteenth month and the like: refused below with every other shape
    raise InvalidInput(
        "document.bad_value", f"{_show(value)} is not an instant", do=_WRITE_INSTANT, path=path
    )


_WRITE_INSTANT: Final = "write UTC with whole seconds, e.g. 2026-03-01T08:00:00Z"


def write_instant(instant: datetime) -> str:
    """Write an aware instant the one way documents carry it; parts of a second must be 0."""
    if instant.microsecond or instant.tzinfo is None:
        raise InvalidInput("document.bad_value", f"{instant} has no exact form", do=_WRITE_INSTANT)
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def write_bytes(raw: bytes) -> str:
    """Write bytes the one way documents carry them."""
    return "0x" + raw.hex()


def unix_seconds(instant: datetime) -> int:
    """Give whole seconds since 1970, rounded down: what signed types and blocks carry."""
    return int(instant.timestamp())


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"
