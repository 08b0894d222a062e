"""An operator's platform as a wallet uses it: its contracts, its relayer, its stations and sessions."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Self

import httpx

from evmesh.app.wallet_money import Coin, named
from evmesh.domain.chain import AuthorizedDeposit, DepositOrder
from evmesh.domain.errors import (
    EvmeshError,
    IntegrityFailure,
    InvalidInput,
    ProtocolViolation,
    Refused,
    Unavailable,
)
from evmesh.domain.ids import Address
from evmesh.domain.trust import Trust
from evmesh.ledger.answers import printable

_TIMEOUT_S = 150
"""A relayed transaction is answered when it is in a block."""

_SILENT_S = 60
"""Longer than the keep-alive of a stream of events."""

_MAX_TRUST = 2**24
_MAX_DOCUMENT = 2**24
_CLASSES: Final[dict[int, type[EvmeshError]]] = {400: InvalidInput, 409: Refused, 422: IntegrityFailure}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NoPromise:
    """The operator's no to a request: its code, its words, and the whole problem document."""

    code: str
    what: str
    problem: Json


class OperatorClient:
    """One operator's HTTP API. An async context manager; what it refuses is raised in its own words."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def trust(self) -> Trust:
        """Read which contracts and payees the operator says are its own."""
        response = await self._send("GET", "/v1/trust")
        if response.is_error or len(response.content) > _MAX_TRUST:
            raise self._strange()
        return Trust.parse(response.content)

    async def deposit(self, order: DepositOrder, coin: Coin) -> str:
        """Have a deposit by permit sent; give the transaction's hash."""
        return await self._relay(
            coin,
            "deposit",
            payer=order.payer.text,
            payee=order.payee.text,
            epoch=order.epoch,
            ceiling=str(order.ceiling),
            value=str(order.value),
            deadline=order.deadline,
            permit_signature=_hex(order.permit_signature),
            top_up_signature=_hex(order.top_up_signature),
        )

    async def deposit_authorized(self, order: AuthorizedDeposit, coin: Coin) -> str:
        """Have a deposit by EIP-3009 sent; give the transaction's hash."""
        return await self._relay(
            coin,
            "authorized",
            payer=order.payer.text,
            payee=order.payee.text,
            value=str(order.value),
            valid_after=order.valid_after,
            valid_before=order.valid_before,
            salt=_hex(order.salt),
            signature=_hex(order.signature),
        )

    async def begin_exit(
        self, payer: Address, payee: Address, epoch: int, signature: bytes, coin: Coin
    ) -> str:
        """Have a signed exit sent; give the transaction's hash."""
        return await self._relay(
            coin, "exit", payer=payer.text, payee=payee.text, epoch=epoch, signature=_hex(signature)
        )

    async def finish_exit(self, payer: Address, payee: Address, coin: Coin) -> str:
        """Have the end of an exit sent; give the transaction's hash."""
        return await self._relay(coin, "finish", payer=payer.text, payee=payee.text)

    async def close(
        self,
        payer: Address,
        payee: Address,
        epoch: int,
        amount: int,
        signature: bytes,
        agreed: bytes | None,
        coin: Coin,
    ) -> str:
        """Have a tab ended by agreement; give the transaction's hash."""
        order = {
            "payer": payer.text,
            "payee": payee.text,
            "epoch": epoch,
            "amount": str(amount),
            "signature": _hex(signature),
            "agreed": None if agreed is None else _hex(agreed),
        }
        return _text(
            await self._answered("POST", "/v1/relay/close", {"order": order, **named(coin)}), "tx_hash"
        )

    async def station(self, code: str) -> Json:
        """Read what the operator shows of a charge point."""
        return await self._answered("GET", f"/v1/stations/{code}")

    async def ask(self, document: Json) -> Json | NoPromise:
        """Send a signed request; gives the promise, or a refusal with what would fit."""
        response = await self._send("POST", "/v1/requests", document)
        answer = self._object(response)
        if response.status_code == httpx.codes.CONFLICT and "certificate" in answer:
            return NoPromise(_text(answer, "code"), _text(answer, "title"), answer)
        self._require_granted(response, answer)
        return answer

    async def voucher(self, session: str, document: Json) -> Json:
        """Hand over a voucher; give the session."""
        return await self._answered("POST", f"/v1/sessions/{session}/vouchers", document)

    async def stop(self, session: str, document: Json) -> Json:
        """Hand over the driver's word to stop; give the session."""
        return await self._answered("POST", f"/v1/sessions/{session}/stop", document)

    async def session(self, session: str) -> Json:
        """Read a session."""
        return await self._answered("GET", f"/v1/sessions/{session}")

    async def events(self, session: str) -> AsyncIterator[Json]:
        """Follow a session until it ends; raises Unavailable `operator.away` where the line is cut."""
        url = f"{self.url}/v1/sessions/{session}/events"
        timeout = httpx.Timeout(_TIMEOUT_S, read=_SILENT_S)
        try:
            async with self._http.stream("GET", url, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                    self._require_granted(response, self._object(response))
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield self._parsed(line.removeprefix("data:"))
        except httpx.RequestError as error:
            raise self._away(error) from error

    async def document(self, path: str) -> bytes | None:
        """Download a document's exact bytes; None where there is none yet."""
        response = await self._send("GET", path)
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.is_error:
            self._require_granted(response, self._object(response))
        if len(response.content) > _MAX_DOCUMENT:
            raise self._strange()
        return response.content

    async def document_object(self, path: str) -> Json | None:
        """Download a document of JSON; None where there is none yet."""
        raw = await self.document(path)
        return None if raw is None else self._parsed(raw.decode(errors="replace"))

    async def _relay(self, coin: Coin, kind: str, **order: str | int) -> str:
        document = {"kind": kind, "order": order, **named(coin)}
        return _text(await self._answered("POST", "/v1/relay", document), "tx_hash")

    async def _answered(self, method: str, path: str, document: object | None = None) -> Json:
        response = await self._send(method, path, document)
        answer = self._object(response)
        self._require_granted(response, answer)
        return answer

    def _require_granted(self, response: httpx.Response, answer: Json) -> None:
        """Raise what the operator says, as an error of the same class."""
        what, do = _text(answer, "title"), _text(answer, "do")
        if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Unavailable(
                "operator.failed",
                f"{printable(self.url)} could not do it: {what}",
                do="try again: the same order is done once",
            )
        if response.is_error:
            kind = _CLASSES.get(response.status_code, Refused)
            raise kind(_text(answer, "code") or "operator.refused", what or "the operator refused", do=do)

    async def _send(self, method: str, path: str, document: object | None = None) -> httpx.Response:
        try:
            return await self._http.request(method, self.url + path, json=document)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError) as error:
            raise InvalidInput(
                "operator.bad_address",
                f"{printable(self.url)} is not the address of a platform",
                do="write it like http://127.0.0.1:8080",
            ) from error
        except httpx.RequestError as error:
            raise self._away(error) from error

    def _away(self, error: httpx.RequestError) -> Unavailable:
        return Unavailable(
            "operator.away",
            f"the operator at {printable(self.url)} does not answer ({type(error).__name__})",
            do="check the address, or try again later",
        )

    def _object(self, response: httpx.Response) -> Json:
        return self._parsed(response.text)

    def _parsed(self, text: str) -> Json:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._strange() from error
        if not isinstance(document, dict):
            raise self._strange()
        return document

    def _strange(self) -> ProtocolViolation:
        return ProtocolViolation(
            "operator.not_evmesh",
            f"{printable(self.url)} does not answer as evmesh does",
            do="check the address",
        )


def _text(document: Json, name: str) -> str:
    value = document.get(name, "")
    return printable(value, 400) if isinstance(value, str) else ""


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
