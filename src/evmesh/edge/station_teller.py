"""Tells the platform what a station from parts has kept, in order, each at least once.

Starts, samples and ends are told until they are taken; told again they are the same by their content, and
the platform knows them. Statuses are not kept: the newest is told, and again after every connection.
"""

import asyncio
from datetime import datetime
from typing import Final

import structlog

from evmesh.domain.errors import EvmeshError, Unavailable
from evmesh.domain.ids import ConnectorRef
from evmesh.domain.stations import BootInfo, ConnectorStatus, StartAnswer, StoppedTransaction
from evmesh.edge.station_record import Begun, Ended, Happening, Sampled
from evmesh.edge.station_store import StationStore
from evmesh.ports import ChargePointEvents, Checkpoint

_log = structlog.get_logger(__name__)
FIRST_DELAY_S: Final = 0.2
LONGEST_DELAY_S: Final = 15.0
NOT_OURS_DELAY_S: Final = 60.0
_REFUSED: Final = StartAnswer(0, accepted=False)
"""Of a start that the platform did not take: it has no transaction, and nothing more of it is told."""

_Said = tuple[ConnectorStatus, str, datetime]


class StationTeller:
    """The way of one station to `ChargePointEvents`."""

    def __init__(
        self,
        connector: ConnectorRef,
        info: BootInfo,
        store: StationStore,
        events: ChargePointEvents,
        checkpoint: Checkpoint,
        answered: asyncio.Event,
    ) -> None:
        """`answered` is set whenever the platform has answered a start."""
        self._connector = connector
        self._info = info
        self._store = store
        self._events = events
        self._checkpoint = checkpoint
        self._answered = answered
        self._wake = asyncio.Event()
        self._status: _Said | None = None
        self._told: _Said | None = None
        self.is_connected = False
        self.may_connect = asyncio.Event()
        """Set once the parts were seen, or are said to be away: until then nobody is there."""

    def say(self, status: ConnectorStatus, error: str, at: datetime) -> None:
        """Tell a status where it is another than the last."""
        if self._status is None or self._status[:2] != (status, error):
            self._status = (status, error, at)
            self.wake()

    def wake(self) -> None:
        """Look now: there is more to tell."""
        self._wake.set()

    async def run(self) -> None:
        """Tell for ever; what the platform cannot take now is told again."""
        delay = FIRST_DELAY_S
        try:
            while True:
                self._wake.clear()
                try:
                    await self._connect()
                    await self._tell_all()
                except Unavailable as error:
                    _log.warning("station.untold", station=str(self._connector), why=error.describe())
                    await asyncio.sleep(delay)
                    delay = min(2 * delay, LONGEST_DELAY_S)
                    continue
                delay = FIRST_DELAY_S
                await self._wake.wait()
        finally:
            self.is_connected = False

    async def _connect(self) -> None:
        station = self._connector.station
        await self.may_connect.wait()
        while not self.is_connected:
            await self._events.connected(station)
            if await self._events.booted(station, self._info):
                self._told = None
                self.is_connected = True
                return
            await self._events.disconnected(station)
            _log.error("station.not_ours", station=str(station))
            await asyncio.sleep(NOT_OURS_DELAY_S)

    async def _tell_all(self) -> None:
        while (found := await self._store.oldest()) is not None:
            await self._tell(*found)
        if self._status is not None and self._status is not self._told:
            said = self._status
            await self._events.status(self._connector, *said)
            self._told = said

    async def _tell(self, number: int, happening: Happening) -> None:
        match happening:
            case Begun():
                await self._tell_begun(number, happening)
            case Sampled():
                await self._tell_sampled(number, happening)
            case Ended():
                await self._tell_ended(number, happening)

    async def _tell_begun(self, number: int, begun: Begun) -> None:
        try:
            answer = await self._events.started(begun.start)
        except Unavailable:
            raise
        except EvmeshError as error:
            _log.error("station.start_not_taken", start=str(begun.start), why=error.describe())
            answer = _REFUSED
        self._checkpoint("station.start_told")
        await self._store.answered(number, begun.local, answer)
        self._answered.set()

    async def _tell_sampled(self, number: int, sampled: Sampled) -> None:
        answer = self._store.answer(sampled.local)
        if answer is not None and answer.transaction_id:
            try:
                await self._events.metered(self._connector, answer.transaction_id, [sampled.sample])
            except Unavailable:
                raise
            except EvmeshError as error:  # told again it would be the same; the end has the register
                _log.error("station.sample_not_taken", sample=str(sampled.sample), why=error.describe())
        self._checkpoint("station.sample_told")
        await self._store.told(number)

    async def _tell_ended(self, number: int, ended: Ended) -> None:
        answer = self._store.answer(ended.local)
        if answer is not None and answer.transaction_id:
            stop = StoppedTransaction(
                self._connector.station, answer.transaction_id, ended.at, ended.register, ended.reason
            )
            try:
                await self._events.stopped(stop)
            except Unavailable:
                raise
            except EvmeshError as error:  # an end is money: it stays until it is taken
                raise Unavailable("station.end_not_taken", error.describe()) from error
        self._checkpoint("station.stop_told")
        await self._store.told(number, ended=ended.local)
