"""The wire of a station: OCPP 1.6J over a WebSocket, one outstanding CALL, back again after every loss.

The link owns connection, registration (BootNotification until Accepted), heartbeats and the order of
sending; what a message means is the station's. Socket time-outs and back-off are wall time; heartbeats
and the retry intervals of the specification are platform time.
"""

import asyncio
import base64
import random
import uuid
from datetime import timedelta
from typing import Any, Final

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from evmesh.domain.errors import ProtocolViolation
from evmesh.ports import Clock
from evmesh.sim import messages
from evmesh.sim.commands import Answer, Refusal, carry_out
from evmesh.sim.config import SimTiming
from evmesh.sim.frames import Call, CallError, CallResult, parse_frame, write_frame
from evmesh.sim.outbox import Outgoing
from evmesh.sim.station import Station

_log = structlog.get_logger()

SUBPROTOCOL: Final = "ocpp1.6"
_RETRY_BOOT_S: Final = 60
"""Where the CSMS does not say when to try again."""


class CallFailed(Exception):
    """The CSMS answered with a CALLERROR."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code


class _Lost(Exception):
    """This connection is of no more use; the next one may be."""


class OcppLink:
    """Keeps one station connected for ever."""

    def __init__(self, url: str, station: Station, clock: Clock, timing: SimTiming) -> None:
        self.is_registered = False
        self._url = f"{url.rstrip('/')}/{station.config.id}"
        self._station = station
        self._clock = clock
        self._timing = timing
        self._calling = asyncio.Lock()
        self._reboot = asyncio.Event()
        self._pending: dict[str, tuple[asyncio.Future[CallResult | CallError], Outgoing | None]] = {}
        self._calls = 0
        self._kept_sent = 0

    async def run(self) -> None:
        """Connect, and connect again after every loss, with back-off and jitter."""
        delay_ms = self._timing.reconnect_wall_ms
        while True:
            try:
                await self._once()
            except* (_Lost, OSError, TimeoutError, WebSocketException):
                pass
            if self.is_registered:
                _log.info("station.lost_connection", station=self._station.config.id.text)
                delay_ms = self._timing.reconnect_wall_ms
            self.is_registered = False
            await asyncio.sleep(delay_ms * random.uniform(0.5, 1.5) / 1000)
            delay_ms = min(delay_ms * 2, self._timing.reconnect_max_wall_ms)

    async def _once(self) -> None:
        """Live through one connection; always ends with an exception."""
        station = self._station
        headers = None
        if station.config.password is not None:
            secret = f"{station.config.id}:{station.config.password}".encode()
            headers = {"Authorization": f"Basic {base64.b64encode(secret).decode()}"}
        async with connect(
            self._url,
            subprotocols=[SUBPROTOCOL],  # type: ignore[list-item]  # a NewType of str in websockets
            additional_headers=headers,
            compression=None,
            close_timeout=2,
            proxy=None,
            user_agent_header=None,
        ) as socket:
            if socket.subprotocol != SUBPROTOCOL:
                raise _Lost
            self._calling, self._reboot = asyncio.Lock(), asyncio.Event()
            station.outbox.forget_news()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(socket))
                group.create_task(self._work(socket))
                group.create_task(self._go_down(socket))

    async def _go_down(self, socket: ClientConnection) -> None:
        """Reboot after a reset, and not while a call is under way: who answers it is to hear ours first."""
        await self._reboot.wait()
        async with self._calling:
            await socket.close(1000)

    async def _work(self, socket: ClientConnection) -> None:
        await self._register(socket)
        self.is_registered = True
        _log.info("station.registered", station=self._station.config.id.text)
        self._station.connected()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send_all(socket))
            group.create_task(self._beat(socket))

    async def _register(self, socket: ClientConnection) -> None:
        """Boot until Accepted; nothing else may be sent before (section 4.2)."""
        while True:
            boot = messages.boot_notification(self._station.config)
            try:
                answer = await self._call(socket, "BootNotification", boot)
            except CallFailed:
                answer = {}
            interval = _positive(answer.get("interval"))
            if answer.get("status") == "Accepted":
                if interval:
                    self._station.change_setting("HeartbeatInterval", str(interval))
                return
            await self._pause(interval or _RETRY_BOOT_S)

    async def _beat(self, socket: ClientConnection) -> None:
        while True:
            await self._pause(self._station.configuration.number("HeartbeatInterval") or _RETRY_BOOT_S)
            if self._station.configuration.number("HeartbeatInterval"):
                try:
                    await self._call(socket, "Heartbeat", {})
                except CallFailed:
                    continue

    async def _send_all(self, socket: ClientConnection) -> None:
        outbox = self._station.outbox
        while True:
            outbox.wake.clear()
            outgoing = outbox.next()
            if outgoing is None:
                await outbox.wake.wait()
                continue
            try:
                await self._call(socket, outgoing.action, outgoing.payload, outgoing)
            except CallFailed:
                await self._failed(outgoing)
                continue
            await self._maybe_repeat(socket, outgoing)

    def _understand(self, outgoing: Outgoing, answer: dict[str, Any]) -> None:
        """Tell the station what an answer means, before the next frame is read: a command may follow."""
        accepted = (answer.get("idTagInfo") or {}).get("status") == "Accepted"
        if outgoing.action == "StartTransaction" and outgoing.queued is not None:
            transaction_id = answer.get("transactionId")
            if not isinstance(transaction_id, int):
                raise _Lost  # an answer without its one required member is none: ask again
            self._station.start_answered(outgoing.queued.local, transaction_id, accepted=accepted)
        elif outgoing.action == "Authorize" and outgoing.connector is not None and accepted:
            self._station.authorised(outgoing.connector, str(outgoing.payload["idTag"]))
        self._station.outbox.answered(outgoing)

    async def _failed(self, outgoing: Outgoing) -> None:
        """Try a transaction message again as often as TransactionMessageAttempts says, then drop it."""
        queued, station = outgoing.queued, self._station
        if queued is None:
            station.outbox.answered(outgoing)
            return
        attempts = queued.attempts + 1
        if attempts < station.configuration.number("TransactionMessageAttempts"):
            station.outbox.attempted(outgoing, attempts)
            await self._pause(station.configuration.number("TransactionMessageRetryInterval") * attempts)
            return
        station.outbox.answered(outgoing)
        if outgoing.action == "StartTransaction":
            station.start_given_up(queued.local)

    async def _maybe_repeat(self, socket: ClientConnection, outgoing: Outgoing) -> None:
        every = self._station.misbehaviour.duplicate_every
        if every and outgoing.queued is not None:
            self._kept_sent += 1
            if self._kept_sent % every == 0:
                try:
                    await self._call(socket, outgoing.action, outgoing.payload)
                except CallFailed:
                    return

    async def _call(
        self,
        socket: ClientConnection,
        action: str,
        payload: dict[str, Any],
        outgoing: Outgoing | None = None,
    ) -> dict[str, Any]:
        """Send a CALL and wait for its answer; one at a time (OCPP-J section 4.1.1).

        Raises CallFailed for a CALLERROR and `_Lost` for silence, which ends the connection.
        """
        async with self._calling:
            self._calls += 1
            message_id = str(uuid.uuid4()) if outgoing is None else outgoing.message_id
            call = Call(message_id, action, payload)
            future: asyncio.Future[CallResult | CallError] = asyncio.get_running_loop().create_future()
            self._pending = {message_id: (future, outgoing)}
            await socket.send(write_frame(call))
            every = self._station.misbehaviour.drop_mid_call_every
            if every and self._calls % every == 0:
                socket.transport.abort()  # the network is gone: no closing handshake
                raise _Lost
            try:
                async with asyncio.timeout(self._timing.call_timeout_wall_s):
                    answer = await future
            except TimeoutError as error:
                raise _Lost from error
        if isinstance(answer, CallError):
            raise CallFailed(answer.code, answer.description)
        return answer.payload

    async def _read(self, socket: ClientConnection) -> None:
        async for raw in socket:
            try:
                frame = parse_frame(raw)
            except ProtocolViolation:
                continue  # no message id can be trusted, so there is nobody to answer
            if isinstance(frame, Call):
                await self._answer(socket, frame)
                continue
            future, outgoing = self._pending.pop(frame.message_id, (None, None))
            if future is None or future.done():
                continue
            if isinstance(frame, CallResult) and outgoing is not None:
                self._understand(outgoing, frame.payload)
            future.set_result(frame)
        raise _Lost

    async def _answer(self, socket: ClientConnection, call: Call) -> None:
        result = carry_out(self._station, call.action, call.payload)
        delay_ms = self._station.misbehaviour.answer_delay_wall_ms
        if delay_ms:
            await asyncio.sleep(delay_ms / 1000)
        match result:
            case Refusal(code, description):
                await socket.send(write_frame(CallError(call.message_id, code, description[:255])))
            case Answer(payload, reboot):
                await socket.send(write_frame(CallResult(call.message_id, payload)))
                if reboot:
                    self._reboot.set()

    async def _pause(self, seconds: int) -> None:
        await self._clock.sleep_until(self._clock.now() + timedelta(seconds=seconds))


def _positive(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
