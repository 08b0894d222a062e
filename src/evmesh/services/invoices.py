"""The number of an invoice: the operator's next one, given once, when the invoice is first asked for."""

from datetime import datetime, tzinfo

from evmesh.domain.errors import IntegrityFailure, Refused
from evmesh.domain.ids import SessionId
from evmesh.domain.invoice import InvoiceNumber
from evmesh.domain.receipt import Receipt
from evmesh.ports import Signatures, Store
from evmesh.verify.receipt import verify_receipt


class Invoices:
    """Gives each session's invoice its number, in one database transaction.

    Whoever asks again, after a crash too, has the same number; a number that was given is a row, and the
    next one is one more, so that none is left out.
    """

    def __init__(self, store: Store, signatures: Signatures, zone: tzinfo) -> None:
        self._store = store
        self._signatures = signatures
        self._zone = zone

    async def bill(self, session: SessionId, now: datetime) -> tuple[bytes, InvoiceNumber]:
        """Give a session's receipt and its number; `now` dates a number that is given now, in local time.

        Raises Refused `invoice.not_yet` without a receipt, IntegrityFailure `invoice.false_receipt` for a
        false one: neither has a number.
        """
        async with self._store.begin() as unit:
            raw = await unit.document(session, Receipt.FORMAT)
        if raw is None:
            raise Refused(
                "invoice.not_yet", f"session {session} has no receipt yet", do="ask again when it is metered"
            )
        require_true(raw, self._signatures)
        payee = Receipt.parse(raw).payee
        async with self._store.begin() as unit:
            number = await unit.invoice_of(session)
            if number is None:
                year = now.astimezone(self._zone).year
                number = await unit.add_invoice(payee, year, session, now)
        return raw, number


def require_true(raw: bytes, signatures: Signatures) -> None:
    """Raise IntegrityFailure `invoice.false_receipt` where any check of a receipt fails."""
    report = verify_receipt(raw, signatures)
    if not report.ok:
        names = ", ".join(check.name for check in report.failed())
        raise IntegrityFailure(
            "invoice.false_receipt",
            f"the receipt is false: {names}",
            do="see `evmesh verify receipt`; a false receipt is not billed",
        )
