"""The port `DriverRelay`: the same suite on the real contract and on the fake that the API's tests use."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from evmesh.domain.chain import AuthorizedDeposit, Tab
from evmesh.domain.errors import Refused
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Exit
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ledger.token import Faucet
from evmesh.ledger.wallet import LocalWallet
from evmesh.ports import DriverRelay, Escrow
from tests.contract.ledger_world import EURO, SetClock, running_ledger
from tests.fakes.money import FakeEscrow, FakeRelay
from tests.fakes.world import CONTRACTS

DRIVER = KeySigner(b"\x44" * 32)
THIEF = KeySigner(b"\x55" * 32)
SALT = b"\x07" * 32


@dataclass
class Bank:
    """An operator who relays for a driver with 100 euros."""

    escrow: Escrow
    relay: DriverRelay
    payee: Address
    domain: Domain
    clock: SetClock
    order: Callable[[int], Awaitable[AuthorizedDeposit]]
    rpc: JsonRpc | None = None

    async def tab(self) -> Tab:
        return await self.escrow.tab(self.payee, DRIVER.address)

    async def a_day_later(self) -> None:
        self.clock.move(days=1, seconds=1)
        if self.rpc is not None:
            await self.rpc.call("evm_setTime", int(self.clock.now().timestamp()))

    def exit(self, epoch: int, by: KeySigner = DRIVER) -> bytes:
        return by.sign(digest(self.domain, Exit(self.payee, epoch), keccak256))


@pytest.fixture(params=["fake", "chain"])
async def bank(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bank]:
    if request.param == "fake":
        clock, payee = SetClock(), KeySigner(b"\x11" * 32).address
        domain = Domain(CONTRACTS.chain_id, CONTRACTS.charge_tab)
        escrow = FakeEscrow(payee, domain, clock, balances={DRIVER.address: 100 * EURO})

        async def made(value: int) -> AuthorizedDeposit:
            return AuthorizedDeposit(DRIVER.address, payee, value, 0, 2**40, SALT, b"\1" * 64)

        yield Bank(escrow, FakeRelay(escrow), payee, domain, clock, made)
        return
    async with running_ledger(tmp_path) as ledger:
        faucet = Faucet(ledger.deployment.contracts.token, ledger.relayer(ledger.keys.deployer))
        await faucet.mint(DRIVER.address, 100 * EURO, key="mint:driver")
        wallet = LocalWallet(DRIVER, ledger.rpc, ledger.deployment.contracts)
        payee, tab = ledger.keys.operator.address, ledger.escrow()

        async def signed(value: int) -> AuthorizedDeposit:
            return await wallet.authorized_deposit(payee, value, ledger.deadline(), SALT)

        yield Bank(tab, tab, payee, ledger.domain, ledger.clock, signed, ledger.rpc)


async def test_a_driver_without_gas_comes_in_and_leaves(bank: Bank) -> None:
    deposited = await bank.relay.deposit_authorized(await bank.order(10 * EURO), "authorized:1")
    assert await bank.tab() == Tab(0, 10 * EURO, 0, 0)
    assert await bank.relay.deposit_authorized(await bank.order(10 * EURO), "authorized:1") == deposited
    with pytest.raises(Refused, match=r"tab\.no_exit_begun"):
        await bank.relay.finish_exit(DRIVER.address, "finish:0")

    begun = await bank.relay.begin_exit(DRIVER.address, 0, bank.exit(0), "exit:1")
    assert await bank.relay.begin_exit(DRIVER.address, 0, bank.exit(0), "exit:1") == begun
    assert (await bank.tab()).exit_at > bank.clock.now().timestamp()
    with pytest.raises(Refused, match=r"tab\.exit_too_early"):
        await bank.relay.finish_exit(DRIVER.address, "finish:1")

    await bank.a_day_later()
    await bank.relay.finish_exit(DRIVER.address, "finish:2")
    assert await bank.tab() == Tab(0, 0, 0, 1)


async def test_an_exit_that_the_driver_did_not_sign_begins_nothing(bank: Bank) -> None:
    await bank.relay.deposit_authorized(await bank.order(10 * EURO), "authorized:1")
    with pytest.raises(Refused, match=r"tab\.exit_not_signed_by_payer"):
        await bank.relay.begin_exit(DRIVER.address, 0, bank.exit(0, THIEF), "exit:1")
    with pytest.raises(Refused, match=r"tab\.other_epoch"):
        await bank.relay.begin_exit(DRIVER.address, 1, bank.exit(1), "exit:2")
    assert await bank.tab() == Tab(0, 10 * EURO, 0, 0)
