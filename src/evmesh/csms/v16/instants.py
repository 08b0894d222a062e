"""OCPP timestamps: what stations really write, as aware UTC, and what we write."""

import re
from datetime import UTC, datetime
from typing import Final

_RFC3339: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d{1,12})?([Zz]|[+-]\d{2}:?\d{2})?", re.ASCII
)


class MalformedInstant(ValueError):
    """A text that names no instant."""


def parse_instant(text: str) -> datetime:
    """Give aware UTC, to the microsecond (further digits are cut off).

    A text without a zone is taken as UTC: OCPP 1.6 section 3.15 recommends UTC, and stations that
    leave the zone off follow that. Raises MalformedInstant on anything else.
    """
    match = _RFC3339.fullmatch(text)
    if not match:
        raise MalformedInstant(f"not an RFC 3339 timestamp: {text[:40]!r}")
    date, time, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        return datetime.fromisoformat(f"{date}T{time}{(fraction or '')[:7]}{offset}").astimezone(UTC)
    except (ValueError, OverflowError) as error:  # a thirteenth month; the year 0 or 10,000 once in UTC
        raise MalformedInstant(f"no such instant: {text[:40]!r}") from error


def write_instant(instant: datetime) -> str:
    """Write aware UTC with `Z`; milliseconds only where there are any (section 3.15 allows three digits)."""
    utc = instant.astimezone(UTC)
    precision = "milliseconds" if utc.microsecond >= 1_000 else "seconds"
    return utc.isoformat(timespec=precision).replace("+00:00", "Z")
