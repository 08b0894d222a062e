"""What one MeterValues costs the server, protocol only: same client and messages, the server's CPU alone."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import uvloop
from websockets.asyncio.client import connect

from bench.figure import Figure

STATIONS = 64
OURS_EACH, LIBRARY_EACH = 320, 32
ROUNDS = 3
IDLE = 1_000


def run() -> list[Figure]:
    """Measure both servers in turns, the best round of each; then the memory of idle connections."""
    ours = _Server("ours")
    library = _Server("library")
    try:
        cpu_ours = [ours.cpu_per_message(OURS_EACH) for _ in range(ROUNDS)]
        cpu_library = [library.cpu_per_message(LIBRARY_EACH) for _ in range(ROUNDS)]
        memory_ours = ours.memory_per_idle_connection()
        memory_library = library.memory_per_idle_connection()
    finally:
        ours.end()
        library.end()
    return [
        Figure(
            f"MeterValues of {len(_message())} bytes, protocol only",
            "µs CPU",
            1e6 * min(cpu_ours),
            1e6 * min(cpu_library),
            "the ocpp library",
        ),
        Figure("idle connection", "KiB", memory_ours, memory_library, "the ocpp library"),
    ]


class _Server:
    def __init__(self, which: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.csms_servers", which],
            cwd=Path(__file__).parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._port = int(self._line())

    def cpu_per_message(self, each: int) -> float:
        """Give the server's CPU seconds for one message, the answer included."""
        before = self._cpu()
        uvloop.run(_send(self._port, each))
        return (self._cpu() - before) / (each * STATIONS)

    def memory_per_idle_connection(self) -> float:
        """Give the KiB of resident memory that one more station costs."""

        async def measure() -> float:
            before = self._resident_kib()
            async with asyncio.timeout(120):
                sockets = [await _connect(self._port, number) for number in range(IDLE)]
            grown = self._resident_kib() - before
            for socket in sockets:
                socket.transport.abort()
            return grown / IDLE

        return uvloop.run(measure())

    def end(self) -> None:
        """Let the process end."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(30)
        assert self._process.stdout
        self._process.stdout.close()

    def _cpu(self) -> float:
        assert self._process.stdin
        self._process.stdin.write("cpu\n")
        self._process.stdin.flush()
        return float(self._line())

    def _resident_kib(self) -> int:
        self._cpu()  # it has served what came before
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise RuntimeError("no VmRSS: this figure needs Linux")

    def _line(self) -> str:
        assert self._process.stdout
        while not (line := self._process.stdout.readline().strip()).replace(".", "").isdigit():
            if self._process.poll() is not None:
                raise RuntimeError("the server ended")
        return line


def _message() -> str:
    stamp = "2026-06-01T08:00:00Z"
    sampled = [
        {"value": "1234567.8", "context": "Sample.Periodic", "measurand": measurand, "unit": unit, **more}
        for measurand, unit, more in [
            ("Energy.Active.Import.Register", "Wh", {}),
            ("Power.Active.Import", "W", {}),
            ("SoC", "Percent", {"location": "EV"}),
            *[("Current.Import", "A", {"phase": phase}) for phase in ("L1", "L2", "L3")],
            *[("Voltage", "V", {"phase": phase}) for phase in ("L1-N", "L2-N", "L3-N")],
        ]
    ]
    payload = {
        "connectorId": 1,
        "transactionId": 7,
        "meterValue": [{"timestamp": stamp, "sampledValue": sampled}],
    }
    return json.dumps([2, "00000000-0000-0000-0000-000000000000", "MeterValues", payload])


async def _connect(port: int, number: int) -> Any:
    protocols: Any = ["ocpp1.6"]
    return await connect(f"ws://127.0.0.1:{port}/ocpp/CP-{number}", subprotocols=protocols, compression=None)


async def _send(port: int, each: int) -> None:
    message = _message()

    async def one(number: int) -> None:
        socket = await _connect(port, number)
        for _ in range(each):
            await socket.send(message)
            answer = await socket.recv()
            assert answer.startswith("[3,"), answer
        await socket.close()

    async with asyncio.TaskGroup() as group:
        for number in range(STATIONS):
            group.create_task(one(number))
