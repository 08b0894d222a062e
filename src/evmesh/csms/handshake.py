"""Who may open a WebSocket here, and what others are told: readable HTTP, not a closed line."""

from http import HTTPStatus
from typing import Final
from urllib.parse import unquote, urlsplit

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidHeader
from websockets.headers import parse_subprotocol
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from evmesh.csms.config import CsmsConfig
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import StationId

OCPP_16: Final = Subprotocol("ocpp1.6")
_PREFIX: Final = "/ocpp/"


class Refusal(Exception):
    """What a client is told that may not come in."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def admit(config: CsmsConfig, path: str, protocols: list[str] | None) -> StationId:
    """Give the station that this URL path names. Raises Refusal with what to do instead.

    `protocols` are the `Sec-WebSocket-Protocol` headers; None where no WebSocket was asked for.
    """
    station = _station(urlsplit(path).path)
    if config.stations is not None and station not in config.stations:
        raise Refusal(
            HTTPStatus.NOT_FOUND, f"Station {station} is not known here; ask the operator to add it."
        )
    if protocols is not None and OCPP_16 not in _offered(protocols):
        raise Refusal(HTTPStatus.BAD_REQUEST, f"Offer the WebSocket subprotocol {OCPP_16}.")
    return station


def _station(path: str) -> StationId:
    name = path.removeprefix(_PREFIX)
    if name == path or not name or "/" in name:
        raise Refusal(HTTPStatus.NOT_FOUND, f"Stations connect to {_PREFIX}{{their identity}}.")
    try:
        return StationId.parse(unquote(name, errors="strict"))
    except UnicodeDecodeError:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The identity in the path is not UTF-8.") from None
    except InvalidInput as error:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"{error.what}: {error.do}.") from None


def _offered(headers: list[str]) -> list[str]:
    try:
        return [protocol for header in headers for protocol in parse_subprotocol(header)]
    except InvalidHeader:
        raise Refusal(HTTPStatus.BAD_REQUEST, "The header Sec-WebSocket-Protocol is malformed.") from None


def check(config: CsmsConfig, socket: ServerConnection, request: Request) -> Response | None:
    """Let a handshake pass, or give the answer that refuses it."""
    headers = request.headers
    # A request that is no WebSocket's is answered 426 by the library; first it hears of a wrong path.
    wants_socket = "Upgrade" in headers
    protocols = headers.get_all("Sec-WebSocket-Protocol") if wants_socket else None
    try:
        if wants_socket and "Origin" in headers:
            raise Refusal(HTTPStatus.FORBIDDEN, "A station is no web page: it sends no Origin.")
        admit(config, request.path, protocols)
    except Refusal as refusal:
        return socket.respond(refusal.status, refusal.text + "\n")
    return None
