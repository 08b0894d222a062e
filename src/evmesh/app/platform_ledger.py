"""The ledger adapters of one platform: its keys, its contracts, and the accounts that it sends from."""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evmesh.app.config import SiteConfig
from evmesh.app.failpoints import Failpoint
from evmesh.app.platform_site import patience_on
from evmesh.app.run_file import RunFile
from evmesh.domain.chain import Contracts
from evmesh.ledger.deploy import load_deployment
from evmesh.ledger.keys import Keys, open_keys
from evmesh.ledger.relayer import Relayer, RelayerConfig
from evmesh.ledger.rpc import JsonRpc
from evmesh.store.chain import ChainJournal
from evmesh.store.database import Database


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger adapters of one platform."""

    keys: Keys
    contracts: Contracts
    rpc: JsonRpc
    operator: Relayer
    relayer: Relayer
    notary: Relayer
    journal: ChainJournal
    block: int


async def open_ledger(
    stack: AsyncExitStack,
    data: Path,
    site: SiteConfig,
    run: RunFile,
    database: Database,
    checkpoint: Failpoint,
) -> Ledger:
    """Open the accounts of a data directory at the node that the run names; nothing is sent yet."""
    keys = open_keys(data / "keys")
    deployment = load_deployment(data)
    rpc = await stack.enter_async_context(JsonRpc(run.rpc_url))
    journal = ChainJournal(database)
    chain_id = deployment.contracts.chain_id
    patience = RelayerConfig(await patience_on(rpc, chain_id, site.confirmations))

    def account(signer: Any) -> Relayer:
        return Relayer(rpc, signer, journal, chain_id=chain_id, config=patience, checkpoint=checkpoint)

    return Ledger(
        keys=keys,
        contracts=deployment.contracts,
        rpc=rpc,
        operator=account(keys.operator),
        relayer=account(keys.relayer),
        notary=account(keys.notary),
        journal=journal,
        block=deployment.block,
    )
