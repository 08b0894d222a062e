"""Money is secured before energy flows: the voucher, the last look at the plan, the start.

Prepaid: the driver's escrow tab holds the budget, and a voucher for base + budget is in the
operator's hands before the station is told to start. Only what was metered is claimed of it.
Streaming: the first voucher is for 100 Wh at least, and the others follow (`streaming.py`).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from evmesh.domain.chain import SignedRefill
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.sessions import (
    NO_CAR_TIMEOUT,
    RESERVATION_TTL,
    Event,
    Session,
    State,
    StopCause,
    Way,
    transition,
)
from evmesh.domain.signed_types import StopRequest
from evmesh.domain.typed_data import digest
from evmesh.domain.units import Wh
from evmesh.ports import Signatures
from evmesh.services.directory import Directory, Operator
from evmesh.services.live import LiveState
from evmesh.services.plans import Planner
from evmesh.services.starts import WITHDRAWN, refund_once_heard
from evmesh.services.streaming import Streaming
from evmesh.services.tab_memory import TabMemory, covers
from evmesh.services.transitions import Transitions, Work

_STOP_WORD_VALID_S = 600
"""How far a stop request's own time may be from the platform's."""


class Payments:
    """Takes vouchers and a driver's word to stop; both are known by their signature."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        planner: Planner,
        tabs: TabMemory,
        signatures: Signatures,
        operator: Operator,
        live: LiveState,
        streaming: Streaming,
    ) -> None:
        self._transitions = transitions
        self._directory = directory
        self._planner = planner
        self._tabs = tabs
        self._signatures = signatures
        self._operator = operator
        self._live = live
        self._streaming = streaming

    async def ways(self, payer: Address) -> tuple[Way, ...]:
        """Give how this payer may pay for a promise."""
        return (Way.PREPAID, Way.STREAMING) if await self._streaming.is_trusted(payer) else (Way.PREPAID,)

    async def voucher(
        self,
        id: SessionId,
        epoch: int,
        cumulative: int,
        signature: bytes,
        refill: SignedRefill | None = None,
    ) -> Session:
        """Take a voucher: the first one says how the session is paid, and starts it; others raise it.

        One that is no higher than what is held is no error and changes nothing. Raises IntegrityFailure
        for another's signature, InvalidInput for another amount or epoch, Refused where the escrow does
        not hold the money, the reservation is gone, or nothing more is claimed.
        """
        async with self._transitions.begin() as work:
            session = await find(work, id)
        if session.voucher_signature == signature:
            return session
        self._streaming.check(session, epoch, cumulative, signature, refill)
        if session.voucher_cumulative is not None:
            return await self._streaming.further(session, cumulative, signature, refill)
        return await self._first(session, cumulative, signature, refill)

    async def _first(
        self, session: Session, cumulative: int, signature: bytes, refill: SignedRefill | None
    ) -> Session:
        terms = replace(session.terms, way=self._streaming.way_of(session, cumulative))
        if terms.way is Way.STREAMING:
            await self._streaming.require_trust(session.terms.payer)
        await self._require_money(session, cumulative)
        async with self._transitions.begin() as work:
            session = await find(work, session.id)
            if session.voucher_signature == signature:
                return session
            deadline = session.deadline or work.now
            if session.state is State.RESERVED and work.now > deadline:
                raise Refused(
                    "reservation.ended",
                    "the reservation was not paid for in time; nothing was taken",
                    do="ask again, and send the voucher within "
                    f"{(deadline - session.created_at) // timedelta(minutes=1)} minutes",
                )
            session = await work.apply(
                session,
                Event.FUND,
                "voucher_held",
                terms=terms,
                voucher_signature=signature,
                voucher_cumulative=cumulative,
            )
            if refill is not None:
                await work.unit.keep_refill(session.id, refill)
        return await self.start(session.id)

    async def _require_money(self, session: Session, cumulative: int) -> None:
        """Look at the tab, or at what is remembered of it where the chain is away."""
        terms = session.terms
        tab = (await self._tabs.look(terms.escrow, terms.payer)).tab
        if not covers(tab, terms.epoch, cumulative):
            raise Refused(
                "voucher.underfunded",
                f"the escrow holds {tab.ceiling - tab.spent} units for this, "
                f"the voucher is for {cumulative - terms.base}",
                do="deposit the difference, then send the voucher again",
            )
        if tab.spent != terms.base:
            raise Refused(
                "voucher.other_base",
                f"the tab has spent {tab.spent} units, and the offer was made at {terms.base}",
                do="ask for a new offer",
            )

    async def start(self, id: SessionId) -> Session:
        """Check admission once more and send the station its start, or give the money back."""
        async with self._transitions.begin() as work:
            session = await find(work, id)
            if session.state is not State.FUNDED:
                return session
            if work.now >= session.created_at + RESERVATION_TTL + NO_CAR_TIMEOUT:
                return await work.apply(session, Event.REFUND, "offer.ended")  # its `start_by` has passed
            place = self._directory.by_asset(session.terms.asset)
            group = self._directory.groups.get(place.connector.group)
            if group is None:
                return await work.apply(session, Event.REFUND, "station.retired")
            _, short = await self._planner.replan(work.unit, group, work.now)
            if short.get(session.id.text, Wh(0)) > 0 or session.terms.departure <= work.now:
                return await work.apply(session, Event.REFUND, "admission.no_longer_fits")
            return await work.apply(session, Event.START, "admitted")

    async def stop(self, id: SessionId, at: int, signature: bytes) -> Session:
        """Stop on the driver's signed word; before a start that gives the money back.

        Where the station took its start and is away, it does so once the station was heard.
        """
        async with self._transitions.begin() as work:
            session = await find(work, id)
            domain = self._operator.contracts.money(session.terms.escrow)
            word = digest(domain, StopRequest(id.to_bytes32(), at), self._signatures.keccak256)
            signer = self._signatures.recover(word, signature)
            if signer != session.terms.payer:
                raise IntegrityFailure("stop.wrong_signature", "the stop is not signed by the payer")
            if abs(work.now.timestamp() - at) > _STOP_WORD_VALID_S:
                raise InvalidInput(
                    "stop.stale",
                    f"the stop was signed for {datetime.fromtimestamp(min(at, 2**33), UTC):%H:%M:%S} UTC, "
                    f"it is {work.now:%H:%M:%S}",
                    do="sign it again",
                )
            return await self._stop(work, session)

    async def _stop(self, work: Work, session: Session) -> Session:
        if session.state in transition(State.CHARGING, Event.STOP).sources:
            return await work.apply(session, Event.STOP, StopCause.DRIVER)
        if session.state is State.RESERVED:
            return await work.apply(session, Event.EXPIRE, StopCause.DRIVER)
        if session.state in (State.FUNDED, State.STARTING):
            return await refund_once_heard(work, self._live, session, StopCause.DRIVER, flag=WITHDRAWN)
        return session


async def find(work: Work, id: SessionId) -> Session:
    """Give a session; raises InvalidInput `session.unknown`."""
    session = await work.unit.session(id)
    if session is None:
        raise InvalidInput("session.unknown", f"there is no session {id}")
    return session
