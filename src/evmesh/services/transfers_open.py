"""A deposit is opened: its transfers are settled together, and what goes back is promised in writing."""

from collections.abc import Sequence
from dataclasses import replace

from evmesh.domain.ids import SessionId
from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfer_terms import TransferTerms, terms_hash
from evmesh.domain.transfers import Deposit, Transfer, TransferRef, split
from evmesh.services.directory import Operator, Place
from evmesh.services.receipts import chain_ref, paid_transfers
from evmesh.services.transfers_payout import received_of
from evmesh.services.transfers_terms import Sign, station_ref
from evmesh.services.transitions import Work


class DepositDesk:
    """Opens deposits."""

    def __init__(self, operator: Operator, sign: Sign) -> None:
        self._operator = operator
        self._sign = sign

    async def for_session(
        self,
        work: Work,
        place: Place,
        transfers: Sequence[Transfer],
        terms: TransferTerms,
        session: SessionId,
        salt: bytes,
    ) -> None:
        """Open what a session stands on; `salt` is in the nonce of its request."""
        first = transfers[0]
        deposit = Deposit(
            ref=first.ref,
            asset=place.asset,
            sender=first.sender,
            fee=terms.fee,
            salt=salt,
            opened_at=work.now,
            session=session,
            terms=terms_hash(terms.encode()),
        )
        await work.unit.add_deposit(deposit)
        await take(work, deposit, transfers)

    async def to_return(
        self,
        work: Work,
        place: Place,
        transfers: Sequence[Transfer],
        terms: TransferTerms,
        reason: str,
        name: TransferRef | None = None,
    ) -> None:
        """Open what goes back for `reason`, with the signed word on it."""
        first = transfers[0]
        ref = name or first.ref
        deposit = Deposit(
            ref=ref,
            asset=place.asset,
            sender=first.sender,
            fee=terms.fee,
            salt=bytes(32),
            opened_at=work.now,
            reason=reason,
            terms=terms_hash(terms.encode()),
            word=self._sign(self._word(work, place, transfers, terms, reason, ref)),
        )
        await work.unit.add_deposit(deposit)
        await take(work, deposit, transfers)

    def _word(
        self,
        work: Work,
        place: Place,
        transfers: Sequence[Transfer],
        terms: TransferTerms,
        reason: str,
        ref: TransferRef,
    ) -> TransferReturn:
        parts = split(received_of(transfers), 0, terms.fee)
        return TransferReturn(
            chain=chain_ref(self._operator.contracts),
            station=station_ref(place),
            payer=transfers[0].sender,
            why=reason,
            decided_at=work.now.replace(microsecond=0),
            deposit=DepositSplit(
                address=place.deposit_address,
                opened_by=ref,
                received=parts.received,
                returned=parts.returned,
                fee=parts.fee,
                kept=parts.kept,
                terms=terms,
                transfers=paid_transfers(transfers),
            ),
            payee=self._operator.payee.address,
        )


async def take(work: Work, deposit: Deposit, transfers: Sequence[Transfer]) -> None:
    """Settle transfers with a deposit."""
    for one in transfers:
        await work.unit.save_transfer(replace(one, deposit=deposit.ref))
