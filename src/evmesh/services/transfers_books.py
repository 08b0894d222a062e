"""What is known of the deposit addresses while transfers are stored: read once, and kept up to date.

Anybody may send as many grains of dust as a block holds, and all that charges waits for the same
database. So the price of storing a transfer must not grow with how many there are.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from evmesh.domain.ids import Address
from evmesh.domain.money import MAX_UNITS
from evmesh.domain.transfers import Aside
from evmesh.ports import Unit


@dataclass(slots=True)
class DepositBooks:
    """By asset: what is held by our books, what of it waits, and where something is being paid out."""

    holds: Mapping[Address, int]
    """What the chain has at each address."""
    held: dict[int, int]
    waiting: Counter[int]
    paying: frozenset[int]
    _came: Counter[int] = field(default_factory=Counter)

    def why_aside(self, asset: int, receiver: Address, amount: int) -> Aside:
        """Say why a transfer from somebody counts for nothing, if it does."""
        if amount + self.waiting[asset] > MAX_UNITS:
            return Aside.TOO_LARGE
        # While something is paid out of the address, what it holds says nothing about what came in.
        is_short = asset not in self.paying and self.holds[receiver] < self.held.get(asset, 0) + amount
        return Aside.SHORT if is_short else Aside.NOTHING

    def add(self, asset: int, amount: int, *, waits: bool) -> None:
        """Note what came."""
        self._came[asset] += amount
        self.held[asset] = self.held.get(asset, 0) + amount
        if waits:
            self.waiting[asset] += amount

    async def write(self, unit: Unit) -> None:
        """Store what came, in the database transaction that stores the transfers."""
        for asset, amount in self._came.items():
            await unit.add_held(asset, amount)


async def open_books(unit: Unit, holds: Mapping[Address, int]) -> DepositBooks:
    """Read the books."""
    waiting: Counter[int] = Counter()
    for (_, asset), amount in (await unit.waiting_amounts()).items():
        waiting[asset] += amount
    paying = frozenset(one.asset for one in await unit.unsettled_deposits())
    return DepositBooks(holds, dict(await unit.held()), waiting, paying)
