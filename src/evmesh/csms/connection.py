"""One station on one WebSocket: it calls us, we call it, and neither waits for the other."""

import asyncio
from typing import Final

import structlog
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from evmesh.csms import frames, metrics
from evmesh.csms.calls import OutgoingCalls, offline
from evmesh.csms.frames import BadFrame, Call, CallError, ErrorCode
from evmesh.csms.v16 import commands, router
from evmesh.csms.v16.commands import Command
from evmesh.csms.v16.peer import Peer, Registration
from evmesh.domain.errors import Unavailable

log = structlog.get_logger(__name__)

MAX_UNSERVED: Final = 8
"""Calls read and not yet served. A station has one open at a time; one with more is read more slowly."""


class StationConnection:
    """Serves one station until its line ends, or a newer one replaces it.

    Frames are read in one task and calls are served in order in another, so that an answer to our call
    comes through while a call of the station waits for the database.
    """

    def __init__(self, peer: Peer, socket: ServerConnection) -> None:
        self.peer = peer
        self._socket = socket
        self._calls = OutgoingCalls(peer.station, self._send_call, peer.config.call_timeout_s)
        self._unserved: asyncio.Queue[Call | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(MAX_UNSERVED)
        self._reader: asyncio.Task[None] | None = None
        self._replaced = False

    @property
    def serves(self) -> bool:
        """Say whether commands may go to this station: one that was rejected gets none."""
        return self.peer.registration is not Registration.REJECTED

    async def run(self) -> None:
        """Serve until the line ends; what was read by then is served to the end."""
        if self._replaced:
            return
        async with asyncio.TaskGroup() as group:
            self._reader = group.create_task(self._read())
            await self._serve(group)

    def replace(self) -> None:
        """Read no more: a newer connection of the same station has come."""
        self._replaced = True
        self._calls.close()
        if self._reader is not None:
            self._reader.cancel()

    async def hang_up(self) -> None:
        """Say goodbye, and why."""
        if self._replaced:
            await self._socket.close(1008, "replaced by a newer connection of the same station")
        else:
            await self._socket.close()

    async def command(self, command: Command) -> bool:
        """Ask the station; False where it says no. Raises Unavailable where it gives no answer."""
        answer = await self._calls.call(command.action, command.payload)
        station = str(self.peer.station)
        if isinstance(answer, CallError):
            log.warning(
                "csms.command_failed",
                station=station,
                action=command.action,
                code=answer.code[:50],
                description=answer.description[:200],
            )
            return False
        accepted = command.accepted(answer.payload)
        if accepted is None:
            raise Unavailable(
                "station.malformed_answer", f"{station} answered {command.action} with {answer.payload}"[:300]
            )
        return accepted

    async def _read(self) -> None:
        try:
            while True:
                raw = await self._socket.recv(decode=False)
                frame = frames.decode(raw)
                if isinstance(frame, Call):
                    metrics.CALLS_IN.inc()
                    await self._room.acquire()
                    self._unserved.put_nowait(frame)
                elif isinstance(frame, BadFrame):
                    await self._take_bad(frame, raw)
                else:
                    metrics.ANSWERS_IN.inc()
                    self._calls.answered(frame)
        except ConnectionClosed as closed:
            log.info("csms.line_ended", station=str(self.peer.station), why=str(closed))
        finally:
            self._calls.close()
            self._unserved.put_nowait(None)

    async def _take_bad(self, frame: BadFrame, raw: bytes) -> None:
        metrics.BAD_IN.inc()
        log.warning(
            "csms.bad_frame", station=str(self.peer.station), why=frame.why[:200], raw=frames.shown(raw)
        )
        if not frame.answerable:
            self._calls.answered(frame)
        elif frame.id is not None:
            await self._reply(CallError(frame.id, ErrorCode.FORMATION_VIOLATION, frame.why))

    async def _serve(self, group: asyncio.TaskGroup) -> None:
        while call := await self._unserved.get():
            self._room.release()
            reply = await router.answer(self.peer, call)
            if reply is not None:
                await self._reply(reply)
            booted = call.action == "BootNotification" and isinstance(reply, router.Answered)
            if booted and self.peer.registration is Registration.ACCEPTED:
                group.create_task(self._configure())

    async def _reply(self, reply: router.Reply) -> None:
        if isinstance(reply, CallError):
            metrics.ERRORS.labels(reply.code).inc()
            raw = frames.encode_error(reply)
        else:
            raw = frames.encode_result(reply.id, reply.payload)
        metrics.ANSWERS_OUT.inc()
        try:
            await self._send(raw)
        except ConnectionClosed:
            # The fact is stored; the station asks again on its next line and gets the same answer.
            log.info("csms.answer_not_sent", station=str(self.peer.station), id=reply.id)

    async def _configure(self) -> None:
        for command in commands.configuration(self.peer.config):
            try:
                if not await self.command(command):
                    log.info("csms.key_not_set", station=str(self.peer.station), command=str(command.payload))
            except Unavailable as error:
                # Not every station has these keys, and none needs them to charge; the next boot tries again.
                log.info("csms.not_configured", station=str(self.peer.station), error=error.describe())
                return

    async def _send_call(self, raw: bytes) -> None:
        try:
            await self._send(raw)
        except ConnectionClosed:
            raise offline(self.peer.station) from None

    async def _send(self, raw: bytes) -> None:
        await self._socket.send(raw, text=True)
