"""Whether a node can be asked about a document at all: it may serve another chain than the document's.

Of another chain nothing follows, neither that a document is true nor that it is false.
"""

from collections.abc import Iterable

from evmesh.domain.errors import EvmeshError, Refused
from evmesh.domain.ids import Address
from evmesh.domain.receipt_parts import ChainRef
from evmesh.ledger.networks import network_of
from evmesh.ledger.rpc import JsonRpc


async def foreign_node(url: str, chain: ChainRef) -> EvmeshError | None:
    """Give why the node at `url` can say nothing on documents of `chain`; None where it can.

    The id of a public network that we know by name is that network's alone. Any other may be that of many
    development chains: one without all of the document's contracts is not the document's. Raises
    Unavailable and ProtocolViolation as reading does.
    """
    async with JsonRpc(url) as rpc:
        served = await rpc.chain_id()
        if served != chain.chain_id:
            return Refused(
                "chain.other_chain",
                f"the node serves chain {served}, and this is of chain {chain.chain_id}",
                do="name a node of that chain with --rpc",
            )
        is_public = network_of(served).chain_id is not None
        if is_public or await _any_code(rpc, (chain.charge_tab, chain.registry, chain.notary, chain.token)):
            return None
        return Refused(
            "chain.no_contracts",
            f"the node serves a chain {served} that has none of the contracts that this names",
            do="name a node of the chain that it was made on with --rpc: a development chain may have ended",
        )


async def _any_code(rpc: JsonRpc, accounts: Iterable[Address]) -> bool:
    found = await rpc.batch([("eth_getCode", (account.text, "latest")) for account in accounts])
    return any(len(str(code)) > len("0x") for code in found)
