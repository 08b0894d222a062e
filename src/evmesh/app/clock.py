"""Platform time: one clock for all processes of a data directory, as fast as it is told to run.

Time is an affine function of the machine's monotonic clock: an anchor and a rate. The anchor is
kept in a small memory-mapped file, so every process reads the same time without asking anybody.
Changing the rate moves the anchor to the present, so time never jumps and never goes back. A
platform goes on where its last record was, and begins where its site file says: wall time is read
by `WallClock` alone, for parts that run without a platform.
"""

import asyncio
import mmap
import struct
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

_ANCHOR = struct.Struct("<qqqqq")  # sequence, monotonic ns, platform us since 1970, rate in 1/1000, sequence
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_NAP_S = 0.25
"""Sleepers look again this often, since the rate may have changed meanwhile."""


class SharedClock:
    """Reads platform time. Implements the port `Clock`."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _ANCHOR.size)
        self._last_us = 0

    @property
    def rate_permille(self) -> int:
        """Seconds of platform time per 1000 seconds of wall time, at present."""
        return self._anchor()[2]

    def now(self) -> datetime:
        """Give aware UTC."""
        return _EPOCH + timedelta(microseconds=self._now_us())

    def monotonic(self) -> float:
        """Give seconds of platform time for intervals."""
        return self._now_us() / 1_000_000

    async def sleep_until(self, instant: datetime) -> None:
        """Return once `now()` is at or past `instant`."""
        while (left := (instant - self.now()).total_seconds()) > 0:
            rate = max(self.rate_permille, 1) / 1000
            await asyncio.sleep(min(left / rate, _LONGEST_NAP_S))

    def _now_us(self) -> int:
        anchored_ns, platform_us, rate = self._anchor()
        elapsed_ns = time.monotonic_ns() - anchored_ns
        self._last_us = max(self._last_us, platform_us + elapsed_ns * rate // 1_000_000)
        return self._last_us

    def _anchor(self) -> tuple[int, int, int]:
        while True:  # a torn read shows as two sequence numbers that differ
            before, monotonic_ns, platform_us, rate, after = _ANCHOR.unpack(self._map[: _ANCHOR.size])
            if before == after:
                return monotonic_ns, platform_us, rate


class ClockMaster(SharedClock):
    """Sets the rate. One process at a time is the master."""

    @classmethod
    def start(cls, path: Path, instant: datetime, rate_permille: int) -> "ClockMaster":
        """Let platform time run from `instant`; replaces what the file held."""
        platform_us = (instant - _EPOCH) // timedelta(microseconds=1)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(_ANCHOR.pack(0, time.monotonic_ns(), platform_us, rate_permille, 0))
        fresh.replace(path)
        return cls(path)

    def set_rate(self, rate_permille: int) -> None:
        """Run faster or slower from here on."""
        self._write(0, rate_permille)

    def advance_to(self, instant: datetime) -> None:
        """Go on from `instant` where that is ahead: before anybody else reads the clock."""
        ahead_us = (instant - _EPOCH) // timedelta(microseconds=1)
        self._write(ahead_us, self.rate_permille)

    def _write(self, least_us: int, rate_permille: int) -> None:
        """Anchor the present, or `least_us` where that is later.

        The machine's clock is read once: were it read for the old speed and again for the new one,
        whoever looked in between would see time go back by that while times the speed.
        """
        anchored_ns, platform_us, rate = self._anchor()
        now_ns = time.monotonic_ns()
        now_us = platform_us + (now_ns - anchored_ns) * rate // 1_000_000
        self._last_us = max(self._last_us, now_us, least_us)
        sequence = _ANCHOR.unpack(self._map[: _ANCHOR.size])[0] + 1
        self._map[: _ANCHOR.size] = _ANCHOR.pack(sequence, now_ns, self._last_us, rate_permille, sequence)


class WallClock:
    """The machine's own time, for a part that runs without a platform. Implements the port `Clock`."""

    def __init__(self) -> None:
        self._last = _EPOCH

    def now(self) -> datetime:
        """Give aware UTC; stands still where the machine's clock is set back."""
        self._last = max(self._last, datetime.now(UTC))
        return self._last

    def monotonic(self) -> float:
        """Give seconds for intervals."""
        return time.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        """Return once `now()` is at or past `instant`."""
        while True:
            left = (instant - self.now()).total_seconds()
            if left <= 0:
                return
            await asyncio.sleep(min(left, _LONGEST_NAP_S))
