"""A yard whose money and notary are contracts on a real anvil, which tests can take away and bring back."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from evmesh.domain.ids import Address
from evmesh.ledger.escrow import ChargeTab
from evmesh.ledger.refills import Refills
from evmesh.ledger.relayer import Relayer
from evmesh.ledger.token import Faucet, Token
from evmesh.ledger.wallet import LocalWallet
from evmesh.services.directory import Operator
from tests.contract.ledger_world import EURO, Ledger, running_ledger
from tests.drivers.clocks import HandClock
from tests.fakes import world as fakes
from tests.fakes.world import Driver, World, eventually, open_world


@dataclass
class ChainYard:
    """The services, the ledger under them, and the way to cut the line between the two."""

    world: World
    ledger: Ledger
    escrow: ChargeTab
    operator: Operator
    account: Relayer
    """The operator's account, and the relayer's: each counts its nonces by itself."""
    relayer: Relayer

    async def fill(self, driver: Driver, ceiling: int, *, mint: int = 100 * EURO) -> None:
        """Put money into the driver's tab, by a real deposit."""
        contracts = self.ledger.deployment.contracts
        if mint:
            faucet = Faucet(contracts.token, self.ledger.relayer(self.ledger.keys.deployer))
            await faucet.mint(driver.address, mint, key=f"mint:{driver.address}")
        wallet = LocalWallet(driver.key, self.ledger.rpc, contracts)
        deadline = int(self.world.clock.now().timestamp()) + 3600
        order = await wallet.deposit_order(self.operator.payee.address, ceiling, deadline)
        assert order is not None
        await self.escrow.deposit(order, f"deposit:{driver.address}:{ceiling}")

    async def spent(self, driver: Driver) -> int:
        """Give what the chain says that the driver's tab has spent."""
        return (await self.escrow.tab(self.operator.payee.address, driver.address)).spent

    async def take_chain_away(self) -> None:
        """Kill anvil after its last dump; nobody starts it again."""
        ledger = self.ledger
        await ledger.chain.dump()
        ledger.making_blocks.cancel()
        await asyncio.wait([ledger.making_blocks])
        process = ledger.chain._process
        assert process is not None
        os.kill(process.pid, signal.SIGKILL)
        await process.wait()

    async def bring_chain_back(self) -> None:
        """Start anvil again from its dump, where it was."""
        self.ledger.making_blocks = asyncio.create_task(self.ledger.chain.run())

        async def answers() -> bool:
            return self.ledger.chain._is_alive()

        await eventually(answers)


class _Escrow(ChargeTab):
    """A real escrow, with the account balances that requests look at."""

    token: Token

    async def balance(self, account: Address) -> int:
        return await self.token.balance(account)


def _escrow(ledger: Ledger, at: Address, token: Address, accounts: tuple[Relayer, Relayer]) -> _Escrow:
    escrow = ledger.escrow(at=at, accounts=accounts)
    escrow.__class__ = _Escrow
    found = cast(_Escrow, escrow)
    found.token = Token(ledger.rpc, token, ledger.deployment.contracts.chain_id)
    return found


@asynccontextmanager
async def open_chain_yard(directory: Path, patch: pytest.MonkeyPatch) -> AsyncIterator[ChainYard]:
    """Open the services on a ledger of their own; `patch` lets drivers sign for its contracts."""
    clock = HandClock()
    async with running_ledger(directory / "ledger", clock=cast(Any, clock)) as ledger:
        keys, contracts = ledger.keys, ledger.deployment.contracts
        operator = Operator(keys.operator, keys.gateway, keys.notary.address, contracts)
        patch.setattr(fakes, "OPERATOR", operator)
        patch.setattr(fakes, "CONTRACTS", contracts)
        accounts = account, relayer = ledger.relayer(keys.operator), ledger.relayer(keys.relayer)
        escrow = _escrow(ledger, contracts.charge_tab, contracts.token, accounts)
        flex = _escrow(ledger, contracts.flex_tab, contracts.flex, accounts)
        (directory / "yard").mkdir()
        async with open_world(
            directory / "yard",
            clock=clock,
            escrow=cast(Any, escrow),
            flex=cast(Any, flex),
            refills=lambda address: Refills(address, account),
            notary=cast(Any, ledger.notary()),
        ) as world:
            yield ChainYard(world, ledger, escrow, operator, account, relayer)
