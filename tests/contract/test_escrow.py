"""The port Escrow (and Wallet) on a real chain."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from evmesh.domain.chain import Tab
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.ledger.claims import RowFate, row_words, rows_hash
from evmesh.ledger.quota import RelayPolicy
from evmesh.ports import Escrow, Wallet
from tests.contract.ledger_world import EURO, Ledger, another_payer, running_ledger


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


async def test_the_adapters_are_what_the_ports_ask_for(ledger: Ledger) -> None:
    escrow: Escrow = ledger.escrow()
    wallet: Wallet = (await ledger.wallet(units=0)).wallet
    assert await escrow.tab(ledger.keys.operator.address, wallet.address) == Tab(0, 0, 0, 0)


async def test_a_charge_is_paid_from_a_deposit_that_cost_the_driver_no_gas(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    await driver.deposit(escrow, 20 * EURO)
    assert await ledger.rpc.call("eth_getBalance", driver.address.text, "latest") == "0x0"
    assert await driver.wallet.balance() == 80 * EURO

    await escrow.claim([driver.claim(7 * EURO, cumulative=20 * EURO)], "claim:1")
    assert await escrow.tab(operator, driver.address) == Tab(7 * EURO, 20 * EURO, 0, 0)
    await escrow.payout("payout:1")
    assert await ledger.token().balance(operator) == 7 * EURO
    assert await escrow.account(operator) == (7 * EURO, 7 * EURO)

    await escrow.refund(driver.address, await escrow.tab(operator, driver.address), "refund:1")
    assert await driver.wallet.balance() == 93 * EURO
    assert await escrow.tab(operator, driver.address) == Tab(0, 0, 0, 1)


async def test_the_same_purpose_is_done_once(ledger: Ledger) -> None:
    escrow, driver = ledger.escrow(), await ledger.wallet()
    order = await driver.wallet.deposit_order(ledger.keys.operator.address, 20 * EURO, ledger.deadline())
    assert order is not None
    first = await escrow.deposit(order, "deposit:1")
    assert await escrow.deposit(order, "deposit:1") == first
    claimed = await escrow.claim([driver.claim(7 * EURO)], "claim:1")
    assert await ledger.escrow().claim([driver.claim(7 * EURO)], "claim:1") == claimed
    with pytest.raises(Refused, match=r"tab\.ceiling_already_reached"):
        await escrow.deposit(order, "deposit:2")


async def test_a_wallet_signs_only_what_is_missing(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    await driver.deposit(escrow, 20 * EURO)
    assert await driver.wallet.deposit_order(operator, 20 * EURO, ledger.deadline()) is None
    more = await driver.wallet.deposit_order(operator, 25 * EURO, ledger.deadline())
    assert more is not None
    assert more.value == 5 * EURO
    with pytest.raises(Refused, match=r"wallet\.too_little"):
        await driver.wallet.deposit_order(operator, 101 * EURO, ledger.deadline())
    for ceiling in (0, 2**96):
        with pytest.raises(Refused, match=r"wallet\.out_of_range"):
            await driver.wallet.deposit_order(operator, ceiling, ledger.deadline())


async def test_a_small_top_up_is_raised_to_what_is_worth_the_relayers_gas(ledger: Ledger) -> None:
    escrow = ledger.escrow(RelayPolicy(min_deposit=EURO // 10))
    driver, operator = await ledger.wallet(), ledger.keys.operator.address
    await driver.deposit(escrow, 2 * EURO)
    cents = EURO // 20
    small = await driver.wallet.deposit_order(operator, 2 * EURO + cents, ledger.deadline())
    assert small is not None
    with pytest.raises(Refused) as refused:
        await escrow.deposit(small, "deposit:2")
    assert refused.value.code == "relay.deposit_too_small"
    assert "0.10" in refused.value.what
    assert "0.10" in refused.value.do
    order = await driver.wallet.deposit_order(operator, 2 * EURO + cents, ledger.deadline(), least=EURO // 10)
    assert order is not None
    await escrow.deposit(order, "deposit:3")
    assert (await escrow.tab(operator, driver.address)).ceiling == 2 * EURO + EURO // 10
    above = await driver.wallet.deposit_order(operator, 4 * EURO, ledger.deadline(), least=EURO // 10)
    assert above is not None
    assert above.ceiling == 4 * EURO


async def test_a_deposit_signed_by_somebody_else_is_refused_before_it_costs_anything(ledger: Ledger) -> None:
    escrow, driver, thief = ledger.escrow(), await ledger.wallet(), await ledger.wallet("thief")
    order = await thief.wallet.deposit_order(ledger.keys.operator.address, 20 * EURO, ledger.deadline())
    assert order is not None
    with pytest.raises(Refused, match=r"tab\.top_up_not_signed_by_payer"):
        await escrow.deposit(replace(order, payer=driver.address), "deposit:1")
    with pytest.raises(IntegrityFailure, match=r"signature\.malformed"):
        await escrow.deposit(replace(order, top_up_signature=bytes(64)), "deposit:1")
    with pytest.raises(Refused, match=r"token\.allowance_too_small"):
        await escrow.deposit(replace(order, permit_signature=order.top_up_signature), "deposit:1")
    assert await ledger.journal.find("deposit:1") is None


async def test_an_expired_deposit_is_refused_in_words(ledger: Ledger) -> None:
    escrow, driver = ledger.escrow(), await ledger.wallet()
    order = await driver.wallet.deposit_order(ledger.keys.operator.address, 20 * EURO, ledger.deadline())
    assert order is not None
    ledger.clock.move(hours=2)
    await ledger.rpc.call("evm_setTime", int(ledger.clock.now().timestamp()))
    with pytest.raises(Refused) as refused:
        await escrow.deposit(order, "deposit:1")
    assert refused.value.code == "tab.top_up_too_late"
    assert refused.value.do == "sign it anew"


async def test_the_relayer_pays_only_for_its_own_operator_and_only_so_often(ledger: Ledger) -> None:
    escrow = ledger.escrow(RelayPolicy(min_deposit=EURO, requests=2, per_s=3600))
    driver = await ledger.wallet()
    elsewhere = await driver.wallet.deposit_order(driver.address, 20 * EURO, ledger.deadline())
    assert elsewhere is not None
    with pytest.raises(Refused, match=r"relay\.other_payee"):
        await escrow.deposit(elsewhere, "deposit:1")
    with pytest.raises(Refused, match=r"relay\.deposit_too_small"):
        await driver.deposit(escrow, EURO - 1)
    await driver.deposit(escrow, 2 * EURO, "deposit:2")
    await driver.deposit(escrow, 4 * EURO, "deposit:3")
    with pytest.raises(Refused, match=r"relay\.too_many"):
        await driver.deposit(escrow, 6 * EURO, "deposit:4")
    ledger.clock.move(hours=1)
    await driver.deposit(escrow, 6 * EURO, "deposit:4")


async def test_a_claim_settles_what_it_can(ledger: Ledger) -> None:
    escrow, driver, other = ledger.escrow(), await ledger.wallet(), await ledger.wallet("other driver")
    await driver.deposit(escrow, 20 * EURO)
    await other.deposit(escrow, 5 * EURO, "deposit:2")
    rows = [
        driver.claim(7 * EURO),
        driver.claim(6 * EURO),
        driver.claim(8 * EURO, epoch=1),
        replace(driver.claim(8 * EURO), amount=9 * EURO),
        another_payer(driver.claim(8 * EURO), other.address),
        other.claim(6 * EURO),
        replace(driver.claim(9 * EURO), signature=bytes(64)),
        driver.claim(8 * EURO, cumulative=20 * EURO),
    ]
    assert await escrow.claim_fates(rows) == [
        RowFate.SETTLED,
        RowFate.STALE,
        RowFate.OTHER_EPOCH,
        RowFate.MALFORMED,
        RowFate.NOT_THE_PAYER,
        RowFate.UNDERFUNDED,
        RowFate.MALFORMED,
        RowFate.SETTLED,
    ]
    await escrow.claim(rows[:3] + rows[5:], "claim:1")
    assert (await escrow.tab(ledger.keys.operator.address, driver.address)).spent == 8 * EURO


async def test_a_claim_of_nothing_is_refused_with_its_reason(ledger: Ledger) -> None:
    escrow, driver = ledger.escrow(), await ledger.wallet()
    await driver.deposit(escrow, 5 * EURO)
    with pytest.raises(Refused, match=r"claim\.underfunded"):
        await escrow.claim([driver.claim(6 * EURO)], "claim:1")
    await escrow.claim([driver.claim(5 * EURO)], "claim:1")
    with pytest.raises(Refused, match=r"claim\.stale"):
        await escrow.claim([driver.claim(5 * EURO)], "claim:2")
    for rows in ([], [driver.claim(EURO)] * 201):
        with pytest.raises(InvalidInput, match=r"claim\.too_many"):
            await escrow.claim(rows, "claim:3")


async def test_a_claim_that_another_transaction_overtook_is_not_taken_for_done(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    await driver.deposit(escrow, 20 * EURO)
    ledger.making_blocks.cancel()
    await asyncio.wait([ledger.making_blocks])
    tab = await escrow.tab(operator, driver.address)
    closing = asyncio.create_task(escrow.refund(driver.address, tab, "refund:1"))
    while not await ledger.journal.unmined(ledger.keys.relayer.address):
        await asyncio.sleep(0.01)
    claiming = asyncio.create_task(escrow.claim([driver.claim(7 * EURO)], "claim:1"))
    while not await ledger.journal.unmined(operator):
        await asyncio.sleep(0.01)
    ledger.making_blocks = asyncio.create_task(ledger.chain.run())
    await closing
    with pytest.raises(Refused, match=r"claim\.other_epoch"):
        await claiming
    assert await driver.wallet.balance() == 100 * EURO


async def test_a_driver_leaves_by_a_signature_and_gets_the_rest_a_day_later(ledger: Ledger) -> None:
    escrow, driver = ledger.escrow(), await ledger.wallet()
    await driver.deposit(escrow, 20 * EURO)
    with pytest.raises(Refused, match=r"tab\.exit_not_signed_by_payer"):
        await escrow.begin_exit(ledger.keys.relayer.address, 0, driver.exit(), "exit:1")
    await escrow.begin_exit(driver.address, 0, driver.exit(), "exit:1")
    with pytest.raises(Refused, match=r"tab\.exit_begun"):
        await driver.deposit(escrow, 30 * EURO, "deposit:2")
    with pytest.raises(Refused, match=r"tab\.exit_too_early"):
        await escrow.finish_exit(driver.address, "exit:2")
    ledger.clock.move(days=1, seconds=1)
    await ledger.rpc.call("evm_setTime", int(ledger.clock.now().timestamp()))
    await escrow.finish_exit(driver.address, "exit:2")
    assert await driver.wallet.balance() == 100 * EURO


async def test_a_refund_of_an_empty_or_an_old_tab_is_refused(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    with pytest.raises(Refused, match=r"tab\.nothing_to_close"):
        await escrow.refund(driver.address, await escrow.tab(operator, driver.address), "refund:1")
    await driver.deposit(escrow, 20 * EURO)
    before = await escrow.tab(operator, driver.address)
    await escrow.claim([driver.claim(7 * EURO)], "claim:1")
    with pytest.raises(Refused, match=r"tab\.final_total_below_spent"):
        await escrow.refund(driver.address, before, "refund:2")


def test_a_claim_row_and_its_hash_are_as_documented() -> None:
    r, vs, word = row_words(7, 9, 3, bytes(31) + b"\x01" + b"\x80" + bytes(30) + b"\x02")
    assert (r, vs) == (1, 1 << 255 | 2)
    assert word == 7 | 9 << 96 | 3 << 192
    words = (32, 1, r, vs, word)  # where the array begins, its length, the row
    assert rows_hash([[r, vs, word]]) == keccak(b"".join(item.to_bytes(32, "big") for item in words))
    with pytest.raises(InvalidInput):
        row_words(2**96, 2**96, 0, bytes(64))
