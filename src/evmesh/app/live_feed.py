"""One snapshot for every open page: made when something has changed, at most twice a second."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
_SHORTEST_S = 0.5
_LONGEST_S = 2.0
"""Time itself changes what is shown, so a page hears at least this often."""


class LiveFeed:
    """Runs until cancelled; pages wait on it."""

    name = "live-feed"

    def __init__(self, transitions: Transitions, snapshot: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._transitions = transitions
        self._snapshot = snapshot
        self._newest = ""
        self._number = 0
        self._condition = asyncio.Condition()
        self._readers = 0

    async def run(self) -> None:
        """Make snapshots while anybody looks."""
        changed = self._transitions.changes()
        while True:
            try:
                async with asyncio.timeout(_LONGEST_S):
                    await changed.wait()
            except TimeoutError:
                pass  # the clock went on
            changed.clear()
            if self._readers:
                newest = await self._made()
                async with self._condition:
                    self._newest = newest
                    self._number += 1
                    self._condition.notify_all()
            await asyncio.sleep(_SHORTEST_S)

    async def _made(self) -> str:
        """Give a fresh snapshot; where that fails the page keeps what it shows."""
        try:
            return json.dumps(await self._snapshot(), separators=(",", ":"))
        except Unavailable:
            pass  # the chain is away, and those who need it say so
        except EvmeshError as error:
            _log.warning("snapshot.failed", code=error.code, what=error.what)
        return self._newest

    async def follow(self) -> AsyncIterator[str]:
        """Give the newest snapshot at once, then every later one that is read in time."""
        self._readers += 1
        try:
            yield json.dumps(await self._snapshot(), separators=(",", ":"))
            seen = self._number
            while True:
                async with self._condition:
                    while self._number == seen:
                        await self._condition.wait()
                    seen, newest = self._number, self._newest
                if newest:
                    yield newest
        finally:
            self._readers -= 1
