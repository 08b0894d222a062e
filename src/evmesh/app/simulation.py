"""The simulated world of a site: its hardware, and drivers whose wallets a faucet fills."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from evmesh.app.clock import SharedClock
from evmesh.app.config import SiteConfig
from evmesh.app.registration import read_codes
from evmesh.app.run_file import RunFile
from evmesh.app.sim_channels import open_car_channels
from evmesh.app.sim_door import DevFaucet, SimDoor
from evmesh.app.sim_equipment import simulated_equipment
from evmesh.app.sim_hardware import sim_chargers, sim_stations
from evmesh.domain.chain import Contracts, DepositOrder
from evmesh.domain.ids import Address
from evmesh.ledger.abi import encode_call
from evmesh.ledger.chain_watch import ChainWatch
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.keys import open_keys, open_secret
from evmesh.ledger.relayer import Relayer, writer_lock
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import EthereumSignatures, KeySigner
from evmesh.ledger.token import Faucet
from evmesh.ledger.wallet import LocalWallet
from evmesh.ports import AsyncService
from evmesh.sim.config import SimConfig
from evmesh.sim.guests import Guests
from evmesh.sim.visits import Money, Visit, parse_visits
from evmesh.sim.world import Simulation
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database

SALARY = 50_000_000
"""Token units that a simulated driver's wallet is filled with when it runs low."""

GUEST_GAS_WEI = 10**17
"""What a guest's own gas may cost."""


class SalariedWallet(LocalWallet):
    """A driver's wallet on the development chain: it asks the faucet before it would run dry."""

    def __init__(
        self, signer: KeySigner, rpc: JsonRpc, contracts: Contracts, faucet: Faucet, journal: ChainJournal
    ) -> None:
        super().__init__(signer, rpc, contracts)
        self._rpc = rpc
        self._contracts = contracts
        self._faucet = faucet
        self._journal = journal

    async def deposit_order(
        self, payee: Address, ceiling: int, deadline: int, *, least: int = 0
    ) -> DepositOrder | None:
        """Sign a deposit as any wallet does, after pay-day where it is needed."""
        await self.get_paid()
        return await super().deposit_order(payee, ceiling, deadline, least=least)

    def flex(self) -> LocalWallet:
        """Give the same wallet for FLEX, which no faucet gives: it is earned."""
        return LocalWallet(self._signer, self._rpc, self._contracts.ref(self._contracts.flex_tab))

    async def get_paid(self) -> None:
        """Have the faucet fill the wallet where it has run low."""
        if await self.balance() < SALARY // 2:
            prefix = f"salary:{self.address}:"
            paid = len(await self._journal.with_prefix(prefix, 1_000_000))
            await self._faucet.mint(self.address, SALARY, f"{prefix}{paid}")


class GuestWallet:
    """Any wallet, seen for the first time: the faucet fills it when it is used. Implements TokenSender."""

    def __init__(
        self, signer: KeySigner, rpc: JsonRpc, contracts: Contracts, minter: Relayer, journal: ChainJournal
    ) -> None:
        self._contracts = contracts
        self._minter = minter
        self._account = Relayer(rpc, signer, journal, chain_id=contracts.chain_id)

    @property
    def address(self) -> Address:
        """Give the account that sends."""
        return self._account.address

    async def send(self, to: Address, units: int, key: str) -> str:
        """Send tokens, once for `key`, and give the transaction's hash."""
        await Faucet(self._contracts.token, self._minter).mint(self.address, units, f"guest:{key}")
        await self._minter.submit(f"gas:{self.address}", self.address, b"", value=GUEST_GAS_WEI)
        data = encode_call("transfer(address,uint256)", to, units)
        return (await self._account.submit(key, self._contracts.token, data)).tx_hash


@dataclass(frozen=True, slots=True)
class SimulatedSite:
    """A list of services and nothing else."""

    services: tuple[AsyncService, ...]


@asynccontextmanager
async def open_simulation(
    data: Path, site: SiteConfig, run: RunFile, visits: tuple[Visit, ...] | None = None
) -> AsyncIterator[SimulatedSite]:
    """Join the simulation of a site; `visits` replaces those of the site's sessions file."""
    home = data / "sim"
    async with AsyncExitStack() as stack:
        home.mkdir(parents=True, exist_ok=True)
        stack.enter_context(writer_lock(home / "writer.lock"))
        rpc = await stack.enter_async_context(JsonRpc(run.rpc_url))
        database = Database(f"sqlite+aiosqlite:///{home / 'faucet.db'}")
        stack.push_async_callback(database.close)
        await database.migrate()
        journal = ChainJournal(database)
        deployment = load_deployment(data)
        contracts = deployment.contracts
        minter = Relayer(rpc, open_keys(data / "keys").deployer, journal, chain_id=contracts.chain_id)
        await minter.recover()
        faucet = Faucet(contracts.token, minter)

        def wallet_of(driver: str) -> SalariedWallet:
            signer = KeySigner(open_secret(home / "wallets" / f"{driver}.key"))
            return SalariedWallet(signer, rpc, contracts, faucet, journal)

        def guest_of(visit: str) -> GuestWallet:
            name = f"guest-{sha256(visit.encode()).hexdigest()[:16]}"
            signer = KeySigner(open_secret(home / "wallets" / f"{name}.key"))
            return GuestWallet(signer, rpc, contracts, minter, journal)

        (home / "wallets").mkdir(mode=0o700, exist_ok=True)
        codes = read_codes(data)
        if visits is None:
            visits = _visits(site)
        chargers = tuple(sim_chargers(data, site, run))
        unpaid = {one.name for one in chargers}
        async with asyncio.TaskGroup() as first_pay_day:
            for driver in sorted({visit.driver for visit in visits if visit.connector not in unpaid}):
                first_pay_day.create_task(wallet_of(driver).get_paid())
        config = SimConfig(
            state_dir=home,
            ocpp_url=run.ocpp_url,
            api_url=run.http_url,
            stations=tuple(sim_stations(data, site, codes)),
            visits=visits,
            chargers=chargers,
            equipment=tuple(simulated_equipment(site, run)),
        )
        clock = SharedClock(data / run.clock)
        cars = await stack.enter_async_context(open_car_channels(home, run.mqtt_port, clock))

        def wallet_for(driver: str, money: Money) -> LocalWallet:
            wallet = wallet_of(driver)
            return wallet if money is Money.TOKEN else wallet.flex()

        simulation = Simulation(config, clock, wallet_for, EthereumSignatures(), cars.of, guest_of)
        door = SimDoor(data, Guests(simulation.places), DevFaucet(minter, faucet))
        # The faucet's chain may be killed too: what it minted since the last dump is minted again.
        yield SimulatedSite((simulation, cars.carrier, door, ChainWatch(rpc, (minter,))))


def _visits(site: SiteConfig) -> tuple[Visit, ...]:
    files = [file for file in (site.sessions, site.more_sessions) if file is not None]
    return tuple(visit for file in files for visit in parse_visits(file.read_text(), site.time_zone))
