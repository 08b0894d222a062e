"""A simulated SDM630 as a process of its own, for tests to stop or kill; prints its port."""

import asyncio
import sys

from evmesh.sim.modbus_devices import SDM630, Quantities
from evmesh.sim.modbus_server import ModbusUnits, serve_tcp


class _Counting(SDM630):
    """Each look finds more energy, so that each poll has something to tell."""

    def read(self, function: int, address: int, count: int) -> list[int]:
        self.has.energy_wh = (self.has.energy_wh or 0) + 10
        return super().read(function, address, count)


async def main() -> None:
    async with serve_tcp(ModbusUnits({1: _Counting(Quantities(energy_wh=1_000, power_w=7_000))})) as port:
        sys.stdout.write(f"{port}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
