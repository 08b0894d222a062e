"""What transitions owe the outside is sent here, after the commit, until it is known to be done.

Each effect is idempotent at its receiver (an idTag, a transaction id, a purpose key), so it may be
sent again after a crash at any point. Messages to stations do not wait for one another; what goes
to the chain goes in the order in which it was owed; claims that wait at the same time go together
(`claim_batch.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

import structlog

from evmesh.domain.chain import Mined
from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.domain.ids import SessionId
from evmesh.domain.readings import METER_STREAM
from evmesh.domain.sessions import UNCOLLECTABLE, Effect, EffectKind, Event, Session, State, Way
from evmesh.ports import ChargePoint, Notary
from evmesh.services.claim_batch import ClaimBatch, Claimed, Lost
from evmesh.services.directory import Operator
from evmesh.services.escrows import Escrows
from evmesh.services.payments import find
from evmesh.services.settlements import Settlements
from evmesh.services.starts import NO_ROOM, WITHDRAWN
from evmesh.services.transfers_settle import DepositSettling
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)
_RETRY_S = (0.2, 0.5, 1, 2, 5, 10, 30)
"""Wall seconds before an effect is tried again."""

_PARKED_S = 300.0
"""Wall seconds before an effect is tried again that failed in a way that trying does not mend."""

_POLL_S = 0.2

_TO_STATION = frozenset({EffectKind.REMOTE_START, EffectKind.REMOTE_STOP})

_RELEVANT: Mapping[EffectKind, State] = {
    EffectKind.REMOTE_START: State.STARTING,
    EffectKind.REMOTE_STOP: State.STOPPING,
    EffectKind.CLAIM: State.METERED,
    EffectKind.PAY_OUT: State.METERED,
    EffectKind.REFUND: State.REFUNDING,
}
"""The state in which an effect still matters; an anchor always does."""

_HAS_IT_BACK = frozenset({"tab.nothing_to_close", "tab.other_epoch"})
"""The contract's words for a tab that its driver has emptied meanwhile."""

FOREIGN_HEAD = "notary.foreign_head"
"""The newest head that our notary key has anchored is not one of our tree."""

Finish = Callable[[Work, Session], Awaitable[None]]
"""What an effect changes once it is done, in the transaction that closes it."""

_Send = Callable[[Sequence[Effect]], Awaitable[Mapping[int, EvmeshError]]]
"""Sends effects, and gives why each that was not sent was not, by its number."""


class Effects:
    """Runs until cancelled; wakes whenever a session moves."""

    name = "effects"

    def __init__(
        self,
        transitions: Transitions,
        operator: Operator,
        stations: ChargePoint,
        escrows: Escrows,
        notary: Notary,
        settlements: Settlements,
        may_begin: Callable[[Session], bool],
        *,
        deposits: DepositSettling,
    ) -> None:
        """`may_begin` tells whether the cabinet has room for a session to begin now."""
        self._deposits = deposits
        self._claims = ClaimBatch(transitions, operator, escrows)
        self._may_begin = may_begin
        self._transitions = transitions
        self._operator = operator
        self._stations = stations
        self._escrows = escrows
        self._notary = notary
        self._settlements = settlements
        self._handlers: Mapping[EffectKind, Callable[[Effect, Session], Awaitable[Finish]]] = {
            EffectKind.REMOTE_START: self._remote_start,
            EffectKind.REMOTE_STOP: self._remote_stop,
            EffectKind.ANCHOR: self._anchor,
            EffectKind.PAY_OUT: self._pay_out,
            EffectKind.REFUND: self._refund,
        }
        self._retry_at: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._chain_away_until = 0.0
        self._running: set[int] = set()
        self._owed_since: dict[int, float] = {}

    @property
    def oldest_wait_s(self) -> float:
        """How long the oldest effect that nothing delays has been owed, in wall seconds."""
        fresh = (since for number, since in self._owed_since.items() if number not in self._retry_at)
        now = asyncio.get_running_loop().time()
        return now - min(fresh, default=now)

    async def run(self) -> None:
        """Send what is owed, for ever."""
        moved = self._transitions.moves()
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                moved.clear()
                async with self._transitions.read() as unit:
                    pending = await unit.pending_effects()
                self._note_waiting(pending, loop.time())
                for effects in self._ready(pending, loop.time()):
                    self._running.update(effect.number for effect in effects)
                    group.create_task(self._send_in_order(effects))
                try:
                    async with asyncio.timeout(_POLL_S if pending else None):
                        await moved.wait()
                except TimeoutError:
                    pass  # a retry may be due

    def _note_waiting(self, pending: Sequence[Effect], now: float) -> None:
        self._owed_since = {one.number: self._owed_since.get(one.number, now) for one in pending}
        self._retry_at = {n: at for n, at in self._retry_at.items() if n in self._owed_since}
        self._failures = {n: count for n, count in self._failures.items() if n in self._owed_since}

    def _ready(self, pending: Sequence[Effect], now: float) -> list[list[Effect]]:
        """Give what may be sent now: each station message alone, the chain's as one queue."""
        to_chain = [one for one in pending if one.kind not in _TO_STATION]
        if now < self._chain_away_until:  # nothing overtakes what waits for the node
            self._retry_at |= {one.number: self._chain_away_until for one in to_chain}
        due = [one for one in pending if self._retry_at.get(one.number, 0) <= now]
        batches = [[one] for one in due if one.kind in _TO_STATION and one.number not in self._running]
        if to_chain and not any(one.number in self._running for one in to_chain):
            queue = [one for one in to_chain if one in due]
            if queue:
                batches.append(queue)
        return batches

    async def _send_in_order(self, effects: Sequence[Effect]) -> None:
        claims = [effect for effect in effects if effect.kind is EffectKind.CLAIM]
        try:
            for effect in effects:
                if effect not in claims:
                    goes_on = await self._try([effect], self._send_one)
                elif effect is claims[-1]:  # all that are owed go together, after their anchors
                    goes_on = await self._try(claims, self._send_claims)
                else:
                    continue
                if not goes_on:
                    break  # the others would meet the same
        finally:
            self._running.difference_update(effect.number for effect in effects)

    async def _send_one(self, effects: Sequence[Effect]) -> Mapping[int, EvmeshError]:
        await self._send(effects[0])
        return {}

    async def _try(self, effects: Sequence[Effect], send: _Send) -> bool:
        """Send effects; say whether the next ones can be sent."""
        try:
            errors = await send(effects)
        except EvmeshError as error:
            errors = {effect.number: error for effect in effects}
        for effect in effects:
            if effect.number in errors:
                await self._put_off(effect, errors[effect.number])
        return not any(isinstance(error, Unavailable) for error in errors.values())

    async def _put_off(self, effect: Effect, error: EvmeshError) -> None:
        if isinstance(error, Unavailable):
            self._delay(effect, error)
            if error.code == NO_ROOM:
                await self._note_no_room(effect)
            if effect.kind not in _TO_STATION:
                self._chain_away_until = self._retry_at[effect.number]
        elif isinstance(error, Refused):
            self._delay(effect, error)
        else:
            await self._park(effect, error)

    def _delay(self, effect: Effect, error: EvmeshError) -> None:
        if error.code == NO_ROOM:  # others are about to make room: that takes moments, or it never comes
            self._retry_at[effect.number] = asyncio.get_running_loop().time() + _RETRY_S[0]
            _log.debug("effect.waits_for_room", session=effect.session.text)
            return
        failures = self._failures[effect.number] = self._failures.get(effect.number, 0) + 1
        wait_s = _RETRY_S[min(failures, len(_RETRY_S)) - 1]
        self._retry_at[effect.number] = asyncio.get_running_loop().time() + wait_s
        _log.warning(
            "effect.delayed",
            effect=effect.kind,
            session=effect.session.text,
            code=error.code,
            what=error.what,
            retry_in_s=wait_s,
        )

    async def _note_no_room(self, effect: Effect) -> None:
        """Say at the session what its start waits for, once."""
        async with self._transitions.read() as unit:
            session = await unit.session(effect.session)
        if session is None or session.cause == NO_ROOM:
            return
        async with self._transitions.begin() as work:
            session = await find(work, effect.session)
            if session.state is State.STARTING and WITHDRAWN not in session.flags:
                await work.unit.touch_session(replace(session, cause=NO_ROOM))
                _log.warning("start.no_room", session=session.id.text, connector=str(session.terms.connector))

    async def _park(self, effect: Effect, error: EvmeshError) -> None:
        """Set one effect aside, in sight of an auditor: the others go on."""
        self._retry_at[effect.number] = asyncio.get_running_loop().time() + _PARKED_S
        _log.error(
            "effect.parked",
            effect=effect.kind,
            session=effect.session.text,
            code=error.code,
            what=error.what,
            retry_in_s=_PARKED_S,
        )
        async with self._transitions.begin() as work:
            session = await find(work, effect.session)
            flagged = session.flags_and(f"{effect.kind}.parked")
            if flagged != session.flags:
                await work.unit.touch_session(replace(session, flags=flagged))

    async def _send(self, effect: Effect) -> None:
        async with self._transitions.read() as unit:
            session = await unit.session(effect.session)
            if session is None:
                raise AssertionError(f"effect {effect.number} has no session")
            is_relevant = _RELEVANT.get(effect.kind, session.state) is session.state
            if is_relevant and effect.kind in _TO_STATION:
                self._require_line(session)  # what is never sent is never counted as tried
            if is_relevant and effect.kind is EffectKind.REMOTE_START:
                self._require_room(session)
            await unit.effect_tried(effect.number)
        finish: Finish = _nothing
        if is_relevant:
            self._transitions.checkpoint(f"{effect.kind}:before_send")
            finish = await self._handlers[effect.kind](effect, session)
            self._transitions.checkpoint(f"{effect.kind}:after_send")
        async with self._transitions.begin() as work:
            await work.unit.effect_done(effect.number)
            await finish(work, await find(work, effect.session))

    def _require_line(self, session: Session) -> None:
        station = session.terms.connector.station
        if not self._stations.is_connected(station):
            raise Unavailable("station.offline", f"{station} is not connected")

    def _require_room(self, session: Session) -> None:
        """Look at the cabinet once more: what others may draw may have changed since the plan was made."""
        if not self._may_begin(session):
            raise Unavailable(NO_ROOM, f"the cabinet has no room yet for {session.terms.connector}")

    async def _remote_start(self, effect: Effect, session: Session) -> Finish:
        accepted = await self._stations.remote_start(session.terms.connector, session.id_tag)
        if accepted or effect.attempts > 0:
            # A start that was sent before may run already, and is then refused as a second one: the
            # transaction, or the time-out of the state, will tell.
            return _nothing
        return _refund_rejected

    async def _remote_stop(self, effect: Effect, session: Session) -> Finish:
        if session.transaction_id is None:
            return _nothing
        await self._stations.remote_stop(session.terms.connector.station, session.transaction_id)
        return _nothing  # rejected: it has ended already, and its StopTransaction is on its way

    async def _anchor(self, effect: Effect, session: Session) -> Finish:
        async with self._transitions.read() as unit:
            head = await unit.head_of(session.id)
        if head is None:
            return _nothing
        newest = await self._notary.head(METER_STREAM)
        async with self._transitions.begin() as work:
            is_ours = newest[0] <= work.log.size and (not newest[0] or work.log.root(newest[0]) == newest[1])
        if is_ours or newest[0] < head[0]:
            await self._notary.anchor(METER_STREAM, *head, key=f"anchor:{session.id}")
        if is_ours:
            return _nothing
        _log.error(FOREIGN_HEAD, session=session.id.text, size=newest[0], root=newest[1].hex())
        return _flag_foreign_head  # to try again would change nothing

    async def _send_claims(self, effects: Sequence[Effect]) -> Mapping[int, EvmeshError]:
        """Claim for several sessions at once; give why each that was not claimed was not."""
        ids = list[SessionId]()
        async with self._transitions.read() as unit:
            for effect in effects:
                session = await unit.session(effect.session)
                if session is not None and session.state is _RELEVANT[EffectKind.CLAIM]:
                    ids.append(session.id)
                await unit.effect_tried(effect.number)
        self._transitions.checkpoint(f"{EffectKind.CLAIM}:before_send")
        outcomes = await self._claims.claim(ids)
        self._transitions.checkpoint(f"{EffectKind.CLAIM}:after_send")
        errors = dict[int, EvmeshError]()
        for effect in effects:
            outcome = outcomes.get(effect.session)
            if isinstance(outcome, EvmeshError):
                errors[effect.number] = outcome
                continue
            async with self._transitions.begin() as work:
                await work.unit.effect_done(effect.number)
                if outcome is not None:
                    await self._settle(work, await find(work, effect.session), outcome)
        return errors

    async def _settle(self, work: Work, session: Session, outcome: Claimed | Lost) -> None:
        if isinstance(outcome, Lost):
            _log.error(
                UNCOLLECTABLE, session=session.id.text, payer=session.terms.payer.text, due=session.due
            )
            await self._lose(work, session)
            return
        settled = await work.apply(session, Event.SETTLE, "claimed" if outcome.mined else "nothing_due")
        await self._settlements.issue(work, settled, "claim", [outcome.mined] if outcome.mined else [])

    async def _lose(self, work: Work, session: Session) -> None:
        """End a session whose voucher is dead: what is due stays due, and is said to be lost."""
        flagged = replace(session, flags=session.flags_and(UNCOLLECTABLE))
        lost = await work.apply(flagged, Event.SETTLE, UNCOLLECTABLE)
        await self._settlements.issue(work, lost, "loss", [])

    async def _pay_out(self, effect: Effect, session: Session) -> Finish:
        return await self._deposits.pay_out(session)

    async def _refund(self, effect: Effect, session: Session) -> Finish:
        if session.terms.way is Way.TRANSFER:
            return await self._deposits.give_back(session)
        mined, escrow = list[Mined](), self._escrows.of(session).escrow
        tab = await escrow.tab(self._operator.payee.address, session.terms.payer)
        is_ours = tab.epoch == session.terms.epoch and tab.ceiling > 0
        if is_ours:
            async with self._transitions.begin() as work:
                now = await find(work, session.id)
                await work.unit.touch_session(replace(now, refund=tab.ceiling - tab.spent))
        if is_ours or session.refund is not None:
            try:
                mined.append(await escrow.refund(session.terms.payer, tab, key=f"refund:{session.id}"))
            except Refused as error:
                if error.code not in _HAS_IT_BACK:
                    raise

        async def refunded(work: Work, session: Session) -> None:
            refund = session.refund if mined else None
            moved = await work.apply(session, Event.REFUNDED, session.cause, refund=refund)
            await self._settlements.issue(work, moved, "refund", mined)

        return refunded


async def _nothing(work: Work, session: Session) -> None:
    """Finish an effect that moves nothing: what it asked for will be heard from the station."""


async def _flag_foreign_head(work: Work, session: Session) -> None:
    await work.unit.touch_session(replace(session, flags=session.flags_and(FOREIGN_HEAD)))


async def _refund_rejected(work: Work, session: Session) -> None:
    if session.state is State.STARTING:
        await work.apply(session, Event.REFUND, "station.rejected")
