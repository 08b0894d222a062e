"""Where a wallet's money is: an operator's contracts, a node to look at, and maybe the operator's API."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from evmesh.app.operator_client import OperatorClient
from evmesh.app.run_file import RunFile
from evmesh.app.wallet_home import WalletHome
from evmesh.app.wallet_money import Coin, flex_coin, own_coin
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.trust import Trust
from evmesh.ledger.abi import artifact, decode_values, encode_call
from evmesh.ledger.flex import FlexReader
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
    coin: Coin
    """The money that is spoken of."""

    async def in_flex(self) -> Self:
        """Give the same place, where the operator's FLEX is spoken of; checked as its own money was.

        Raises Refused `wallet.no_flex` where the operator names none, IntegrityFailure
        `wallet.foreign_escrow` where that is not an escrow of evmesh for FLEX that this operator issued.
        """
        flex = self.trust.flex
        if flex is None:
            raise Refused(
                "wallet.no_flex", "this operator names no FLEX to pay with", do="pay in its own money"
            )
        issuer = await _issuer(self.rpc, flex.token)
        if issuer != self.payee:
            raise IntegrityFailure(
                "wallet.foreign_escrow",
                f"the token {flex.token} is not FLEX of {self.payee}",
                do="send no money there; ask the operator, or name another node with --rpc",
            )
        await _require_escrow(self.rpc, flex.escrow, flex.token)
        return replace(self, coin=flex_coin(self.trust.chain, flex))

    async def paying_by(self, escrow: Address) -> Self:
        """Give the same place, where the money in an escrow is spoken of: its own or FLEX."""
        return self if escrow == self.trust.chain.charge_tab else await self.in_flex()


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
        yield Place(rpc, trust, payee, network, api, await own_coin(rpc, trust.chain))


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
    await _require_escrow(rpc, chain.charge_tab, chain.token)


async def _require_escrow(rpc: JsonRpc, escrow: Address, token: Address) -> None:
    code = await rpc.call("eth_getCode", escrow.text, "latest")
    if code.startswith(artifact("ChargeTab")["bytecode_runtime"]):
        [held] = decode_values(("address",), await rpc.read(escrow, encode_call("token()")))
        if held == token:
            return
    raise IntegrityFailure(
        "wallet.foreign_escrow",
        f"{escrow} is not an escrow of evmesh for the token {token}",
        do="send no money there; ask the operator, or name another node with --rpc",
    )


async def _issuer(rpc: JsonRpc, token: Address) -> Address | None:
    """Give whose promise a FLEX is, by our own code; None where the token is something else."""
    code = await rpc.call("eth_getCode", token.text, "latest")
    if not code.startswith(artifact("FlexToken")["bytecode_runtime"]):
        return None
    return await FlexReader(rpc, token).issuer()
