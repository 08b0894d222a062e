"""A contactor behind a Modbus relay: what lets no current through when a controller cannot say zero.

One coil of any relay board that speaks Modbus: function 5 switches it, function 1 reads it back (Modbus
Application Protocol 1.1b3, sections 6.1 and 6.5). The board must open its relays when it loses power.
"""

from typing import Protocol

from evmesh.domain.errors import Refused
from evmesh.edge.modbus import ModbusLine


class Contactor(Protocol):
    """Lets current through, or not. Raises as a device does."""

    async def switch(self, is_closed: bool) -> None:
        """Open or close; returns once it is known to be done."""


class CoilContactor:
    """One coil; on is closed."""

    def __init__(self, line: ModbusLine, unit: int, coil: int = 0) -> None:
        self._line = line
        self._unit = unit
        self._coil = coil

    async def switch(self, is_closed: bool) -> None:
        """Switch, and read back. Raises Refused `device.switch_refused` where the coil stays as it was."""
        await self._line.write_coil(self._unit, self._coil, is_closed)
        if await self._line.read_coil(self._unit, self._coil) is not is_closed:
            raise Refused(
                "device.switch_refused",
                f"coil {self._coil} of unit {self._unit} does not {'close' if is_closed else 'open'}",
                do="look at the relay board",
            )
