"""A driver may leave a tab at any time; the operator has the exit window to stop and to claim.

So the tabs of running sessions are looked at again and again: where one is being left, or has begun
another epoch, nothing more is delivered on it, and what was metered is claimed at once.
"""

from datetime import timedelta

import structlog

from evmesh.domain.errors import EvmeshError
from evmesh.domain.sessions import Event, Session, State
from evmesh.ports import Clock, Escrow
from evmesh.services.directory import Operator
from evmesh.services.live import LiveState
from evmesh.services.payments import find
from evmesh.services.starts import WITHDRAWN, refund_once_heard
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)
EVERY = timedelta(minutes=5)
"""Far below the exit window of a day."""

TAB_EXITING = "tab.exiting"


class TabWatch:
    """Runs until cancelled."""

    name = "tab-watch"

    def __init__(
        self, transitions: Transitions, clock: Clock, escrow: Escrow, operator: Operator, live: LiveState
    ) -> None:
        self._transitions = transitions
        self._clock = clock
        self._escrow = escrow
        self._operator = operator
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
            if session.state in _STANDS_ON_VOUCHER and not await self._stands(session):
                async with self._transitions.begin() as work:
                    await self._end(work, await find(work, session.id))

    async def _stands(self, session: Session) -> bool:
        tab = await self._escrow.tab(self._operator.payee.address, session.terms.payer)
        return not tab.exit_at and tab.epoch == session.terms.epoch

    async def _end(self, work: Work, session: Session) -> None:
        if session.state in (State.CHARGING, State.SUSPENDED):
            await work.apply(session, Event.STOP, TAB_EXITING)
        elif session.state in (State.FUNDED, State.STARTING) and WITHDRAWN not in session.flags:
            await refund_once_heard(work, self._live, session, TAB_EXITING, flag=WITHDRAWN)


_STANDS_ON_VOUCHER = frozenset({State.FUNDED, State.STARTING, State.CHARGING, State.SUSPENDED})
