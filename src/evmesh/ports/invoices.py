"""The rows that number invoices."""

from datetime import datetime
from typing import Protocol

from evmesh.domain.ids import Address, SessionId
from evmesh.domain.invoice import InvoiceNumber


class InvoiceUnit(Protocol):
    """The part of a database transaction that knows invoice numbers."""

    async def invoice_of(self, session: SessionId) -> InvoiceNumber | None:
        """The number that a session's invoice has."""

    async def add_invoice(
        self, operator: Address, year: int, session: SessionId, issued: datetime
    ) -> InvoiceNumber:
        """Give a session the operator's next number of the year, with no gap."""
