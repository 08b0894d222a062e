"""A process that writes units of work to a store, and waits for its end in the middle of one.

Run as `python -m tests.drivers.store_writer STATE_DB WHOLE_UNITS`.
"""

import asyncio
import sys

from evmesh.domain.units import Wh
from evmesh.store.database import Database
from tests.contract.test_store import HERE, NOON, reserved


async def write(path: str, whole: int) -> None:
    store = Database(f"sqlite+aiosqlite:///{path}")
    for number in range(1, whole + 1):
        async with store.begin() as unit:
            await unit.add_session(reserved(number), "accepted")
            await unit.set_register(HERE, NOON, Wh(number))
    async with store.begin() as unit:
        await unit.add_session(reserved(whole + 1), "accepted")
        await unit.set_register(HERE, NOON, Wh(whole + 1))
        sys.stdout.write("in the middle\n")
        sys.stdout.flush()
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(write(sys.argv[1], int(sys.argv[2])))
