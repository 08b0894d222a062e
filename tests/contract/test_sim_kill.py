"""A simulated station that loses power at any moment tells the same story afterwards, and its meter fits."""

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.ids import StationId
from evmesh.sim.state import SimState
from tests.drivers.central_system import CentralServer, Record, central_server, eventually
from tests.drivers.clocks import MONDAY
from tests.drivers.sim_process import NAME

SPEED = 300


class Power:
    """Switches the simulated station on and off; platform time goes on over its restarts."""

    def __init__(self, server: CentralServer, directory: Path) -> None:
        self._server, self._directory = server, directory
        self._zero = time.monotonic()
        self._process: asyncio.subprocess.Process | None = None

    async def on(self, *options: str) -> None:
        start = MONDAY + timedelta(seconds=(time.monotonic() - self._zero) * SPEED)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.drivers.sim_process", str(self._directory), self._server.url),
            *(start.isoformat(), str(SPEED), *options),
        )

    def cut(self) -> None:
        """Kill -9."""
        if self._process is not None and self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)

    async def gone(self) -> None:
        if self._process is not None:
            await self._process.wait()

    async def off(self) -> None:
        self.cut()
        await self.gone()


@pytest.fixture
async def server() -> AsyncIterator[CentralServer]:
    async with central_server() as listening:
        yield listening


@pytest.fixture
async def power(server: CentralServer, tmp_path: Path) -> AsyncIterator[Power]:
    switch = Power(server, tmp_path)
    yield switch
    await switch.off()


def check_story(record: Record, directory: Path) -> None:
    """One transaction, told with one content; the register only grows and is what the car received."""
    starts = {tuple(sorted(start.items())) for start in record.said("StartTransaction")}
    stops = {repr(sorted(stop.items())) for stop in record.said("StopTransaction")}
    assert len(starts) == len(stops) == len(record.transactions) == 1
    # What was not known to have arrived comes again, word for word.
    said = list({repr(one["meter_value"]): one for one in record.said("MeterValues")}.values())
    registers = Record([("MeterValues", one) for one in said]).registers()
    stop = record.last("StopTransaction")
    assert registers == sorted(registers)
    assert record.last("StartTransaction")["meter_start"] == 0
    assert stop["meter_stop"] >= max(registers, default=0)
    times = [one["meter_value"][0]["timestamp"] for one in said]
    assert times == sorted(times)
    state = SimState(directory / "sim.db")
    evse = state.load_evse(StationId(NAME), 1)
    state.close()
    assert evse is not None
    assert evse.meter.register == stop["meter_stop"]
    assert stop["meter_stop"] > 0


def received_on_disk(directory: Path) -> tuple[int, int]:
    """Give what meter and battery remember, in Ws."""
    with sqlite3.connect(directory / "sim.db") as db:
        row = db.execute("SELECT register_ws, json_extract(record, '$.car.received_ws') FROM evse").fetchone()
    db.close()
    return int(row[0]), int(row[1] or 0)


@pytest.mark.parametrize("action", ["BootNotification", "StartTransaction", "MeterValues", "StopTransaction"])
async def test_power_that_fails_between_a_message_and_its_answer_changes_nothing(
    action: str, server: CentralServer, power: Power, tmp_path: Path
) -> None:
    record = server.record(NAME)

    def cut_once(came: str) -> None:
        if came == action:
            server.wishes.before_answer = lambda _: None
            power.cut()

    server.wishes.before_answer = cut_once
    await power.on()
    if action != "StopTransaction":
        await power.gone()
        await power.on()
    await eventually(lambda: len(record.registers()) > 4)
    await power.off()
    assert len(set(received_on_disk(tmp_path))) == 1
    await power.on("--unplug")
    if action == "StopTransaction":
        await power.gone()
        await power.on()
    await eventually(lambda: record.said("StopTransaction")[action == "StopTransaction" :])
    await eventually(lambda: record.status_of(1) == "Available")
    await power.off()
    check_story(record, tmp_path)


async def test_power_that_fails_again_and_again_changes_nothing(
    server: CentralServer, power: Power, tmp_path: Path
) -> None:
    record = server.record(NAME)
    for round_ in range(5):
        await power.on()
        seen = len(record.log)
        await eventually(lambda n=seen + 3 + 2 * round_: len(record.log) >= n)  # type: ignore[misc]
        await power.off()
        register, received = received_on_disk(tmp_path)
        assert register == received
    await power.on("--unplug")
    await eventually(lambda: record.said("StopTransaction"))
    await eventually(lambda: record.status_of(1) == "Available")
    await power.off()
    check_story(record, tmp_path)
