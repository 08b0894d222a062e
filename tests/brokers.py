"""Real brokers for tests, both kinds, started with the very command that the platform uses."""

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiomqtt import Client

from evmesh.domain.errors import Unavailable
from evmesh.telemetry.broker import BrokerCommand, Kind, broker_command, wait_until_listening
from evmesh.telemetry.connection import MqttConfig

KINDS: tuple[Kind, ...] = ("mosquitto", "aedes")


@dataclass
class Broker:
    """One broker on one port and one directory; it can be stopped, killed and started again."""

    command: BrokerCommand
    log: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        return self.command.port

    @property
    def config(self) -> MqttConfig:
        """Where it is; who loses it comes back soon, and on a busy machine it may be slow to answer."""
        return MqttConfig(
            self.command.host, self.port, first_delay_s=0.05, longest_delay_s=0.2, connect_timeout_s=5
        )

    def client(self, identifier: str | None = None, *, persistent: bool = False) -> Client:
        """A stock client."""
        return Client(self.command.host, self.port, identifier=identifier, clean_session=not persistent)

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command.argv, stdout=log, stderr=log)
        await wait_until_listening(self.port, within_s=60)

    def stop(self) -> None:
        """End it as the platform does, and see that it ends well."""
        if self.process is not None:
            self.process.terminate()
            assert self.process.wait(10) == 0, self.log.read_text()
            self.process = None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@asynccontextmanager
async def running_broker(kind: Kind, directory: Path) -> AsyncIterator[Broker]:
    """Run one; skips where this machine has none of that kind."""
    try:
        command = broker_command(directory, kind=kind)
    except Unavailable as error:
        pytest.skip(error.what)
    broker = Broker(command, directory / f"{kind}.log")
    try:
        await broker.start()
        yield broker
    finally:
        broker.kill()


def forget(directory: Path) -> None:
    """Delete all that a broker kept."""
    for child in directory.glob("*/*"):
        if child.suffix != ".conf":
            child.unlink() if child.is_file() else shutil.rmtree(child)


@dataclass
class StepClock:
    """Platform time that goes on by a millisecond with every look."""

    instant: datetime = datetime(2026, 6, 1, 8, tzinfo=UTC)
    steps: int = field(default=0)

    def now(self) -> datetime:
        self.steps += 1
        return self.instant + timedelta(milliseconds=self.steps)

    def monotonic(self) -> float:
        return self.steps / 1_000

    async def sleep_until(self, instant: datetime) -> None:
        self.instant = max(self.instant, instant)


async def until(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    """Wait for a condition; fails when it does not come."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def running(*services: object) -> AsyncIterator[None]:
    """Run services as the platform does; their failures come out here."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service.run()) for service in services]  # type: ignore[attr-defined]
        yield
        for task in tasks:
            task.cancel()
