"""Claims of many sessions in one transaction, each row once, through any crash.

Which sessions go together, always of one money, and for how much each, is fixed in the database before
anything is sent, under the purpose that names the transaction. So what is sent again after a crash is the
same transaction; and a voucher that comes once a session's row is fixed is too late. A row that the contract
skips stops no other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from evmesh.domain.chain import Claim, ClaimRow, Mined, RefillClaim, SignedRefill
from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import Session, State
from evmesh.ports import Unit
from evmesh.services.directory import Operator
from evmesh.services.escrows import Escrows, Money
from evmesh.services.transitions import Transitions

_log = structlog.get_logger(__name__)
MAX_ROWS: Final = 200
"""What the contract takes in one claim."""

_SETTLED: Final = "settled"
_OTHER_EPOCH: Final = "other_epoch"
_UNDERFUNDED: Final = "underfunded"


@dataclass(frozen=True, slots=True)
class Claimed:
    """What is due is in the escrow's book; `mined` is where, None where nothing was due."""

    mined: Mined | None


@dataclass(frozen=True, slots=True)
class Lost:
    """The tab is in another epoch: what is due can never be claimed."""


Outcome = Claimed | Lost | EvmeshError
"""An error says why it was not claimed this time."""


class ClaimBatch:
    """Claims what metered sessions owe."""

    def __init__(
        self,
        transitions: Transitions,
        operator: Operator,
        escrows: Escrows,
    ) -> None:
        self._transitions = transitions
        self._operator = operator
        self._escrows = escrows

    async def claim(self, ids: Sequence[SessionId]) -> Mapping[SessionId, Outcome]:
        """Claim for each of these sessions; what is asked again is never claimed a second time."""
        outcomes = dict[SessionId, Outcome]()
        fresh, batches = list[Session](), set[str]()
        async with self._transitions.read() as unit:
            for id in ids:
                session, row = await unit.session(id), await unit.claim_row(id)
                if session is None or session.state is not State.METERED or not session.due:
                    outcomes[id] = Claimed(None)
                elif row is not None and row.batch is not None:
                    batches.add(row.batch)
                else:
                    fresh.append(session)
        for money in self._escrows:
            batches |= await self._fix(
                money, [one for one in fresh if self._escrows.of(one) is money], outcomes
            )
        for batch in sorted(batches):
            outcomes |= await self._send(batch)
        return {id: outcomes[id] for id in ids}

    async def _fix(
        self, money: Money, fresh: Sequence[Session], outcomes: dict[SessionId, Outcome]
    ) -> set[str]:
        """Fix the rows of new claims that the escrow would settle; gives their batches.

        What it would not settle goes to `outcomes`. Where the chain is away nothing is fixed, so that
        vouchers may still come.
        """
        if not fresh:
            return set()
        try:
            fates = await money.escrow.claim_fates([_claim_of(session) for session in fresh])
        except EvmeshError as error:
            outcomes |= {session.id: error for session in fresh}
            return set()
        good = list[SessionId]()
        async with self._transitions.read() as unit:
            for session, fate in zip(fresh, fates, strict=True):
                pulls = await _refill_for(unit, money, session) is not None
                if fate == _SETTLED or (fate == _UNDERFUNDED and pulls):
                    good.append(session.id)
                else:
                    outcomes[session.id] = _outcome_of(session.id, fate)
            batches = await self._fix_rows(unit, money, good)
        self._transitions.checkpoint("claim:fixed")
        return batches

    async def _fix_rows(self, unit: Unit, money: Money, ids: Sequence[SessionId]) -> set[str]:
        batches = set[str]()
        filling: dict[bool, tuple[str, int]] = {}
        for id in sorted(ids, key=lambda one: one.text):
            session, before = await unit.session(id), await unit.claim_row(id)
            if session is None or session.state is not State.METERED:
                continue
            refill = await _refill_for(unit, money, session)
            tries = before.tries if before else 0
            batch, rows = filling.get(refill is not None, ("", MAX_ROWS))
            if tries:  # it may be what others failed by: alone
                batch = f"claim:{id}:{tries}"
            elif rows == MAX_ROWS:
                batch, rows = f"claim:{id}", 0
            if not tries:
                filling[refill is not None] = batch, rows + 1
            batches.add(batch)
            claim = _claim_of(session)
            if refill is not None:
                claim = replace(claim, cumulative=refill.cumulative, signature=refill.signature)
            await unit.save_claim_row(ClaimRow(id, claim, batch, tries, refill))
        return batches

    async def _send(self, batch: str) -> dict[SessionId, Outcome]:
        async with self._transitions.read() as unit:
            rows = await unit.claim_rows(batch)
            money = self._escrows.of(await _session_of(unit, rows[0]))
        try:
            mined, settled = await self._submit(money, batch, rows)
        except EvmeshError as error:
            if not _settled_nothing(error):
                if not await self._divide(money, batch, rows, error):
                    return {row.session: error for row in rows}
                return dict(await self.claim([row.session for row in rows]))
            mined, settled = None, [False] * len(rows)
        outcomes: dict[SessionId, Outcome] = {
            row.session: Claimed(mined) for row, done in zip(rows, settled, strict=True) if done
        }
        skipped = [row for row, done in zip(rows, settled, strict=True) if not done]
        return outcomes | await self._look_at(money, skipped)

    async def _divide(self, money: Money, batch: str, rows: Sequence[ClaimRow], error: EvmeshError) -> bool:
        """Let each row be tried alone where the node cannot do them together, and has none of them yet."""
        if isinstance(error, Unavailable) or len(rows) == 1 or await money.escrow.has_signed(batch):
            return False
        _log.warning("claim.divided", batch=batch, rows=len(rows), why=error.describe())
        async with self._transitions.read() as unit:
            for row in rows:
                await unit.save_claim_row(replace(row, batch=None, tries=row.tries + 1))
        return True

    async def _submit(
        self, money: Money, batch: str, rows: Sequence[ClaimRow]
    ) -> tuple[Mined, Sequence[bool]]:
        """Have the transaction mined, now or long ago; give which of its rows were settled."""
        settled: Sequence[bool] | None
        if rows[0].refill is not None and money.refills is not None:
            done = await money.refills.claim([_refill_row(row) for row in rows], batch)
            mined, outcomes = done.mined, done.outcomes
            settled = None if outcomes is None else [outcome.settled for outcome in outcomes]
        else:
            mined = await money.escrow.claim([row.claim for row in rows], batch)
            settled = await money.escrow.settled_rows(mined, len(rows))
        if settled is None:  # the node no longer has the receipt: the tabs say what was claimed
            settled = [await self._is_counted(money, row.claim) for row in rows]
        return mined, settled

    async def _is_counted(self, money: Money, claim: Claim) -> bool:
        tab = await money.escrow.tab(self._operator.payee.address, claim.payer)
        return tab.epoch != claim.epoch or tab.spent >= claim.amount

    async def _look_at(self, money: Money, skipped: Sequence[ClaimRow]) -> dict[SessionId, Outcome]:
        """Say why rows were skipped, and free them for another claim where one may help."""
        if not skipped:
            return {}
        async with self._transitions.read() as unit:
            sessions = [await _session_of(unit, row) for row in skipped]
        try:
            fates = await money.escrow.claim_fates([_claim_of(session) for session in sessions])
        except EvmeshError as error:
            return {session.id: error for session in sessions}
        async with self._transitions.read() as unit:
            for row, fate in zip(skipped, fates, strict=True):
                _log.warning("claim.row_skipped", session=row.session.text, batch=row.batch, fate=fate)
                if fate != _OTHER_EPOCH:
                    await unit.save_claim_row(replace(row, batch=None, tries=row.tries + 1))
        return {
            session.id: _outcome_of(session.id, fate) for session, fate in zip(sessions, fates, strict=True)
        }


async def _refill_for(unit: Unit, money: Money, session: Session) -> SignedRefill | None:
    """Give the refill to claim a session with, if one came that covers what is due."""
    refill = await unit.refill_of(session.id) if money.refills is not None else None
    if refill is None or refill.cumulative < session.terms.base + (session.due or 0):
        return None
    return refill


def _claim_of(session: Session) -> Claim:
    """Give what the voucher of a metered session is claimed for."""
    terms = session.terms
    if session.voucher_signature is None or session.voucher_cumulative is None:
        raise AssertionError(f"session {session.id} charged without a voucher")
    return Claim(
        payer=terms.payer,
        epoch=terms.epoch,
        cumulative=session.voucher_cumulative,
        amount=terms.base + (session.due or 0),
        signature=session.voucher_signature,
    )


async def _session_of(unit: Unit, row: ClaimRow) -> Session:
    session = await unit.session(row.session)
    if session is None:
        raise AssertionError(f"a claim row has no session {row.session}")
    return session


def _refill_row(row: ClaimRow) -> RefillClaim:
    claim, refill = row.claim, row.refill
    if refill is None:
        raise AssertionError(f"the row of {row.session} is no refill")
    return RefillClaim(
        claim.epoch, refill.cumulative, claim.amount, refill.ceiling, refill.deadline, refill.signature
    )


def _settled_nothing(error: EvmeshError) -> bool:
    """Tell whether the escrow has looked at every row, and none was settled."""
    return isinstance(error, Refused) and error.code.partition(".")[0] in ("claim", "refill")


def _outcome_of(session: SessionId, fate: str) -> Outcome:
    if fate == _OTHER_EPOCH:
        return Lost()
    code = "claim.not_counted" if fate == _SETTLED else f"claim.{fate}"
    return Refused(code, f"the escrow did not settle the claim of {session}: {fate}")
