"""Commands to what stands behind gateways, and their answers: the `Commands` port.

    chargers/{charger}/set/{What}       {"id", "expires_at", "value"}, not retained
    chargers/{charger}/result/{What}    {"id", "ok", "code", "what"}

A command is said once: whoever commands says it anew when no answer came, with another id.
"""

import asyncio
from typing import Final

import msgspec
from aiomqtt import Client, Message, MqttError

from evmesh.domain.errors import Unavailable
from evmesh.domain.telemetry import Command, CommandResult
from evmesh.telemetry.connection import (
    Inbox,
    MqttConfig,
    connected,
    log,
    open_client,
    publish_all,
    stay_connected,
    subscribe,
)
from evmesh.telemetry.uplink import command_topic, encode_command

RESULTS: Final = "chargers/+/result/+"
ANSWER_WITHIN_S: Final = 5.0
INBOX: Final = 1_000


class _Result(msgspec.Struct):
    id: str
    ok: bool
    code: str = ""
    what: str = ""


_results: Final = msgspec.json.Decoder(_Result)


class MqttCommands:
    """A service that sends commands while it has a line. Implements `Commands`."""

    name = "commands"

    def __init__(self, config: MqttConfig, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._config = config
        self._answer_within_s = answer_within_s
        self._client: Client | None = None
        self._up = asyncio.Event()
        self._waiting: dict[str, tuple[Command, asyncio.Future[CommandResult]]] = {}

    @property
    def connected(self) -> bool:
        """Tell whether there is a line."""
        return self._client is not None

    async def until_connected(self) -> None:
        """Return once there is a line."""
        await self._up.wait()

    async def run(self) -> None:
        """Hold a line, for ever; comes back by itself when the broker does."""
        await stay_connected(self.name, self._config, self._while_connected)

    async def send(self, command: Command) -> CommandResult:
        """Say it, and give the gateway's answer. Raises Unavailable."""
        client = self._client
        if client is None:
            raise Unavailable("broker.away", "commands cannot be sent", do="look at the broker")
        answer: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        self._waiting[command.id] = command, answer
        try:
            async with asyncio.timeout(self._answer_within_s):
                await _publish(client, command)
                return await answer
        except TimeoutError as error:
            raise Unavailable(
                "edge.no_answer",
                f"no gateway answered for {command.charger}",
                do="look whether a gateway has this device, and takes commands for it",
            ) from error
        finally:
            del self._waiting[command.id]

    async def _while_connected(self) -> None:
        async with connected(open_client(self._config, inbox=Inbox(INBOX))) as client:
            await subscribe(client, self._config, RESULTS)
            self._client = client
            self._up.set()
            log.info("mqtt.connected", service=self.name, port=self._config.port)
            try:
                async for message in client.messages:
                    self._hear(message)
            finally:
                self._client = None
                self._up.clear()

    def _hear(self, message: Message) -> None:
        try:
            result = _results.decode(message.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("commands.malformed", topic=message.topic.value, what=str(error))
            return
        command, answer = self._waiting.get(result.id, (None, None))
        if command is None or answer is None or answer.done():
            return  # of somebody else, or too late
        if not message.topic.matches(f"chargers/{command.charger}/result/{command.what}"):
            return
        code = "" if result.ok else result.code or "command.failed"
        answer.set_result(CommandResult(command.charger, command.what, command.id, code, result.what))


async def _publish(client: Client, command: Command) -> None:
    try:
        topic = command_topic(command.charger, command.what)
        await publish_all(client, [(topic, encode_command(command))], retain=False)
    except* MqttError as errors:
        raise Unavailable("broker.away", str(errors.exceptions[0]), do="look at the broker") from None
