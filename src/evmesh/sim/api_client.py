"""The platform's HTTP API as a driver's device uses it: documents in, documents out, errors told apart.

What the platform refuses is a `Denied` return value, since a driver must go on; that it is away is
Unavailable, and only that is worth trying again.
"""

import functools
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

import httpx

from evmesh.domain.errors import ProtocolViolation, Unavailable

Document = dict[str, Any]
_TIMEOUT_WALL_S: Final = 30
_SILENT_WALL_S: Final = 60
"""After so long without a line, not even the keep-alive that the platform sends, the stream is dead."""


@dataclass(frozen=True, slots=True)
class Denied:
    """An answer of the 4xx class: the problem's code, and the whole problem document."""

    status: int
    code: str
    problem: Document = field(default_factory=dict)


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Read the known authorities once, for all the clients that come and go."""
    return httpx.create_ssl_context(trust_env=False)


class ApiClient:
    """One client for all drivers; use it as an async context manager."""

    def __init__(self, base_url: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=base_url,
            verify=_authorities(),
            timeout=_TIMEOUT_WALL_S,
            trust_env=False,
            follow_redirects=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def station(self, code: str) -> Document | Denied:
        """Read what is to be known of a charge point before money moves."""
        return await self._json("GET", f"/v1/stations/{code}")

    async def request(self, document: Document) -> Document | Denied:
        """Ask for a charge; the same signed request again gives the same session."""
        return await self._json("POST", "/v1/requests", document)

    async def relay(self, document: Document) -> Document | Denied:
        """Have a signed deposit sent to the chain."""
        return await self._json("POST", "/v1/relay", document)

    async def voucher(self, session: str, document: Document) -> Document | Denied:
        return await self._json("POST", f"/v1/sessions/{session}/vouchers", document)

    async def stop(self, session: str, document: Document) -> Document | Denied:
        return await self._json("POST", f"/v1/sessions/{session}/stop", document)

    async def channels(self) -> Document | Denied:
        """Read the operator's keys on encrypted channels."""
        return await self._json("GET", "/v1/channels")

    async def need(self, session: str, document: Document) -> Document | Denied:
        """Tell the operator on which channel the car says what it needs."""
        return await self._json("POST", f"/v1/sessions/{session}/need", document)

    async def transfer(self, tx_hash: str) -> Document | Denied:
        """Read what became of a plain transfer."""
        return await self._json("GET", f"/v1/transfers/{tx_hash}")

    async def session(self, session: str) -> Document | Denied:
        return await self._json("GET", f"/v1/sessions/{session}")

    async def events(self, session: str) -> AsyncIterator[Document]:
        """Follow a session as server-sent events, until it ends; raises Unavailable where the line is cut."""
        path = f"/v1/sessions/{session}/events"
        timeout = httpx.Timeout(_TIMEOUT_WALL_S, read=_SILENT_WALL_S)
        try:
            async with self._http.stream("GET", path, timeout=timeout) as response:
                if response.is_error:
                    raise Unavailable("api.failed", f"{path} answered {response.status_code}", do="try again")
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield _document(line.removeprefix("data:"), path)
        except httpx.RequestError as error:
            raise Unavailable("api.away", f"{type(error).__name__} at {path}", do="try again") from error

    async def receipt(self, session: str) -> bytes | Denied:
        """Give the receipt's exact bytes: every one of them is signed."""
        response = await self._send("GET", f"/v1/receipts/{session}", None)
        return _denied(response) if response.is_client_error else response.content

    async def countersign(self, session: str, document: Document) -> Document | Denied:
        """Hand over the driver's half of the session's record."""
        return await self._json("POST", f"/v1/sessions/{session}/countersign", document)

    async def _json(self, method: str, path: str, document: Document | None = None) -> Document | Denied:
        response = await self._send(method, path, document)
        if response.is_client_error:
            return _denied(response)
        return _object(response)

    async def _send(self, method: str, path: str, document: Document | None) -> httpx.Response:
        try:
            response = await self._http.request(method, path, json=document)
        except httpx.RequestError as error:
            raise Unavailable("api.away", f"{type(error).__name__} at {path}", do="try again") from error
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable("api.failed", f"{path} answered {response.status_code}", do="try again")
        return response


def _denied(response: httpx.Response) -> Denied:
    try:
        problem = _object(response)
    except ProtocolViolation:
        problem = {}
    return Denied(response.status_code, str(problem.get("code", f"http.{response.status_code}")), problem)


def _object(response: httpx.Response) -> Document:
    return _document(response.text, response.url.path)


def _document(text: str, path: str) -> Document:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ProtocolViolation("api.not_json", f"{path} did not answer JSON") from error
    if not isinstance(document, dict):
        raise ProtocolViolation("api.not_json", f"{path} did not answer an object")
    return document
