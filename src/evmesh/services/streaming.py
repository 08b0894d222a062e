"""Vouchers as energy flows: each is stored before it is answered, and a missing one stops the station.

What must be covered by when, and what each side can lose, is in `domain/streaming.py`. Here a session's
vouchers rise, while it is under way and until its claim is made; none of that needs the chain as long as
the tab was seen lately (`tab_memory.py`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from evmesh.domain.chain import SignedRefill
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Session, State, Way
from evmesh.domain.signed_types import Refill, Voucher
from evmesh.domain.streaming import StreamRules, due_for, is_covered, owed_cumulative, takes_vouchers
from evmesh.domain.typed_data import TypedStruct, digest
from evmesh.domain.units import W, Wh
from evmesh.ports import Signatures
from evmesh.services.directory import Directory, Operator
from evmesh.services.tab_memory import TabMemory
from evmesh.services.transitions import Transitions, Work

SHORT: Final = "voucher.short"
"""More was metered than the vouchers cover; what is missing is the operator's loss."""

TRUST_AGAIN: Final = timedelta(days=30)
"""How long a wallet whose vouchers fell short has to prepay: one whose line broke is no thief for ever."""

_FLOWING: Final = frozenset({State.CHARGING, State.SUSPENDED})

Rebill = Callable[[Work, Session], Awaitable[Session]]
"""Bills a metered session anew for what its vouchers reach now, and gives it as it is then."""


class Streaming:
    """Checks vouchers, and takes the further ones of a session that is paid already."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        tabs: TabMemory,
        signatures: Signatures,
        operator: Operator,
        rebill: Rebill,
        rules: StreamRules | None = None,
    ) -> None:
        self._transitions = transitions
        self._directory = directory
        self._tabs = tabs
        self._signatures = signatures
        self._operator = operator
        self._rebill = rebill
        self._rules = rules or StreamRules()

    def way_of(self, session: Session, cumulative: int) -> Way:
        """Give the way of payment that a first voucher chooses; raises InvalidInput where it is too low."""
        terms = session.terms
        least = self._rules.first_cumulative(terms)
        if cumulative < least:
            raise InvalidInput(
                "voucher.other_amount",
                f"the first voucher is for {least} units at least, and pays {least - terms.base}",
                do="sign base + budget of the session offer, or base + the cost of 100 Wh to stream",
                path="cumulative",
            )
        return Way.PREPAID if cumulative == terms.base + terms.budget else Way.STREAMING

    async def is_trusted(self, payer: Address) -> bool:
        """Tell whether a payer may pay as energy flows: none that let a session fall short lately.

        What flows beyond the last voucher is small once; a wallet that never sends the second would get
        most of its energy for nothing.
        """
        since = self._transitions.clock.now() - TRUST_AGAIN
        async with self._transitions.read() as unit:
            return not await unit.has_flagged(payer, SHORT, since)

    async def require_trust(self, payer: Address) -> None:
        """Raise Refused `voucher.prepaid_only` where the payer is not trusted."""
        if not await self.is_trusted(payer):
            raise Refused(
                "voucher.prepaid_only",
                "a charge of this wallet took more than its vouchers paid for, so it pays before it charges",
                do="sign base + budget of the session offer; what is not charged stays in the tab",
            )

    def check(
        self, session: Session, epoch: int, cumulative: int, signature: bytes, refill: SignedRefill | None
    ) -> None:
        """Raise InvalidInput or IntegrityFailure unless this is a voucher of the session's payer for it."""
        terms = session.terms
        if epoch != terms.epoch or cumulative > terms.base + terms.budget:
            raise InvalidInput(
                "voucher.other_amount",
                f"the offer asks for vouchers of at most {terms.base + terms.budget} units"
                f" in epoch {terms.epoch}",
                do="sign at most base + budget of the session offer, in its epoch",
                path="cumulative",
            )
        payee = self._operator.payee.address
        self._require_signed(session, Voucher(payee, epoch, cumulative), signature)
        if refill is None:
            return
        if not cumulative <= refill.cumulative <= terms.base + terms.budget:
            raise InvalidInput(
                "refill.other_amount",
                f"the refill is for {refill.cumulative} units, its voucher for {cumulative}",
                do="sign the refill for what the voucher is for, or more, at most base + budget",
                path="refill.cumulative",
            )
        value = Refill(payee, epoch, refill.cumulative, refill.ceiling, refill.deadline)
        self._require_signed(session, value, refill.signature)

    async def further(
        self, session: Session, cumulative: int, signature: bytes, refill: SignedRefill | None
    ) -> Session:
        """Take one more voucher that was checked; one that is no higher changes nothing.

        Raises Refused `voucher.underfunded` where the tab does not cover it, `voucher.too_late` where
        nothing more is claimed of the session.
        """
        if _is_stale(session, cumulative):
            return session
        await self._tabs.require_cover(session.terms, cumulative)
        async with self._transitions.begin() as work:
            found = await work.unit.session(session.id)
            if found is None or _is_stale(found, cumulative):
                return found or session
            await self._require_open(work, found)
            taken = replace(found, voucher_signature=signature, voucher_cumulative=cumulative)
            taken = watched(taken, self._rating(taken), self._rules, work.now)
            await work.unit.touch_session(taken)
            if refill is not None:
                await work.unit.keep_refill(taken.id, refill)
            if taken.state is State.METERED:
                taken = await self._rebill(work, taken)
            self._transitions.checkpoint("voucher:before_commit")
        self._transitions.checkpoint("voucher:after_commit")
        return taken

    async def _require_open(self, work: Work, session: Session) -> None:
        """Refuse what could not be claimed any more, or would change a bill that others have built on."""
        unit = work.unit
        row = await unit.claim_row(session.id)
        is_final = session.state is State.METERED and (
            await unit.countersignature(session.id) is not None
            or await unit.invoice_of(session.id) is not None
            or session.id in await unit.rewards_of([session.id])  # which names the receipt's hash
        )
        if not takes_vouchers(session) or row is not None or is_final:
            raise Refused(
                "voucher.too_late",
                f"session {session.id} is {session.state} and is claimed, or billed for good",
                do="nothing: what it owes stays as the receipt says",
            )

    def _rating(self, session: Session) -> W:
        return self._directory.by_asset(session.terms.asset).connector.rating

    def _require_signed(self, session: Session, value: TypedStruct, signature: bytes) -> None:
        domain = self._operator.contracts.money(session.terms.escrow)
        signed = digest(domain, value, self._signatures.keccak256)
        if self._signatures.recover(signed, signature) != session.terms.payer:
            raise IntegrityFailure(
                "voucher.wrong_signature",
                "the voucher is not signed by the session's payer",
                do="sign it for this chain, contract, payee and epoch",
            )


def watched(session: Session, rating: W, rules: StreamRules, now: datetime) -> Session:
    """Give a session with the instant by which a voucher must come: set once, until all is covered."""
    if session.terms.way is not Way.STREAMING or session.state not in _FLOWING or is_covered(session):
        by = None
    else:
        by = session.voucher_by or now + rules.grace(rating)
    return session if by == session.voucher_by else replace(session, voucher_by=by)


def is_missing_voucher(session: Session, now: datetime) -> bool:
    """Tell whether energy flows, and the voucher for what was metered did not come in time."""
    return session.state in _FLOWING and session.voucher_by is not None and session.voucher_by <= now


def billed_by_vouchers(session: Session, energy: Wh) -> tuple[int, tuple[str, ...]]:
    """Give what is due for the energy, and the flags: with SHORT where the vouchers do not reach it."""
    due = due_for(session, energy)
    others = tuple(flag for flag in session.flags if flag != SHORT)
    metered = replace(session, meter_last=Wh((session.meter_start or 0) + energy))
    short = session.terms.base + due < owed_cumulative(metered)
    return due, (*others, SHORT) if short else others


def _is_stale(session: Session, cumulative: int) -> bool:
    return session.voucher_cumulative is not None and cumulative <= session.voucher_cumulative
