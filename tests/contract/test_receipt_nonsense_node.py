"""A node that answers nonsense, at any point of the conversation, ends in words and never in a traceback."""

import json
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from evmesh.app.verify import app
from evmesh.domain.strict import unix_seconds
from tests.contract.chain import Chain, running_anvil
from tests.contract.receipt_place import Place, Served, serving
from tests.unit.verify.receipt_factory import START, STOP

METHODS = (
    "eth_chainId",
    "eth_call",
    "eth_getCode",
    "eth_blockNumber",
    "eth_getBlockByNumber",
    "eth_getLogs",
    "eth_getTransactionByHash",
)
NONSENSE: list[Any] = [
    None,
    True,
    7,
    -1,
    10**400,
    1.5,
    "",
    "0x",
    "0xzz",
    "0x0",
    "nonsense",
    "0x" + "f" * 64,
    "0x" + "f" * 1_000,
    "0x" + "00" * 96,
    "0x" + "ff" * 96,
    "0x" + "ff" * 128,
    [],
    [None],
    [[]],
    ["0x00"],
    {},
    [{}],
    {"timestamp": None},
    {"timestamp": "0x" + "f" * 64},
    {"timestamp": 5},
    [{"data": "0x", "blockNumber": "0x1", "topics": []}],
    [{"data": "0xf", "blockNumber": "0x1", "logIndex": "0x0", "topics": ["0x"], "transactionHash": "0x1"}],
    [{"data": "0x" + "00" * 64, "blockNumber": "zz", "topics": {}, "address": 1}],
    [
        {
            "data": "0x" + "ff" * 96,
            "blockNumber": "0x1",
            "logIndex": "0x0",
            "topics": ["0x00"],
            "transactionHash": "0x00",
            "address": "0x00",
        }
    ],
    {"to": 5, "input": "0x"},
    {"to": None, "input": None},
    {"input": "0xabc"},
]
BODIES = [
    b"",
    b"not JSON",
    b"\xff\xfe",
    b"[" * 100_000,
    b"null",
    b"[]",
    b"{}",
    b'{"result":"0x1"}',
    b'[{"id":[]}]',
]


_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""To read the known ones for each test takes longer than the test."""


@contextmanager
def node_in_front_of(url: str, spoil: Any) -> Iterator[str]:
    """Serve what the node at `url` answers, as `spoil(request, answer)` makes it; bytes as they are."""
    upstream = httpx.Client(verify=_NO_AUTHORITIES, trust_env=False, timeout=60)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answered = upstream.post(url, json=asked).json()
            body = spoil(asked, answered)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        upstream.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A receipt whose head is an older one and whose tab was claimed, so that every question is asked."""
    served = Served()
    options = ("--timestamp", str(unix_seconds(START - timedelta(hours=2))))
    with running_anvil(*options) as chain, serving(served) as base_url:
        place = Place.build(chain, base_url, served)
        place.next_block_at(STOP)
        place.anchor(place.receipt.tree.size, place.receipt.tree.root)
        place.anchor(place.receipt.tree.size + 1, bytes(31) + b"\2")
        place.claim()
        yield place


def verify(place: Place, tmp_path: Path, spoil: Any) -> Result:
    file = tmp_path / "receipt.json"
    file.write_bytes(place.receipt.encode())
    with node_in_front_of(place.chain.url, spoil) as url:
        return CliRunner().invoke(app, ["receipt", str(file), "--rpc", url])


def replaced(method: str, value: Any) -> Any:
    def spoil(asked: Any, answered: Any) -> Any:
        requests, answers = (asked, answered) if isinstance(asked, list) else ([asked], [answered])
        for request, answer in zip(requests, answers, strict=True):
            if request["method"] == method:
                answer["result"] = value
        return answered

    return spoil


def says_why(result: Result) -> bool:
    """An exit code of its own class, and words; a traceback would be another exception than SystemExit."""
    return (
        isinstance(result.exception, SystemExit | None)
        and result.exit_code in (0, 3, 4, 5, 6)
        and bool(result.output.strip())
    )


def test_through_an_honest_node_everything_is_found(place: Place, tmp_path: Path) -> None:
    result = verify(place, tmp_path, lambda asked, answered: answered)
    assert result.exit_code == 0
    assert "ok          settlement" in result.output
    assert "ok          anchor: the head of 13 leaves was anchored" in result.output


@pytest.mark.parametrize("method", METHODS)
def test_whatever_a_method_answers_there_is_no_traceback(place: Place, tmp_path: Path, method: str) -> None:
    for value in NONSENSE:
        result = verify(place, tmp_path, replaced(method, value))
        assert says_why(result), (value, result.exception, result.output)


@pytest.mark.parametrize("value", [None, 7, "nonsense", "0xzz", [], {}])
@pytest.mark.parametrize("method", ["eth_chainId", "eth_call", "eth_blockNumber"])
def test_what_is_no_answer_at_all_is_a_violation_of_the_protocol(
    place: Place, tmp_path: Path, method: str, value: Any
) -> None:
    result = verify(place, tmp_path, replaced(method, value))
    assert result.exit_code == 5
    assert "error chain." in result.output


@pytest.mark.parametrize("body", BODIES, ids=lambda body: repr(body[:20]))
def test_a_body_that_is_not_json_rpc_is_a_violation_of_the_protocol(
    place: Place, tmp_path: Path, body: bytes
) -> None:
    result = verify(place, tmp_path, lambda asked, answered: body)
    assert says_why(result), result.exception
    assert result.exit_code == 5 or b"0x1" in body  # which is an answer: that of another chain


def test_a_node_that_refuses_logs_and_old_blocks_leaves_them_unchecked(place: Place, tmp_path: Path) -> None:
    def pruned(asked: Any, answered: Any) -> Any:
        if isinstance(asked, dict) and asked["method"] in ("eth_getLogs", "eth_getBlockByNumber"):
            return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32_000, "message": "pruned"}}
        return answered

    result = verify(place, tmp_path, pruned)
    assert result.exit_code == 0, result.output
    assert "not checked anchor: the newest head has 14 leaves, and no log shows one of 13" in result.output
    assert "ok          settlement: claimed" in result.output
    assert "not checked registered price" in result.output


def test_the_chain_under_test_is_the_receipts(place: Place) -> None:
    assert isinstance(place.chain, Chain)
