"""The HTTP server as a service."""

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from typing import Final

import uvicorn
from fastapi import FastAPI

from evmesh.domain.errors import Refused

GRACE_S: Final = 1.0
_NOTICED_S: Final = 0.2
"""Within this, who answers notices that nobody listens any more, or that it is cancelled."""


class HttpServer:
    """Serves on loopback until cancelled."""

    name = "http"

    def __init__(self, app: FastAPI, port: int, trusted_proxies: Sequence[str] = ()) -> None:
        """`trusted_proxies` are addresses and networks whose X-Forwarded-For is believed."""
        self._app = app
        self._port = port
        self._trusted_proxies = trusted_proxies

    async def run(self) -> None:
        """Serve; when cancelled, answers under way have GRACE_S to end. Raises Refused `http.port_in_use`."""
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            # Quotas count by address. Anybody can write X-Forwarded-For: what stands in it left of the
            # first address that is no proxy's is not read.
            proxy_headers=bool(self._trusted_proxies),
            forwarded_allow_ips=list(self._trusted_proxies),
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
        server = _Server(config)
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", self._port))
            except OSError as error:
                raise Refused(
                    "http.port_in_use",
                    f"port {self._port} is somebody else's: {error.strerror}",
                    do="name another with --port, or 0 for a free one",
                ) from error
            try:
                await server.serve(sockets=[listener])
            finally:
                await server.close_all()


class _Server(uvicorn.Server):
    """Leaves signals to the platform, which ends its services in order."""

    def install_signal_handlers(self) -> None:
        """Install none."""

    def capture_signals(self):  # type: ignore[no-untyped-def]
        """Capture none."""
        return contextlib.nullcontext()

    async def close_all(self) -> None:
        """Let answers under way end, then end what is left; uvicorn leaves all open when cancelled."""
        if not self.started:
            return
        for listening in self.servers:
            listening.close()
        left, answering = self.server_state.connections, self.server_state.tasks
        for one in list(left):
            one.shutdown()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GRACE_S):
                    while left or answering:  # noqa: ASYNC110 - uvicorn tells nobody
                        await asyncio.sleep(0.01)
        finally:
            for one in list(left):
                one.transport.abort()  # a page that follows: its answer has no end
        if answering:
            await asyncio.wait(list(answering), timeout=_NOTICED_S)
        for task in list(answering):
            task.cancel()
        if answering:
            await asyncio.wait(list(answering), timeout=_NOTICED_S)
