"""How a tab's total rose in one epoch, read from the logs and calls of the escrow.

A settled claim row leaves no event of its own: what was claimed of whom stands in the call, and the
`Claimed` event says which of its rows were settled.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from evmesh.app.node_reads import Json, data, logs_in, logs_of, nonsense, quantity, topic_of
from evmesh.domain.errors import EvmeshError
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import ChainRef
from evmesh.domain.signed_types import Refill, Voucher
from evmesh.domain.typed_data import TypedStruct, digest
from evmesh.ledger.abi import decode_values, encode_call, event_topic
from evmesh.ledger.rpc import JsonRpc, NodeRefused, from_hex
from evmesh.ledger.signatures import EthereumSignatures, keccak256
from evmesh.verify.chain_facts import MinedCall, TabMove

_CLAIMED: Final = event_topic("Claimed(address,uint256,uint256)")
_CLOSED: Final = event_topic("Closed(address,address,uint256,uint256,uint256)")
_MOST_CALLS: Final = 2_000
"""Claims of an operator since the charge that are looked through; behind more of them nothing is said."""

_AT_ONCE: Final = 100
_MAX_ROWS: Final = 200
_MASK96: Final = 2**96 - 1


def _selectors(*signatures: str) -> frozenset[bytes]:
    return frozenset(keccak256(one.encode())[:4] for one in signatures)


_WITH_PAYEE: Final = ("", ",address", ",address,uint256", ",address,uint256,uint256[2]")
_CLAIM: Final = _selectors(*(f"claim(uint256[3][]{more})" for more in _WITH_PAYEE))
_CLAIM_REFILL: Final = _selectors(*(f"claim_refill(uint256[4][]{more})" for more in _WITH_PAYEE))
_CLOSE: Final = "close(address,address,uint256,uint256,uint256,uint256,uint256"
_CLOSE_AGREED: Final = _selectors(
    *(f"{_CLOSE}{more})" for more in (",uint256", 2 * ",uint256", 3 * ",uint256"))
)
_AGREED_WORD: Final = 7


@dataclass(frozen=True, slots=True)
class _Tab:
    """Whose tab is looked at, in which epoch."""

    chain: ChainRef
    payee: Address
    payer: Address
    epoch: int | None = None
    """None for any."""


async def read_call(
    rpc: JsonRpc, chain: ChainRef, payee: Address, payer: Address, hash: bytes
) -> MinedCall | None:
    """Give what one transaction did to a tab, in whatever epoch; None where the node does not have it."""
    tab, text = _Tab(chain, payee, payer), "0x" + hash.hex()
    receipt, call = await rpc.batch(
        [("eth_getTransactionReceipt", (text,)), ("eth_getTransactionByHash", (text,))]
    )
    if receipt is None or call is None:
        return None
    moves = list[TabMove]()
    for log in logs_in(receipt, chain.escrow):
        topics = log["topics"]
        if topics[:2] == [_CLAIMED, topic_of(payee)] or topics == [_CLOSED, topic_of(payee), topic_of(payer)]:
            moves += _moves_of(tab, log, call, text) or []
    block = quantity(receipt, "blockNumber")
    if len(moves) == 1 and moves[0].before is None and not moves[0].closes:
        moves = [replace(moves[0], before=await _spent_before(rpc, tab, moves[0], block))]
    return MinedCall(block, quantity(receipt, "status") == 1, tuple(moves))


async def _spent_before(rpc: JsonRpc, tab: _Tab, move: TabMove, block: int) -> int | None:
    """Give what a tab had spent before a claim of many tabs, which says only what it moved in all.

    By the state of the block before, where the node still has it and this is the tab's only move since.
    """
    chain = tab.chain
    moved = await read_moves(rpc, chain, tab.payee, tab.payer, move.epoch or 0, block)
    if moved is None or [one.transaction for one in moved if one.total <= move.total] != [move.transaction]:
        return None
    asked = {
        "to": chain.escrow.text,
        "data": "0x" + encode_call("tab(address,address)", tab.payee, tab.payer).hex(),
    }
    try:
        found = await rpc.call("eth_call", asked, hex(max(0, block - 1)))
    except NodeRefused:
        return None
    spent, _, _, epoch = decode_values(("uint256",) * 4, from_hex(found))
    return spent if epoch == move.epoch else None


async def read_moves(
    rpc: JsonRpc, chain: ChainRef, payee: Address, payer: Address, epoch: int, since: int
) -> tuple[TabMove, ...] | None:
    """Give the moves from block `since` on, oldest first; None where the node's logs do not show them."""
    tab = _Tab(chain, payee, payer, epoch)
    claims = await logs_of(rpc, chain.escrow, since, [_CLAIMED, topic_of(payee)])
    closes = await logs_of(rpc, chain.escrow, since, [_CLOSED, topic_of(payee), topic_of(payer)])
    if claims is None or closes is None or len(claims) + len(closes) > _MOST_CALLS:
        return None
    logs = sorted(
        [*claims, *closes], key=lambda log: (quantity(log, "blockNumber"), quantity(log, "logIndex"))
    )
    moves = list[TabMove]()
    for first in range(0, len(logs), _AT_ONCE):
        some = logs[first : first + _AT_ONCE]
        hashes = ["0x" + data(log, "transactionHash").hex() for log in some]
        calls = await rpc.batch([("eth_getTransactionByHash", (one,)) for one in hashes])
        for log, hash, call in zip(some, hashes, calls, strict=True):
            some_moves = None if call is None else _moves_of(tab, log, call, hash)
            if some_moves is None:
                return None
            moves += some_moves
    return tuple(moves)


def _moves_of(tab: _Tab, log: Json, call: Json, hash: str) -> list[TabMove] | None:
    """Read one event and the call behind it; None where the call does not show which rows were claimed.

    So it is where the claim went through another contract: any tab of this payee may have moved.
    """
    direct = call.get("to") == tab.chain.escrow.text
    sent = data(call, "input") if direct else b""
    topics = log.get("topics")
    if not isinstance(topics, list) or not topics:
        raise nonsense("topics")
    if topics[0] == _CLOSED:
        epoch, amount, returned = decode_values(("uint256",) * 3, data(log, "data"))
        agreed = _word(sent, _AGREED_WORD) if sent[:4] in _CLOSE_AGREED else None
        move = TabMove(amount, agreed, closes=True, returned=returned, transaction=hash, epoch=epoch)
        return [move] if tab.epoch in (None, epoch) else []
    claimed, settled = decode_values(("uint256", "uint256"), data(log, "data"))
    words = 3 if sent[:4] in _CLAIM else 4 if sent[:4] in _CLAIM_REFILL else 0
    given = list(_rows(sent[4:], words))
    if settled >> len(given):
        return None
    rows = [row for number, row in enumerate(given) if settled >> number & 1]
    return [
        TabMove(
            total=row[2] & _MASK96,
            cumulative=row[2] >> 96 & _MASK96,
            before=(row[2] & _MASK96) - claimed if len(rows) == 1 else None,
            transaction=hash,
            epoch=row[2] >> 192,
        )
        for row in rows
        if tab.epoch in (None, row[2] >> 192) and _signed(tab, row)
    ]


def _rows(arguments: bytes, words: int) -> Iterator[list[int]]:
    """Give the claim rows of a call, each of so many words; none where they cannot be read."""
    begin = int.from_bytes(arguments[:32], "big")
    count = int.from_bytes(arguments[begin : begin + 32], "big") if begin < len(arguments) else 0
    for number in range(min(count, _MAX_ROWS) if words else 0):
        row = arguments[begin + 32 + number * 32 * words :][: 32 * words]
        if len(row) < 32 * words:
            return
        yield [int.from_bytes(row[at : at + 32], "big") for at in range(0, 32 * words, 32)]


def _signed(tab: _Tab, row: list[int]) -> bool:
    """Tell whether the payer signed a row, as a Voucher or, with a fourth word, as a Refill."""
    cumulative, epoch = row[2] >> 96 & _MASK96, row[2] >> 192
    owed: TypedStruct = Voucher(tab.payee, epoch, cumulative)
    if len(row) == 4:
        if row[3] >> 128:
            return False
        owed = Refill(tab.payee, epoch, cumulative, row[3] & _MASK96, row[3] >> 96)
    signature = row[0].to_bytes(32, "big") + row[1].to_bytes(32, "big")
    try:
        signer = EthereumSignatures().recover(digest(tab.chain.money, owed, keccak256), signature)
    except EvmeshError:
        return False
    return signer == tab.payer


def _word(sent: bytes, number: int) -> int:
    return int.from_bytes(sent[4 + 32 * number :][:32], "big")
