"""A unit of work: everything that one database transaction can read and write."""

from typing import Any

from sqlalchemy import CursorResult, Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from evmesh.store.proofs import ProofRows
from evmesh.store.sessions import SessionRows
from evmesh.store.stations import StationRows


class SqlUnit(SessionRows, StationRows, ProofRows):
    """Implements the port `Unit` on one open database transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def execute(self, statement: Executable) -> CursorResult[Any]:
        """Run one statement in this transaction, for this room's own journals."""
        return await self._connection.execute(statement)
