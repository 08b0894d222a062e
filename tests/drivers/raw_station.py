"""A WebSocket client that sends exactly the bytes a test wants, and a CSMS for it to connect to."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from evmesh.csms.config import CsmsConfig
from evmesh.csms.server import Csms
from evmesh.domain.ids import StationId
from evmesh.ports import ChargePointEvents

PATIENCE_S = 20
NOW = datetime(2026, 6, 1, 8, 0, tzinfo=UTC)


class FixedClock:
    """Platform time that stands still."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0

    async def sleep_until(self, instant: datetime) -> None:
        await asyncio.sleep(max(timedelta(0), instant - NOW).total_seconds())


@asynccontextmanager
async def running_csms(events: ChargePointEvents, **config: Any) -> AsyncIterator[Csms]:
    """Run a CSMS on a free port for the block; what ends its `run` early is raised at the end."""
    csms = Csms(events, FixedClock(), CsmsConfig(port=0, **config))
    serving = asyncio.create_task(csms.run())
    try:
        listening = asyncio.create_task(csms.listening())
        await asyncio.wait([serving, listening], return_when=asyncio.FIRST_COMPLETED)
        listening.cancel()
        yield csms
    finally:
        serving.cancel()
        await asyncio.wait([serving])
    if not serving.cancelled() and (error := serving.exception()):
        raise error


class RawStation:
    """One OCPP-J peer by hand."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def send(self, frame: object) -> None:
        """Send a frame: bytes and texts as they are, anything else as JSON."""
        raw = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        await self.socket.send(raw, text=True)

    async def receive(self) -> Any:
        async with asyncio.timeout(PATIENCE_S):
            return json.loads(await self.socket.recv())

    async def ask(self, id_: str, action: str, payload: object) -> Any:
        """Send a CALL and give the next frame."""
        await self.send([2, id_, action, payload])
        return await self.receive()

    async def still_served(self) -> bool:
        """Say whether a heartbeat is answered: next, and with nothing before it."""
        return bool((await self.ask("alive", "Heartbeat", {}))[:2] == [3, "alive"])


@asynccontextmanager
async def raw_station(csms: Csms, id_: str = "CP-1", **options: Any) -> AsyncIterator[RawStation]:
    """Connect a RawStation and wait until the CSMS serves it."""
    async with connect(url_of(csms, id_), **{"subprotocols": ["ocpp1.6"], **options}) as socket:
        yield RawStation(socket)


def url_of(csms: Csms, id_: str) -> str:
    return f"ws://127.0.0.1:{csms.port}/ocpp/{id_}"


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


async def until_connected(csms: Csms, id_: str = "CP-1") -> None:
    await until(lambda: csms.is_connected(StationId(id_)))


def start_payload(**changes: Any) -> dict[str, Any]:
    """Give a StartTransaction's payload."""
    start = {"connectorId": 1, "idTag": "TAG", "meterStart": 1000, "timestamp": "2026-06-01T08:00:00Z"}
    return {**start, **changes}


def stop_payload(**changes: Any) -> dict[str, Any]:
    """Give a StopTransaction's payload."""
    stop = {"transactionId": 1, "meterStop": 6000, "timestamp": "2026-06-01T09:00:00Z"}
    return {**stop, **changes}
