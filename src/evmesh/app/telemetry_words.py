"""The words in which people and programs ask for telemetry: instants, widths, zones."""

import re
from datetime import UTC, datetime, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from evmesh.domain.errors import InvalidInput
from evmesh.domain.telemetry import ValueName

_WIDTH: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
WIDEST_S: Final = 366 * 86_400


def instant_of(text: str, path: str) -> datetime:
    """Read RFC 3339, or a date, which begins at midnight UTC. Raises InvalidInput."""
    try:
        at = datetime.fromisoformat(text)
        return (at.replace(tzinfo=UTC) if len(text) == len("2026-06-01") else at).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _bad(
            f"{text[:40]!r} is no instant", "write 2026-06-01 or 2026-06-01T08:00:00Z", path
        ) from error


def between(start: str, end: str) -> tuple[datetime, datetime]:
    """Read a stretch of time. Raises InvalidInput where it is empty, or an instant has no zone."""
    first, last = instant_of(start, "from"), instant_of(end, "to")
    if first >= last:
        raise _bad("the end is not after the start", "write an earlier --from", "to")
    return first, last


def width_of(text: str) -> int:
    """Read a width like 15m, in seconds. Raises InvalidInput."""
    found = _WIDTH.fullmatch(text)
    width = 0 if found is None else int(found[1]) * _SECONDS[found[2]]
    if not 0 < width <= WIDEST_S:
        raise _bad(f"{text[:40]!r} is no width", "write 10s, 15m, 1h or 1d", "resolution")
    return width


def value_of(text: str) -> str:
    """Check the name of a value. Raises InvalidInput."""
    if text not in frozenset(ValueName):
        raise _bad(f"{text[:40]!r} is no value", f"use one of {', '.join(ValueName)}", "value")
    return text


def zone_of(name: str) -> tzinfo:
    """Find a time zone. Raises InvalidInput."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError) as error:
        raise _bad(f"{name[:60]!r} is no time zone", "write Europe/Zurich", "time_zone") from error


def written(at: datetime) -> str:
    """Write an instant with all its digits."""
    return at.isoformat().replace("+00:00", "Z")


def _bad(what: str, do: str, path: str) -> InvalidInput:
    return InvalidInput("telemetry.bad_question", what, do=do, path=path)
