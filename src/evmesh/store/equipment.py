"""Metered quarter-hours of equipment, as rows."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, insert, select

from evmesh.domain.equipment import MeteredStep
from evmesh.domain.units import Wh
from evmesh.store.schema_equipment import equipment_steps
from evmesh.store.steady import SteadyConnection


class EquipmentRows:
    """The part of a unit of work that knows what stands beside the charge points."""

    _connection: SteadyConnection

    async def save_step(self, step: MeteredStep) -> None:
        """Keep a quarter-hour; one that is there already gives way."""
        table = equipment_steps
        await self._connection.execute(
            delete(table).where(table.c.name == step.name, table.c.start == step.start)
        )
        await self._connection.execute(insert(table).values(name=step.name, start=step.start, wh=step.wh))

    async def steps(self, since: datetime) -> Sequence[MeteredStep]:
        """Give those that began at an instant or later, oldest first."""
        table = equipment_steps
        query = select(table).where(table.c.start >= since).order_by(table.c.start, table.c.name)
        rows = await self._connection.execute(query)
        return [MeteredStep(row["name"], row["start"], Wh(row["wh"])) for row in rows.mappings()]
