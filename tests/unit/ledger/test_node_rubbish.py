"""Whatever a node sends, the command line ends with a sentence and an exit code, never with a traceback."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from evmesh.app.chain import app
from evmesh.domain.errors import InvalidInput, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.answers import LATEST_TIME
from evmesh.ledger.deploy import deploy
from evmesh.ledger.keys import open_keys
from evmesh.ledger.notary import NotaryReader
from evmesh.ledger.rpc import JsonRpc
from tests.unit.ledger.test_ledger_rpc import node

SOMEBODY = Address("0x" + 40 * "1")


def result(value: object) -> "Any":
    def answer(request: Any) -> tuple[int, bytes]:
        if isinstance(request, list):
            return 200, json.dumps(
                [{"jsonrpc": "2.0", "id": one["id"], "result": value} for one in request]
            ).encode()
        return 200, json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": value}).encode()

    return answer


async def ask_everything(rpc: JsonRpc) -> None:
    """Ask what the command line and the platform ask of a node, each question on its own."""
    questions = (
        rpc.chain_id,
        rpc.block_number,
        rpc.block_time,
        lambda: rpc.read(SOMEBODY, b"abc"),
        lambda: rpc.read_many([(SOMEBODY, b""), (SOMEBODY, b"")]),
        lambda: NotaryReader(rpc, SOMEBODY).logs(SOMEBODY, bytes(32)),
        lambda: NotaryReader(rpc, SOMEBODY).newest(SOMEBODY, bytes(32)),
    )
    for question in questions:
        with contextlib.suppress(ProtocolViolation, Unavailable):
            await question()


LOG = {"topics": [], "data": "0x", "address": "0x"}
RUBBISH: list[Any] = [
    None, True, 0, 1.5, -1, "", "0x", "0xzz", "x", "0x123", "0x" + "f" * 65, "0x" + "f" * 64, "moon",
    "\ud800", "\x1b[2J", "\u202e", [], [[]], [None], [{}], {}, {"number": 7}, {"pending": []},
    {"timestamp": "soon"}, {"timestamp": hex(LATEST_TIME)}, {"timestamp": None},
    [LOG], [LOG | {"topics": 1}], [LOG | {"data": "0x0"}],
]  # fmt: skip


@pytest.mark.parametrize("value", RUBBISH)
async def test_no_result_of_the_wrong_shape_is_a_traceback(value: object) -> None:
    async with node(result(value)) as rpc:
        await ask_everything(rpc)


MEMBERS = ["timestamp", "number", "hash", "topics", "data", "address", "error", "id", "message", "code"]
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
    | st.sampled_from(["0x", "0x0", "0x1f", "0xg", "-0x1", "0x" + "00" * 32]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=4),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=json_values, error=st.none() | json_values, known_id=st.booleans())
def test_no_json_of_a_node_is_a_traceback(value: object, error: object, known_id: bool) -> None:
    def answer(request: Any) -> tuple[int, bytes]:
        if isinstance(request, list):
            return 200, json.dumps(value).encode()
        identity = {"id": request["id"]} if known_id else {"id": value}
        return 200, json.dumps({"result": value, "error": error} | identity).encode()

    async def ask() -> None:
        async with node(answer) as rpc:
            with contextlib.suppress(Refused):  # where `error` looks like a revert
                await ask_everything(rpc)

    asyncio.run(ask())


@asynccontextmanager
async def raw_node(*parts: bytes, hang: bool = False) -> AsyncIterator[str]:
    """Serve these bytes to whoever connects, and hang up, or do not."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(1)
            for part in parts:
                writer.write(part)
                await writer.drain()
            if hang:
                await done.wait()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        done.set()
        server.close()


OK = b"HTTP/1.1 200 OK\r\n"
DEEP = b"[" * 100_000


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"\x00\xff\x16\x03\x01 not http at all",
        b"HTTP/1.1 999999 no\r\n\r\n",
        OK + b"Content-Length: many\r\n\r\n{}",
        OK + b"Content-Length: 500\r\n\r\n{",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        OK + b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nabcd",
        OK + b"Content-Length: 2\r\n\r\n\xff\xfe",
        OK + b"Content-Length: %d\r\n\r\n%s" % (len(DEEP), DEEP),
        OK + b"Content-Length: 6000\r\n\r\n" + b"9" * 6000,
        b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)  # fmt: skip
async def test_no_bytes_of_a_node_are_a_traceback(sent: bytes) -> None:
    async with raw_node(sent) as url, JsonRpc(url) as rpc:
        with pytest.raises((ProtocolViolation, Unavailable)):
            await rpc.chain_id()


@pytest.mark.parametrize("packed", [False, True])
async def test_an_answer_without_an_end_is_cut_off(packed: bool) -> None:
    body = b" " * 100_000
    headers = OK + (b"Content-Encoding: gzip\r\n" if packed else b"") + b"\r\n"
    sent = gzip.compress(body) if packed else body
    async with raw_node(headers, sent, hang=not packed) as url, JsonRpc(url, max_answer_bytes=50_000) as rpc:
        with pytest.raises(ProtocolViolation, match=r"chain\.too_long"):
            await rpc.chain_id()


async def test_a_node_that_says_a_byte_now_and_then_is_given_up() -> None:
    async with (
        raw_node(OK + b"Content-Length: 10\r\n\r\n{", hang=True) as url,
        JsonRpc(url, timeout_s=0.1) as rpc,
    ):
        with pytest.raises(Unavailable, match=r"chain\.away"):
            await rpc.chain_id()


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "http://", "http://[", "http://127.0.0.1:99999", "http://127.0.0.1:-1", "http://127.0.0.1:x",
        "ftp://127.0.0.1/", "file:///etc/passwd", "http://\x00", "http://a\nb",
    ],
)  # fmt: skip
async def test_an_address_that_is_none_is_said(url: str) -> None:
    async with JsonRpc(url, timeout_s=2) as rpc:
        with pytest.raises(InvalidInput, match=r"chain\.bad_address") as failure:
            await rpc.chain_id()
    assert failure.value.what.isprintable()


@pytest.mark.parametrize("host", ["a" * 300 + ".invalid", "xn--", "\udc80", "é..é", "nobody.invalid"])
async def test_a_name_that_leads_nowhere_is_said(host: str) -> None:
    async with JsonRpc(f"http://{host}", timeout_s=2) as rpc:
        with pytest.raises((InvalidInput, Unavailable)):
            await rpc.chain_id()


@pytest.mark.parametrize("value", RUBBISH)
async def test_nothing_is_deployed_on_a_node_that_talks_nonsense(value: object, tmp_path: Path) -> None:
    async with node(result(value)) as rpc:
        with pytest.raises((ProtocolViolation, Unavailable)):
            await deploy(rpc, tmp_path, open_keys(tmp_path / "keys").deployer)
    assert not (tmp_path / "contracts.json").exists()


async def test_the_command_says_it_in_words_and_exits_5(tmp_path: Path) -> None:
    async with node(result("moon")) as rpc:
        arguments = ["deploy", "--rpc", rpc.url, "--data", str(tmp_path)]
        ended = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    assert (ended.exit_code, ended.stdout) == (5, "")
    assert ended.stderr.startswith("error chain.nonsense: the node answered 'moon' to eth_chainId\ndo: ")
