"""What a node says on transfers: an event counts once, in its place, and a payment for its own deposit."""

import asyncio
from dataclasses import replace
from typing import Any, cast

import pytest

from evmesh.app.deposit_facts import read_deposit, read_payouts, read_received
from evmesh.app.node_reads import topic_of
from evmesh.domain.ids import Address
from evmesh.domain.receipt_payment import PaidTransfer
from evmesh.domain.transfers import PER_ADDRESS, Purpose, TransferRef, payout_nonce
from evmesh.ledger.abi import event_topic
from evmesh.ledger.deposits import TRANSFER
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import keccak256
from evmesh.verify.chain_facts import NO_TRANSFER, TransferLog
from evmesh.verify.report import Status
from tests.unit.verify.receipt_factory import DRIVER, OPERATOR, THIEF
from tests.unit.verify.test_transfer_receipts import given_back
from tests.unit.verify.transfer_factory import (
    DEPOSIT,
    FIRST,
    OTHER,
    PAID,
    PAYMENT,
    SECOND,
    checks,
    made,
)

TOKEN = made().chain.token
USED = event_topic("AuthorizationUsed(address,bytes32)")


def log(number: int, topics: list[str], amount: int) -> dict[str, Any]:
    return {
        "address": TOKEN.text,
        "logIndex": hex(number),
        "topics": topics,
        "data": "0x" + amount.to_bytes(32, "big").hex(),
    }


def moved(number: int, sender: Address, receiver: Address, amount: int) -> dict[str, Any]:
    return log(number, [TRANSFER, topic_of(sender), topic_of(receiver)], amount)


def used(number: int, purpose: Purpose, first: TransferRef) -> dict[str, Any]:
    nonce = payout_nonce(purpose, first, keccak256)
    return log(number, [USED, topic_of(DEPOSIT), "0x" + nonce.hex()], 0)


class Node:
    """A chain whose every transaction is one, in block 40, with these logs."""

    def __init__(self, *logs: dict[str, Any]) -> None:
        self._logs = list(logs)

    async def call(self, method: str, *_: object) -> object:
        if method == "eth_getBlockByNumber":
            return {"timestamp": "0x64"}
        assert method == "eth_getTransactionReceipt"
        return {"logs": self._logs, "blockNumber": "0x28", "status": "0x1"}

    async def read(self, to: Address, call: bytes) -> bytes:
        return bytes(32)


def rpc(*logs: dict[str, Any]) -> JsonRpc:
    return cast(JsonRpc, Node(*logs))


BOTH = (moved(3, DRIVER.address, DEPOSIT, 3_000_000), moved(4, DRIVER.address, DEPOSIT, 2_100_000))


def received(*logs: dict[str, Any], named: tuple[PaidTransfer, ...] = PAID) -> Any:
    receipt = made(payment=replace(PAYMENT, transfers=named))
    facts = asyncio.run(read_deposit(rpc(*logs), receipt, 0))
    assert facts is not None
    return facts.transfers


def test_each_transfer_is_read_at_its_rank_among_those_to_the_address() -> None:
    between = (
        moved(1, DRIVER.address, THIEF.address, 1),
        moved(2, THIEF.address, DEPOSIT, 0),
        *reversed(BOTH),
    )
    expected = tuple(TransferLog(one.sender, DEPOSIT, one.amount) for one in PAID)
    assert received(*between) == expected


def test_a_transfer_that_follows_one_to_another_charge_point_is_read_at_its_rank_too() -> None:
    named = (PAID[0], replace(PAID[1], ref=TransferRef(FIRST.tx_hash, PER_ADDRESS + 1)))
    assert received(*BOTH, named=named)[1] == TransferLog(DRIVER.address, DEPOSIT, 2_100_000)


def test_the_times_of_the_blocks_are_told_where_the_transfer_is_in_them() -> None:
    other = replace(PAID[1], ref=SECOND, log_index=9)
    facts = asyncio.run(
        read_deposit(rpc(*BOTH), made(payment=replace(PAYMENT, transfers=(PAID[0], other))), 0)
    )
    assert facts is not None
    assert (facts.transfers[1], facts.made_at[0]) == (None, 100)


def test_one_event_never_counts_as_two_transfers() -> None:
    twice = (PAID[0], PaidTransfer(SECOND, 4, 40, DRIVER.address, 3_000_000))
    assert received(BOTH[0], named=twice)[1] == NO_TRANSFER
    receipt = made(payment=replace(PAYMENT, transfers=twice))
    facts = asyncio.run(read_deposit(rpc(BOTH[0]), receipt, 0))
    found = checks(receipt, facts)["vouchers"]
    assert (found.status, found.what) == (Status.FAILED, "its transaction brought no such transfer")


@pytest.mark.parametrize("other", [replace(PAID[1], log_index=5), replace(PAID[1], block=41)])
def test_a_transfer_in_another_place_than_is_named_is_none_that_the_node_has(other: PaidTransfer) -> None:
    assert received(*BOTH, named=(PAID[0], other))[1] is None


def test_a_settlements_transfers_are_read_like_a_receipts() -> None:
    counted, lost = asyncio.run(read_received(rpc(*BOTH), given_back()))
    assert counted == tuple(TransferLog(one.sender, DEPOSIT, one.amount) for one in PAID)
    assert lost == ()


@pytest.mark.parametrize(
    ("logs", "paid"),
    [
        ((used(1, "return", FIRST), moved(2, DEPOSIT, DRIVER.address, 5)), [5]),
        (
            (
                used(1, "due", FIRST),
                moved(2, DEPOSIT, OPERATOR.address, 7),
                used(3, "return", FIRST),
                moved(4, DEPOSIT, DRIVER.address, 5),
            ),
            [7, 5],
        ),
        ((used(1, "return", OTHER), moved(2, DEPOSIT, DRIVER.address, 5)), []),
        (
            (
                used(1, "return", FIRST),
                moved(2, DEPOSIT, DRIVER.address, 5),
                used(3, "return", OTHER),
                moved(4, DEPOSIT, DRIVER.address, 5),
            ),
            [],
        ),
    ],
)
def test_a_payment_of_another_deposit_is_none_of_this(
    logs: tuple[dict[str, Any], ...], paid: list[int]
) -> None:
    call = asyncio.run(read_payouts(rpc(*logs), given_back(), b"\1" * 32))
    assert call is not None
    assert [one.amount for one in call.paid] == paid
