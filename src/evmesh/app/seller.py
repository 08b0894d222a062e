"""Who stands at the head of invoices: a file of the operator's, or the table [seller] of the site file."""

import re
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from evmesh.domain.errors import InvalidInput
from evmesh.domain.invoice import VAT_WHOLE, Seller

MAX_SELLER_BYTES: Final = 64 * 1024
_LONGEST_LINE: Final = 80
_MOST_LINES: Final = 8
_PERCENT: Final = re.compile(r"[0-9]{1,2}(?:\.[0-9]{1,2})?")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def read_seller(raw: bytes) -> Seller:
    """Read a seller file; raises InvalidInput with the name of the wrong entry."""
    try:
        table = tomllib.loads(raw.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidInput("seller.not_toml", f"the seller file is not TOML: {error}") from error
    return seller_of(table)


def seller_of(given: Mapping[str, Any]) -> Seller:
    """Read a seller's entries; raises InvalidInput with the name of the wrong one."""
    table = dict(given)
    seller = Seller(
        name=_line(table.pop("name", None), "name"),
        address=_lines(table.pop("address", None), "address"),
        tax_id=_line(table.pop("tax_id", None), "tax_id"),
        contact=_line(table.pop("contact", None), "contact"),
        currency=_line(table.pop("currency", None), "currency"),
        time_zone=_zone(table.pop("time_zone", None)),
        vat=_vat(table.pop("vat_percent", None)),
        notes=_lines(table.pop("notes", []), "notes"),
    )
    if not _CURRENCY.fullmatch(seller.currency):
        raise _bad("currency", "a currency is three capital letters, e.g. EUR")
    if not seller.address:
        raise _bad("address", "an address has at least one line")
    for key in table:
        raise InvalidInput("seller.bad_entry", f"the entry {key!r} is not known here", path=key)
    return seller


def seller_of_site(table: Mapping[str, Any], time_zone: str) -> Seller:
    """Read the table [seller] of a site file, whose own time zone holds where it names none."""
    try:
        return seller_of({"time_zone": time_zone, **table})
    except InvalidInput as error:
        error.path = f"seller.{error.path}"
        raise


def _line(value: Any, path: str) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= _LONGEST_LINE or not value.isprintable():
        raise _bad(path, f"{path} is a text of 1 to {_LONGEST_LINE} printable characters")
    return value


def _lines(value: Any, path: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > _MOST_LINES:
        raise _bad(path, f"{path} is a list of at most {_MOST_LINES} texts")
    return tuple(_line(line, f"{path}[{number}]") for number, line in enumerate(value))


def _zone(value: Any) -> str:
    name = _line(value, "time_zone")
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise _bad("time_zone", f"{name} is not a time zone, e.g. Europe/Amsterdam") from error
    return name


def _vat(value: Any) -> int | None:
    """Give hundredths of a per cent of a text such as "19" or "5.5": a float would not be exact."""
    if value is None:
        return None
    if not isinstance(value, str) or not _PERCENT.fullmatch(value):
        raise _bad("vat_percent", 'vat_percent is a text with at most two decimals, e.g. "19" or "5.5"')
    return int(Decimal(value) * (VAT_WHOLE // 100))


def _bad(path: str, what: str) -> InvalidInput:
    return InvalidInput("seller.bad_entry", what, path=path)
