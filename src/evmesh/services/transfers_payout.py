"""What leaves a deposit address: what is due to the operator, and the remainder to its sender, each once.

Amounts follow from what is stored (`split`), and the token takes each payment's nonce once. So a
payment may be tried again after a crash at any point, also where the journal of transactions is lost.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, IntegrityFailure, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.sessions import Session
from evmesh.domain.transfer_terms import TransferTerms
from evmesh.domain.transfers import (
    Aside,
    Deposit,
    Payout,
    Purpose,
    Split,
    Transfer,
    TransferRef,
    payout_nonce,
    split,
)
from evmesh.ports import DepositChain, Signatures, Unit
from evmesh.services.directory import Directory, Operator
from evmesh.services.transitions import Transitions, Work

_log = structlog.get_logger(__name__)

TRANSFER_LOST: Final = "transfer.lost"
"""The chain took back a transfer that the charge stands on."""

_LOST_FOR_GOOD: Final = timedelta(hours=1)
"""How long after the charge, or the decision to return it, what the chain took back is waited for."""

_POLL_S: Final = 0.2
_AGAIN_S: Final = 30.0
"""Wall seconds after which a return that was refused is tried again: the others do not wait for it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A deposit that nothing is to be paid out of any more. `uncollected` is due and was never received."""

    deposit: Deposit
    address: Address
    parts: Split
    uncollected: int = 0

    @property
    def payouts(self) -> Sequence[Payout]:
        """Give what was paid, in the order in which it was made, as far as the transaction is known."""
        return [one for one in (self.deposit.due, self.deposit.returned) if one is not None and one.tx_hash]


class DepositPayouts:
    """Pays out of deposit addresses."""

    def __init__(
        self,
        transitions: Transitions,
        directory: Directory,
        operator: Operator,
        chain: DepositChain,
        signatures: Signatures,
    ) -> None:
        self._transitions = transitions
        self._directory = directory
        self._operator = operator
        self._chain = chain
        self._signatures = signatures

    async def of_session(self, session: Session, due: int) -> Settled:
        """Pay what a session's deposit owes; raises Refused where the token or the chain says no."""
        async with self._transitions.read() as unit:
            deposit = await unit.deposit_of(session.id)
            now = session.stopped_at or session.changed_at
        if deposit is None:
            raise AssertionError(f"session {session.id} stands on no deposit")
        return await self._pay_out(deposit, due, now + _LOST_FOR_GOOD)

    async def pay_back(self, deposit: Deposit) -> None:
        """Return what stands for no session, and note that it is done; raises as `of_session` does."""
        settled = await self._pay_out(deposit, 0, deposit.opened_at + _LOST_FOR_GOOD)
        async with self._transitions.begin() as work:
            await self.close(work, settled)

    async def close(self, work: Work, settled: Settled) -> None:
        """Note that a deposit is settled, in the transaction of what follows from that."""
        deposit = await work.unit.deposit(settled.deposit.ref)
        if deposit is not None:
            await work.unit.save_deposit(replace(deposit, settled=True))

    async def _pay_out(self, deposit: Deposit, due: int, lost_at: datetime) -> Settled:
        parts, uncollected = await self._parts(deposit, due, lost_at)
        collected = parts.received - parts.returned if parts.due else 0
        if collected and deposit.due is None:
            payout = await self._pay(deposit, "due", self._operator.payee.address, collected)
            deposit = await self._note(replace(deposit, due=payout), payout)
        if parts.returned and deposit.returned is None:
            payout = await self._pay(deposit, "return", deposit.sender, parts.returned)
            deposit = await self._note(replace(deposit, returned=payout), payout)
        address = self._directory.by_asset(deposit.asset).deposit_address
        return Settled(deposit, address, parts, uncollected)

    async def _parts(self, deposit: Deposit, due: int, lost_at: datetime) -> tuple[Split, int]:
        async with self._transitions.begin() as work:
            transfers = await work.unit.transfers_of(deposit.ref)
            now = work.now
        received = received_of(transfers)
        is_whole = len(standing(transfers)) == len(transfers) and received >= due
        if now < lost_at and not is_whole:  # also where nothing is due: what comes again is to go back
            raise Refused(TRANSFER_LOST, f"{due} is due, and the chain has {received} of what was received")
        if received >= due:
            return split(received, due, deposit.fee), 0
        return split(received, received, deposit.fee), due - received

    async def _pay(self, deposit: Deposit, purpose: Purpose, receiver: Address, amount: int) -> Payout:
        source = self._directory.by_asset(deposit.asset).deposit_address
        nonce = payout_nonce(purpose, deposit.ref, self._signatures.keccak256)
        self._transitions.checkpoint(f"deposit.{purpose}:before_send")
        try:
            mined = await self._chain.pay(source, receiver, amount, nonce, f"{purpose}:{deposit.ref}")
        except Refused:
            used = await self._chain.payout_of(source, nonce)
            if used is None:
                raise
            mined = used  # it was made before, and what we knew of it is lost
        self._transitions.checkpoint(f"deposit.{purpose}:after_send")
        return Payout(amount, bytes.fromhex(mined.tx_hash.removeprefix("0x")), mined.block)

    async def _note(self, deposit: Deposit, payout: Payout) -> Deposit:
        """Store a deposit with a payment that is in a block; what lies at the address is less by it."""
        async with self._transitions.begin() as work:
            await work.unit.save_deposit(deposit)
            await work.unit.add_held(deposit.asset, -payout.amount)
        self._transitions.checkpoint("deposit.noted")
        return deposit


def received_of(transfers: Sequence[Transfer]) -> int:
    """Give what the chain has of a deposit, in token units."""
    return sum(one.counted for one in transfers)


def standing(transfers: Sequence[Transfer]) -> list[Transfer]:
    """Give the transfers that the chain still has."""
    return [one for one in transfers if one.aside is Aside.NOTHING]


async def terms_of(unit: Unit, sha256: str) -> TransferTerms:
    """Give the terms that a deposit names; raises IntegrityFailure where the store has lost them."""
    raw = await unit.transfer_terms(sha256)
    if raw is None:
        raise IntegrityFailure("transfer.no_terms", f"there are no terms {sha256}")
    return TransferTerms.parse(raw)


class DepositReturns:
    """Runs until cancelled: returns what stands for no session."""

    name = "deposit-returns"

    def __init__(self, transitions: Transitions, payouts: DepositPayouts) -> None:
        self._transitions = transitions
        self._payouts = payouts
        self._retry_at: dict[TransferRef, float] = {}

    async def run(self) -> None:
        """Look every now and then, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_POLL_S)

    async def look(self) -> None:
        """Return everything that is owed without a session; what fails is tried again at the next look."""
        async with self._transitions.read() as unit:
            owed = [one for one in await unit.unsettled_deposits() if one.session is None]
        now = asyncio.get_running_loop().time()
        for deposit in owed:
            if self._retry_at.get(deposit.ref, 0) > now:
                continue
            try:
                await self._payouts.pay_back(deposit)
                self._retry_at.pop(deposit.ref, None)
            except Unavailable:
                raise
            except EvmeshError as error:
                if error.code == TRANSFER_LOST:
                    continue  # it was said when the chain took it back; it may be there at the next look
                self._retry_at[deposit.ref] = now + _AGAIN_S
                _log.error("deposit.not_returned", deposit=deposit.ref.text, why=error.describe())
