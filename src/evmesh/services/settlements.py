"""The settlement: the payee signs where the money has moved on chain, or that it never will, and how much."""

from collections.abc import Sequence

from evmesh.domain.chain import Mined
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.receipt_payment import DepositSplit
from evmesh.domain.sessions import Session
from evmesh.domain.settlement import Settlement, SettlementKind, TransactionRef
from evmesh.domain.transfers import Aside
from evmesh.services.directory import Operator
from evmesh.services.receipts import Receipts, chain_ref, paid_transfers
from evmesh.services.transfers_payout import Settled, received_of, standing, terms_of
from evmesh.services.transitions import Work


class Settlements:
    """Writes `evmesh.settlement/1`."""

    def __init__(self, operator: Operator, receipts: Receipts) -> None:
        self._operator = operator
        self._receipts = receipts

    async def issue(self, work: Work, session: Session, kind: SettlementKind, mined: Sequence[Mined]) -> None:
        """Sign and store it in the transaction that settles the session."""
        receipt = await work.unit.document(session.id, Receipt.FORMAT)
        settlement = Settlement(
            receipt_sha256=None if receipt is None else receipt_hash(receipt),
            session=session.id,
            chain=chain_ref(self._operator.contracts, session.terms.escrow),
            kind=kind,
            payer=session.terms.payer,
            amount=(session.refund if kind == "refund" else session.due) or 0,
            transactions=tuple(
                TransactionRef(bytes.fromhex(one.tx_hash.removeprefix("0x")), one.block) for one in mined
            ),
            payee=self._operator.payee.address,
        )
        await work.unit.save_document(session.id, Settlement.FORMAT, self._receipts.sign(settlement))

    async def issue_of_deposit(self, work: Work, session: Session, settled: Settled) -> None:
        """Sign and store where a transfer went: what was due, and what was returned."""
        receipt = await work.unit.document(session.id, Receipt.FORMAT)
        parts = settled.parts
        kind: SettlementKind = "refund" if receipt is None else "loss" if settled.uncollected else "claim"
        all_of_it = await work.unit.transfers_of(settled.deposit.ref)
        # A chain that changed since the payments were made leaves it open which transfers they were made of.
        known = received_of(all_of_it) == parts.received
        lost = [one for one in all_of_it if one.aside is Aside.LOST]
        settlement = Settlement(
            receipt_sha256=None if receipt is None else receipt_hash(receipt),
            session=session.id,
            chain=chain_ref(self._operator.contracts, session.terms.escrow),
            kind=kind,
            payer=session.terms.payer,
            amount=parts.returned if kind == "refund" else session.due or 0,
            transactions=tuple(TransactionRef(one.tx_hash, one.block) for one in settled.payouts),
            payee=self._operator.payee.address,
            deposit=DepositSplit(
                address=settled.address,
                opened_by=settled.deposit.ref,
                received=parts.received,
                returned=parts.returned,
                fee=parts.fee,
                kept=parts.kept,
                terms=await terms_of(work.unit, settled.deposit.terms),
                transfers=paid_transfers(standing(all_of_it)) if known else (),
                lost=paid_transfers(lost) if known else (),
            ),
        )
        await work.unit.save_document(session.id, Settlement.FORMAT, self._receipts.sign(settlement))
