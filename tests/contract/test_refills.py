"""The operator's refills on a real chain."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.chain import RefillClaim, RefillOutcome, Tab
from evmesh.domain.errors import InvalidInput, Refused
from evmesh.domain.signed_types import Refill
from evmesh.domain.typed_data import digest
from evmesh.ledger.abi import encode_call
from evmesh.ledger.refills import Refills
from evmesh.ledger.signatures import KeySigner, keccak256
from tests.contract.ledger_world import EURO, Driver, Ledger, running_ledger

BOTH = RefillOutcome(settled=True, pulled=True)
NEITHER = RefillOutcome(settled=False, pulled=False)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


async def allowing(ledger: Ledger, role: str, *, allowed: int) -> Driver:
    """Give a driver with 20 in the tab that lets it take `allowed` more."""
    driver = await ledger.wallet(role)
    await driver.deposit(ledger.escrow(), 20 * EURO, f"deposit:{role}")
    if allowed:
        await ledger.chain.fund(driver.address)
        account = ledger.relayer(KeySigner(keccak256(f"wallet of the {role}".encode())))
        data = encode_call("approve(address,uint256)", ledger.deployment.contracts.charge_tab, allowed)
        await account.submit(f"approve:{role}", ledger.deployment.contracts.token, data)
    return driver


def refill(ledger: Ledger, driver: Driver, amount: int, ceiling: int) -> RefillClaim:
    deadline = ledger.deadline()
    signed = Refill(ledger.keys.operator.address, 0, amount, ceiling, deadline)
    signature = driver.wallet.sign(digest(ledger.domain, signed, keccak256))
    return RefillClaim(0, amount, amount, ceiling, deadline, signature)


def refills(ledger: Ledger) -> Refills:
    return Refills(ledger.deployment.contracts.charge_tab, ledger.relayer(ledger.keys.operator))


async def test_each_row_says_for_itself_what_was_settled_and_what_was_pulled(ledger: Ledger) -> None:
    driver = await allowing(ledger, "driver", allowed=50 * EURO)
    mean = await allowing(ledger, "mean driver", allowed=0)
    rows = [
        refill(ledger, driver, 15 * EURO, 30 * EURO),
        refill(ledger, mean, 5 * EURO, 30 * EURO),
        replace(refill(ledger, driver, 16 * EURO, 31 * EURO), epoch=7),
    ]
    done = await refills(ledger).claim(rows, "refill:1")
    assert done.outcomes == (BOTH, RefillOutcome(settled=True, pulled=False), NEITHER)
    assert done.credited == 10 * EURO
    operator = ledger.keys.operator.address
    assert await ledger.escrow().tab(operator, driver.address) == Tab(15 * EURO, 30 * EURO, 0, 0)
    assert await ledger.escrow().tab(operator, mean.address) == Tab(5 * EURO, 20 * EURO, 0, 0)
    assert await ledger.escrow().account(operator) == (20 * EURO, 0)

    assert await refills(ledger).claim(rows, "refill:1") == done
    with pytest.raises(Refused, match=r"refill\.nothing"):
        await refills(ledger).claim(rows[2:], "refill:2")


async def test_rows_that_cannot_be_written_are_refused(ledger: Ledger) -> None:
    driver = await ledger.wallet()
    row = refill(ledger, driver, EURO, 2 * EURO)
    for bad in (replace(row, ceiling=2**96), replace(row, deadline=2**32), replace(row, amount=-1)):
        with pytest.raises(InvalidInput, match=r"claim\.malformed"):
            await refills(ledger).claim([bad], "refill:bad")
    for rows in ([], [row] * 201):
        with pytest.raises(InvalidInput, match=r"claim\.too_many"):
            await refills(ledger).claim(rows, "refill:many")
