"""What is kept of the caps that grid operators and operators set."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from evmesh.domain.caps import Cap


class CapUnit(Protocol):
    """The part of a unit of work that knows caps."""

    async def add_cap(self, cap: Cap, at: datetime) -> Cap:
        """Append; give it with its number. Nothing is ever changed or taken away."""

    async def caps(self, group: str | None = None, *, until: datetime | None = None) -> Sequence[Cap]:
        """Oldest first; of one group, and only those that end after `until`, where these are given."""
