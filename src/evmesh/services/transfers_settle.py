"""The end of a charge by transfer: what is due is paid out, and the remainder goes back to the sender."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog

from evmesh.domain.sessions import UNCOLLECTABLE, Event, Session
from evmesh.services.settlements import Settlements
from evmesh.services.transfers_payout import DepositPayouts
from evmesh.services.transitions import Work

_log = structlog.get_logger(__name__)
_Finish = Callable[[Work, Session], Awaitable[None]]
"""What is changed once the money has moved, in the transaction that closes the effect."""


class DepositSettling:
    """Settles sessions that stand on transfers."""

    def __init__(self, payouts: DepositPayouts, settlements: Settlements) -> None:
        self._payouts = payouts
        self._settlements = settlements

    async def pay_out(self, session: Session) -> _Finish:
        """Pay what the charge has cost to the operator, and the remainder back to the sender."""
        settled = await self._payouts.of_session(session, session.due or 0)

        async def settle(work: Work, session: Session) -> None:
            await self._payouts.close(work, settled)
            paid = replace(session, refund=settled.parts.returned or None)
            if settled.uncollected:
                _log.error(UNCOLLECTABLE, session=session.id.text, lost=settled.uncollected)
                paid = replace(paid, flags=paid.flags_and(UNCOLLECTABLE))
            cause = UNCOLLECTABLE if settled.uncollected else "paid_out"
            done = await work.apply(paid, Event.SETTLE, cause)
            await self._settlements.issue_of_deposit(work, done, settled)

        return settle

    async def give_back(self, session: Session) -> _Finish:
        """Return what no charge came of to its sender, less the fee that was stated."""
        settled = await self._payouts.of_session(session, 0)

        async def refunded(work: Work, session: Session) -> None:
            await self._payouts.close(work, settled)
            refund = settled.parts.returned or None
            moved = await work.apply(session, Event.REFUNDED, session.cause, refund=refund)
            await self._settlements.issue_of_deposit(work, moved, settled)

        return refunded
