"""A real anvil to try contracts on, by other means than `evmesh.ledger` uses.

Calls are encoded with eth-abi from the committed artifacts, senders are impersonated, and signatures are
made by eth-account's own EIP-712 encoder, so a mistake in ours shows as a red test.
"""

import functools
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from eth_abi.abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils.crypto import keccak
from vyper.compiler import compile_code
from vyper.compiler.input_bundle import FilesystemInputBundle

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "src/evmesh/ledger/artifacts"
CONTRACTS = ROOT / "src/evmesh/ledger/contracts"
CHAIN_ID = 31337


class Reverted(Exception):
    """A call that the contract refused; `str()` is its reason."""


def anvil_binary() -> str:
    """Give the binary that npm installed, else the one on PATH."""
    from_npm = ROOT / "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
    found = str(from_npm) if from_npm.exists() else shutil.which("anvil")
    assert found, "no anvil: run `make setup`"
    return found


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Chain:
    """JSON-RPC to one anvil."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._http = httpx.Client(timeout=60, trust_env=False)

    def rpc(self, method: str, *params: object) -> Any:
        answer = self._http.post(
            self.url, json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        ).json()
        if "error" in answer:
            raise Reverted(_reason(answer["error"]))
        return answer["result"]

    def deploy(self, name: str, *arguments: object, sender: str) -> "Contract":
        artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
        [constructor] = [entry for entry in artifact["abi"] if entry["type"] == "constructor"] or [
            {"inputs": []}
        ]
        data = artifact["bytecode"] + encode([i["type"] for i in constructor["inputs"]], arguments).hex()
        return Contract(self, self._create(data, sender), artifact["abi"])

    def deploy_source(
        self, source: str, *arguments: object, sender: str, modules: Path = CONTRACTS
    ) -> "Contract":
        """Compile and deploy; what the source imports is looked for in `modules`."""
        output = _compiled(source, modules)
        [constructor] = [e for e in output["abi"] if e["type"] == "constructor"] or [{"inputs": []}]
        data = output["bytecode"] + encode([i["type"] for i in constructor["inputs"]], arguments).hex()
        return Contract(self, self._create(data, sender), output["abi"])

    def send(self, transaction: dict[str, object]) -> dict[str, Any]:
        """Send from any account and give the receipt; raises Reverted with the reason."""
        transaction = {"gas": hex(25_000_000), **transaction}
        self.rpc("eth_call", transaction, "latest")
        receipt = self.mined(self.rpc("eth_sendTransaction", transaction))
        assert receipt["status"] == "0x1"
        return receipt

    def mined(self, tx_hash: str) -> dict[str, Any]:
        """Give the receipt of what was sent; the node answers before it has mined."""
        while not (receipt := self.rpc("eth_getTransactionReceipt", tx_hash)):
            time.sleep(0.001)
        return dict(receipt)

    def in_one_block(self, *transactions: dict[str, object]) -> list[dict[str, Any]]:
        """Put transactions into the same block, in this order; give their receipts."""
        self.rpc("evm_setAutomine", False)
        try:
            price = int(self.rpc("eth_gasPrice"), 16) + 10**9 * len(transactions)
            sent = [
                self.rpc(
                    "eth_sendTransaction",
                    {"gas": hex(5_000_000), "gasPrice": hex(price - 10**9 * place), **transaction},
                )
                for place, transaction in enumerate(transactions)
            ]
            self.rpc("evm_mine")
        finally:
            self.rpc("evm_setAutomine", True)
        receipts = [self.mined(tx_hash) for tx_hash in sent]
        assert [int(receipt["transactionIndex"], 16) for receipt in receipts] == [*range(len(receipts))]
        assert len({receipt["blockNumber"] for receipt in receipts}) == 1
        return receipts

    def read_many(self, calls: Sequence[tuple["Contract", str, Sequence[object]]]) -> list[Any]:
        """Read several views in one round trip, as `Contract.call` gives them."""
        entries = [contract._entry(name, tuple(arguments)) for contract, name, arguments in calls]
        answers = self._http.post(
            self.url,
            json=[
                {
                    "jsonrpc": "2.0",
                    "id": number,
                    "method": "eth_call",
                    "params": [
                        {"to": contract.address, "data": contract._data(entry, tuple(arguments))},
                        "latest",
                    ],
                }
                for number, (entry, (contract, _, arguments)) in enumerate(zip(entries, calls, strict=True))
            ],
        ).json()
        by_number = {answer["id"]: answer["result"] for answer in answers}
        return [_outputs(entry, by_number[number]) for number, entry in enumerate(entries)]

    def _create(self, data: str, sender: str) -> str:
        address: str = self.send({"from": sender, "data": data})["contractAddress"]
        return address

    def now(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def pass_time(self, seconds: int) -> None:
        self.rpc("evm_increaseTime", seconds)
        self.rpc("evm_mine")

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Undo everything at the end."""
        snapshot = self.rpc("evm_snapshot")
        try:
            yield
        finally:
            self.rpc("evm_revert", snapshot)


@functools.cache
def _compiled(source: str, modules: Path) -> dict[str, Any]:
    output: dict[str, Any] = compile_code(
        source, input_bundle=FilesystemInputBundle([modules]), output_formats=["abi", "bytecode"]
    )
    return output


@dataclass(frozen=True)
class Contract:
    chain: Chain
    address: str
    abi: list[dict[str, Any]]

    def call(self, name: str, *arguments: object, sender: str | None = None) -> Any:
        """Read by eth_call; one output comes bare, several as a tuple."""
        entry = self._entry(name, arguments)
        transaction = {"to": self.address, "data": self._data(entry, arguments)}
        if sender:
            transaction["from"] = sender
        return _outputs(entry, self.chain.rpc("eth_call", transaction, "latest"))

    def send(self, name: str, *arguments: object, sender: str) -> "Receipt":
        return Receipt(self.chain.send(self.transaction(name, *arguments, sender=sender)), self.abi)

    def transaction(self, name: str, *arguments: object, sender: str) -> dict[str, object]:
        """Give what `send` sends."""
        data = self._data(self._entry(name, arguments), arguments)
        return {"from": sender, "to": self.address, "data": data}

    def _entry(self, name: str, arguments: tuple[object, ...]) -> dict[str, Any]:
        [entry] = [
            entry
            for entry in self.abi
            if entry["type"] == "function"
            and entry["name"] == name
            and len(entry["inputs"]) == len(arguments)
        ]
        return entry

    def _data(self, entry: dict[str, Any], arguments: tuple[object, ...]) -> str:
        types = [_canonical_type(item) for item in entry["inputs"]]
        selector = keccak(text=f"{entry['name']}({','.join(types)})")[:4]
        return "0x" + (selector + encode(types, arguments)).hex()


def _outputs(entry: dict[str, Any], raw: str) -> Any:
    values = decode([output["type"] for output in entry["outputs"]], bytes.fromhex(raw[2:]))
    return values[0] if len(values) == 1 else values


@dataclass(frozen=True)
class Receipt:
    raw: dict[str, Any]
    abi: list[dict[str, Any]]

    @property
    def gas(self) -> int:
        return int(self.raw["gasUsed"], 16)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Decode the events of this name by the abi, topics included."""
        [entry] = [entry for entry in self.abi if entry["type"] == "event" and entry["name"] == name]
        topic = "0x" + keccak(text=f"{name}({','.join(i['type'] for i in entry['inputs'])})").hex()
        return [_decode_event(entry["inputs"], log) for log in self.raw["logs"] if log["topics"][0] == topic]


def _decode_event(inputs: list[dict[str, Any]], log: dict[str, Any]) -> dict[str, Any]:
    indexed = [i for i in inputs if i["indexed"]]
    plain = [i for i in inputs if not i["indexed"]]
    values = decode([i["type"] for i in plain], bytes.fromhex(log["data"][2:]))
    found = dict(zip([i["name"] for i in plain], values, strict=True))
    for item, topic in zip(indexed, log["topics"][1:], strict=True):
        [found[item["name"]]] = decode([item["type"]], bytes.fromhex(topic[2:]))
    return found


def _canonical_type(item: dict[str, Any]) -> str:
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    inner = ",".join(_canonical_type(component) for component in item["components"])
    return f"({inner}){item['type'].removeprefix('tuple')}"


def _reason(error: dict[str, Any]) -> str:
    data = error.get("data")
    if isinstance(data, str) and data.startswith("0x08c379a0"):
        [text] = decode(["string"], bytes.fromhex(data[10:]))
        return str(text)
    return str(error["message"])


@contextmanager
def running_anvil(*options: str) -> Iterator[Chain]:
    port = free_port()
    process = subprocess.Popen(
        [anvil_binary(), "--hardfork", "cancun", "--port", str(port), "--chain-id", str(CHAIN_ID), *options],
        stdout=subprocess.DEVNULL,
    )
    chain = Chain(f"http://127.0.0.1:{port}")
    try:
        wait_until_up(chain)
        chain.rpc("anvil_autoImpersonateAccount", True)
        yield chain
    finally:
        process.kill()
        process.wait()
        chain._http.close()


def wait_until_up(chain: Chain) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            chain.rpc("eth_chainId")
        except httpx.TransportError:
            assert time.monotonic() < deadline, "anvil does not answer"
            time.sleep(0.02)
        else:
            return


@dataclass(frozen=True)
class Person:
    """An account with a key: a driver, an operator, a thief."""

    address: str
    key: str

    @classmethod
    def make(cls, chain: Chain, role: str) -> "Person":
        """Give the same account for the same role on each chain, with native money."""
        key = "0x" + keccak(text=f"test key of the {role}").hex()
        address: str = Account.from_key(key).address
        chain.rpc("anvil_setBalance", address, hex(10**24))
        return cls(address, key)

    def sign(
        self, domain: dict[str, object], primary: str, fields: str, message: dict[str, object]
    ) -> tuple[int, int, int]:
        """Give (v, r, s) over EIP-712; `fields` is written as in the type: `address payee,uint32 epoch`."""
        typed = {primary: [dict(zip(("type", "name"), f.split(), strict=True)) for f in fields.split(",")]}
        signed = Account.sign_message(encode_typed_data(domain, typed, message), self.key)
        return signed.v, signed.r, signed.s


def compact(signature: tuple[int, int, int]) -> tuple[int, int]:
    """Give EIP-2098: r, and s with the parity in its top bit."""
    v, r, s = signature
    return r, s | (v - 27) << 255
