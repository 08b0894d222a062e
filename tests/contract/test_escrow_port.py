"""The port `Escrow`: the same suite on the real contract and on the fake that the services' tests use."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from evmesh.domain.chain import Claim, DepositOrder, Mined, Tab
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import TopUp, Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ledger.token import Faucet
from evmesh.ledger.wallet import LocalWallet
from evmesh.ports import Escrow, Signer
from tests.contract.ledger_world import EURO, SetClock, running_ledger
from tests.fakes.money import FakeEscrow
from tests.fakes.world import CONTRACTS

DRIVER = KeySigner(b"\x44" * 32)
THIEF = KeySigner(b"\x55" * 32)


@dataclass
class Bank:
    """An escrow, whose payee it is, and a driver with 100 euros."""

    escrow: Escrow
    payee: Signer
    domain: Domain
    clock: SetClock

    async def order(self, ceiling: int) -> DepositOrder:
        raise NotImplementedError

    def sign_top_up(self, epoch: int, ceiling: int, deadline: int) -> bytes:
        top_up = TopUp(self.payee.address, epoch, ceiling, deadline)
        return DRIVER.sign(digest(self.domain, top_up, keccak256))

    def deadline(self) -> int:
        return int(self.clock.now().timestamp()) + 3600

    def claim(self, amount: int, cumulative: int = 0, epoch: int = 0, by: KeySigner = DRIVER) -> Claim:
        cumulative = cumulative or amount
        voucher = Voucher(self.payee.address, epoch, cumulative)
        signature = by.sign(digest(self.domain, voucher, keccak256))
        return Claim(DRIVER.address, epoch, cumulative, amount, signature)

    async def tab(self) -> Tab:
        return await self.escrow.tab(self.payee.address, DRIVER.address)


class FakeBank(Bank):
    async def order(self, ceiling: int) -> DepositOrder:
        tab = await self.tab()
        deadline = self.deadline()
        signature = self.sign_top_up(tab.epoch, ceiling, deadline)
        value = ceiling - tab.ceiling
        return DepositOrder(
            DRIVER.address, self.payee.address, tab.epoch, ceiling, value, deadline, b"\1" * 65, signature
        )


class ChainBank(Bank):
    wallet: LocalWallet

    async def order(self, ceiling: int) -> DepositOrder:
        order = await self.wallet.deposit_order(self.payee.address, ceiling, self.deadline())
        assert order is not None
        return order


@pytest.fixture(params=["fake", "chain"])
async def bank(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bank]:
    if request.param == "fake":
        clock, payee = SetClock(), KeySigner(b"\x11" * 32)
        domain = Domain(CONTRACTS.chain_id, CONTRACTS.charge_tab)
        escrow = FakeEscrow(payee.address, domain, clock, balances={DRIVER.address: 100 * EURO})
        yield FakeBank(escrow, payee, domain, clock)
        return
    async with running_ledger(tmp_path) as ledger:
        faucet = Faucet(ledger.deployment.contracts.token, ledger.relayer(ledger.keys.deployer))
        await faucet.mint(DRIVER.address, 100 * EURO, key="mint:driver")
        bank = ChainBank(ledger.escrow(), ledger.keys.operator, ledger.domain, ledger.clock)
        bank.wallet = LocalWallet(DRIVER, ledger.rpc, ledger.deployment.contracts)
        yield bank


async def test_money_goes_in_is_claimed_and_the_rest_comes_back(bank: Bank) -> None:
    escrow = bank.escrow
    assert await bank.tab() == Tab(0, 0, 0, 0)
    assert await escrow.account(bank.payee.address) == (0, 0)

    order = await bank.order(10 * EURO)
    deposited = await escrow.deposit(order, "deposit:1")
    assert isinstance(deposited, Mined)
    assert await bank.tab() == Tab(0, 10 * EURO, 0, 0)
    assert await escrow.deposit(order, "deposit:1") == deposited
    assert (await bank.tab()).ceiling == 10 * EURO

    claimed = await escrow.claim([bank.claim(3 * EURO, cumulative=5 * EURO)], "claim:1")
    assert await bank.tab() == Tab(3 * EURO, 10 * EURO, 0, 0)
    assert (await escrow.claim([bank.claim(3 * EURO, cumulative=5 * EURO)], "claim:1")) == claimed
    assert await escrow.account(bank.payee.address) == (3 * EURO, 0)

    tab = await bank.tab()
    refunded = await escrow.refund(DRIVER.address, tab, "refund:1")
    assert await bank.tab() == Tab(0, 0, 0, 1)
    assert await escrow.refund(DRIVER.address, await bank.tab(), "refund:1") == refunded
    assert await bank.tab() == Tab(0, 0, 0, 1)

    await escrow.payout("payout:1")
    assert await escrow.account(bank.payee.address) == (3 * EURO, 3 * EURO)


async def test_what_cannot_be_claimed_is_refused_and_moves_nothing(bank: Bank) -> None:
    await bank.escrow.deposit(await bank.order(10 * EURO), "deposit:1")
    await bank.escrow.claim([bank.claim(3 * EURO)], "claim:1")
    for number, (claim, code) in enumerate(
        (
            (bank.claim(3 * EURO), "claim.stale"),
            (bank.claim(2 * EURO), "claim.stale"),
            (bank.claim(4 * EURO, epoch=1), "claim.other_epoch"),
            (bank.claim(11 * EURO), "claim.underfunded"),
        )
    ):
        with pytest.raises(Refused) as refused:
            await bank.escrow.claim([claim], f"claim:bad:{number}")
        assert refused.value.code == code
    for number, claim in enumerate((bank.claim(4 * EURO, by=THIEF), bank.claim(4 * EURO, cumulative=EURO))):
        with pytest.raises(Refused):
            await bank.escrow.claim([claim], f"claim:false:{number}")
    assert await bank.tab() == Tab(3 * EURO, 10 * EURO, 0, 0)


async def test_a_deposit_that_the_payer_did_not_sign_is_refused(bank: Bank) -> None:
    order = await bank.order(10 * EURO)
    other_payee = replace(order, payee=Address("0x" + "9" * 40))
    stolen = replace(order, ceiling=20 * EURO, value=20 * EURO)
    for number, bad in enumerate((other_payee, stolen)):
        with pytest.raises(Refused):
            await bank.escrow.deposit(bad, f"deposit:bad:{number}")
    assert await bank.tab() == Tab(0, 0, 0, 0)


async def test_a_tab_in_its_next_epoch_starts_from_nothing(bank: Bank) -> None:
    await bank.escrow.deposit(await bank.order(4 * EURO), "deposit:1")
    await bank.escrow.refund(DRIVER.address, await bank.tab(), "refund:1")
    await bank.escrow.deposit(await bank.order(2 * EURO), "deposit:2")
    with pytest.raises(Refused, match=r"claim\.other_epoch"):
        await bank.escrow.claim([bank.claim(EURO, epoch=0)], "claim:old")
    await bank.escrow.claim([bank.claim(EURO, epoch=1)], "claim:new")
    assert await bank.tab() == Tab(EURO, 2 * EURO, 0, 1)


async def test_of_a_batch_it_is_known_which_rows_were_settled_and_why_the_others_were_not(bank: Bank) -> None:
    await bank.escrow.deposit(await bank.order(10 * EURO), "deposit:1")
    rows = [bank.claim(3 * EURO), bank.claim(2 * EURO), bank.claim(11 * EURO), bank.claim(EURO, epoch=1)]
    fates = [str(fate) for fate in await bank.escrow.claim_fates(rows)]
    assert fates == ["settled", "stale", "underfunded", "other_epoch"]
    assert (await bank.tab()).spent == 0  # nothing is claimed by asking
    assert not await bank.escrow.has_signed("claim:batch")
    mined = await bank.escrow.claim(rows, "claim:batch")
    assert await bank.escrow.has_signed("claim:batch")
    assert await bank.escrow.settled_rows(mined, len(rows)) == [True, False, False, False]
    assert (await bank.tab()).spent == 3 * EURO


async def test_it_says_how_late_it_is_and_how_long_an_exit_takes(bank: Bank) -> None:
    await bank.escrow.deposit(await bank.order(EURO), "deposit:1")  # a block is made
    assert await bank.escrow.window() == 86_400
    assert abs(await bank.escrow.block_time() - bank.clock.now().timestamp()) <= 10
