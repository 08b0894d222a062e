"""What is kept of the equipment beside the charge points."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.equipment import MeteredStep


class EquipmentUnit(Protocol):
    """The part of a unit of work that knows PV, batteries and other equipment."""

    async def save_step(self, step: MeteredStep) -> None:
        """Keep a quarter-hour; one of the same name and start gives way."""

    async def steps(self, since: datetime) -> Sequence[MeteredStep]:
        """Give those that began at `since` or later, oldest first."""
