"""What a gateway costs: memory and CPU of `evmesh edge` with ten meters read once a second, all changing.

The limits are those of a Raspberry Pi beside the chargers: 60 MB, 2 % of a core. The meters are simulated
ones behind one Modbus TCP server; the readings go through a broker into a time series and are acknowledged.
"""

import asyncio
import subprocess
import sys
import tempfile
from contextlib import AsyncExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Final

import psutil
import uvloop

from bench.figure import Figure
from evmesh.app.clock import WallClock
from evmesh.sim.modbus_devices import SDM630, Quantities
from evmesh.sim.modbus_server import ModbusUnits, serve_tcp
from evmesh.telemetry.broker import broker_command, wait_until_listening
from evmesh.telemetry.connection import MqttConfig
from evmesh.telemetry.ingest import Ingest
from evmesh.telemetry.store import SqliteReadings

DEVICES: Final = 10
WARM_UP_S: Final = 10
MEASURED_S: Final = 30
MOST_MB: Final = 60
MOST_PERCENT: Final = 2


def run() -> list[Figure]:
    """Measure one gateway process; fails where it needs more than it may."""
    with tempfile.TemporaryDirectory() as directory:
        megabytes, percent, readings = uvloop.run(_measure(Path(directory)))
    if megabytes > MOST_MB or percent > MOST_PERCENT:
        sys.exit(f"the gateway needs {megabytes:.1f} MB and {percent:.2f} % of a core")
    return [
        Figure("gateway, ten devices at 1 Hz: resident memory", "MB", megabytes, MOST_MB, "what it may"),
        Figure("gateway, ten devices at 1 Hz: CPU of a core", "%", percent, MOST_PERCENT, "what it may"),
        Figure("gateway, ten devices at 1 Hz: readings stored", "1/s", readings, better="higher"),
    ]


async def _measure(directory: Path) -> tuple[float, float, float]:
    quantities = [Quantities(energy_wh=1_000, power_w=1_000) for _ in range(DEVICES)]
    command = broker_command(directory, kind="mosquitto")
    async with AsyncExitStack() as stack:
        _child(stack, *command.argv)
        await wait_until_listening(command.port)
        units = ModbusUnits({number + 1: SDM630(one) for number, one in enumerate(quantities)})
        port = await stack.enter_async_context(serve_tcp(units))
        store = await stack.enter_async_context(SqliteReadings(directory / "telemetry.db"))
        site = directory / "edge.toml"
        site.write_text(_site(command.port, port))
        gateway = _child(stack, sys.executable, "-m", "evmesh.app.main", "edge", "--site", str(site))
        ingest = Ingest(MqttConfig("127.0.0.1", command.port), store, WallClock())
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(ingest.run()), group.create_task(_change(quantities))]
        await asyncio.sleep(WARM_UP_S)
        process = psutil.Process(gateway.pid)
        before, stored = process.cpu_times(), ingest.counts.stored
        await asyncio.sleep(MEASURED_S)
        after = process.cpu_times()
        used = after.user + after.system - before.user - before.system
        megabytes = process.memory_info().rss / 1e6
        for task in tasks:
            task.cancel()
        return megabytes, 100 * used / MEASURED_S, (ingest.counts.stored - stored) / MEASURED_S


def _child(stack: AsyncExitStack, *argv: str) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        with suppress(ProcessLookupError):
            process.terminate()
        process.wait()

    stack.callback(end)
    return process


async def _change(quantities: list[Quantities]) -> None:
    """Let every value of every meter change between two looks."""
    for looks in count():
        await asyncio.sleep(0.5)
        for one in quantities:
            one.energy_wh = looks + 1_000
            one.power_w = 1_000 + looks * 37 % 5_000


def _site(broker: int, meters: int) -> str:
    head = f'[gateway]\nname = "gw-1"\nbroker = "mqtt://127.0.0.1:{broker}"\noutbox = "outbox.db"\n'
    device = (
        '[[device]]\nname = "meter-{0}"\ndriver = "eastron-sdm630"\nline = "tcp://127.0.0.1:{1}"\n'
        "unit = {0}\ninterval_s = 1.0\n"
    )
    return head + "".join(device.format(number, meters) for number in range(1, DEVICES + 1))
