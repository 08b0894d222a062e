"""Station codes: what a driver types or scans to find a charge point.

A code is seven Crockford base32 characters and a check character, e.g. `7K3P-M9QT`. The seven
are a fixed permutation of the registry's own counter, so nobody chooses a code and nobody can
squat one; neighbours in the registry look nothing alike. The check is linear over GF(32) and
finds every single mistyped character and every swap of two neighbours.
"""

from typing import Final

from evmesh.domain.errors import InvalidInput

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford base32: no I, L, O, U."""

CODE_SPACE: Final = 2**35
"""Counters a code can name: 32^7."""

_MULTIPLIER: Final = 21_235_486_155  # 2^35 ÷ golden ratio, odd, so multiplying permutes the integers mod 2^35
_INVERSE: Final = pow(_MULTIPLIER, -1, CODE_SPACE)
_OFFSET: Final = 11_400_714_819
_READ_AS: Final = {"I": "1", "L": "1", "O": "0"}


def code_of(counter: int) -> str:
    """Give the eight-character code of the registry's `counter`th asset (counted from 1)."""
    if not 0 < counter < CODE_SPACE:
        raise InvalidInput("station.counter_out_of_range", f"{counter} has no station code")
    number = (counter * _MULTIPLIER + _OFFSET) % CODE_SPACE
    values = [number >> shift & 31 for shift in range(30, -1, -5)]
    return "".join(ALPHABET[value] for value in [*values, _check(values)])


def counter_of(raw: str) -> int:
    """Read a code as a person types it (any case, spaces, hyphens, I/L for 1, O for 0).

    Raises InvalidInput: `station.malformed_code` where it cannot be one, `station.mistyped_code`
    where the check character says that something was mistyped.
    """
    text = "".join(_READ_AS.get(char, char) for char in raw.upper() if char not in " -")
    if len(text) != 8 or any(char not in ALPHABET for char in text):
        raise InvalidInput(
            "station.malformed_code",
            f"{raw[:40]!r} is not a station code",
            do="type the eight characters on the charge point, e.g. 7K3P-M9QT",
        )
    values = [ALPHABET.index(char) for char in text]
    if _check(values[:7]) != values[7]:
        raise InvalidInput(
            "station.mistyped_code",
            f"the check character of {raw[:40]!r} does not fit: something was mistyped",
            do="compare it with the charge point, character by character",
        )
    number = sum(value << shift for value, shift in zip(values, range(30, -1, -5), strict=False))
    counter = (number - _OFFSET) * _INVERSE % CODE_SPACE
    if counter == 0:
        raise InvalidInput("station.malformed_code", f"{raw[:40]!r} names no asset")
    return counter


def spaced(code: str) -> str:
    """Write a code the way it is printed on a charge point: `7K3P-M9QT`."""
    return f"{code[:4]}-{code[4:]}"


def _check(values: list[int]) -> int:
    """Evaluate the characters as a polynomial at x = 2 over GF(32).

    Weights are distinct and non-zero, so one error changes the sum; the weights of neighbours
    differ by a factor of x, so a swap does too. The check character itself has weight 1 = x^0.
    """
    total = 0
    for value in values:
        total = _times_x(total ^ value)
    return total


def _times_x(value: int) -> int:
    """Multiply by x in GF(32) = GF(2)[x] / (x^5 + x^2 + 1)."""
    shifted = value << 1
    return shifted ^ 0b100101 if shifted & 32 else shifted
