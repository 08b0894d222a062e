"""A central system that is not ours: the `ocpp` library's own, with its schema validation, for stations.

It remembers what stations say, knows a start by its content, and does what a test tells it to. The
library ships no types, so neither has what is built on it here.
"""

# mypy: disable-error-code="misc, untyped-decorator"

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ocpp.exceptions import InternalError
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call_result
from ocpp.v16.enums import Action, AuthorizationStatus, RegistrationStatus
from websockets.asyncio.server import ServerConnection, serve


@dataclass
class Record:
    """What one station said; `log` is every action in order with its payload."""

    log: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    message_ids: list[str] = field(default_factory=list)
    transactions: dict[tuple[Any, ...], int] = field(default_factory=dict)
    connections: int = 0
    authorization: str | None = None
    """The HTTP header that the newest connection came with."""

    def said(self, action: str) -> list[dict[str, Any]]:
        return [payload for name, payload in self.log if name == action]

    def last(self, action: str) -> dict[str, Any]:
        return self.said(action)[-1]

    def statuses_of(self, connector: int) -> list[str]:
        """Give what was told of a connector, in the order in which it came."""
        return [p["status"] for p in self.said("StatusNotification") if p["connector_id"] == connector]

    def status_of(self, connector: int) -> str | None:
        """Give the newest status told for a connector."""
        told = self.statuses_of(connector)
        return told[-1] if told else None

    def registers(self, transaction_id: int | None = None) -> list[int]:
        """Give the registers of the meter values in the order in which they came."""
        found = []
        for payload in self.said("MeterValues"):
            if transaction_id in (None, payload.get("transaction_id")):
                for value in payload["meter_value"]:
                    for sample in value["sampled_value"]:
                        if sample["measurand"] == "Energy.Active.Import.Register":
                            found.append(int(sample["value"]))
        return found


@dataclass
class Wishes:
    """How this central system answers; tests change it while it runs."""

    boot: list[str] = field(default_factory=list)
    """Statuses for the next boots; then Accepted."""
    boot_interval: int = 300
    invalid_tags: set[str] = field(default_factory=set)
    errors_for_start: int = 0
    """How many starts are answered with a CALLERROR."""
    before_answer: Callable[[str], None] = lambda action: None
    """Called when a message has come and its answer has not been sent."""


class CentralSystem(ChargePoint):
    """One connected station as the library sees it."""

    def __init__(self, name: str, connection: ServerConnection, record: Record, wishes: Wishes) -> None:
        super().__init__(name, connection, response_timeout=20)
        self.record = record
        self.wishes = wishes

    async def route_message(self, raw_msg: str) -> None:
        self.record.message_ids.append(raw_msg[:60])
        await super().route_message(raw_msg)

    def _note(self, action: str, payload: dict[str, Any]) -> None:
        self.record.log.append((action, payload))
        self.wishes.before_answer(action)

    @on(Action.boot_notification)
    def on_boot(self, **payload: Any) -> Any:
        self._note("BootNotification", payload)
        status = self.wishes.boot.pop(0) if self.wishes.boot else "Accepted"
        return call_result.BootNotification(_now(), self.wishes.boot_interval, RegistrationStatus(status))

    @on(Action.heartbeat)
    def on_heartbeat(self, **payload: Any) -> Any:
        self._note("Heartbeat", payload)
        return call_result.Heartbeat(_now())

    @on(Action.status_notification)
    def on_status(self, **payload: Any) -> Any:
        self._note("StatusNotification", payload)
        return call_result.StatusNotification()

    @on(Action.authorize)
    def on_authorize(self, **payload: Any) -> Any:
        self._note("Authorize", payload)
        return call_result.Authorize(self._tag_info(payload["id_tag"]))

    @on(Action.start_transaction)
    def on_start(self, **payload: Any) -> Any:
        self._note("StartTransaction", payload)
        if self.wishes.errors_for_start:
            self.wishes.errors_for_start -= 1
            raise InternalError("not today")
        content = tuple(sorted(payload.items()))
        number = self.record.transactions.setdefault(content, len(self.record.transactions) + 1)
        return call_result.StartTransaction(number, self._tag_info(payload["id_tag"]))

    @on(Action.meter_values)
    def on_meter_values(self, **payload: Any) -> Any:
        self._note("MeterValues", payload)
        return call_result.MeterValues()

    @on(Action.stop_transaction)
    def on_stop(self, **payload: Any) -> Any:
        self._note("StopTransaction", payload)
        return call_result.StopTransaction()

    def _tag_info(self, id_tag: str) -> Any:
        invalid = id_tag in self.wishes.invalid_tags
        return {"status": AuthorizationStatus.invalid if invalid else AuthorizationStatus.accepted}


class CentralServer:
    """Listens; gives the newest connection of a station."""

    def __init__(self) -> None:
        self.url = ""
        self.records: dict[str, Record] = {}
        self.wishes = Wishes()
        self._connected: dict[str, CentralSystem] = {}

    def record(self, station: str) -> Record:
        return self.records.setdefault(station, Record())

    async def connected(self, station: str) -> CentralSystem:
        """Wait until the station is there and has told its status."""
        await eventually(lambda: station in self._connected and self.record(station).status_of(1))
        return self._connected[station]

    async def hang_up(self, station: str) -> None:
        """End the connection as a network that fails does."""
        system = self._connected.pop(station)
        await system._connection.close()

    async def _serve(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        station = connection.request.path.rsplit("/", 1)[-1]
        record = self.record(station)
        record.connections += 1
        record.authorization = connection.request.headers.get("Authorization")
        system = CentralSystem(station, connection, record, self.wishes)
        self._connected[station] = system
        try:
            await system.start()
        except Exception:  # noqa: BLE001  the library lets the closing of a connection through
            if self._connected.get(station) is system:  # else it is back on another connection already
                del self._connected[station]


@asynccontextmanager
async def central_server() -> AsyncIterator[CentralServer]:
    """Run one on a free port."""
    server = CentralServer()
    async with serve(server._serve, "127.0.0.1", 0, subprotocols=["ocpp1.6"]) as listening:  # type: ignore[list-item]
        port = next(iter(listening.sockets)).getsockname()[1]
        server.url = f"ws://127.0.0.1:{port}/ocpp"
        yield server


async def eventually(condition: Callable[[], object], seconds: float = 100) -> None:
    """Wait until `condition` holds; fails after `seconds` of wall time."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


def _now() -> str:
    return datetime.now(UTC).isoformat()
