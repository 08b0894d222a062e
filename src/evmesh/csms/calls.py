"""Our calls to one station: one at a time, each with a time to wait."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from evmesh.csms import metrics
from evmesh.csms.frames import BadFrame, CallError, CallResult, encode_call
from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import StationId

log = structlog.get_logger(__name__)

MAX_WAITING: Final = 16
"""Calls that may wait for their turn; a caller beyond is turned away at once, and may ask again."""

Answer = CallResult | CallError


class OutgoingCalls:
    """The one CALL that may be open towards a station, and the queue behind it.

    OCPP-J 1.6 section 4.1.1: no new CALL before the one before is answered or has timed out. What the
    station calls meanwhile is independent of it. Timeouts are wall time.
    """

    def __init__(
        self, station: StationId, send: Callable[[bytes], Awaitable[None]], timeout_s: float
    ) -> None:
        self._station = station
        self._send = send
        self._timeout_s = timeout_s
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._open: tuple[str, asyncio.Future[Answer]] | None = None
        self._closed = False
        self._prefix = secrets.token_hex(4)
        self._count = 0

    async def call(self, action: str, payload: object) -> Answer:
        """Ask and give the answer, whichever it is.

        Raises Unavailable `station.offline`, `station.busy`, `station.no_answer`, or
        `station.malformed_answer`.
        """
        if self._waiting >= MAX_WAITING:
            raise Unavailable("station.busy", f"{self._station} has {MAX_WAITING} calls waiting already")
        self._waiting += 1
        try:
            async with self._turn:
                if self._closed:
                    raise offline(self._station)
                return await self._ask(action, payload)
        finally:
            self._waiting -= 1

    async def _ask(self, action: str, payload: object) -> Answer:
        self._count += 1
        id_ = f"{self._prefix}-{self._count}"
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._open = (id_, answer)
        metrics.CALLS_OUT.inc()
        try:
            # Sending counts too: a line that takes nothing any more blocks there.
            async with asyncio.timeout(self._timeout_s):
                await self._send(encode_call(id_, action, payload))
                return await answer
        except TimeoutError:
            metrics.TIMEOUTS.inc()
            raise Unavailable(
                "station.no_answer", f"{self._station} did not answer {action} in {self._timeout_s:g} s"
            ) from None
        finally:
            self._open = None

    def answered(self, frame: Answer | BadFrame) -> None:
        """Hand an answer to the call it belongs to; one that comes too late is logged and passed over."""
        if self._open is None or frame.id != self._open[0] or self._open[1].done():
            metrics.LATE_ANSWERS.inc()
            log.info("csms.late_answer", station=str(self._station), id=frame.id)
        elif isinstance(frame, BadFrame):
            self._open[1].set_exception(
                Unavailable("station.malformed_answer", f"{self._station} answered: {frame.why}")
            )
        else:
            self._open[1].set_result(frame)

    def close(self) -> None:
        """End the open call and every waiting one with `station.offline`."""
        self._closed = True
        if self._open is not None and not self._open[1].done():
            self._open[1].set_exception(offline(self._station))


def offline(station: StationId) -> Unavailable:
    """Say that a station is not there."""
    return Unavailable("station.offline", f"{station} is not connected", do="wait until it connects again")
