"""Carries encrypted channels on MQTT. Implements the port FrameCarrier.

    channels/{place}/{slot}      retained, QoS 1; place is 32 hexadecimal digits, slot a decimal number

The broker keeps the newest packet of each slot, so a reader who was away gets what it missed from there,
with no server of the writer's. Frames and wraps of root keys lie in topics of one form.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiomqtt import Client, MqttError

from evmesh.domain.channel import MAX_PACKET_BYTES, PLACE_SIZE
from evmesh.domain.errors import InvalidInput, Unavailable
from evmesh.telemetry.connection import Inbox, MqttConfig, connected, open_client, publish_all, subscribe

MOST_WAITING: Final = 10_000
"""Packets that have arrived and nobody has read; older ones give way, and are missed until the next open."""

_TOPIC: Final = re.compile(r"channels/([0-9a-f]{32})/(?:0|[1-9][0-9]{0,9})")


def channel_topic(place: bytes, slot: int) -> str:
    """Give the topic of a slot; raises InvalidInput `channel.bad_place`."""
    if len(place) != PLACE_SIZE or slot < 0:
        raise InvalidInput("channel.bad_place", f"a place has {PLACE_SIZE} bytes, and slots count from 0")
    return f"channels/{place.hex()}/{slot}"


class MqttFrameCarrier:
    """Connects to one broker, anew for each `open`."""

    def __init__(self, config: MqttConfig) -> None:
        self._config = config

    @asynccontextmanager
    async def open(self) -> AsyncIterator["MqttFrameLine"]:
        """Connect; raises Unavailable `broker.away` here and from all that happens inside."""
        try:
            client = open_client(self._config, inbox=Inbox(MOST_WAITING))
            async with connected(client):
                yield MqttFrameLine(client, self._config)
        except* MqttError as errors:
            raise _away(errors) from errors


class MqttFrameLine:
    """One connection."""

    def __init__(self, client: Client, config: MqttConfig) -> None:
        self._client = client
        self._config = config
        self._watched: set[bytes] = set()

    async def put(self, place: bytes, slot: int, packet: bytes) -> None:
        """Publish retained; returns when the broker has confirmed it."""
        if not 0 < len(packet) <= MAX_PACKET_BYTES:
            raise InvalidInput("channel.bad_packet", f"a packet has 1 to {MAX_PACKET_BYTES} bytes")
        await publish_all(self._client, [(channel_topic(place, slot), packet)], retain=True)

    async def forget(self, place: bytes, slots: int) -> None:
        """Have the broker keep nothing in the first `slots` slots of a place: of an epoch long over."""
        topics = [channel_topic(place, slot) for slot in range(slots)]
        await publish_all(self._client, [(topic, b"") for topic in topics], retain=True)

    async def watch(self, place: bytes) -> None:
        """Subscribe; raises Refused `broker.subscription_refused`."""
        if place not in self._watched:
            await subscribe(self._client, self._config, channel_topic(place, 0)[:-1] + "+")
            self._watched.add(place)

    async def packets(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Give what is of the right form and size; the rest is not for a channel's reader."""
        async for message in self._client.messages:
            match, payload = _TOPIC.fullmatch(message.topic.value), message.payload
            if match and 0 < len(payload) <= MAX_PACKET_BYTES:
                yield bytes.fromhex(match[1]), payload


def _away(error: BaseException) -> Unavailable:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Unavailable("broker.away", f"the broker does not answer: {error}", do="try again later")
