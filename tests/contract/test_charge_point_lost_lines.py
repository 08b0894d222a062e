"""Lines break at any moment, the store goes away and comes back: every charge is kept, and kept once."""

import asyncio
import json
import random
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from evmesh.csms.server import Csms
from evmesh.domain.errors import Unavailable
from evmesh.domain.stations import StartAnswer, StartedTransaction, StoppedTransaction
from tests.drivers.raw_station import running_csms, start_payload, stop_payload, url_of
from tests.drivers.recording_events import RecordingEvents

UNANSWERED_S = 0.2


class StubbornStation:
    """Sends each transaction message until it is answered, over a line that breaks; as section 4.8 asks."""

    def __init__(self, csms: Csms, name: str, chance: random.Random) -> None:
        self._csms = csms
        self._name = name
        self._chance = chance
        self._socket: ClientConnection | None = None
        self._sent = 0

    async def charge(self, number: int) -> tuple[int, int]:
        """Give the transaction's id and its last register."""
        begin = 1_000 * number
        tag = f"{self._name}-{number}"
        start = await self._deliver("StartTransaction", start_payload(idTag=tag, meterStart=begin))
        transaction = int(start["transactionId"])
        for step in (1, 2):
            sampled = {"value": str(begin + 100 * step)}
            value = {"timestamp": f"2026-06-01T08:0{step}:00Z", "sampledValue": [sampled]}
            await self._deliver(
                "MeterValues", {"connectorId": 1, "transactionId": transaction, "meterValue": [value]}
            )
        await self._deliver("StopTransaction", stop_payload(transactionId=transaction, meterStop=begin + 300))
        return transaction, begin + 300

    async def _deliver(self, action: str, payload: dict[str, Any]) -> Any:
        patience_s = 0.0
        while True:
            patience_s += UNANSWERED_S
            try:
                answer = await self._try(action, payload, patience_s)
            except (ConnectionClosed, TimeoutError):
                await self.hang_up()
                continue
            if answer[0] == 3:
                return answer[2]

    async def _try(self, action: str, payload: dict[str, Any], patience_s: float) -> Any:
        if self._socket is None:
            protocols: Any = ["ocpp1.6"]
            self._socket = await connect(url_of(self._csms, self._name), subprotocols=protocols)
        self._sent += 1
        id_ = str(self._sent)
        await self._socket.send(json.dumps([2, id_, action, payload]))
        if self._chance.random() < 0.2:
            self._socket.transport.abort()
        async with asyncio.timeout(patience_s):
            while True:
                answer = json.loads(await self._socket.recv())
                if answer[1] == id_ and self._chance.random() < 0.9:
                    return answer

    async def hang_up(self) -> None:
        if self._socket is not None:
            self._socket.transport.abort()
            self._socket = None


class Flickering(RecordingEvents):
    """A store that is away every so often, before it has written or after."""

    chance = random.Random(1)

    def _hear(self, name: str, what: object) -> None:
        self.away = {name} if self.chance.random() < 0.1 else set()
        super()._hear(name, what)

    async def started(self, start: StartedTransaction) -> StartAnswer:
        answer = await super().started(start)
        self._lose_the_word_of_it()
        return answer

    async def stopped(self, stop: StoppedTransaction) -> None:
        await super().stopped(stop)
        self._lose_the_word_of_it()

    def _lose_the_word_of_it(self) -> None:
        if self.chance.random() < 0.1:
            raise Unavailable("store.away", "the database went away after it had written")


async def _charge_everywhere(stations: int, charges: int, seed: int) -> None:
    events = Flickering()
    async with running_csms(events) as csms:
        drivers = [
            StubbornStation(csms, f"CP-{number}", random.Random(seed + number)) for number in range(stations)
        ]
        ended: dict[int, int] = {}
        for number in range(charges):
            async with asyncio.TaskGroup() as group:
                charging = [group.create_task(driver.charge(number)) for driver in drivers]
            ended |= dict(task.result() for task in charging)
        for driver in drivers:
            await driver.hang_up()
    assert len(events.transactions) == len(ended) == stations * charges
    assert {number: stop.meter_stop for number, stop in events.stops.items()} == ended
    registers = {(number, sample.register) for _, number, sample in events.samples}
    assert len(registers) == 2 * stations * charges


async def test_every_charge_is_kept_once_over_lines_that_break() -> None:
    await _charge_everywhere(stations=10, charges=3, seed=7)


@pytest.mark.soak
async def test_a_thousand_charges_are_kept_once_over_lines_that_break() -> None:
    await _charge_everywhere(stations=50, charges=20, seed=11)
