"""One live document for every open page: whole at first, then what changes, at most once a second."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from evmesh.app.changes import changes, written
from evmesh.app.problems import problem
from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
_SHORTEST_S = 1.0
_LONGEST_S = 2.0
"""Time itself changes what is shown, so a page hears at least this often."""


@dataclass(frozen=True, slots=True)
class LiveEvent:
    """One server-sent event.

    `snapshot` is the whole document and the first event of a stream, `changes` what to change in the
    last one (`changes.py`), `problem` why there is nothing newer than what is shown.
    """

    name: Literal["snapshot", "changes", "problem"]
    data: str


@dataclass(frozen=True, slots=True)
class _Edition:
    """What is published: a document with what changed since the one before, or why there is none."""

    document: dict[str, Any] | None
    before: dict[str, Any] | None = None
    since_before: str = ""
    problem: str = ""

    def since(self, shown: dict[str, Any]) -> str:
        """Give what changes `shown` into this one; most pages show the one before."""
        if self.document is None:
            raise ValueError("there is no document")
        if shown is self.before:
            return self.since_before
        return _written_changes(shown, self.document)


class LiveFeed:
    """Runs until cancelled; pages wait on it."""

    name = "live-feed"

    def __init__(self, transitions: Transitions, snapshot: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        self._transitions = transitions
        self._snapshot = snapshot
        self._newest: _Edition | None = None
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

    async def _made(self) -> _Edition:
        """Give a fresh document; where that fails the page is told, and keeps what it shows."""
        before = self._newest.document if self._newest else None
        try:
            document = await self._snapshot()
        except EvmeshError as error:
            if not isinstance(error, Unavailable):
                _log.warning("snapshot.failed", code=error.code, what=error.what)
            return _Edition(None, problem=bytes(problem(error).body).decode())
        return _Edition(document, before, _written_changes(before, document) if before else "")

    async def follow(self) -> AsyncIterator[LiveEvent]:
        """Give the whole document at once, then what changes; a slow reader gets several at once.

        Raises Unavailable before the first event where the chain is away.
        """
        self._readers += 1
        try:
            shown = await self._snapshot()
            seen = self._number
            yield LiveEvent("snapshot", written(shown))
            while True:
                async with self._condition:
                    while self._number == seen or self._newest is None:
                        await self._condition.wait()
                    seen, newest = self._number, self._newest
                if newest.document is None:
                    yield LiveEvent("problem", newest.problem)
                else:  # also where nothing changed: a page that was told of a problem hears that it is over
                    yield LiveEvent("changes", newest.since(shown))
                    shown = newest.document
        finally:
            self._readers -= 1


def _written_changes(old: dict[str, Any], new: dict[str, Any]) -> str:
    return written(changes(old, new))
