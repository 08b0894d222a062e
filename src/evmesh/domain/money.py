"""Money as whole numbers, and the one function that prices energy.

Amounts are smallest token units (six decimals, so one unit is one micro-currency). They are
`int` in Python, decimal strings in JSON and SQLite, uint96 in the escrow. Prices are
micro-currency per kWh and round down for the driver.
"""

import re
from dataclasses import dataclass
from typing import NewType

from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import Wh

Price = NewType("Price", int)
"""Micro-currency per kWh."""

TOKEN_DECIMALS = 6
MAX_UNITS = 2**96 - 1
"""What one word of the escrow can hold."""

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,28}")
_AMOUNT = re.compile(r"(?P<whole>[0-9]{1,40})(?:\.(?P<decimals>[0-9]{1,40}))?", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class TokenAmount:
    """A non-negative amount of one token; two tokens never mix."""

    units: int
    token: str

    def __post_init__(self) -> None:
        if not 0 <= self.units <= MAX_UNITS:
            raise InvalidInput("money.out_of_range", f"{self.units} is not between 0 and 2^96 - 1")

    def __add__(self, other: "TokenAmount") -> "TokenAmount":
        self._same_token(other)
        return TokenAmount(self.units + other.units, self.token)

    def __sub__(self, other: "TokenAmount") -> "TokenAmount":
        self._same_token(other)
        return TokenAmount(self.units - other.units, self.token)

    def __str__(self) -> str:
        return f"{format_units(self.units)} {self.token}"

    def _same_token(self, other: "TokenAmount") -> None:
        if other.token != self.token:
            raise InvalidInput("money.other_token", f"{self.token} and {other.token} do not add up")


def cost_of(energy: Wh, price: Price) -> int:
    """Give ⌊Wh × price ÷ 1000⌋ in token units: the one pricing function of the platform.

    Live display, session, receipt, invoice and roaming record all call this one.
    """
    return energy * price // 1000


def energy_within(budget: int, price: Price) -> Wh | None:
    """Give the most Wh that `cost_of` prices within `budget`; None where energy is free."""
    if price <= 0:
        return None
    return Wh((budget * 1000 + 999) // price)


def parse_units(text: object, path: str = "") -> int:
    """Read token units from the decimal string that documents carry them in."""
    if not isinstance(text, str) or not _DECIMAL.fullmatch(text) or int(text) > MAX_UNITS:
        raise InvalidInput(
            "money.not_units", f"{text!r} is not an amount", do='write whole units, e.g. "1250000"', path=path
        )
    return int(text)


def parse_amount(text: str, path: str = "") -> int:
    """Read what a person types, e.g. `12.5`, as token units; nothing is rounded.

    Raises InvalidInput `money.negative`, `money.too_many_decimals`, `money.out_of_range` (past
    2^96 - 1 units), `money.zero`, or `money.not_an_amount`.
    """
    typed = text.strip()
    if re.fullmatch(r"-[0-9.]+", typed):
        raise InvalidInput("money.negative", f"{typed[:60]} is less than nothing", path=path)
    match = _AMOUNT.fullmatch(typed)
    if match is None:
        raise InvalidInput(
            "money.not_an_amount",
            f"{typed[:60]!r} is not an amount",
            do="write digits with a point before the decimals, e.g. 12.5",
            path=path,
        )
    decimals = (match["decimals"] or "").rstrip("0")
    if len(decimals) > TOKEN_DECIMALS:
        raise InvalidInput(
            "money.too_many_decimals",
            f"{typed[:60]} has more than {TOKEN_DECIMALS} decimals",
            do=f"the smallest amount is {format_units(1)}",
            path=path,
        )
    units: int = int(match["whole"]) * 10**TOKEN_DECIMALS + int(decimals.ljust(TOKEN_DECIMALS, "0"))
    if units > MAX_UNITS:
        raise InvalidInput(
            "money.out_of_range",
            f"{typed[:60]} is more than a tab can hold",
            do=f"the most is {format_units(MAX_UNITS)}",
            path=path,
        )
    if not units:
        raise InvalidInput("money.zero", "nothing would be moved", do="name more than nothing", path=path)
    return units


def amount_words(units: int, symbol: str) -> str:
    """Write units for a person with the token's symbol, `1.25 devEUR`; without one where that is empty."""
    return f"{format_units(units)} {symbol}".rstrip()


def format_units(units: int) -> str:
    """Write units with six decimals cut to at least two: 1 250 000 is `1.25`."""
    whole, rest = divmod(abs(units), 10**TOKEN_DECIMALS)
    decimals = f"{rest:0{TOKEN_DECIMALS}d}".rstrip("0").ljust(2, "0")
    return f"{'-' if units < 0 else ''}{whole}.{decimals}"
