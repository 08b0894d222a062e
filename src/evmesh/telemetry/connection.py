"""How this room connects: where the broker is, one connection at a time, and again after a while.

A connection is a new aiomqtt client each time: a packet id that belongs to an earlier connection can then
never be acknowledged on a later one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, cast

import structlog
from aiomqtt import Client, Message, MqttError, Will
from paho.mqtt.reasoncodes import ReasonCode

from evmesh.domain.errors import Refused

KEEPALIVE_S: Final = 15
CALL_TIMEOUT_S: Final = 10.0
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 15.0
SUBSCRIPTION_REFUSED: Final = 0x80
"""MQTT 3.1.1 section 3.9.3."""

log = structlog.get_logger("evmesh.telemetry")


@dataclass(frozen=True, slots=True)
class MqttConfig:
    """Where the broker is. Delays are between attempts to reach it, doubled each time up to the longest."""

    host: str
    port: int
    first_delay_s: float = FIRST_DELAY_S
    longest_delay_s: float = LONGEST_DELAY_S


class Inbox(asyncio.Queue[Message]):
    """What has arrived and nobody has taken yet; the oldest gives way where it is bounded.

    `guarded` messages (QoS 1 of a consumer that acknowledges by hand) are never dropped: the broker's own
    window bounds them.
    """

    def __init__(self, most: int, *, guarded: bool = False) -> None:
        super().__init__()
        self._most = most
        self._guarded = guarded
        self.dropped = 0

    def put_nowait(self, item: Message) -> None:
        """Take a message in; called by the client for each that arrives."""
        if self.qsize() >= self._most and not (self._guarded and item.qos):
            self.dropped += 1
            if self._guarded:
                return
            self.get_nowait()
        super().put_nowait(item)

    def rest(self, most: int) -> list[Message]:
        """Take up to `most` messages that are here already."""
        return [self.get_nowait() for _ in range(min(most, self.qsize()))]


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
        clean_session=not persistent,
        will=will,
        keepalive=KEEPALIVE_S,
        timeout=CALL_TIMEOUT_S,
        queue_type=queue_type,
    )
    client.pending_calls_threshold = 10_000  # our batches are bounded: its warning at 10 is noise
    return client


async def stay_connected(name: str, config: MqttConfig, connection: Callable[[], Awaitable[None]]) -> None:
    """Run `connection` for ever; when the broker goes away, come back with growing delays.

    `connection` connects, works, and raises MqttError (or a group of nothing else) when it is cut. One
    that lived longer than the longest delay starts the delays anew.
    """
    loop = asyncio.get_running_loop()
    delay = config.first_delay_s
    while True:
        started = loop.time()
        try:
            await connection()
        except* MqttError as errors:
            log.warning(
                "mqtt.away", service=name, port=config.port, error=str(errors.exceptions[0]), retry_s=delay
            )
        still_wanted()
        if loop.time() - started > config.longest_delay_s:
            delay = config.first_delay_s
        await asyncio.sleep(delay)
        delay = min(2 * delay, config.longest_delay_s)


def still_wanted() -> None:
    """Go on being cancelled: a client that cannot say goodbye hides the cancellation behind an MqttError."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def subscribe(client: Client, *filters: str) -> None:
    """Subscribe with QoS 1. Raises Refused where the broker grants less than all of it."""
    granted = await client.subscribe([(topic, 1) for topic in filters])
    for topic, code in zip(filters, granted, strict=True):
        if code.is_failure if isinstance(code, ReasonCode) else code == SUBSCRIPTION_REFUSED:
            raise Refused(
                "broker.subscription_refused",
                f"the broker does not let us read {topic}",
                do="allow it in the broker's access control list",
            )
