"""A node that answers badly, or not at all, is told apart from one that refuses."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from eth_abi.abi import encode

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.rpc import JsonRpc, NodeRefused

Answer = Callable[[Any], tuple[int, bytes]]


@asynccontextmanager
async def node(answer: Answer) -> AsyncIterator[JsonRpc]:
    """Serve HTTP with whatever body `answer` makes of the request."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handler = asyncio.current_task()
        assert handler is not None
        serving.append(handler)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = int(head.split("content-length:")[1].split()[0])
            status, body = answer(json.loads(await reader.readexactly(length)))
            writer.write(
                f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            )
            writer.write(body)
            await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()

    serving: list[asyncio.Task[Any]] = []
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        async with JsonRpc(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as rpc:
            yield rpc
    finally:
        server.close()
        await server.wait_closed()
        if serving:
            await asyncio.wait(serving)


def error(code: int, message: str, data: object = None) -> Answer:
    body = {"code": code, "message": message, "data": data}
    return lambda request: (200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": body}).encode())


REVERTED = "0x08c379a0" + encode(["string"], ["tab: other epoch"]).hex()


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        (lambda _: (200, b"<html>"), ProtocolViolation, "chain.not_json_rpc"),
        (lambda _: (200, b"[]"), ProtocolViolation, "chain.not_json_rpc"),
        (lambda _: (503, b""), Unavailable, "chain.away"),
        (lambda _: (429, b"{}"), Unavailable, "chain.away"),
        (error(-32601, "method not found"), NodeRefused, "chain.node_refused"),
        (error(3, "execution reverted", REVERTED), Refused, "tab.other_epoch"),
        (error(-32000, "execution reverted", {"data": REVERTED}), Refused, "tab.other_epoch"),
        (error(3, "execution reverted"), Refused, "chain.reverted"),
    ],
)
async def test_each_bad_answer_has_its_class(answer: Answer, kind: type[EvmeshError], code: str) -> None:
    async with node(answer) as rpc:
        with pytest.raises(kind) as failure:
            await rpc.call("eth_call", {}, "latest")
        assert failure.value.code == code


async def test_nobody_at_the_address_is_away() -> None:
    async with JsonRpc("http://127.0.0.1:9") as rpc:
        with pytest.raises(Unavailable, match=r"chain\.away"):
            await rpc.chain_id()


async def test_a_batch_is_sorted_by_id_and_none_may_be_missing() -> None:
    def backwards(requests: Any) -> tuple[int, bytes]:
        answers = [{"jsonrpc": "2.0", "id": r["id"], "result": r["method"]} for r in requests]
        return 200, json.dumps(answers[::-1]).encode()

    async with node(backwards) as rpc:
        assert await rpc.batch([("a", ()), ("b", ()), ("c", ())]) == ["a", "b", "c"]
        assert await rpc.batch([]) == []
    async with node(lambda requests: (200, b"[]")) as rpc:
        with pytest.raises(ProtocolViolation, match=r"chain\.not_json_rpc"):
            await rpc.batch([("a", ())])


async def test_bytes_have_to_be_hexadecimal() -> None:
    def number(request: Any) -> tuple[int, bytes]:
        return 200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": 7}).encode()

    async with node(number) as rpc:
        with pytest.raises(ProtocolViolation, match=r"chain\.nonsense"):
            await rpc.read(Address.parse("0x" + "11" * 20), b"")
