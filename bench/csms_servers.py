"""The two servers that `bench_csms` compares, as programs: `python -m bench.csms_servers ours|library`.

Each prints its port, then for every line on stdin the CPU seconds that its process has used.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
import uvloop

from evmesh.csms.config import CsmsConfig
from evmesh.csms.server import Csms
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import (
    BootInfo,
    ConnectorStatus,
    MeterSample,
    StartAnswer,
    StartedTransaction,
    StoppedTransaction,
)


class WallClock:
    """The machine's time: nothing here is simulated."""

    def now(self) -> datetime:
        """Give UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Give seconds."""
        return time.monotonic()

    async def sleep_until(self, instant: datetime) -> None:
        """Wait."""
        await asyncio.sleep((instant - self.now()).total_seconds())


class Forgetful:
    """Events that go nowhere: what is left is the protocol."""

    async def booted(self, station: StationId, info: BootInfo) -> bool:
        """Take every station."""
        return True

    async def connected(self, station: StationId) -> None:
        """Forget it."""

    async def disconnected(self, station: StationId) -> None:
        """Forget it."""

    async def status(
        self, connector: ConnectorRef, status: ConnectorStatus, error: str, at: datetime
    ) -> None:
        """Forget it."""

    async def authorize(self, station: StationId, id_tag: str) -> bool:
        """Take every tag."""
        return True

    async def started(self, start: StartedTransaction) -> StartAnswer:
        """Count nothing."""
        return StartAnswer(1, accepted=True)

    async def metered(
        self, connector: ConnectorRef, transaction_id: int | None, samples: Sequence[MeterSample]
    ) -> None:
        """Forget them."""

    async def stopped(self, stop: StoppedTransaction) -> None:
        """Forget it."""


async def ours() -> None:
    """Serve with the CSMS."""
    csms = Csms(Forgetful(), WallClock(), CsmsConfig(port=0))
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(csms.run())
        print(await csms.listening(), flush=True)
        await _report_cpu()
        serving.cancel()


async def library() -> None:
    """Serve with the `ocpp` library as its documentation shows it."""
    from ocpp.routing import on
    from ocpp.v16 import ChargePoint, call_result
    from websockets.asyncio.server import ServerConnection, serve
    from websockets.exceptions import ConnectionClosed

    class Station(ChargePoint):  # type: ignore[misc]  # the library ships no types
        @on("MeterValues")  # type: ignore[untyped-decorator]
        def on_meter_values(self, **_: Any) -> Any:
            return call_result.MeterValues()

    async def handle(socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        try:
            await Station(path.rpartition("/")[2], socket).start()
        except ConnectionClosed:
            return

    protocols: Any = ["ocpp1.6"]
    async with serve(handle, "127.0.0.1", 0, subprotocols=protocols, compression=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await _report_cpu()


async def _report_cpu() -> None:
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        print(time.process_time(), flush=True)


if __name__ == "__main__":
    # As quiet as the library is by default; and stdout belongs to the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    uvloop.run(ours() if sys.argv[1] == "ours" else library())
