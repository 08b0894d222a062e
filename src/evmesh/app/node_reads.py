"""Reads of a node that need no contract of ours: blocks' times and logs, both of which nodes prune."""

from collections.abc import Sequence
from typing import Any

from evmesh.domain.errors import ProtocolViolation
from evmesh.domain.ids import Address
from evmesh.ledger.rpc import JsonRpc, NodeRefused, from_hex

Json = dict[str, Any]


async def time_of(rpc: JsonRpc, block: int) -> int | None:
    """Give a block's time in seconds since 1970; None where the node does not have the block."""
    try:
        found = await rpc.call("eth_getBlockByNumber", hex(block), False)
    except NodeRefused:
        return None
    return None if found is None else quantity(found, "timestamp")


async def block_before(rpc: JsonRpc, instant: int) -> int | None:
    """Give the last block from before an instant (0 where none is), by halves; None where one is missing."""
    low, high = 0, await rpc.block_number() + 1
    while high - low > 1:
        middle = (low + high) // 2
        at = await time_of(rpc, middle)
        if at is None:
            return None
        low, high = (middle, high) if at < instant else (low, middle)
    return low


async def logs_of(
    rpc: JsonRpc, contract: Address, since: int, topics: Sequence[str | list[str]]
) -> list[Json] | None:
    """Give the logs of a contract from a block on, oldest first; None where the node refuses to."""
    wanted = {"address": contract.text, "fromBlock": hex(since), "toBlock": "latest", "topics": topics}
    try:
        found = await rpc.call("eth_getLogs", wanted)
    except NodeRefused:
        return None
    if not isinstance(found, list) or not all(isinstance(log, dict) for log in found):
        raise nonsense("eth_getLogs")
    return found


def logs_in(receipt: object, contract: Address) -> list[Json]:
    """Give the logs of one contract in a transaction's receipt; raises ProtocolViolation."""
    logs = receipt.get("logs") if isinstance(receipt, dict) else None
    if not isinstance(logs, list):
        raise nonsense("logs")
    found = [log for log in logs if isinstance(log, dict) and log.get("address") == contract.text]
    if not all(isinstance(log.get("topics"), list) for log in found):
        raise nonsense("topics")
    return found


def quantity(answer: object, key: str) -> int:
    """Give a number that an object of the node's has under a key; raises ProtocolViolation."""
    value = answer.get(key) if isinstance(answer, dict) else None
    if not isinstance(value, str) or not value.startswith("0x") or len(value) > 66:
        raise nonsense(key)
    try:
        return int(value, 16)
    except ValueError as error:
        raise nonsense(key) from error


def data(answer: object, key: str) -> bytes:
    """Give the bytes that an object of the node's has under a key; raises ProtocolViolation."""
    return from_hex(answer.get(key) if isinstance(answer, dict) else None)


def topic_of(address: Address) -> str:
    """Give an account as logs index it."""
    return "0x" + address.to_bytes().rjust(32, b"\0").hex()


def nonsense(what: str) -> ProtocolViolation:
    """Say that what the node gave for `what` is none."""
    return ProtocolViolation(
        "chain.nonsense",
        f"the node's answer has no {what} that could be one",
        do="check the address, or ask another node",
    )
