"""Says that a meter is another one now: to a gateway over its broker, or to a platform's own station."""

import asyncio
from datetime import timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, Final

import httpx

from evmesh.app.clock import SharedClock, WallClock
from evmesh.app.run_file import RunFile
from evmesh.domain.errors import InvalidInput, Refused, Unavailable
from evmesh.domain.telemetry import Command
from evmesh.edge.poller import METER_SWAPPED
from evmesh.ports import Clock
from evmesh.telemetry.commands import MqttCommands
from evmesh.telemetry.connection import MqttConfig

Json = dict[str, Any]
CONNECT_WITHIN_S: Final = 10.0
_VALID_FOR: Final = timedelta(minutes=5)
_TIMEOUT_S: Final = 10.0
_NOT_HERE: Final = "meter.not_here"


async def say_to_gateway(name: str, broker: MqttConfig, clock: Clock | None = None) -> Json:
    """Tell the gateway that has the device. Raises Unavailable, and Refused where it does not do it."""
    command = Command(name, METER_SWAPPED, token_hex(8), (clock or WallClock()).now() + _VALID_FOR, 1)
    commands = MqttCommands(broker)
    async with asyncio.TaskGroup() as group:
        line = group.create_task(commands.run())
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await commands.until_connected()
        except TimeoutError as error:
            raise Unavailable(
                "broker.away",
                f"no broker answers at {broker.host}:{broker.port}",
                do="look whether Mosquitto runs there, and name it with --broker mqtt://HOST:PORT",
            ) from error
        answer = await commands.send(command)
        line.cancel()
    if answer.code:
        raise Refused(answer.code, answer.why, do="compare the name with the gateway's site file")
    return {"meter": name, "ended_charge": False}


async def say_to_platform(name: str, data: Path) -> Json:
    """Tell the platform of a data directory, for its station from parts or what its gateway reads."""
    run = RunFile.load(data)
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http:
            answer = await http.post(f"{run.http_url}/v1/meters/{name}/swapped")
        found: Json = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise Unavailable(
            "platform.away", f"the platform does not answer: {error}", do="look whether `evmesh up` runs"
        ) from error
    if answer.is_success:
        return found
    code = str(found.get("code"))
    if code == _NOT_HERE:
        clock = SharedClock(data / run.clock)
        return await say_to_gateway(name, MqttConfig("127.0.0.1", run.mqtt_port), clock)
    raise Refused(code, str(found.get("what")), do=str(found.get("do", "")))


async def meter_swapped(name: str, broker: MqttConfig | None, data: Path | None) -> Json:
    """Say it to the one of the two that is named. Raises InvalidInput where it is not exactly one."""
    if (broker is None) == (data is None):
        raise InvalidInput(
            "edge.which",
            "a gateway is reached over its broker, a platform's own station by its data directory",
            do="name one of --broker and --data",
        )
    if broker is not None:
        return await say_to_gateway(name, broker)
    return await say_to_platform(name, data or Path())
