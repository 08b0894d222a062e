"""Clocks for tests: one that is set by hand, one that runs faster than the wall's."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

MONDAY = datetime(2026, 6, 1, 6, 0, tzinfo=UTC)


class HandClock:
    """Stands still until a test moves it; sleepers wake when their time has come."""

    def __init__(self, start: datetime = MONDAY) -> None:
        self._start = self._now = start
        self._sleepers: list[tuple[datetime, asyncio.Future[None]]] = []

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return (self._now - self._start).total_seconds()

    async def sleep_until(self, instant: datetime) -> None:
        if instant <= self._now:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((instant, future))
        await future

    def move(self, by: timedelta) -> None:
        """Let time pass at once."""
        self._now += by
        for instant, future in self._sleepers:
            if instant <= self._now and not future.done():
                future.set_result(None)
        self._sleepers = [(i, f) for i, f in self._sleepers if not f.done()]


LOOK_EVERY_S = 0.02
LONGEST_STEP_S = 0.03


class FastClock:
    """Runs `speed` times as fast as the wall clock, from `start`.

    Who sleeps looks every LOOK_EVERY_S. Where nobody has looked for longer the machine was busy with
    something else: of that time LONGEST_STEP_S counts, so that an hour does not pass in the meantime, nor
    a deadline of minutes in a few short pauses.
    """

    def __init__(self, speed: int, start: datetime = MONDAY) -> None:
        self._speed, self._start = speed, start
        self._looked, self._passed = time.monotonic(), 0.0

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        now = time.monotonic()
        self._passed += min(now - self._looked, LONGEST_STEP_S)
        self._looked = now
        return self._passed * self._speed

    async def sleep_until(self, instant: datetime) -> None:
        while (left := (instant - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left / self._speed, LOOK_EVERY_S))
