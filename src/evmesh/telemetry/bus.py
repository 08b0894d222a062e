"""Values out and in over MQTT: the `TelemetryBus` port.

Publishing never waits for the broker: a value is numbered and queued, and a service sends what is queued
while there is a connection. Following has a connection of its own, so that a slow reader holds up nobody.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from datetime import datetime
from typing import Final

from aiomqtt import Client, MqttError, Will

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.telemetry import Availability, TelemetryValue, ValueName
from evmesh.ports import Clock
from evmesh.telemetry.connection import (
    IN_FLIGHT,
    Inbox,
    MqttConfig,
    connected,
    log,
    open_client,
    publish_all,
    stay_connected,
    subscribe,
)
from evmesh.telemetry.outgoing import Outgoing, TopicQueues
from evmesh.telemetry.presence import BEAT_S, SILENT_S, Presence
from evmesh.telemetry.topics import (
    PUBLISHER_FILTER,
    VALUE_FILTER,
    Reading,
    decode,
    encode,
    is_publisher_topic,
    new_boot,
    publisher_topic,
    received,
    value_topic,
)

QUEUE_PER_TOPIC: Final = 256
FOLLOW_AT_MOST: Final = 20_000
GOODBYE_S: Final = 2.0


class MqttBus:
    """One publisher's connection. `run()` sends; without it values queue up, bounded per topic.

    `boot` (made by `new_boot(publisher)` unless given) names this run; two runs must never share one. A
    value goes out when it differs from the last of its topic, retained and with QoS 1, at least once. When
    the connection comes back, the last value of every topic goes out again under its old number, since the
    broker may have lost what it retained; readers know it for the same reading.
    """

    name = "telemetry-bus"

    def __init__(
        self,
        config: MqttConfig,
        clock: Clock,
        *,
        publisher: str = "platform",
        boot: str = "",
        queue_per_topic: int = QUEUE_PER_TOPIC,
        beat_s: float = BEAT_S,
        silent_s: float = SILENT_S,
    ) -> None:
        """Its word is repeated every `beat_s`; who is silent for `silent_s` is not there for `values`."""
        self._beat_s = beat_s
        self._silent_s = silent_s
        self._config = config
        self._clock = clock
        self._publisher = publisher
        self.boot = boot or new_boot(publisher)
        self._queues = TopicQueues(queue_per_topic)
        self._last: dict[str, int | str | None] = {}
        self._sent: dict[str, bytes] = {}
        self._in_flight: list[Outgoing] = []
        self._seq: dict[str, int] = {}
        self._words = 0
        self.connected = False
        self._something_to_send = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._all_sent.set()

    @property
    def dropped(self) -> int:
        """How many values were given up because the broker was away for too long."""
        return self._queues.dropped

    @property
    def waiting(self) -> int:
        """How many values the broker has not confirmed yet."""
        return len(self._queues) + len(self._in_flight)

    async def publish(self, value: TelemetryValue) -> None:
        """Queue for publishing when it differs from the last; never waits for the broker.

        Raises InvalidInput where readers would refuse it: an unknown name, or a value of another kind.
        """
        topic = value_topic(value.charger, value.name)
        if topic in self._last and self._last[topic] == value.value:
            return
        seq = self._seq.get(value.charger, 0) + 1
        message = Outgoing(topic, encode(Reading(value, self.boot, seq)))
        self._seq[value.charger] = seq
        self._last[topic] = value.value
        self._queues.put(message)
        self._all_sent.clear()
        self._something_to_send.set()

    async def drained(self) -> None:
        """Return once the broker has confirmed everything that was queued."""
        await self._all_sent.wait()

    async def run(self) -> None:
        """Send what is queued, for ever; comes back by itself when the broker does."""
        await stay_connected(self.name, self._config, self._send_while_connected)

    async def values(self) -> AsyncIterator[TelemetryValue]:
        """Follow every charger's values, retained ones first; comes back by itself when the broker does.

        A reader that falls behind by more than FOLLOW_AT_MOST messages loses the oldest. Malformed
        messages are left out here: the ingest sets them aside.
        """
        follower = _Follower(self._config, self._clock, self._silent_s)
        delay = self._config.first_delay_s
        while True:
            try:
                async with aclosing(follower.connected()) as changes:
                    async for change in changes:
                        delay = self._config.first_delay_s
                        yield change
            except MqttError as error:
                log.warning("mqtt.away", service="telemetry-values", port=self._config.port, error=str(error))
            await asyncio.sleep(delay)
            delay = min(2 * delay, self._config.longest_delay_s)

    async def _send_while_connected(self) -> None:
        topic = publisher_topic(self._publisher)
        now = self._clock.now()
        will = Will(topic, self._own(Availability.OFFLINE, 0, now), qos=1, retain=True)
        name = f"evmesh-{self._publisher}"
        async with connected(open_client(self._config, identifier=name, will=will)) as client:
            birth = self._own(Availability.ONLINE, self._next_word(), now)
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(_notice_the_cut(client))
                    group.create_task(self._repeat(client, topic))
                    group.create_task(self._send(client, (topic, birth)))
            except asyncio.CancelledError:
                await self._say_goodbye(client, topic)
                raise
            finally:
                self.connected = False

    async def _send(self, client: Client, birth: tuple[str, bytes]) -> None:
        await publish_all(client, [birth], retain=True)
        self.connected = True
        log.info("mqtt.connected", service=self.name, port=self._config.port, waiting=self.waiting)
        # The order of a topic stays: what was sent, what was under way when the connection broke, the queue.
        await publish_all(client, list(self._sent.items()), retain=True)
        while True:
            if not self._in_flight:
                self._in_flight = self._queues.take(IN_FLIGHT)
            if self._in_flight:
                await publish_all(
                    client, [(sent.topic, sent.payload) for sent in self._in_flight], retain=True
                )
                self._sent |= {sent.topic: sent.payload for sent in self._in_flight}
                self._in_flight = []
                continue
            self._something_to_send.clear()
            self._all_sent.set()
            await self._something_to_send.wait()

    async def _repeat(self, client: Client, topic: str) -> None:
        """Say online again and again: a broker may have kept an old word."""
        while True:
            await asyncio.sleep(self._beat_s)
            word = self._own(Availability.ONLINE, self._next_word(), self._clock.now())
            await publish_all(client, [(topic, word)], retain=True)

    async def _say_goodbye(self, client: Client, topic: str) -> None:
        """Say offline before a clean disconnect, after which the broker keeps the will to itself."""
        try:
            async with asyncio.timeout(GOODBYE_S):
                goodbye = self._own(Availability.OFFLINE, self._next_word(), self._clock.now())
                await client.publish(topic, goodbye, qos=1, retain=True)
        except (MqttError, TimeoutError) as error:
            log.warning("mqtt.no_goodbye", service=self.name, error=str(error))

    def _next_word(self) -> int:
        self._words += 1
        return self._words

    def _own(self, word: Availability, seq: int, at: datetime) -> bytes:
        value = TelemetryValue(self._publisher, ValueName.AVAILABILITY, at, word)
        return encode(Reading(value, self.boot, seq))


async def _notice_the_cut(client: Client) -> None:
    """Raise MqttError when the connection ends, also while there is nothing to send."""
    async for _ in client.messages:
        pass  # this client subscribes to nothing


class _Follower:
    """One reader's view: what it has seen survives its connections."""

    def __init__(self, config: MqttConfig, clock: Clock, silent_s: float) -> None:
        self._config = config
        self._clock = clock
        self._silent_s = silent_s
        self._seen: dict[str, str] = {}
        self._presence = Presence()
        self._heard_at: dict[str, float] = {}
        """When a new word of each publisher came, by the loop's clock; one that comes again is an old one."""

    async def connected(self) -> AsyncGenerator[TelemetryValue]:
        """Give changes for as long as one connection lasts."""
        async with connected(open_client(self._config, inbox=Inbox(FOLLOW_AT_MOST))) as client:
            await subscribe(client, self._config, PUBLISHER_FILTER, VALUE_FILTER)
            for change in self._doubt(list(self._heard_at)):  # who is there says so again, or anew
                yield change
            async for message in client.messages:
                for change in [*self._silent(), *self._changes(message.topic.value, message.payload)]:
                    yield change

    def _silent(self) -> list[TelemetryValue]:
        """Doubt who has been silent for too long; our own publisher's words make sure that this is asked."""
        latest = asyncio.get_running_loop().time() - self._silent_s
        return self._doubt([name for name, at in self._heard_at.items() if at < latest])

    def _doubt(self, publishers: list[str]) -> list[TelemetryValue]:
        for name in publishers:
            del self._heard_at[name]
        return [one.value for one in self._presence.doubt(publishers, self._clock.now())]

    def _changes(self, topic: str, payload: bytes) -> list[TelemetryValue]:
        try:
            reading = decode(topic, payload)
        except ProtocolViolation as error:
            log.debug("telemetry.malformed", topic=topic, code=error.code)
            return []
        if self._seen.get(topic) == reading.identity:
            return []  # retained, and told before the connection was cut
        self._seen[topic] = reading.identity
        now = self._clock.now()
        if is_publisher_topic(topic):
            self._heard_at[reading.value.charger] = asyncio.get_running_loop().time()
            return [change.value for change in self._presence.publisher_said(reading, now)]
        besides = self._presence.charger_said(reading, now)
        return [received(reading, now).value, *(change.value for change in besides)]
