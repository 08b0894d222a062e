"""Where a wallet's money is: an operator's contracts, a node to look at, and maybe the operator's API."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from evmesh.app.operator_client import OperatorClient
from evmesh.app.run_file import RunFile
from evmesh.app.wallet_home import WalletHome
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.trust import Trust
from evmesh.ledger.abi import artifact, decode_values, encode_call
from evmesh.ledger.networks import Network, network_of
from evmesh.ledger.rpc import JsonRpc


@dataclass(frozen=True, slots=True)
class Where:
    """What the driver named; `data` is that of a platform on this machine."""

    rpc: str | None = None
    operator: str | None = None
    payee: Address | None = None
    data: Path | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """One operator on one chain, checked: the node serves that chain, and our own code is the escrow."""

    rpc: JsonRpc
    trust: Trust
    payee: Address
    network: Network
    api: OperatorClient | None


@asynccontextmanager
async def open_place(home: WalletHome, where: Where) -> AsyncIterator[Place]:
    """Find the operator, by its API or among those that the wallet knows, and check the chain.

    Raises InvalidInput `wallet.unknown_operator`, `wallet.which_operator` or `chain.no_node`; Refused
    `chain.other_chain`; IntegrityFailure `wallet.foreign_escrow`.
    """
    run = None if where.data is None else RunFile.load(where.data)
    url = where.operator or (run.http_url if run else None)
    async with AsyncExitStack() as stack:
        api = None if url is None else await stack.enter_async_context(OperatorClient(url))
        known = home.operators()
        if api is not None and where.payee not in known:
            trust = await api.trust()
            known = dict.fromkeys(trust.payees, trust)
        payee, trust = _chosen(known, where.payee)
        network = network_of(trust.chain.chain_id)
        node = where.rpc or (run.rpc_url if run else network.rpc)
        if not node:
            raise InvalidInput("chain.no_node", "no node of the chain is named", do="name one with --rpc URL")
        rpc = await stack.enter_async_context(JsonRpc(node))
        await _check(rpc, trust)
        yield Place(rpc, trust, payee, network, api)


def _chosen(known: dict[Address, Trust], payee: Address | None) -> tuple[Address, Trust]:
    if payee is None and len(known) == 1:
        return next(iter(known.items()))
    if payee is None and known:
        raise InvalidInput(
            "wallet.which_operator",
            "there is more than one operator",
            do=f"name one of {', '.join(one.text for one in known)} with --payee",
        )
    if payee is None or payee not in known:
        raise InvalidInput(
            "wallet.unknown_operator",
            "the wallet does not know this operator" if payee else "the wallet knows no operator yet",
            do="name its platform with --operator URL",
        )
    return payee, known[payee]


async def _check(rpc: JsonRpc, trust: Trust) -> None:
    """Look before anything is signed: an operator may say anything about its contracts."""
    chain = trust.chain
    served = await rpc.chain_id()
    if served != chain.chain_id:
        raise Refused(
            "chain.other_chain",
            f"the node serves chain {served}, and the operator's contracts are on {chain.chain_id}",
            do="connect to the right node with --rpc",
        )
    code = await rpc.call("eth_getCode", chain.charge_tab.text, "latest")
    if code.startswith(artifact("ChargeTab")["bytecode_runtime"]):
        [token] = decode_values(("address",), await rpc.read(chain.charge_tab, encode_call("token()")))
        if token == chain.token:
            return
    raise IntegrityFailure(
        "wallet.foreign_escrow",
        f"{chain.charge_tab} is not an escrow of evmesh for the token {chain.token}",
        do="send no money there; ask the operator, or name another node with --rpc",
    )
