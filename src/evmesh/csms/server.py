"""The CSMS as a service, and as the port that the services command stations through."""

import asyncio
import errno
from functools import partial
from typing import Final

import structlog
from websockets.asyncio.server import Server, ServerConnection, serve

from evmesh.csms import handshake
from evmesh.csms.calls import offline
from evmesh.csms.config import CsmsConfig
from evmesh.csms.connection import StationConnection
from evmesh.csms.seats import Seats
from evmesh.csms.v16 import commands
from evmesh.csms.v16.peer import Peer
from evmesh.domain.errors import EvmeshError, InvalidInput
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitProfile
from evmesh.domain.units import W
from evmesh.ports import ChargePointEvents, Clock

log = structlog.get_logger(__name__)

_UNREAD_FRAMES: Final = 4
"""Frames that the library holds for us; with those in service, what one station can make us keep."""

_GOING_AWAY: Final = 1001
_TRY_AGAIN_LATER: Final = 1013


class Csms:
    """Takes OCPP stations at `ws://host:port/ocpp/{id}`; implements `ports.ChargePoint`.

    A failure in one connection that is no EvmeshError ends `run`: it is a programming error, and
    would otherwise lose messages silently.
    """

    name = "csms"

    def __init__(self, events: ChargePointEvents, clock: Clock, config: CsmsConfig) -> None:
        self._events = events
        self._clock = clock
        self._config = config
        self._seats = Seats()
        self._listening = asyncio.Event()
        self._port = 0

    async def run(self) -> None:
        """Listen and serve until cancelled; every station is then told that we go away (1001).

        Raises InvalidInput `csms.port_in_use` where the port is taken.
        """
        tasks = asyncio.TaskGroup()
        server = await self._open(tasks)
        self._port = server.sockets[0].getsockname()[1]
        try:
            async with tasks:
                try:
                    self._listening.set()
                    log.info("csms.listening", host=self._config.host, port=self._port)
                    await server.wait_closed()
                finally:
                    self._listening.clear()
                    server.close(code=_GOING_AWAY)
        finally:
            await server.wait_closed()

    @property
    def is_listening(self) -> bool:
        """Whether stations can connect now."""
        return self._listening.is_set()

    async def listening(self) -> int:
        """Wait until stations can connect; give the port."""
        await self._listening.wait()
        return self._port

    @property
    def port(self) -> int:
        """The port it listens on; 0 before it does."""
        return self._port

    def is_connected(self, station: StationId) -> bool:
        """Say whether commands can go to this station now."""
        connection = self._seats.live(station)
        return connection is not None and connection.serves

    async def remote_start(self, connector: ConnectorRef, id_tag: str) -> bool:
        """Ask for a transaction; False where the station rejects it."""
        command = commands.remote_start(connector.connector, id_tag)
        return await self._connection(connector.station).command(command)

    async def remote_stop(self, station: StationId, transaction_id: int) -> bool:
        """Ask for the end; False where the station knows no such transaction."""
        return await self._connection(station).command(commands.remote_stop(transaction_id))

    async def set_limit(self, connector: ConnectorRef, transaction_id: int, profile: LimitProfile) -> bool:
        """Send the transaction's charging profile, replacing the one before; False where rejected."""
        command = commands.set_limit(connector.connector, transaction_id, profile)
        return await self._connection(connector.station).command(command)

    async def set_default_limit(self, connector: ConnectorRef, limit: W) -> bool:
        """Limit every transaction that has no profile of its own, for good; False where rejected."""
        command = commands.set_default_limit(connector.connector, limit)
        return await self._connection(connector.station).command(command)

    def _connection(self, station: StationId) -> StationConnection:
        connection = self._seats.live(station)
        if connection is None or not connection.serves:
            raise offline(station)
        return connection

    async def _open(self, tasks: asyncio.TaskGroup) -> Server:
        config = self._config
        try:
            return await serve(
                partial(self._handle, tasks),
                config.host,
                config.port,
                process_request=partial(handshake.check, config),
                subprotocols=[handshake.OCPP_16],
                compression=None,  # deflate triples a connection's memory, for messages of 1 kB
                server_header=None,
                ping_interval=config.ping_interval_s,
                ping_timeout=config.ping_timeout_s,
                close_timeout=config.close_timeout_s,
                max_size=config.max_frame_bytes,
                max_queue=_UNREAD_FRAMES,
            )
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise InvalidInput(
                "csms.port_in_use",
                f"{config.host}:{config.port} is taken by another program",
                do="end that program, or choose another port (0 takes a free one)",
            ) from None

    async def _handle(self, tasks: asyncio.TaskGroup, socket: ServerConnection) -> None:
        """Serve one socket in our own task group: the library would log an error and go on."""
        serving = self._serve(socket)
        try:
            task = tasks.create_task(serving)
        except RuntimeError:  # the group is ending
            serving.close()
            await socket.close(_GOING_AWAY)
            return
        await asyncio.wait([task])

    async def _serve(self, socket: ServerConnection) -> None:
        path = socket.request.path if socket.request else ""
        station = handshake.admit(self._config, path, None)
        connection = StationConnection(Peer(station, self._events, self._clock, self._config), socket)
        try:
            async with self._seats.take(connection):
                await self._events.connected(station)
                await connection.run()
                await self._events.disconnected(station)
            await connection.hang_up()
        except EvmeshError as error:
            # Connecting or leaving could not be stored. The station comes again, and says so again.
            log.warning("csms.connection_not_stored", station=str(station), error=error.describe())
            await socket.close(_TRY_AGAIN_LATER, "try again later")
        except asyncio.CancelledError:
            await socket.close(_GOING_AWAY)
            raise
