"""Failures of the API as RFC 9457 problem documents, by the class of the error."""

import secrets

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from evmesh.domain.errors import EvmeshError, InvalidInput

_log = structlog.get_logger(__name__)
MAX_BODY_BYTES = 64 * 1024
BODY_WITHIN_S = 10
"""Of the machine's own time: a body is small, and its sender has it ready."""


class Problem(JSONResponse):
    """A problem document."""

    media_type = "application/problem+json"


def problem(error: EvmeshError, *, status: int = 0, **more: object) -> Problem:
    """Write an error of ours for a client; `more` are members of its own."""
    status = status or error.http_status
    content = {
        "type": f"urn:evmesh:{error.code}",
        "title": error.what,
        "status": status,
        "detail": error.do,
        "code": error.code,
        "do": error.do,
        "path": error.path,
    }
    return Problem(content | more, status)


def install(app: FastAPI) -> None:
    """Answer every failure with a problem document."""

    @app.exception_handler(EvmeshError)
    async def ours(_: Request, error: EvmeshError) -> Problem:
        _log.info("api.refused", code=error.code, what=error.what)
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> Problem:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"][1:])
        return problem(InvalidInput("api.malformed", str(first["msg"]), do="see /docs", path=path))

    @app.exception_handler(RecursionError)
    async def too_deep(_: Request, error: RecursionError) -> Problem:
        return problem(InvalidInput("api.malformed", "the body nests too deeply"))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Problem:
        content = {
            "type": "about:blank",
            "title": str(error.detail),
            "status": error.status_code,
            "code": f"http.{error.status_code}",
        }
        return Problem(content, error.status_code)


class Unexpected:
    """ASGI middleware: answers 500 `api.internal` where a route raised what nobody foresaw.

    The answer tells nothing but the number of the request, under which the log has the traceback.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception:
            request = secrets.token_hex(8)
            _log.exception("api.internal", request=request, method=scope["method"], path=scope["path"][:200])
            if begun:
                raise  # too late to say it: the server breaks the connection off
            await _internal(request)(scope, receive, send)


def _internal(request: str) -> Problem:
    content = {
        "type": "urn:evmesh:api.internal",
        "title": "evmesh failed at this request",
        "status": 500,
        "detail": f"report it with the number of the request, {request}",
        "code": "api.internal",
        "do": f"report it with the number of the request, {request}",
        "path": "",
        "request": request,
    }
    return Problem(content, 500, {"X-Request-Id": request})
