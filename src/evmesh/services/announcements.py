"""Announces our stations under their codes, so that they are found without any server of ours.

Nodes drop old logs: an announcement is posted again in each period. Its key names the period and its
words, so a restart posts nothing twice, and other words go out at once.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.channel_announcement import Announcement
from evmesh.domain.errors import EvmeshError
from evmesh.ports import Announcer, Clock
from evmesh.services.directory import Directory

_log = structlog.get_logger(__name__)
REPEATED_EVERY: Final = timedelta(days=1)
"""Far below what any node of IOTA EVM keeps."""

_AGAIN_AFTER: Final = timedelta(minutes=15)


class Announcements:
    """Runs until cancelled."""

    name = "announcements"

    def __init__(
        self, clock: Clock, directory: Directory, announcer: Announcer, inbox: bytes, note: str = ""
    ) -> None:
        self._clock = clock
        self._directory = directory
        self._announcer = announcer
        self._inbox = inbox
        self._note = note

    async def run(self) -> None:
        """Announce every station once in each period, for ever."""
        while True:
            now = self._clock.now()
            try:
                await self.announce()
            except EvmeshError as error:
                _log.warning("announcements.failed", code=error.code, what=error.what)
                await self._clock.sleep_until(now + _AGAIN_AFTER)
            else:
                await self._clock.sleep_until(_next_period(now))

    async def announce(self) -> None:
        """Announce every station in this period; those that are announced already are not posted again."""
        period = _period(self._clock.now())
        for place in self._directory.places:
            # The registry has our base URL; repeated here it would be one more thing to be wrong.
            announcement = Announcement(place.asset, "", self._inbox, None, self._note)
            words = hashlib.sha256(announcement.encode()).hexdigest()[:16]
            await self._announcer.announce(announcement, f"announce:{place.asset}:{period}:{words}")


def _period(instant: datetime) -> int:
    return int(instant.timestamp()) // int(REPEATED_EVERY.total_seconds())


def _next_period(instant: datetime) -> datetime:
    seconds = int(REPEATED_EVERY.total_seconds())
    return datetime.fromtimestamp((_period(instant) + 1) * seconds, UTC)
