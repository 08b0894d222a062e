"""A process that says numbers on a channel, and is killed at a checkpoint after a while.

python -m tests.drivers.channel_writer DIRECTORY PORT CHECKPOINT
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.store.channels import ChannelBook
from evmesh.store.database import Database
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.frame_carrier import MqttFrameCarrier
from tests.brokers import StepClock
from tests.unit.ledger.channel_world import STATION

NAME = "status of one session"
_PASSES = 4


async def write(directory: Path, port: int, point: str) -> None:
    left = _PASSES

    def checkpoint(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database(f"sqlite+aiosqlite:///{directory / 'state.db'}")
    carrier = MqttFrameCarrier(MqttConfig("127.0.0.1", port))
    desk = ChannelDesk(STATION, ChannelBook(database), carrier, StepClock(), os.urandom, checkpoint)
    count = int(await desk.note("count") or b"0")
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.run())
        while True:
            count += 1
            await desk.say({NAME: b"%d" % count}, {"count": b"%d" % count})
            sys.stdout.write(f"{count}\n")
            sys.stdout.flush()
            await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
