"""Only what is addressed to this machine by its own names is served.

A page of somebody else may have its name resolve to 127.0.0.1, and a browser then lets it read what
we answer (DNS rebinding). Its requests still carry its own name in the Host header.
"""

import re

from starlette.types import ASGIApp, Receive, Scope, Send

from evmesh.app.problems import problem
from evmesh.domain.errors import InvalidInput

_OURS = re.compile(rb"(127\.0\.0\.1|localhost|\[::1\])(:[0-9]{1,5})?", re.IGNORECASE)


class OwnHosts:
    """ASGI middleware: answers 400 `api.foreign_host` to any other Host, or to none."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            if len(hosts) != 1 or not _OURS.fullmatch(hosts[0]):
                answer = problem(
                    InvalidInput(
                        "api.foreign_host",
                        "the request is addressed to another host",
                        do="use 127.0.0.1, localhost or [::1]",
                    )
                )
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)
