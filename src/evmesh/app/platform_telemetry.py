"""The platform's time series: a file in its directory, or the database that `--telemetry-db` names."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import structlog

from evmesh.app.telemetry_db import Readings, readings_at
from evmesh.domain.errors import Unavailable
from evmesh.domain.telemetry import TelemetryValue
from evmesh.ports import TelemetryStore

_log = structlog.get_logger(__name__)
T = TypeVar("T")
ASK_AGAIN_S: Final = 10.0


class Glances:
    """The time series for views that do without it: where the database is away, nothing is known.

    It is asked again after a while only, since a database that does not even refuse takes its time.
    """

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store
        self._ask_again_at = 0.0

    async def last(self, charger: str) -> Mapping[str, TelemetryValue]:
        """Give the newest of each value, as far as they can be had."""
        return await self._unless_away(lambda: self._store.last(charger), {})

    async def range(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> Sequence[TelemetryValue]:
        """Give the readings of one value in [start, end), as far as they can be had."""
        return await self._unless_away(lambda: self._store.range(charger, name, start, end), ())

    async def _unless_away(self, ask: Callable[[], Awaitable[T]], nothing: T) -> T:
        loop = asyncio.get_running_loop()
        if loop.time() < self._ask_again_at:
            return nothing
        try:
            return await ask()
        except Unavailable as error:
            _log.warning("telemetry.away", why=error.describe(), again_in_s=ASK_AGAIN_S)
            self._ask_again_at = loop.time() + ASK_AGAIN_S
            return nothing


@dataclass(frozen=True, slots=True)
class PlatformTelemetry:
    """One time series, and how views look at it."""

    store: Readings
    glances: Glances


@asynccontextmanager
async def open_telemetry(data: Path, url: str) -> AsyncIterator[PlatformTelemetry]:
    """Open it; `url` is empty for the file in the directory. Raises as the store does."""
    async with readings_at(url or f"sqlite:///{data / 'telemetry.db'}") as store:
        yield PlatformTelemetry(store, Glances(store))


async def check_telemetry(url: str) -> None:
    """Open and close a database that was named: what is wrong with it is said before anything is started."""
    async with readings_at(url):
        pass
