"""JSON-RPC 2.0 to an EVM node over HTTP. What comes back is bounded and checked: a node may be anybody's."""

import asyncio
import functools
import itertools
import json
import ssl
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import httpx

from evmesh.domain.canonical import refuse_deep_nesting
from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.answers import checked, nonsense, printable
from evmesh.ledger.reasons import reason_of, refused_by_contract

_REVERTED: Final = 3
"""The error code of a revert, of geth and everybody who followed."""

# Nodes agree on no codes for these; the words are those of geth, anvil and wasp.
_NONCE_USED: Final = "nonce too low"
_ALREADY_THERE: Final = (
    "already known",
    "already imported",
    "known transaction",
    _NONCE_USED,
    "replacement transaction underpriced",
)
_PRICE_REFUSED: Final = ("underpriced", "gas price", "max fee per gas less")
_BUSY: Final = (
    "txpool is full",
    "transaction pool is full",
    "rate limit",
    "too many requests",
    "limit exceeded",
    "header not found",
    "timeout",
    "timed out",
    "try again",
)
_LIMIT_EXCEEDED: Final = -32005
"""EIP-1474: the request exceeds a limit that the node has set."""

_NO_GAS: Final = ("insufficient funds", "insufficient balance", "gas required exceeds allowance")

MAX_ANSWER_BYTES: Final = 2**29
"""A node's answer may be this long: the dump of a large development chain is the longest that we ask for."""


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Read the known authorities once: that takes longer than many calls, and clients may be short-lived."""
    return httpx.create_ssl_context(trust_env=False)


class NodeRefused(ProtocolViolation):
    """The node answered with an error that is no revert; `message` is its own wording."""

    def __init__(self, method: str, message: str) -> None:
        super().__init__(
            "chain.node_refused",
            f"the node refused {method}: {printable(message)}",
            do="see the node's own log",
        )
        self.message = message.lower()

    @property
    def has_it_already(self) -> bool:
        """Say whether the node refused a transaction since it, or one of its nonce, is there."""
        return any(words in self.message for words in _ALREADY_THERE)

    @property
    def nonce_is_used(self) -> bool:
        return _NONCE_USED in self.message

    @property
    def is_for_now(self) -> bool:
        """Say whether the node is in trouble of its own, so that the same call may work later."""
        return any(words in self.message for words in _BUSY)

    @property
    def wants_another_price(self) -> bool:
        return any(words in self.message for words in _PRICE_REFUSED)

    @property
    def wants_gas(self) -> bool:
        return any(words in self.message for words in _NO_GAS)


class JsonRpc:
    """One node. An async context manager; calls may run at the same time.

    Raises InvalidInput `chain.bad_address` where the URL is none, Unavailable where the node does not
    answer (`chain.away`) or says that it cannot now (`chain.busy`), Refused where a contract said no,
    NodeRefused for any other error, ProtocolViolation where the answer is not JSON-RPC
    (`chain.not_json_rpc`), too long (`chain.too_long`), or not what the method answers (`chain.nonsense`).
    """

    def __init__(self, url: str, *, timeout_s: float = 30, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        """`timeout_s` is how long the node may be silent; a whole answer takes at most four times that."""
        self.url = url
        self._whole_within_s = 4 * timeout_s
        self._max_answer_bytes = max_answer_bytes
        self._ids = itertools.count(1)
        # A node is named by its URL alone: proxies of the environment are for the web.
        self._http = httpx.AsyncClient(verify=_authorities(), timeout=timeout_s, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

    async def call(self, method: str, *params: object) -> Any:
        """Call one method and give its result."""
        answer = await self._post(self._request(method, params))
        if not isinstance(answer, dict):
            raise _not_json_rpc(self.url)
        return _result_of(method, answer)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[Any]:
        """Call several methods in one round trip; the first error is raised."""
        if not calls:
            return []
        requests = [self._request(method, params) for method, params in calls]
        answer = await self._post(requests)
        if not isinstance(answer, list):
            raise _not_json_rpc(self.url)
        by_id = {
            item["id"]: item for item in answer if isinstance(item, dict) and isinstance(item.get("id"), int)
        }
        if any(request["id"] not in by_id for request in requests):
            raise _not_json_rpc(self.url)
        return [_result_of(request["method"], by_id[request["id"]]) for request in requests]

    async def chain_id(self) -> int:
        return int(await self.call("eth_chainId"), 16)

    async def block_number(self) -> int:
        return int(await self.call("eth_blockNumber"), 16)

    async def block_time(self) -> int:
        """Give the newest block's timestamp, in seconds since 1970."""
        block = await self.call("eth_getBlockByNumber", "latest", False)
        if block is None or "timestamp" not in block:
            raise nonsense("eth_getBlockByNumber", block)
        return int(block["timestamp"], 16)

    async def read(self, to: Address, data: bytes, *, sender: Address | None = None) -> bytes:
        """Call a contract at the newest block and give what it returns."""
        transaction = {"to": to.text, "data": "0x" + data.hex()}
        if sender is not None:
            transaction["from"] = sender.text
        return from_hex(await self.call("eth_call", transaction, "latest"))

    async def read_many(self, calls: Sequence[tuple[Address, bytes]]) -> list[bytes]:
        """Call several contracts in one round trip, in order."""
        answers = await self.batch(
            [("eth_call", ({"to": to.text, "data": "0x" + data.hex()}, "latest")) for to, data in calls]
        )
        return [from_hex(answer) for answer in answers]

    def _request(self, method: str, params: Sequence[object]) -> dict[str, Any]:
        return {"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(params)}

    async def _post(self, body: object) -> Any:
        _require_address(self.url)
        try:
            async with asyncio.timeout(self._whole_within_s):
                status, raw = await self._answer_to(body)
        except (httpx.TransportError, httpx.InvalidURL, UnicodeError, OSError, OverflowError) as error:
            raise Unavailable(
                "chain.away",
                f"the node at {printable(self.url)} does not answer ({type(error).__name__})",
                do=_START,
            ) from error
        except httpx.DecodingError as error:
            raise _not_json_rpc(self.url) from error
        if status in (429, 502, 503, 504):
            raise Unavailable(
                "chain.away", f"the node at {printable(self.url)} is busy ({status})", do="try again later"
            )
        try:
            refuse_deep_nesting(raw)
            return json.loads(raw)
        except (ValueError, RecursionError, InvalidInput) as error:
            raise _not_json_rpc(self.url) from error

    async def _answer_to(self, body: object) -> tuple[int, bytes]:
        """Give status and body; raises ProtocolViolation `chain.too_long` rather than read without end."""
        async with self._http.stream("POST", self.url, json=body) as response:
            raw = bytearray()
            async for part in response.aiter_bytes():
                raw += part
                if len(raw) > self._max_answer_bytes:
                    raise ProtocolViolation(
                        "chain.too_long",
                        f"the answer of {printable(self.url)} has more than {self._max_answer_bytes} bytes",
                        do="check the address",
                    )
            return response.status_code, bytes(raw)


_PORTS: Final = range(1, 2**16)
_START: Final = "check the address, or start a chain with `evmesh chain run`"


def _require_address(url: str) -> None:
    """Raise InvalidInput `chain.bad_address` where nothing could ever be found."""
    try:
        parsed = httpx.URL(url)
        named = parsed.host != "" and "%" not in parsed.host
        good = named and parsed.scheme in ("http", "https") and (parsed.port or 80) in _PORTS
    except (httpx.InvalidURL, UnicodeError, ValueError):
        good = False
    if not good:
        raise InvalidInput(
            "chain.bad_address",
            f"{printable(url, 100)!r} is not the address of a node",
            do="write it like http://127.0.0.1:8545",
        )


def no_gas(account: Address) -> Refused:
    """Say that an account cannot pay."""
    return Refused(
        "chain.no_gas",
        f"account {account} cannot pay for gas",
        do=f"send native currency of the chain to {account}",
    )


def from_hex(text: object) -> bytes:
    """Read the 0x form of bytes."""
    try:
        if not isinstance(text, str) or not text.startswith("0x"):
            raise ValueError("no 0x")
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise ProtocolViolation(
            "chain.not_json_rpc",
            f"the node sent {printable(repr(text), 60)} for bytes",
            do="check the address",
        ) from error


def _result_of(method: str, answer: dict[str, Any]) -> Any:
    error = answer.get("error")
    if error is None:
        return checked(method, answer.get("result"))
    if not isinstance(error, dict):
        raise NodeRefused(method, str(error)[:1000])
    message, reason = str(error.get("message", "")), reason_of(error.get("data"))
    if reason or error.get("code") == _REVERTED or "execution reverted" in message.lower():
        raise refused_by_contract(reason)
    refused = NodeRefused(method, message)
    if error.get("code") == _LIMIT_EXCEEDED or refused.is_for_now:
        raise Unavailable("chain.busy", f"the node cannot do {method} now: {printable(message)}")
    raise refused


def _not_json_rpc(url: str) -> ProtocolViolation:
    return ProtocolViolation(
        "chain.not_json_rpc", f"{printable(url)} does not speak JSON-RPC", do="check the address"
    )
