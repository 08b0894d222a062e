"""After a chain has lost its newest blocks: what others sent in them is gone, and is not ours to send again.

Our own transactions are sent again from the journal before this looks. A driver's deposit by another wallet
may be missing then, and with it the claim that stood on it. Nothing more is delivered on such a session, and
its flags say what happened, also where it was over already.
"""

from dataclasses import replace
from typing import Final

import structlog

from evmesh.domain.chain import Tab
from evmesh.domain.ids import Address
from evmesh.domain.sessions import UNCOLLECTABLE, Event, Session, State
from evmesh.services.live import LiveState
from evmesh.services.payments import find
from evmesh.services.starts import WITHDRAWN, refund_once_heard
from evmesh.services.tab_memory import TabMemory
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)

DEPOSIT_LOST: Final = "chain.deposit_lost"
"""The driver's deposit was in blocks that the chain has lost: the voucher is not covered any more."""

CLAIM_LOST: Final = "chain.claim_lost"
"""The session was settled, and after the loss the escrow does not count what was claimed for it."""

_RUNNING: Final = frozenset({State.CHARGING, State.SUSPENDED})
_WAITING: Final = frozenset({State.FUNDED, State.STARTING})
_STANDS_ON_DEPOSIT: Final = _RUNNING | _WAITING | {State.STOPPING, State.METERED}


class ChainLosses:
    """Looks at every session that an escrow tab pays for."""

    def __init__(self, transitions: Transitions, tabs: TabMemory, live: LiveState) -> None:
        self._transitions = transitions
        self._tabs = tabs
        self._live = live

    async def look(self) -> None:
        """Flag, and where they run stop, the sessions whose money was lost with the chain's newest blocks."""
        async with self._transitions.read() as unit:
            sessions = await unit.sessions(open_only=False)
        tabs: dict[tuple[Address, Address], Tab] = {}
        for session in sessions:
            at = session.terms.escrow, session.terms.payer
            if session.voucher_cumulative is None:
                continue
            if at not in tabs:
                tabs[at] = (await self._tabs.look(*at)).tab
            flag = _lost(session, tabs[at])
            if flag is not None and flag not in session.flags:
                _log.error(flag, session=session.id.text, payer=session.terms.payer.text)
                async with self._transitions.begin() as work:
                    await self._say(work, await find(work, session.id), flag)

    async def _say(self, work: Work, session: Session, flag: str) -> None:
        session = replace(session, flags=session.flags_and(flag))
        await work.unit.touch_session(session)
        if session.state in _RUNNING:
            await work.apply(session, Event.STOP, flag)
        elif session.state in _WAITING and WITHDRAWN not in session.flags:
            await refund_once_heard(work, self._live, session, flag, flag=WITHDRAWN)


def _lost(session: Session, tab: Tab) -> str | None:
    """Give the flag of what a session has lost; None where its tab holds, or counts, what it should."""
    terms = session.terms
    if tab.epoch > terms.epoch:
        return None  # closed or left since: that is no loss, and somebody else looks after it
    holds = tab if tab.epoch == terms.epoch else Tab(0, 0, 0, terms.epoch)
    if session.state in _STANDS_ON_DEPOSIT and holds.ceiling < (session.voucher_cumulative or 0):
        return DEPOSIT_LOST
    due = session.due or 0
    is_claimed = session.state is State.SETTLED and due > 0 and UNCOLLECTABLE not in session.flags
    return CLAIM_LOST if is_claimed and holds.spent < terms.base + due else None
