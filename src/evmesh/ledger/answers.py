"""The shape of what a node answers, checked before anybody reads it.

Only what our own code reads of an answer is looked at: nodes add members of their own. Shapes are those
of the Ethereum JSON-RPC specification (execution-apis): a quantity is hexadecimal with 0x, data are
whole bytes of it.
"""

import re
from collections.abc import Callable
from typing import Any, Final

from evmesh.domain.errors import ProtocolViolation

LATEST_TIME: Final = 2**33
"""Seconds since 1970, in the year 2242: a block of a later time is no block of a chain we could use."""

_MOST_TRANSACTIONS: Final = 2**64 - 1
"""Of one account, EIP-2681."""

_QUANTITY: Final = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

Shape = Callable[[Any], bool]


def checked(method: str, result: Any) -> Any:
    """Give `result` if `method` may answer it; raises ProtocolViolation `chain.nonsense`.

    A method that is not known here may answer anything.
    """
    shape = _SHAPES.get(method)
    if shape is not None and not shape(result):
        raise nonsense(method, result)
    return result


def nonsense(method: str, result: object) -> ProtocolViolation:
    """Say that this is no answer to `method`."""
    return ProtocolViolation(
        "chain.nonsense",
        f"the node answered {printable(repr(result), 80)} to {method}",
        do="check that the address is that of an Ethereum node, and see its log",
    )


def printable(text: str, longest: int = 300) -> str:
    """Give what a stranger wrote so that it may be shown: no control characters, and not too long."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:longest])
    return shown if len(text) <= longest else shown + "…"


def _quantity(value: Any) -> bool:
    return isinstance(value, str) and _QUANTITY.fullmatch(value) is not None


def _data(value: Any) -> bool:
    return isinstance(value, str) and _DATA.fullmatch(value) is not None


def _count(value: Any) -> bool:
    return _quantity(value) and int(value, 16) < _MOST_TRANSACTIONS


def _time(value: Any) -> bool:
    return _quantity(value) and int(value, 16) < LATEST_TIME


def _list_of(item: Shape) -> Shape:
    return lambda value: isinstance(value, list) and all(item(one) for one in value)


def _either(*shapes: Shape) -> Shape:
    return lambda value: any(shape(value) for shape in shapes)


def _nothing(value: Any) -> bool:
    return value is None


def _object(needed: dict[str, Shape], optional: dict[str, Shape] | None = None) -> Shape:
    def holds(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and all(key in value and shape(value[key]) for key, shape in needed.items())
            and all(shape(value[key]) for key, shape in (optional or {}).items() if key in value)
        )

    return holds


_LOG: Final = _object(
    {"address": _data, "topics": _list_of(_data), "data": _data},
    {"blockNumber": _either(_quantity, _nothing), "transactionHash": _either(_data, _nothing)},
)
_RECEIPT: Final = _object(
    {
        "status": _quantity,
        "blockNumber": _quantity,
        "blockHash": _data,
        "transactionHash": _data,
        "gasUsed": _quantity,
    },
    {"logs": _list_of(_LOG)},
)
_TRANSACTION: Final = _object({}, {"to": _either(_data, _nothing), "input": _data, "value": _quantity})
_BLOCK: Final = _object(
    {}, {"number": _either(_quantity, _nothing), "hash": _either(_data, _nothing), "timestamp": _time}
)

_SHAPES: Final[dict[str, Shape]] = {
    "eth_chainId": _quantity,
    "eth_blockNumber": _quantity,
    "eth_gasPrice": _quantity,
    "eth_estimateGas": _quantity,
    "eth_getTransactionCount": _count,
    "eth_getBalance": _quantity,
    "eth_call": _data,
    "eth_getCode": _data,
    "eth_getBlockByNumber": _either(_BLOCK, _nothing),
    "eth_getTransactionByHash": _either(_TRANSACTION, _nothing),
    "eth_getTransactionReceipt": _either(_RECEIPT, _nothing),
    "eth_getLogs": _list_of(_LOG),
    "anvil_dumpState": _data,
    "txpool_status": _object({"pending": _quantity}),
}
