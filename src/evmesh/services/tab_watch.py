"""A driver may leave a tab at any time; the operator has the exit window to stop and to claim.

So the tabs of running sessions are looked at again and again: where one is being left, or has begun
another epoch, nothing more is delivered on it, and what was metered is claimed at once. Where the chain
is away, what was seen last is trusted until a claim could come too late for an exit that began since.
"""

from datetime import timedelta
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.sessions import Event, Session, State
from evmesh.ports import Clock
from evmesh.services.live import LiveState
from evmesh.services.payments import find
from evmesh.services.starts import WITHDRAWN, refund_once_heard
from evmesh.services.tab_memory import NEVER_SEEN, SEEN_TOO_LONG_AGO, TabMemory
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)
EVERY = timedelta(minutes=5)
"""Far below the exit window of a day."""

TAB_EXITING = "tab.exiting"

TAB_UNSEEN: Final = "tab.unseen"
"""The chain was away for so long that an exit which nobody here saw could run out before the claim."""


class TabWatch:
    """Runs until cancelled."""

    name = "tab-watch"

    def __init__(self, transitions: Transitions, clock: Clock, tabs: TabMemory, live: LiveState) -> None:
        self._transitions = transitions
        self._clock = clock
        self._tabs = tabs
        self._live = live

    async def run(self) -> None:
        """Look at the tabs of all sessions that stand on a voucher, for ever."""
        while True:
            await self._clock.sleep_until(self._clock.now() + EVERY)
            try:
                await self.look()
            except EvmeshError as error:
                _log.warning("tab_watch.failed", code=error.code, what=error.what)

    async def look(self) -> None:
        """Stop every session whose tab no longer stands."""
        async with self._transitions.read() as unit:
            sessions = await unit.sessions(open_only=True)
        for session in sessions:
            if session.state not in _STANDS_ON_VOUCHER or session.voucher_cumulative is None:
                continue
            why = await self._why_not(session)
            if why is not None:
                async with self._transitions.begin() as work:
                    await self._end(work, await find(work, session.id), why)

    async def _why_not(self, session: Session) -> str | None:
        """Give why a session's tab does not stand; None where it does."""
        try:
            tab = (await self._tabs.look(session.terms.escrow, session.terms.payer)).tab
        except Unavailable as unseen:
            if unseen.code not in (NEVER_SEEN, SEEN_TOO_LONG_AGO):
                raise
            _log.warning("tab_watch.unseen", session=session.id.text, why=unseen.describe())
            return TAB_UNSEEN
        stands = not tab.exit_at and tab.epoch == session.terms.epoch
        return None if stands else TAB_EXITING

    async def _end(self, work: Work, session: Session, why: str) -> None:
        if session.state in (State.CHARGING, State.SUSPENDED):
            await work.apply(session, Event.STOP, why)
        elif session.state in (State.FUNDED, State.STARTING) and WITHDRAWN not in session.flags:
            await refund_once_heard(work, self._live, session, why, flag=WITHDRAWN)


_STANDS_ON_VOUCHER = frozenset({State.FUNDED, State.STARTING, State.CHARGING, State.SUSPENDED})
