"""A subscriber's own MQTT connection: takes what has arrived in one go, and acknowledges when it is told to.

Written for the ingest, which hears everything: a client library's path costs several times the CPU that
reading and storing a message does. MQTT 3.1.1, a session that the broker keeps, QoS 1 and 0 in, QoS 1 out.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final, cast

from aiomqtt import MqttError

from evmesh.domain.errors import ProtocolViolation, Refused
from evmesh.telemetry import wire
from evmesh.telemetry.connection import CALL_TIMEOUT_S, KEEPALIVE_S, SUBSCRIPTION_REFUSED, MqttConfig
from evmesh.telemetry.wire import Arrived

INBOX_AT_MOST: Final = 20_000
"""Messages in memory at which this stops reading: then the broker has to wait, or to drop QoS 0."""

_PACKETS: Final = 65_535


class Line(asyncio.Protocol):
    """One connection. Every wait raises MqttError when it is cut."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._packets = wire.Packets()
        self._inbox: list[Arrived] = []
        self._more = asyncio.Event()
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._next = 0
        self._cut: str | None = None
        self._paused = False
        self._heard = 0.0

    async def take(self, most: int) -> list[Arrived]:
        """Give what has arrived, up to `most` messages; waits for the first."""
        while not self._inbox:
            self._more.clear()
            self._check()
            await self._more.wait()
        self._check()  # on a line that is cut nothing could be acknowledged, and it all comes again
        some = self._inbox[:most]
        del self._inbox[:most]
        if self._paused and len(self._inbox) < INBOX_AT_MOST // 2 and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return some

    def acknowledge(self, messages: Iterable[Arrived]) -> None:
        """Tell the broker that these are done."""
        self._write(b"".join(wire.puback(one.packet) for one in messages if one.packet))

    async def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe with QoS 1. Raises Refused where the broker grants less than all of it."""
        async with _answered_within(CALL_TIMEOUT_S):
            packet, answer = self._ask()
            self._write(wire.subscribe(packet, filters))
            granted = (await answer)[2:]
        for topic, code in zip(filters, granted, strict=True):
            if code == SUBSCRIPTION_REFUSED:
                raise Refused(
                    "broker.subscription_refused",
                    f"the broker does not let us read {topic}",
                    do="allow it in the broker's access control list",
                )

    async def publish(self, messages: Sequence[tuple[str, bytes]]) -> None:
        """Publish (topic, payload) pairs with QoS 1; returns when the broker has confirmed all."""
        left = iter(messages)
        while some := list(islice(left, 1_000)):
            answers = []
            for topic, payload in some:
                packet, answer = self._ask()
                answers.append(answer)
                self._write(wire.publish(topic, payload, packet))
            async with _answered_within(CALL_TIMEOUT_S):
                for answer in answers:
                    await answer

    async def stay(self) -> None:
        """Keep the connection, until it is cut."""
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        while True:
            await asyncio.sleep(KEEPALIVE_S / 3)
            self._check()
            if loop.time() - self._heard > KEEPALIVE_S:
                self._end("nothing was heard for too long")
                self._check()
            self._write(wire.PINGREQ)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be told of the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one, and no subclass

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        self._heard = asyncio.get_running_loop().time()
        try:
            for kind, flags, body in self._packets.take(data):
                if kind == wire.PUBLISH:
                    self._inbox.append(wire.arrived(flags, body))
                elif kind in (wire.PUBACK, wire.SUBACK):
                    self._answer(int.from_bytes(body[:2]), body)
                elif kind == wire.CONNACK:
                    self._answer(0, body)
        except ProtocolViolation as error:
            self._end(error.what)
        if self._inbox:
            self._more.set()
        if len(self._inbox) > INBOX_AT_MOST and self._transport is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        """Be told that it is over."""
        self._end(str(error or "the broker closed the connection"))

    async def greet(self, client_id: str, within_s: float) -> None:
        """Say who we are. Raises MqttError where the broker does not let us in."""
        answer = self._answers[0] = asyncio.get_running_loop().create_future()
        self._write(wire.connect(client_id, KEEPALIVE_S))
        async with _answered_within(within_s):
            body = await answer
        if len(body) != 2 or body[1]:
            raise MqttError(f"the broker does not let {client_id} in: code {body[-1:].hex()}")

    def close(self) -> None:
        """Say goodbye."""
        self._write(wire.DISCONNECT)
        self._end("closed")

    def _ask(self) -> tuple[int, asyncio.Future[bytes]]:
        self._check()
        self._next = self._next % _PACKETS + 1
        answer = self._answers[self._next] = asyncio.get_running_loop().create_future()
        return self._next, answer

    def _answer(self, packet: int, body: bytes) -> None:
        waiting = self._answers.pop(packet, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(body)

    def _write(self, data: bytes) -> None:
        if data and self._transport is not None and self._cut is None:
            self._transport.write(data)

    def _end(self, why: str) -> None:
        if self._cut is not None:
            return
        self._cut = why
        self._more.set()
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(MqttError(why))
                waiting.exception()  # nobody may be waiting any more
        self._answers.clear()
        if self._transport is not None:
            self._transport.close()

    def _check(self) -> None:
        if self._cut is not None:
            raise MqttError(self._cut)


@asynccontextmanager
async def open_line(config: MqttConfig, client_id: str) -> AsyncIterator[Line]:
    """Connect; what the broker keeps for `client_id` comes at once. Raises MqttError."""
    tls = None if config.tls is None else config.tls.context()
    try:
        async with asyncio.timeout(config.connect_timeout_s):
            _, line = await asyncio.get_running_loop().create_connection(
                Line, config.host, config.port, ssl=tls, server_hostname=None if tls is None else config.host
            )
    except (OSError, TimeoutError) as error:
        raise MqttError(str(error) or "no answer") from error
    try:
        await line.greet(client_id, config.connect_timeout_s)
        yield line
    finally:
        line.close()


@asynccontextmanager
async def _answered_within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise MqttError("the broker does not answer") from error
