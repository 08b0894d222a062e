"""The port `DepositChain`, on the fake that service tests use and on a real chain."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.transfers import payout_nonce
from evmesh.ledger.signatures import keccak256
from tests.contract.deposit_places import DepositPlace, fake_place, real_place

STRANGER = Address("0x" + "5e" * 20)


@pytest.fixture(params=["fake", "anvil"])
async def place(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[DepositPlace]:
    if request.param == "fake":
        async with fake_place() as fake:
            yield fake
    else:
        async with real_place(tmp_path) as real:
            yield real


async def test_transfers_to_deposit_addresses_are_seen_and_no_others(place: DepositPlace) -> None:
    first = await place.chain.head() + 1
    mine = await place.send("driver", place.addresses[0], 3_000_000)
    await place.send("driver", STRANGER, 4_000_000)
    other = await place.send("neighbour", place.addresses[1], 5_000_000)
    await place.send("thief", place.addresses[0], 0)
    head = await place.chain.head()
    seen, reached = await place.chain.transfers(first, head)
    assert reached == head
    assert [(one.ref, one.sender, one.receiver, one.amount) for one in seen] == [
        (mine, place.sender("driver"), place.addresses[0], 3_000_000),
        (other, place.sender("neighbour"), place.addresses[1], 5_000_000),
    ]
    block, found = await place.chain.of_transaction(mine.tx_hash) or (0, ())
    assert (list(found), block) == ([seen[0]], seen[0].block)
    assert await place.chain.of_transaction(bytes(32)) is None
    assert list(await place.chain.balances(place.addresses)) == [3_000_000, 5_000_000]
    assert len(await place.chain.block_hash(head) or b"") == 32
    assert await place.chain.block_hash(head + 1_000) is None
    at = await place.chain.block_time(head)
    assert at is not None
    assert at.tzinfo is not None
    assert await place.chain.block_time(head + 1_000) is None
    assert await place.chain.gas_price() > 0
    assert await place.chain.why_closed() == ""


async def test_a_payment_is_made_once_by_key_and_once_by_nonce(place: DepositPlace) -> None:
    source, ref = place.addresses[0], await place.send("driver", place.addresses[0], 3_000_000)
    nonce = payout_nonce("return", ref, keccak256)
    assert await place.chain.payout_of(source, nonce) is None
    mined = await place.chain.pay(source, STRANGER, 1_000_000, nonce, "return:a")
    assert await place.chain.pay(source, STRANGER, 1_000_000, nonce, "return:a") == mined
    with pytest.raises(Refused):  # as after a journal that was lost
        await place.chain.pay(source, STRANGER, 1_000_000, nonce, "return:b")
    found = await place.chain.payout_of(source, nonce)
    assert found is not None
    assert found.tx_hash == mined.tx_hash
    assert await place.balance(STRANGER) == 1_000_000
    assert await place.balance(source) == 2_000_000


async def test_nothing_is_paid_that_is_not_there(place: DepositPlace) -> None:
    ref = await place.send("driver", place.addresses[0], 1_000)
    with pytest.raises(Refused, match="balance_too_small"):
        await place.chain.pay(
            place.addresses[0], STRANGER, 1_001, payout_nonce("due", ref, keccak256), "due:a"
        )
