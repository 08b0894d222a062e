"""A node in trouble of its own is away for now; what it answers oddly ends no watch."""

import asyncio
import json
from typing import Any

import pytest
from structlog.testing import capture_logs

from evmesh.domain.errors import Unavailable
from evmesh.ledger.chain_watch import ChainWatch
from evmesh.ledger.rpc import NodeRefused
from tests.unit.ledger.test_ledger_rpc import error, node


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32000, "txpool is full"),
        (-32003, "Transaction pool is full"),
        (-32005, "daily quota used up"),
        (-32000, "rate limit reached, slow down"),
        (429, "Too Many Requests"),
        (-32000, "header not found"),
        (-32002, "request timed out"),
    ],
)
async def test_a_node_that_cannot_now_is_away(code: int, message: str) -> None:
    async with node(error(code, message)) as rpc:
        with pytest.raises(Unavailable, match=r"chain\.busy"):
            await rpc.call("eth_sendRawTransaction", "0x")


@pytest.mark.parametrize("message", ["nonce too low", "already known", "insufficient funds for gas", "no"])
async def test_a_node_that_will_not_is_not_away(message: str) -> None:
    async with node(error(-32000, message)) as rpc:
        with pytest.raises(NodeRefused):
            await rpc.call("eth_sendRawTransaction", "0x")


async def test_a_watch_goes_on_after_answers_that_make_no_sense() -> None:
    bad: list[dict[str, Any]] = [
        {"error": {"code": -32601, "message": "method not found"}},
        {"result": None},
        {"result": "0x"},
        {"error": {"code": -32000, "message": "txpool is full"}},
    ]
    asked: list[str] = []

    def answer(request: Any) -> tuple[int, bytes]:
        asked.append(request["params"][0])
        body = bad.pop() if bad else {"result": {"number": "0x5", "hash": "0xab"}}
        return 200, json.dumps({"jsonrpc": "2.0", "id": request["id"]} | body).encode()

    async with node(answer) as rpc:
        with capture_logs() as logs:
            watching = asyncio.create_task(ChainWatch(rpc, [], look_s=0.001).run())
            async with asyncio.timeout(10):
                while "0x5" not in asked:  # it has seen a block, and asks whether it is still there
                    await asyncio.sleep(0.005)
            watching.cancel()
            await asyncio.wait([watching])
    assert watching.cancelled()
    assert [log["code"] for log in logs] == ["chain.nonsense", "chain.no_block", "chain.node_refused"]
