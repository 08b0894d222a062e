"""The JSON of OCMF's sections: numbers exactly as they were written, and nothing silently dropped.

A meter's number says by its digits how precise it is, and its bytes are signed, so none becomes a
float. Errors are InvalidInput with the path of the field (`RD[1].RV`).
"""

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NoReturn, TypeVar

from evmesh.domain.canonical import Json, refuse_deep_nesting
from evmesh.domain.errors import InvalidInput
from evmesh.domain.fields import Fields

E = TypeVar("E", bound=StrEnum)

_NUMERAL: Final = re.compile(r"(-?)(0|[1-9][0-9]*)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,3}))?")
_LONGEST_NUMERAL: Final = 40


@dataclass(frozen=True, slots=True)
class Numeral:
    """A number as the meter wrote it."""

    text: str

    def scaled(self, power: int, path: str) -> int:
        """Give the number × 10^power; raises InvalidInput `ocmf.not_whole` where digits would be lost."""
        found = _NUMERAL.fullmatch(self.text)
        if found is None or len(self.text) > _LONGEST_NUMERAL:
            raise InvalidInput("ocmf.bad_number", f"{self.text[:60]} cannot be a meter's number", path=path)
        sign, whole, fraction, exponent = found[1], found[2], found[3] or "", int(found[4] or 0)
        digits, shift = int(whole + fraction), power + exponent - len(fraction)
        if shift >= 0:
            value, lost = digits * int(10**shift), 0
        else:
            value, lost = divmod(digits, int(10**-shift))
        if lost:
            raise InvalidInput(
                "ocmf.not_whole",
                f"{self.text} is finer than the smallest unit that is kept, 1 mWh",
                do="bill it with a program that keeps finer units",
                path=path,
            )
        return -value if sign else value


def read_section(raw: bytes, name: str) -> Json:
    """Decode one section: an object whose numbers are `Numeral`; duplicate keys are refused."""
    refuse_deep_nesting(raw)
    try:
        document = json.loads(
            raw.decode("utf-8"),
            parse_float=Numeral,
            parse_int=Numeral,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except UnicodeDecodeError as error:
        raise InvalidInput("ocmf.not_utf8", f"the {name} is not UTF-8: {error}") from error
    except json.JSONDecodeError as error:
        raise InvalidInput("ocmf.not_json", f"the {name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise InvalidInput("ocmf.not_json", f"the {name} is not a JSON object")
    return document


def _refuse_constant(text: str) -> NoReturn:
    raise InvalidInput("ocmf.bad_number", f"{text} is not a number")


def _object(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise InvalidInput("document.duplicate_key", f"the key {twice!r} stands twice", path=twice)
    return found


class OcmfFields(Fields):
    """One object of a section; nearly every field of OCMF may be missing."""

    def optional_text(self, key: str, longest: int = 250) -> str | None:
        """Take a text of at most `longest` printable characters, or None where the field is missing."""
        return self.bounded_text(key, longest) if self.has(key) else None

    def bounded_text(self, key: str, longest: int = 250) -> str:
        """Take a text of at most `longest` printable characters."""
        value = self.text(key)
        if len(value) > longest or not value.isprintable():
            what = f"this is not a text of at most {longest} printable characters"
            raise InvalidInput("document.bad_value", what, path=self.path(key))
        return value

    def word(self, key: str, words: type[E]) -> E:
        """Take one of the words that the specification defines."""
        text = self.bounded_text(key)
        try:
            return words(text)
        except ValueError as error:
            known = ", ".join(word or '""' for word in words)
            what = f"{text!r} is none of {known}"
            raise InvalidInput("document.bad_value", what, path=self.path(key)) from error

    def optional_word(self, key: str, words: type[E]) -> E | None:
        """Take one of the words that the specification defines, or None where the field is missing."""
        return self.word(key, words) if self.has(key) else None

    def numeral(self, key: str) -> Numeral:
        """Take a number as it was written."""
        value = self._take(key)
        if not isinstance(value, Numeral):
            raise InvalidInput("document.bad_type", "a number must stand here", path=self.path(key))
        return value

    def boolean(self, key: str) -> bool:
        """Take true or false."""
        value = self._take(key)
        if not isinstance(value, bool):
            raise InvalidInput("document.bad_type", "true or false must stand here", path=self.path(key))
        return value

    def mapping(self, key: str) -> Json:
        """Take an object as it is; `OcmfFields` takes it apart."""
        value = self._take(key)
        if not isinstance(value, dict):
            raise InvalidInput("document.bad_type", "an object must stand here", path=self.path(key))
        return value

    def drop_extensions(self, first_letters: str) -> None:
        """Leave out the keys that the specification reserves for others."""
        letters = tuple(first_letters)
        self._left = {key: value for key, value in self._left.items() if not key.startswith(letters)}
