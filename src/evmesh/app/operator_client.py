"""An operator's platform as a wallet uses it: its statement of contracts, and its relayer."""

from typing import Any, Self

import httpx

from evmesh.domain.chain import AuthorizedDeposit, DepositOrder
from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.trust import Trust
from evmesh.ledger.answers import printable

_TIMEOUT_S = 150
"""A relayed transaction is answered when it is in a block."""

_MAX_TRUST = 2**24


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

    async def deposit(self, order: DepositOrder) -> str:
        """Have a deposit by permit sent; give the transaction's hash."""
        return await self._relay(
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

    async def deposit_authorized(self, order: AuthorizedDeposit) -> str:
        """Have a deposit by EIP-3009 sent; give the transaction's hash."""
        return await self._relay(
            "authorized",
            payer=order.payer.text,
            payee=order.payee.text,
            value=str(order.value),
            valid_after=order.valid_after,
            valid_before=order.valid_before,
            salt=_hex(order.salt),
            signature=_hex(order.signature),
        )

    async def begin_exit(self, payer: Address, payee: Address, epoch: int, signature: bytes) -> str:
        """Have a signed exit sent; give the transaction's hash."""
        return await self._relay(
            "exit", payer=payer.text, payee=payee.text, epoch=epoch, signature=_hex(signature)
        )

    async def finish_exit(self, payer: Address, payee: Address) -> str:
        """Have the end of an exit sent; give the transaction's hash."""
        return await self._relay("finish", payer=payer.text, payee=payee.text)

    async def _relay(self, kind: str, **order: str | int) -> str:
        response = await self._send("POST", "/v1/relay", {"kind": kind, "order": order})
        answer = self._object(response)
        if response.is_server_error:
            raise Unavailable(
                "operator.failed",
                f"{printable(self.url)} could not send it: {_text(answer, 'detail')}",
                do="try again: the same order is sent once",
            )
        if response.is_error:
            code = _text(answer, "code") or "operator.refused"
            raise Refused(code, _text(answer, "detail") or "the operator refused", do=_text(answer, "do"))
        return _text(answer, "tx_hash")

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
            raise Unavailable(
                "operator.away",
                f"the operator at {printable(self.url)} does not answer ({type(error).__name__})",
                do="check the address, or try again later",
            ) from error

    def _object(self, response: httpx.Response) -> dict[str, Any]:
        try:
            document = response.json()
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


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name, "")
    return printable(value, 400) if isinstance(value, str) else ""


def _hex(raw: bytes) -> str:
    return "0x" + raw.hex()
