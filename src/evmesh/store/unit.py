"""A unit of work: everything that one database transaction can read and write."""

from typing import Any

from sqlalchemy import CursorResult, Executable

from evmesh.store.caps import CapRows
from evmesh.store.equipment import EquipmentRows
from evmesh.store.invoices import InvoiceRows
from evmesh.store.proofs import ProofRows
from evmesh.store.refusals import RefusalRows
from evmesh.store.rewards import RewardRows
from evmesh.store.sessions import SessionRows
from evmesh.store.stations import StationRows
from evmesh.store.steady import SteadyConnection
from evmesh.store.streams import StreamRows
from evmesh.store.tabs import TabRows
from evmesh.store.transfer_terms import TransferTermsRows
from evmesh.store.transfers import TransferRows


class SqlUnit(
    SessionRows,
    StationRows,
    ProofRows,
    RefusalRows,
    CapRows,
    EquipmentRows,
    RewardRows,
    InvoiceRows,
    StreamRows,
    TabRows,
    TransferRows,
    TransferTermsRows,
):
    """Implements the port `Unit` on one open database transaction."""

    def __init__(self, connection: SteadyConnection) -> None:
        self._connection = connection

    @property
    def has_written(self) -> bool:
        """Say whether anything but a look was asked of the database."""
        return self._connection.has_written

    async def execute(self, statement: Executable) -> CursorResult[*tuple[Any, ...]]:
        """Run one statement in this transaction, for this room's own journals."""
        return await self._connection.execute(statement)
