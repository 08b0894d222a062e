"""Prices from the site's file, read again when it changes: a price change is an event, too."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import structlog

from evmesh.app.config import load_tariff
from evmesh.domain.errors import InvalidInput

_log = structlog.get_logger(__name__)
_LOOKS_EVERY_S = 5.0


class PriceFile:
    """Gives the price of an instant; runs until cancelled, and tells when prices have changed.

    A file that is away or wrong changes nothing: the prices that were read last stay. Raises InvalidInput
    where it is so at the beginning.
    """

    name = "prices"

    def __init__(self, path: Path, zone: ZoneInfo, changed: Callable[[], None]) -> None:
        self._path = path
        self._zone = zone
        self._changed = changed
        self._seen = self._state()
        self._tariff = load_tariff(path, zone)

    def price_at(self, instant: datetime) -> int:
        """Give the price of the hour that holds an instant, micro-currency per kWh."""
        return self._tariff.price_at(instant)

    async def run(self) -> None:
        """Look now and then whether the file is another one."""
        while True:
            await asyncio.sleep(_LOOKS_EVERY_S)
            if await asyncio.to_thread(self.look):
                self._changed()

    def look(self) -> bool:
        """Read the file if it is another one; tell whether prices are other ones now."""
        state = self._state()
        if state is None or state == self._seen:
            return False
        self._seen = state
        try:
            tariff = load_tariff(self._path, self._zone)
        except InvalidInput as error:
            _log.warning("prices.not_read", code=error.code, what=error.what)
            return False
        if tariff == self._tariff:
            return False
        self._tariff = tariff
        _log.info("prices.changed", hours=len(tariff.by_hour))
        return True

    def _state(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
