"""One session, live, for who pays for it: an event whenever anything that matters to paying has changed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from evmesh.app.instants import instant
from evmesh.app.payment_view import Json, PaymentView
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import TERMINAL, Session
from evmesh.ports import Clock
from evmesh.services.transitions import Transitions

_SHORTEST_S = 0.1
"""A car's next voucher may be due a second after a meter value, at a simulated speed sooner."""


class SessionFeed:
    """Runs until cancelled; cars and wallets wait on it. However many follow, each session is read once."""

    name = "session-feed"

    def __init__(self, transitions: Transitions, clock: Clock, view: PaymentView) -> None:
        self._transitions = transitions
        self._clock = clock
        self._view = view
        self._followed: Counter[SessionId] = Counter()
        self._newest: dict[SessionId, Session] = {}
        self._condition = asyncio.Condition()

    async def run(self) -> None:
        """Read what is followed whenever anything has changed."""
        changed = self._transitions.changes()
        while True:
            await changed.wait()
            changed.clear()
            if self._followed:
                async with self._transitions.read() as unit:
                    found = [await unit.session(id) for id in list(self._followed)]
                async with self._condition:
                    self._newest = {session.id: session for session in found if session is not None}
                    self._condition.notify_all()
            await asyncio.sleep(_SHORTEST_S)

    async def follow(self, id: SessionId) -> AsyncIterator[Json]:
        """Give the session at once, then whenever it changes, until it has ended.

        Raises InvalidInput `session.unknown` before the first event.
        """
        self._followed[id] += 1
        try:
            async with self._transitions.read() as unit:
                session = await unit.session(id)
            if session is None:
                raise InvalidInput("session.unknown", f"there is no session {id}")
            self._newest[id] = session  # what another follower was shown may be older
            shown = self._view.event(session)
            yield shown | {"now": instant(self._clock.now())}
            while session.state not in TERMINAL:
                session = await self._after(session)
                seen = self._view.event(session)
                if seen != shown:
                    shown = seen
                    yield shown | {"now": instant(self._clock.now())}
        finally:
            self._followed[id] -= 1
            if not self._followed[id]:
                del self._followed[id]

    async def _after(self, known: Session) -> Session:
        """Wait until a session was read that differs from the one known."""
        async with self._condition:
            while (newest := self._newest.get(known.id, known)) == known:
                await self._condition.wait()
        return newest
