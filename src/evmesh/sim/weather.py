"""The sun over a site, and what a hall full of people takes: plausible curves that repeat with their seed.

The sun stands as it does (declination and hour angle, W. Stine and M. Geyer, Power from the Sun, ch. 3);
clouds are smooth noise. Nothing here is a forecast of anything.
"""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from math import asin, cos, pi, radians, sin
from typing import Final

from evmesh.domain.units import W

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_THICKEST: Final = 0.75
"""Of the light, what the thickest cloud takes."""

_HAZE: Final = 1.2
"""Power of the sine of the elevation: low sun comes through more air."""


def sunlight(at: datetime, latitude_udeg: int, longitude_udeg: int, seed: str) -> float:
    """Give the part of its peak that a plant gives under this sky, 0 to 1."""
    height = elevation(at, latitude_udeg, longitude_udeg)
    if height <= 0:
        return 0.0
    return float(sin(height) ** _HAZE) * (1 - _THICKEST * noise(f"clouds {seed}", at, timedelta(minutes=40)))


def elevation(at: datetime, latitude_udeg: int, longitude_udeg: int) -> float:
    """Give how high the sun stands, in radians; negative below the horizon."""
    day = at.timetuple().tm_yday
    hours = at.hour + at.minute / 60 + at.second / 3600
    declination = radians(23.45) * sin(2 * pi * (284 + day) / 365)
    hour_angle = radians(15 * (hours - 12) + longitude_udeg / 1_000_000)
    latitude = radians(latitude_udeg / 1_000_000)
    return asin(sin(latitude) * sin(declination) + cos(latitude) * cos(declination) * cos(hour_angle))


def hall_power(at: datetime, most: W, longitude_udeg: int, seed: str) -> W:
    """Give what other equipment takes: little at night, more by day, never more than `most`."""
    local = at + timedelta(seconds=longitude_udeg * 240 // 1_000_000)  # the sun's own time
    by_day = max(0.0, sin(pi * (local.hour + local.minute / 60 - 6) / 13)) if 6 <= local.hour < 19 else 0.0
    restless = noise(f"hall {seed}", at, timedelta(minutes=7))
    return W(int(most * min(1.0, 0.12 + 0.5 * by_day + 0.3 * restless)))


def noise(seed: str, at: datetime, length: timedelta) -> float:
    """Give smooth noise from 0 to 1: straight lines between numbers drawn every `length`."""
    number, rest = divmod(at - _EPOCH, length)
    part = rest / length
    return _drawn(seed, number) * (1 - part) + _drawn(seed, number + 1) * part


def _drawn(seed: str, number: int) -> float:
    return int.from_bytes(sha256(f"{seed}/{number}".encode()).digest()[:4]) / 2**32
