"""Which invoice has which number, as rows: one for each session, none left out."""

from datetime import datetime

from sqlalchemy import func, insert, select

from evmesh.domain.ids import Address, SessionId
from evmesh.domain.invoice import InvoiceNumber
from evmesh.store import schema
from evmesh.store.steady import SteadyConnection


class InvoiceRows:
    """The part of a unit of work that knows invoice numbers."""

    _connection: SteadyConnection

    async def invoice_of(self, session: SessionId) -> InvoiceNumber | None:
        """Give the number that a session's invoice has."""
        table = schema.invoices
        rows = await self._connection.execute(select(table).where(table.c.session == session.text))
        row = rows.mappings().first()
        return None if row is None else InvoiceNumber(row["year"], row["number"], row["issued"])

    async def add_invoice(
        self, operator: Address, year: int, session: SessionId, issued: datetime
    ) -> InvoiceNumber:
        """Give a session the operator's next number of the year.

        The next one is one more than the last; two writers cannot both have it: it is the primary key.
        """
        table = schema.invoices
        mine = (table.c.operator == operator.text) & (table.c.year == year)
        rows = await self._connection.execute(select(func.max(table.c.number)).where(mine))
        number = (rows.scalar_one() or 0) + 1
        await self._connection.execute(
            insert(table).values(
                operator=operator.text, year=year, number=number, session=session.text, issued=issued
            )
        )
        return InvoiceNumber(year, number, issued)
