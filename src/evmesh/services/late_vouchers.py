"""A voucher that comes after the meter's last word still counts: the session is billed anew by it.

The receipt takes the place of the one before. That is done only while nobody has built on that one:
no claim, no countersignature, no invoice (`streaming.py` looks).
"""

from collections.abc import Callable
from dataclasses import replace

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session
from evmesh.domain.signed_types import SessionOffer
from evmesh.services.receipts import Receipts
from evmesh.services.streaming import billed_by_vouchers
from evmesh.services.transitions import Work


class LateVouchers:
    """Bills metered sessions anew."""

    def __init__(self, receipts: Receipts, offer_of: Callable[[Session], SessionOffer]) -> None:
        self._receipts = receipts
        self._offer_of = offer_of

    async def bill(self, work: Work, session: Session) -> Session:
        """Write due, flags and receipt of a metered session by the vouchers that it has now."""
        due, flags = billed_by_vouchers(session, session.delivered)
        billed = replace(session, due=due, flags=flags)
        head = await work.unit.head_of(session.id)
        if head is None:
            raise IntegrityFailure("receipt.incomplete", f"session {session.id} has no tree head")
        await work.unit.touch_session(billed)
        raw = await self._receipts.issue(work, billed, self._offer_of(billed), head)
        await work.unit.replace_document(session.id, Receipt.FORMAT, raw)
        return billed
