"""The settlement: the payee signs where the money has moved on chain, or that it never will, and how much."""

from collections.abc import Sequence

from evmesh.domain.chain import Mined
from evmesh.domain.receipt import Receipt, receipt_hash
from evmesh.domain.sessions import Session
from evmesh.domain.settlement import Settlement, SettlementKind, TransactionRef
from evmesh.services.directory import Operator
from evmesh.services.receipts import Receipts, chain_ref
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
            chain=chain_ref(self._operator.contracts),
            kind=kind,
            payer=session.terms.payer,
            amount=(session.refund if kind == "refund" else session.due) or 0,
            transactions=tuple(
                TransactionRef(bytes.fromhex(one.tx_hash.removeprefix("0x")), one.block) for one in mined
            ),
            payee=self._operator.payee.address,
        )
        await work.unit.save_document(session.id, Settlement.FORMAT, self._receipts.sign(settlement))
