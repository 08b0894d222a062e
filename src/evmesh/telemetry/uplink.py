"""A gateway's way up: readings out, acknowledgements and commands in, over one MQTT connection.

chargers/{charger}/set/{What}       {"id", "expires_at", "value"}, not retained
chargers/{charger}/result/{What}    {"id", "ok", "code", "what"}
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec
from aiomqtt import Client, Message, MqttError, Will

from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.telemetry import (
    Ack,
    Availability,
    Command,
    CommandResult,
    NumberedValue,
    TelemetryValue,
    ValueName,
)
from evmesh.ports import Clock
from evmesh.telemetry.connection import (
    Inbox,
    MqttConfig,
    connected,
    count_refusals,
    log,
    open_client,
    publish_all,
    subscribe,
)
from evmesh.telemetry.presence import BEAT_S
from evmesh.telemetry.ranges import ack_topic, decode_ack
from evmesh.telemetry.topics import (
    MAX_PAYLOAD_BYTES,
    Reading,
    checked_name,
    encode,
    publisher_topic,
    value_topic,
)

INBOX: Final = 1_000
GOODBYE_S: Final = 1.0
"""How long the end of a gateway waits for the broker to take its last word."""
_COMMAND_TOPIC: Final = re.compile(r"chargers/([a-z0-9-]{1,64})/set/([A-Za-z]{1,64})")


class _CommandPayload(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    value: Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31)]


class _ResultPayload(msgspec.Struct, omit_defaults=True):
    id: str
    ok: bool
    code: str = ""
    what: str = ""


_commands: Final = msgspec.json.Decoder(_CommandPayload)


def encode_command(command: Command) -> bytes:
    """Write a command's payload."""
    return msgspec.json.encode(_CommandPayload(command.id, command.expires_at.astimezone(UTC), command.value))


def decode_command(topic: str, payload: bytes) -> Command:
    """Read a command. Raises ProtocolViolation whose `path` is the topic."""
    found = _COMMAND_TOPIC.fullmatch(topic)
    if found is None:
        raise ProtocolViolation("telemetry.bad_topic", f"{topic[:120]!r} commands nothing", path=topic)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise ProtocolViolation("telemetry.too_large", f"{len(payload)} bytes are too many", path=topic)
    try:
        fields = _commands.decode(payload)
        expires_at = fields.expires_at.astimezone(UTC)
    except (msgspec.MsgspecError, UnicodeDecodeError, OverflowError) as error:
        raise ProtocolViolation("telemetry.bad_payload", str(error), path=topic) from error
    return Command(found[1], found[2], fields.id, expires_at, fields.value)


def command_topic(charger: str, what: str) -> str:
    """Give where a charger is told a value."""
    return f"chargers/{checked_name(charger)}/set/{what}"


def result_topic(charger: str, what: str) -> str:
    """Give where a charger says what became of it."""
    return f"chargers/{checked_name(charger)}/result/{what}"


class MqttLine:
    """An `UplinkLine` on one connection."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._refusals = count_refusals(client)
        self._acks: asyncio.Queue[Ack] = asyncio.Queue(INBOX)
        self._commands: asyncio.Queue[Command] = asyncio.Queue(INBOX)

    async def send(self, values: Sequence[NumberedValue]) -> None:
        """Publish in order, retained; returns when the broker has all of it."""
        messages = []
        for one in values:
            topic = value_topic(one.value.charger, one.value.name)
            messages.append((topic, encode(Reading(one.value, one.boot, one.seq))))
        await self._publish(messages, retain=True)

    async def acks(self) -> AsyncIterator[Ack]:
        """Hear what is in the database."""
        while True:
            yield await self._acks.get()

    async def commands(self) -> AsyncIterator[Command]:
        """Hear what the gateway's chargers are told."""
        while True:
            yield await self._commands.get()

    async def answer(self, result: CommandResult) -> None:
        """Say what became of a command."""
        payload = _ResultPayload(result.id, not result.code, result.code, result.why)
        topic = result_topic(result.charger, result.what)
        await self._publish([(topic, msgspec.json.encode(payload))], retain=False)

    async def _publish(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> None:
        try:
            await publish_all(self._client, messages, retain=retain)  # which never forgets a cancellation
        except* MqttError as errors:
            raise self._cut(errors.exceptions[0]) from None
        if self._refusals.count:
            raise self._cut(None)

    def _cut(self, error: BaseException | None) -> Unavailable:
        """Say why the line is of no more use: some brokers cut it after they refused a message."""
        if not self._refusals.count:
            return _away(error)
        return Unavailable(
            "broker.publish_refused",
            f"the broker refused {self._refusals.count} messages",
            do="let this gateway write to its chargers' topics: `evmesh edge enrol` writes the list",
        )

    async def listen(self) -> None:
        """Sort what arrives, until the connection is cut."""
        try:
            async for message in self._client.messages:
                await self._sort(message)
        except MqttError as error:
            raise self._cut(error) from error

    async def _sort(self, message: Message) -> None:
        topic, payload = message.topic.value, message.payload
        try:
            if topic.startswith("ack/"):
                await self._acks.put(decode_ack(topic, payload))
            elif not message.retain:  # a command that was kept is not meant for now
                await self._commands.put(decode_command(topic, payload))
        except ProtocolViolation as error:
            log.warning("edge.malformed", topic=topic, code=error.code, what=error.what)


class MqttUplink:
    """The `Uplink` port on one broker, for one run of one gateway."""

    def __init__(
        self, config: MqttConfig, publisher: str, boot: str, clock: Clock, *, beat_s: float = BEAT_S
    ) -> None:
        """The gateway's word is repeated every `beat_s`: a broker may have kept an old one."""
        self._beat_s = beat_s
        self._config = config
        self._publisher = publisher
        self._boot = boot
        self._clock = clock
        self._words = 0

    @asynccontextmanager
    async def open(self, chargers: Sequence[str]) -> AsyncIterator[MqttLine]:
        """Connect, with a last will, listen for `chargers`, and say online. Raises Unavailable."""
        topic = publisher_topic(self._publisher)
        will = Will(topic, self._word(Availability.OFFLINE, 0), qos=1, retain=True)
        name = f"evmesh-edge-{self._publisher}"
        try:
            client = open_client(self._config, identifier=name, will=will, inbox=Inbox(INBOX))
        except InvalidInput as error:  # its files are gone, or being replaced: reading devices goes on
            raise Unavailable("broker.away", error.what, do=error.do) from error
        filters = [ack_topic(one) for one in chargers]
        filters += [f"chargers/{checked_name(one)}/set/+" for one in chargers]
        try:
            async with connected(client), asyncio.TaskGroup() as group:
                line = MqttLine(client)
                await _listen_for(client, self._config, filters)
                await self._say_online(client, topic)
                working = (
                    group.create_task(line.listen()),
                    group.create_task(self._repeat(client, topic)),
                )
                try:
                    yield line
                except asyncio.CancelledError:
                    await self._say_goodbye(client, topic)
                    raise
                for task in working:
                    task.cancel()
        except* MqttError as errors:
            raise _away(errors.exceptions[0]) from None

    async def _say_online(self, client: Client, topic: str) -> None:
        self._words += 1
        await publish_all(client, [(topic, self._word(Availability.ONLINE, self._words))], retain=True)

    async def _repeat(self, client: Client, topic: str) -> None:
        while True:
            await asyncio.sleep(self._beat_s)
            await self._say_online(client, topic)

    async def _say_goodbye(self, client: Client, topic: str) -> None:
        """Say offline before a clean disconnect, after which the broker keeps the will to itself."""
        self._words += 1
        try:
            async with asyncio.timeout(GOODBYE_S):
                payload = self._word(Availability.OFFLINE, self._words)
                await client.publish(topic, payload, qos=1, retain=True)
        except (MqttError, TimeoutError) as error:
            log.warning("mqtt.no_goodbye", service=self._publisher, error=str(error))

    def _word(self, word: Availability, seq: int) -> bytes:
        value = TelemetryValue(self._publisher, ValueName.AVAILABILITY, self._clock.now(), word)
        return encode(Reading(value, self._boot, seq))


async def _listen_for(client: Client, config: MqttConfig, filters: Sequence[str]) -> None:
    """Subscribe; a broker that does not let us is one to try again, since devices need their gateway."""
    try:
        await subscribe(client, config, *filters)
    except Refused as error:
        raise Unavailable(error.code, error.what, do=error.do) from error


def _away(error: BaseException | None) -> Unavailable:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return Unavailable("broker.away", f"the broker is away: {error}", do="look at the uplink")
