"""The only way a session changes: one row of the table, one database transaction.

A unit of work collects transitions; when its block ends they are durable together with their
journal rows and the effects that they owe. Only then is anybody told.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from evmesh.domain.merkle import MerkleLog
from evmesh.domain.sessions import TERMINAL, Event, JournalRow, Session, transition
from evmesh.ports import Checkpoint, Clock, Store, Unit

_NO_MOVES: Final = frozenset({Event.SUSPEND, Event.RESUME})
"""What our own limits bring about: whoever set them anew at each would hear of the next one at once."""


@dataclass(slots=True)
class Work:
    """One open unit of work: its time, its database transaction, the tree as this unit sees it."""

    unit: Unit
    now: datetime
    log: MerkleLog
    applied: list[str] = field(default_factory=list)

    async def apply(self, session: Session, event: Event, cause: str, **facts: Any) -> Session:
        """Move `session` along the table; `facts` are fields that change with it.

        Raises Refused `session.wrong_state`. The caller has checked the row's guard.
        """
        row = transition(session.state, event)
        known = session.cause if row.target in TERMINAL and session.cause else cause
        moved = replace(
            session,
            state=row.target,
            changed_at=self.now,
            deadline=self.now + row.timeout if row.timeout else None,
            cause=known,  # why energy or money stopped stays known when the money has moved
            **facts,
        )
        journal = JournalRow(0, self.now, session.id, event, session.state, row.target, cause)
        await self.unit.save_session(moved, journal, row.owed(session.terms.way))
        self.applied.append(event)
        return moved


class Transitions:
    """Opens units of work, one at a time, and tells the others what has changed."""

    def __init__(self, store: Store, clock: Clock, checkpoint: Checkpoint) -> None:
        self._store = store
        self._clock = clock
        self.checkpoint = checkpoint
        self._log: MerkleLog | None = None
        self._on_change: list[asyncio.Event] = []
        self._on_move: list[asyncio.Event] = []

    @property
    def clock(self) -> Clock:
        """Give the time that every unit of work carries."""
        return self._clock

    def changes(self) -> asyncio.Event:
        """Give an event that is set when anything that is shown has changed; the listener clears it."""
        return _listen(self._on_change)

    def moves(self) -> asyncio.Event:
        """Give an event that is set when a session has moved or been made; the listener clears it.

        A pause and its end are none: the limits that control sets bring them about.
        """
        return _listen(self._on_move)

    def tell(self) -> None:
        """Wake who shows things: something has changed."""
        for listener in self._on_change:
            listener.set()

    def wake(self) -> None:
        """Wake who plans and who shows things: the world has changed, though no session has moved."""
        for listener in self._on_move:
            listener.set()
        self.tell()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Unit]:
        """Open a unit that only looks: nobody is told."""
        async with self._store.begin() as unit:
            yield unit

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Work]:
        """Open a unit of work; everything in it is durable when the block has ended."""
        async with self._with_log() as work:
            yield work
            for event in work.applied:
                self.checkpoint(f"{event}:before_commit")
        for event in work.applied:
            self.checkpoint(f"{event}:after_commit")

    @asynccontextmanager
    async def _with_log(self) -> AsyncIterator[Work]:
        """Lend the tree to a unit, and tell the listeners what came of it.

        Also a unit that was cancelled may be durable: then the listeners look for nothing once, and
        the tree is read anew if leaves were added to it.
        """
        work: Work | None = None
        size = 0
        try:
            async with self._store.begin() as unit:
                log, self._log = self._log, None
                if log is None:
                    log = MerkleLog(await unit.leaf_hashes())
                size = log.size
                work = Work(unit, self._clock.now(), log)
                yield work
            self._log = work.log
        finally:
            if work is not None:
                if work.log.size == size:
                    self._log = work.log
                self._wake(work)

    def _wake(self, work: Work) -> None:
        if any(event not in _NO_MOVES for event in work.applied):
            for listener in self._on_move:
                listener.set()
        if work.unit.has_written:
            self.tell()


def _listen(listeners: list[asyncio.Event]) -> asyncio.Event:
    listener = asyncio.Event()
    listener.set()
    listeners.append(listener)
    return listener
