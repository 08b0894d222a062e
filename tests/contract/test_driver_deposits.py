"""Deposits by EIP-3009, and leaving, on a real chain: the driver never has gas."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.chain import Tab
from evmesh.domain.errors import Refused
from evmesh.ledger.quota import RelayPolicy
from tests.contract.ledger_world import EURO, Ledger, running_ledger

SALT = b"\x01" * 32


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


async def test_an_authorization_fills_and_tops_up_a_tab_without_gas_of_the_drivers(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    first = await driver.wallet.authorized_deposit(operator, 20 * EURO, ledger.deadline(), SALT)
    mined = await escrow.deposit_authorized(first, "authorized:1")
    assert await escrow.deposit_authorized(first, "authorized:1") == mined
    more = await driver.wallet.authorized_deposit(operator, 5 * EURO, ledger.deadline(), b"\x02" * 32)
    await escrow.deposit_authorized(more, "authorized:2")

    assert await escrow.tab(operator, driver.address) == Tab(0, 25 * EURO, 0, 0)
    assert await driver.wallet.balance() == 75 * EURO
    assert await ledger.rpc.call("eth_getBalance", driver.address.text, "latest") == "0x0"
    with pytest.raises(Refused) as refused:
        await escrow.deposit_authorized(first, "authorized:again")
    assert refused.value.code == "token.authorization_used"


async def test_what_the_driver_did_not_authorize_is_refused_in_words(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    order = await driver.wallet.authorized_deposit(operator, 20 * EURO, ledger.deadline(), SALT)
    for number, (bad, code) in enumerate(
        (
            (replace(order, value=21 * EURO), "token.wrong_signature"),
            (replace(order, salt=b"\x09" * 32), "token.wrong_signature"),
            (replace(order, payer=ledger.keys.notary.address), "token.wrong_signature"),
            (replace(order, payee=driver.address), "relay.other_payee"),
            (replace(order, value=EURO // 2), "relay.deposit_too_small"),
            (replace(order, valid_before=1), "token.authorization_too_late"),
        )
    ):
        with pytest.raises(Refused) as refused:
            await escrow.deposit_authorized(bad, f"authorized:bad:{number}")
        assert refused.value.code == code
        assert refused.value.do
    assert await escrow.tab(operator, driver.address) == Tab(0, 0, 0, 0)


async def test_junk_does_not_use_up_the_drivers_share_of_the_relayer(ledger: Ledger) -> None:
    escrow = ledger.escrow(RelayPolicy(requests=1))
    driver, operator = await ledger.wallet(), ledger.keys.operator.address
    order = await driver.wallet.authorized_deposit(operator, 20 * EURO, ledger.deadline(), SALT)
    for number in range(3):
        with pytest.raises(Refused, match=r"token\.wrong_signature"):
            await escrow.deposit_authorized(replace(order, value=30 * EURO), f"junk:{number}")
    await escrow.deposit_authorized(order, "authorized:1")
    again = await driver.wallet.authorized_deposit(operator, 2 * EURO, ledger.deadline(), b"\x02" * 32)
    with pytest.raises(Refused, match=r"relay\.too_many"):
        await escrow.deposit_authorized(again, "authorized:2")


async def test_a_wallet_authorizes_nothing_that_cannot_be(ledger: Ledger) -> None:
    escrow, driver, operator = ledger.escrow(), await ledger.wallet(), ledger.keys.operator.address
    for value in (-1, 0, 2**96):
        with pytest.raises(Refused, match=r"wallet\.out_of_range"):
            await driver.wallet.authorized_deposit(operator, value, ledger.deadline(), SALT)
    with pytest.raises(Refused, match=r"wallet\.too_little"):
        await driver.wallet.authorized_deposit(operator, 101 * EURO, ledger.deadline(), SALT)
    await driver.deposit(escrow, 20 * EURO)
    signature = driver.wallet.sign_exit(operator, 0)
    await escrow.begin_exit(driver.address, 0, signature, "exit:1")
    with pytest.raises(Refused, match=r"tab\.exit_begun"):
        await driver.wallet.authorized_deposit(operator, EURO, ledger.deadline(), SALT)
