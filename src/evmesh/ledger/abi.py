"""Calls and artifacts: Solidity's ABI for the few shapes that our contracts have."""

import functools
import json
from collections.abc import Sequence
from importlib import resources
from typing import Any

from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.ids import Address
from evmesh.ledger.signatures import keccak256


def encode_call(signature: str, *values: object) -> bytes:
    """Encode e.g. `transfer(address,uint256)`; an Address stands for itself."""
    selector, types = _parsed(signature)
    return selector + encode(types, [_plain(value) for value in values])


def encode_values(types: Sequence[str], *values: object) -> bytes:
    """Encode values without a selector, as constructors take them."""
    return encode(types, [_plain(value) for value in values])


def decode_values(types: Sequence[str], raw: bytes) -> tuple[Any, ...]:
    """Decode what a contract returned; addresses come as `Address`.

    Raises ProtocolViolation `chain.not_the_contract` where this is not what the contract would say,
    as happens where another contract, or none, is at the address.
    """
    try:
        values = decode(types, raw)
    except (DecodingError, ValueError) as error:
        raise ProtocolViolation(
            "chain.not_the_contract",
            "the account did not answer as the contract should",
            do="check the addresses in contracts.json, and that the chain is the right one",
        ) from error
    pairs = zip(types, values, strict=True)
    return tuple(Address.parse(value) if kind == "address" else value for kind, value in pairs)


def event_topic(signature: str) -> str:
    """Give the topic that an event of this signature carries."""
    return "0x" + keccak256(signature.encode()).hex()


@functools.cache
def artifact(name: str) -> dict[str, Any]:
    """Load a contract's committed artifact."""
    text = resources.files("evmesh.ledger").joinpath("artifacts", f"{name}.json").read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def creation_code(name: str, *arguments: object) -> bytes:
    """Give the code that makes the contract with these constructor arguments."""
    built = artifact(name)
    constructors = [entry for entry in built["abi"] if entry["type"] == "constructor"]
    types = [item["type"] for entry in constructors for item in entry["inputs"]]
    return bytes.fromhex(built["bytecode"][2:]) + encode_values(types, *arguments)


@functools.cache
def _parsed(signature: str) -> tuple[bytes, tuple[str, ...]]:
    inner = signature[signature.index("(") + 1 : -1]
    types: list[str] = []
    depth = 0
    for char in inner:
        if char == "," and depth == 0:
            types.append("")
            continue
        depth += (char == "(") - (char == ")")
        if not types:
            types.append("")
        types[-1] += char
    return keccak256(signature.encode())[:4], tuple(types)


def _plain(value: object) -> object:
    return value.text if isinstance(value, Address) else value
