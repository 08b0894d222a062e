"""`evmesh chain`: a development chain on this machine, and the contracts on any chain."""

import asyncio
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from evmesh.app.clock import WallClock
from evmesh.app.errors import exit_on_error
from evmesh.app.services import supervise
from evmesh.domain.chain import Contracts
from evmesh.domain.errors import InvalidInput, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.child_process import ChildRecord
from evmesh.ledger.deploy import EXIT_WINDOW_S, Deployment, deploy, is_deployed, load_deployment, wait_final
from evmesh.ledger.embedded import EmbeddedChain, EmbeddedConfig
from evmesh.ledger.keys import open_keys
from evmesh.ledger.networks import NETWORKS, Network, checked_network, network_of, require_token
from evmesh.ledger.networks import network as network_named
from evmesh.ledger.registry import AssetRegistry
from evmesh.ledger.rpc import JsonRpc

app = typer.Typer(name="chain", help="Run a development chain, and make the contracts.", no_args_is_help=True)

DataDir = Annotated[
    Path,
    typer.Option("--data", envvar="EVMESH_DATA", metavar="DIR", help="where keys and contracts.json are"),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout, failures too")]


@app.command("run")
def run_command(
    data: DataDir = Path("data"),
    port: Annotated[
        int,
        typer.Option(envvar="EVMESH_CHAIN_PORT", min=0, max=65535, help="of its JSON-RPC; 0 = a free one"),
    ] = 0,
    chain_id: Annotated[int, typer.Option(envvar="EVMESH_CHAIN_ID", min=1, help="of a new chain")] = 31337,
) -> None:
    """Run a development chain on this machine, with the contracts on it, until it is stopped."""
    from evmesh.app.inputs import open_directory
    from evmesh.app.running import run_until_signal

    with exit_on_error():
        open_directory(data)
        if run_until_signal(_serve(EmbeddedConfig(data / "chain", chain_id, port), data)):
            typer.echo(f"stopped; state kept in {data}")


@app.command("deploy")
def deploy_command(
    rpc: Annotated[
        str | None,
        typer.Option(envvar="EVMESH_RPC", metavar="URL", help="the node (without: the network's public one)"),
    ] = None,
    data: DataDir = Path("data"),
    network: Annotated[
        str | None,
        typer.Option(
            envvar="EVMESH_NETWORK",
            help=f"{', '.join(NETWORKS)}: the node has to serve it (without: told by the node's chain id)",
        ),
    ] = None,
    confirmations: Annotated[
        int | None,
        typer.Option(
            envvar="EVMESH_CONFIRMATIONS",
            min=1,
            max=1000,
            help="blocks to wait for, the contracts' own counted (without: as the network asks)",
        ),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="the ERC-20 to pay with (without: a development token)"),
    ] = None,
    window: Annotated[
        int, typer.Option(min=EXIT_WINDOW_S, max=2**31 - 1, help="seconds from begin_exit to finish_exit")
    ] = EXIT_WINDOW_S,
    json_output: AsJson = False,
) -> None:
    """Make the contracts that are missing, by the deployer's account of the data directory."""

    async def make() -> Deployment:
        async with JsonRpc(rpc or _public_node(network)) as node:
            profile = checked_network(network, await node.chain_id())
            require_token(profile, token is not None)
            deployer = open_keys(data / "keys").deployer
            payment = None if token is None else Address.parse(token)
            made = await deploy(node, data, deployer, token=payment, window_s=window)
            await wait_final(node, made, confirmations or profile.confirmations)
            return made

    with exit_on_error(json_output):
        deployment = asyncio.run(make())
        if json_output:
            typer.echo(json.dumps({"ok": True, **_contracts_json(deployment)}))
        else:
            _show_contracts(deployment)


@app.command("status")
def status_command(
    data: DataDir = Path("data"),
    rpc: Annotated[
        str | None,
        typer.Option(envvar="EVMESH_RPC", metavar="URL", help="the node (without: the one that runs in DIR)"),
    ] = None,
    json_output: AsJson = False,
) -> None:
    """Say what the chain of a data directory is, and whether the contracts are on it."""
    with exit_on_error(json_output):
        status = asyncio.run(_ask(rpc or _running_node(data), load_deployment(data)))
        if json_output:
            typer.echo(json.dumps({"ok": status.deployed, **status.to_json()}))
        else:
            _show_status(status)
        if not status.deployed:
            raise typer.Exit(InvalidInput.exit_code)


@dataclass(frozen=True, slots=True)
class ChainStatus:
    """What a node says about our contracts."""

    url: str
    chain_id: int
    block: int
    time: datetime
    deployment: Deployment
    deployed: bool
    assets: int

    @property
    def network(self) -> Network:
        """Give the profile by which the chain is known."""
        return network_of(self.chain_id)

    def to_json(self) -> dict[str, Any]:
        """Give what `--json` prints."""
        return {
            "rpc": self.url,
            "chain_id": self.chain_id,
            "network": self.network.name,
            "confirmations": self.network.confirmations,
            "block": self.block,
            "time": self.time.isoformat().replace("+00:00", "Z"),
            "deployed": self.deployed,
            "assets": self.assets,
            "contracts": _contracts_json(self.deployment)["contracts"],
        }


async def _serve(config: EmbeddedConfig, data: Path) -> None:
    async with EmbeddedChain(config, WallClock()) as chain, asyncio.TaskGroup() as group:
        group.create_task(supervise(chain))
        keys = open_keys(data / "keys")
        for signer in (keys.deployer, keys.operator, keys.relayer, keys.notary):
            await chain.fund(signer.address)
        deployment = await deploy(chain.rpc, data, keys.deployer)
        typer.echo(f"the chain is running: {chain.url}")
        _show_contracts(deployment)
        typer.echo(f"state and keys are in {data}; Ctrl-C ends it")


async def _ask(url: str, deployment: Deployment) -> ChainStatus:
    async with JsonRpc(url) as rpc:
        chain_id = await rpc.chain_id()
        deployed = chain_id == deployment.contracts.chain_id and await is_deployed(rpc, deployment)
        return ChainStatus(
            url=url,
            chain_id=chain_id,
            block=await rpc.block_number(),
            time=datetime.fromtimestamp(await rpc.block_time(), UTC),
            deployment=deployment,
            deployed=deployed,
            assets=await AssetRegistry(rpc, deployment.contracts.registry).newest() if deployed else 0,
        )


def _running_node(data: Path) -> str:
    record = ChildRecord.load(data / "chain" / "anvil.pid")
    if record is None or not record.is_alive():
        raise Unavailable(
            "chain.not_running",
            f"no chain runs in {data}",
            do="start it with `evmesh chain run`, or name a node with --rpc",
        )
    return f"http://127.0.0.1:{record.port}"


def _public_node(name: str | None) -> str:
    url = network_named(name).rpc if name else ""
    if not url:
        raise InvalidInput("chain.no_node", "no node is named", do="name one with --rpc URL")
    return url


def _contracts_json(deployment: Deployment) -> dict[str, Any]:
    contracts = deployment.contracts
    return {
        "chain_id": contracts.chain_id,
        "block": deployment.block,
        "deployer": deployment.deployer.text,
        "contracts": {name: getattr(contracts, name).text for name in _NAMES},
    }


_NAMES = tuple(field.name for field in fields(Contracts) if field.name != "chain_id")


def _show_contracts(deployment: Deployment) -> None:
    for name, address in _contracts_json(deployment)["contracts"].items():
        typer.echo(f"  {name:<11}{address}")


def _show_status(status: ChainStatus) -> None:
    typer.echo(
        f"{status.url}: chain {status.chain_id}, block {status.block}, {status.time:%Y-%m-%d %H:%M:%S} UTC"
    )
    network = status.network
    typer.echo(
        f"  network    {network.name}, confirmations {network.confirmations} unless the site file says"
    )
    _show_contracts(status.deployment)
    if status.deployed:
        typer.echo(f"  assets     {status.assets}")
    else:
        typer.echo("the contracts are NOT on this chain: deploy, or connect to the right node", err=True)
