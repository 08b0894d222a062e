"""How this room connects: where the broker is, one connection at a time, and again after a while.

A connection is a new aiomqtt client each time: a packet id that belongs to an earlier connection can then
never be acknowledged on a later one.
"""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, cast

import structlog
from aiomqtt import Client, Message, MqttError, ProtocolVersion, Will
from paho.mqtt.reasoncodes import ReasonCode

from evmesh.domain.errors import InvalidInput, Refused

KEEPALIVE_S: Final = 15
CALL_TIMEOUT_S: Final = 10.0
CONNECT_TIMEOUT_S: Final = 5.0
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 15.0
IN_FLIGHT: Final = 20
SUBSCRIPTION_REFUSED: Final = 0x80
"""MQTT 3.1.1 section 3.9.3."""

log = structlog.get_logger("evmesh.telemetry")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: whom to trust, and the certificate and key that say who we are."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Give a context for TLS 1.2 and newer. Raises InvalidInput `tls.bad_files`."""
        try:
            made = ssl.create_default_context(cafile=self.authority)
            made.minimum_version = ssl.TLSVersion.TLSv1_2
            made.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(
                "tls.bad_files",
                f"{self.authority}, {self.certificate} and {self.key} are no keys to the broker: {error}",
                do="make them with `evmesh edge enrol`",
            ) from error
        return made


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """Where the broker is. Delays are between attempts to reach it, doubled each time up to the longest."""

    host: str
    port: int
    first_delay_s: float = FIRST_DELAY_S
    longest_delay_s: float = LONGEST_DELAY_S
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    """For the broker's answer. A connection that is cut before it came is only noticed by this."""
    tls: TlsFiles | None = None
    version: Literal[4, 5] = 4
    """4 is MQTT 3.1.1, which everything speaks; with 5 a broker says why it does not take a message."""


class Inbox(asyncio.Queue[Message]):
    """What has arrived and nobody has taken yet; bounded, and the oldest gives way."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self.dropped = 0

    def put_nowait(self, item: Message) -> None:
        """Take a message in; called by the client for each that arrives."""
        if self.qsize() >= self._most:
            self.dropped += 1
            self.get_nowait()
        super().put_nowait(item)


class _DirectLoop:
    """A loop whose `call_soon_threadsafe` calls at once when it is in the loop's own thread.

    aiomqtt 2.5 registers its socket for writing through `call_soon_threadsafe` and unregisters it at once.
    When a connection breaks in between, the number of a closed socket is registered, which by then may be
    the number of somebody else's socket: that one then hears nothing until it times out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._thread = threading.get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: Any) -> None:
        if threading.get_ident() == self._thread:
            callback(*args)
        else:
            self._loop.call_soon_threadsafe(callback, *args)


def open_client(
    config: MqttConfig,
    *,
    identifier: str | None = None,
    persistent: bool = False,
    will: Will | None = None,
    inbox: Inbox | None = None,
) -> Client:
    """Make a client, not connected yet. `inbox` is where its messages are put."""
    # aiomqtt calls `queue_type` once, with maxsize; it asks for a class, and a function serves as well.
    queue_type = None if inbox is None else cast("type[asyncio.Queue[Message]]", lambda maxsize: inbox)
    client = Client(
        config.host,
        config.port,
        identifier=identifier,
        protocol=ProtocolVersion(config.version),
        clean_session=None if config.version == 5 else not persistent,
        tls_context=None if config.tls is None else config.tls.context(),
        will=will,
        keepalive=KEEPALIVE_S,
        timeout=config.connect_timeout_s,
        queue_type=queue_type,
    )
    client._loop = cast("asyncio.AbstractEventLoop", _DirectLoop(asyncio.get_running_loop()))
    client.pending_calls_threshold = 10_000  # our batches are bounded: its warning at 10 is noise
    return client


async def stay_connected(name: str, config: MqttConfig, connection: Callable[[], Awaitable[None]]) -> None:
    """Run `connection` for ever; when the broker goes away, come back with growing delays.

    `connection` connects, works, and raises MqttError (alone or in a group) when it is cut; anything else
    that it raises comes out of here. One that lived longer than the longest delay starts the delays anew.
    """
    loop = asyncio.get_running_loop()
    delay = config.first_delay_s
    while True:
        started = loop.time()
        try:
            async with asyncio.TaskGroup() as group:
                # A task of its own: a group whose task fails in the instant that it is cancelled tells of the
                # failure only, and this loop would go round again after it was told to end.
                attempt = group.create_task(_until_cut(connection))
        except ExceptionGroup as errors:
            raise _alone(errors) from None
        log.warning(
            "mqtt.away",
            service=name,
            port=config.port,
            error=attempt.result(),
            retry_s=delay,
            do=f"look whether a broker listens at {config.host}:{config.port}, and lets us in",
        )
        if loop.time() - started > config.longest_delay_s:
            delay = config.first_delay_s
        await asyncio.sleep(delay)
        delay = min(2 * delay, config.longest_delay_s)


async def _until_cut(connection: Callable[[], Awaitable[None]]) -> str:
    """Run one connection; say how it ended."""
    why = "closed"
    try:
        await connection()
    except* MqttError as errors:
        why = str(_alone(errors))
    return why


def _alone(error: Exception) -> Exception:
    """Give the one error in a group; supervisors decide by its class. Several stay a group."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


@asynccontextmanager
async def connected(client: Client) -> AsyncIterator[Client]:
    """Connect, and disconnect at the end; what went wrong in between is what is raised.

    aiomqtt alone can lose a cancellation twice: behind the MqttError of a goodbye that got no answer, and
    in `asyncio.wait_for` of Python 3.11, which prefers an answer that comes in the same instant.
    """
    task = asyncio.current_task()
    cancellations = 0 if task is None else task.cancelling()
    try:
        await client.__aenter__()
    except BaseException:
        client._client._sock_close()  # aiomqtt leaves it open when the broker does not answer
        raise
    try:
        if task is not None and task.cancelling() > cancellations:
            raise asyncio.CancelledError
        client.timeout = CALL_TIMEOUT_S
        yield client
    except BaseException:
        with suppress(MqttError):
            await client.__aexit__(None, None, None)
        raise
    else:
        await client.__aexit__(None, None, None)
    finally:
        # Why the connection ended is in a future that complains at its end when nobody asked it.
        if client._disconnected.done() and not client._disconnected.cancelled():
            client._disconnected.exception()


@dataclass(slots=True)
class Refusals:
    """How many messages the broker has refused on a connection."""

    count: int = 0


def count_refusals(client: Client) -> Refusals:
    """Count what the broker does not take; it says so with MQTT 5 only.

    aiomqtt takes a refusal for a confirmation; the paho client inside knows better.
    """
    refusals = Refusals()
    confirmed: Any = client._client.on_publish

    def on_publish(inner: Any, data: Any, mid: int, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            refusals.count += 1
            log.error("mqtt.publish_refused", reason=str(code))
        confirmed(inner, data, mid, code, properties)

    client._client.on_publish = on_publish
    return refusals


async def publish_all(client: Client, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> None:
    """Publish (topic, payload) pairs with QoS 1 and in order; return when the broker has confirmed all.

    Each in a task of its own, and not only for speed: a call of aiomqtt can forget that it was cancelled
    (see `connected`), and a loop around it would go on for ever. A TaskGroup does not forget.
    """
    for start in range(0, len(messages), IN_FLIGHT):
        async with asyncio.TaskGroup() as group:
            for topic, payload in messages[start : start + IN_FLIGHT]:
                group.create_task(client.publish(topic, payload, qos=1, retain=retain))


async def subscribe(client: Client, config: MqttConfig, *filters: str) -> None:
    """Subscribe with QoS 1. Raises Refused where the broker grants less than all of it."""
    wanted = [(topic, 1) for topic in filters]
    async with asyncio.TaskGroup() as group:  # as in `publish_all`
        granted = group.create_task(client.subscribe(wanted, timeout=config.connect_timeout_s))
    for topic, code in zip(filters, granted.result(), strict=True):
        if code.is_failure if isinstance(code, ReasonCode) else code == SUBSCRIPTION_REFUSED:
            raise Refused(
                "broker.subscription_refused",
                f"the broker does not let us read {topic}",
                do="allow it in the broker's access control list",
            )
