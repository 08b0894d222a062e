"""The ledger's adapters on a real embedded chain, with a real journal, and a clock that tests set."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from evmesh.domain.chain import Claim
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Exit, Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.deploy import Deployment, deploy
from evmesh.ledger.embedded import EmbeddedChain, EmbeddedConfig
from evmesh.ledger.escrow import ChargeTab
from evmesh.ledger.keys import Keys, open_keys
from evmesh.ledger.notary import MeterNotary, NotaryReader
from evmesh.ledger.quota import RelayPolicy, RelayQuota
from evmesh.ledger.registry import AssetOwner, AssetRegistry
from evmesh.ledger.relayer import Relayer, RelayerConfig
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ledger.token import Faucet, Token
from evmesh.ledger.wallet import LocalWallet
from evmesh.ports import Checkpoint
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database

MORNING = datetime(2019, 5, 6, 7, 0, tzinfo=UTC)
"""Long before the machine's own time, so that no wall time goes unnoticed."""

EURO = 1_000_000


class SetClock:
    """Platform time that stands still until a test moves it."""

    def __init__(self, instant: datetime = MORNING) -> None:
        self.instant = instant

    def now(self) -> datetime:
        return self.instant

    def monotonic(self) -> float:
        return self.instant.timestamp()

    async def sleep_until(self, instant: datetime) -> None:
        while self.instant < instant:
            await asyncio.sleep(0.01)

    def move(self, **by: float) -> None:
        self.instant += timedelta(**by)


@dataclass
class Ledger:
    """One platform's ledger, as the composition root would join it."""

    directory: Path
    clock: SetClock
    chain: EmbeddedChain
    keys: Keys
    deployment: Deployment
    database: Database
    journal: ChainJournal
    making_blocks: "asyncio.Task[None]"

    @property
    def rpc(self) -> JsonRpc:
        return self.chain.rpc

    @property
    def domain(self) -> Domain:
        return Domain(self.deployment.contracts.chain_id, self.deployment.contracts.charge_tab)

    def relayer(
        self,
        signer: KeySigner,
        *,
        config: RelayerConfig | None = None,
        checkpoint: Checkpoint = lambda _: None,
    ) -> Relayer:
        return Relayer(
            self.rpc,
            signer,
            self.journal,
            chain_id=self.deployment.contracts.chain_id,
            config=config or RelayerConfig(poll_s=0.02, send_again_after_s=0.3, mined_within_s=20),
            checkpoint=checkpoint,
        )

    def escrow(
        self,
        policy: RelayPolicy | None = None,
        at: Address | None = None,
        accounts: tuple[Relayer, Relayer] | None = None,
    ) -> ChargeTab:
        """Give the escrow at an address; by default the one of the site's own token.

        `accounts`, the operator's and the relayer's, are for several escrows beside one another.
        """
        contracts = self.deployment.contracts
        operator, relayer = accounts or (self.relayer(self.keys.operator), self.relayer(self.keys.relayer))
        at = at or contracts.charge_tab
        return ChargeTab(
            at,
            contracts.money(at),
            signer=self.keys.operator,
            operator=operator,
            relayer=relayer,
            clock=self.clock,
            quota=RelayQuota(policy or RelayPolicy(), self.clock),
        )

    def registry(self) -> AssetOwner:
        reader = AssetRegistry(self.rpc, self.deployment.contracts.registry)
        return AssetOwner(reader, self.relayer(self.keys.operator))

    def notary(self) -> MeterNotary:
        reader = NotaryReader(self.rpc, self.deployment.contracts.notary)
        return MeterNotary(reader, self.relayer(self.keys.notary), from_block=self.deployment.block)

    def token(self) -> Token:
        return Token(self.rpc, self.deployment.contracts.token, self.deployment.contracts.chain_id)

    async def wallet(self, role: str = "driver", units: int = 100 * EURO) -> "Driver":
        signer = KeySigner(keccak256(f"wallet of the {role}".encode()))
        faucet = Faucet(self.deployment.contracts.token, self.relayer(self.keys.deployer))
        if units:
            await faucet.mint(signer.address, units, key=f"mint:{role}")
        return Driver(self, LocalWallet(signer, self.rpc, self.deployment.contracts))

    def deadline(self) -> int:
        return int(self.clock.now().timestamp()) + 3600


@dataclass
class Driver:
    ledger: Ledger
    wallet: LocalWallet

    @property
    def address(self) -> Address:
        return self.wallet.address

    async def deposit(self, escrow: ChargeTab, ceiling: int, key: str = "deposit:1") -> None:
        payee = self.ledger.keys.operator.address
        order = await self.wallet.deposit_order(payee, ceiling, self.ledger.deadline())
        assert order is not None
        await escrow.deposit(order, key)

    def claim(self, amount: int, cumulative: int | None = None, epoch: int = 0) -> Claim:
        cumulative = amount if cumulative is None else cumulative
        voucher = Voucher(payee=self.ledger.keys.operator.address, epoch=epoch, cumulative=cumulative)
        signature = self.wallet.sign(digest(self.ledger.domain, voucher, keccak256))
        return Claim(self.address, epoch, cumulative, amount, signature)

    def exit(self, epoch: int = 0) -> bytes:
        leaving = Exit(payee=self.ledger.keys.operator.address, epoch=epoch)
        return self.wallet.sign(digest(self.ledger.domain, leaving, keccak256))


@asynccontextmanager
async def running_ledger(directory: Path, *, clock: SetClock | None = None) -> AsyncIterator[Ledger]:
    """Start on `directory`, going on from what is there; an empty one gets contracts made before."""
    clock = clock or SetClock()
    if not (directory / "contracts.json").exists() and directory != _template:
        await _copy_template(directory)
    config = EmbeddedConfig(directory / "chain", seal_every_s=0.01, dump_every_s=0.05, tell_time_every_s=0.05)
    database = Database(f"sqlite+aiosqlite:///{directory / 'state.db'}")
    await database.migrate()
    try:
        async with EmbeddedChain(config, clock) as chain:
            making_blocks = asyncio.create_task(chain.run())
            keys = open_keys(directory / "keys")
            for signer in (keys.operator, keys.relayer, keys.notary, keys.deployer):
                await chain.fund(signer.address)
            deployment = await deploy(chain.rpc, directory, keys.deployer)
            ledger = Ledger(
                directory, clock, chain, keys, deployment, database, ChainJournal(database), making_blocks
            )
            try:
                yield ledger
            finally:
                ledger.making_blocks.cancel()
                await asyncio.wait([ledger.making_blocks])
    finally:
        await database.close()


_template: Path | None = None


async def _copy_template(directory: Path) -> None:
    """Make the contracts once for all tests: that takes longer than most of them."""
    global _template
    if _template is None:
        _template = Path(tempfile.mkdtemp(prefix="evmesh-ledger-"))
        atexit.register(shutil.rmtree, _template, ignore_errors=True)
        async with running_ledger(_template):
            pass
    shutil.copytree(_template, directory, dirs_exist_ok=True)


def another_payer(claim: Claim, payer: Address) -> Claim:
    return replace(claim, payer=payer)
