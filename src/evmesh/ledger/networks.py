"""The networks that evmesh knows by name: what a node there must answer, and how long to wait for finality.

Addresses and names are those of docs.iota.org (autumn 2026); the chain's id is always read from the node.
"""

from dataclasses import dataclass
from typing import Final

from evmesh.domain.errors import InvalidInput, Refused


@dataclass(frozen=True, slots=True)
class Network:
    """One network. `chain_id` is None where any will do; `confirmations` counts the block itself."""

    name: str
    chain_id: int | None
    confirmations: int
    rpc: str = ""
    """A public node; empty where there is none to name."""
    faucet: str = ""
    gas: str = "native currency"
    real_money: bool = False
    """A development token, whose maker mints without limit, is refused here."""


NETWORKS: Final = {
    network.name: network
    for network in (
        Network("embedded", None, confirmations=1),
        Network("evm", None, confirmations=12),
        Network(
            "iota-evm",
            8822,
            confirmations=1,
            rpc="https://json-rpc.evm.iotaledger.net",
            gas="IOTA",
            real_money=True,
        ),
        Network(
            "iota-evm-testnet",
            1076,
            confirmations=1,
            rpc="https://json-rpc.evm.testnet.iota.cafe",
            faucet="https://testnet.evm-bridge.iota.org",
            gas="test IOTA",
        ),
    )
}

UNNAMED: Final = Network("unnamed", None, confirmations=1)
"""Any chain that nobody named: it may be one that makes a block only when there is something to put in."""

_EMBEDDED_ID: Final = 31337


def network(name: str) -> Network:
    """Give a profile by its name; raises InvalidInput `chain.unknown_network`."""
    if name not in NETWORKS:
        raise InvalidInput(
            "chain.unknown_network", f"there is no network {name!r}", do=f"name one of {', '.join(NETWORKS)}"
        )
    return NETWORKS[name]


def network_of(chain_id: int) -> Network:
    """Give the profile of a chain by its id: `unnamed` where none has it."""
    if chain_id == _EMBEDDED_ID:
        return NETWORKS["embedded"]
    return next((one for one in NETWORKS.values() if one.chain_id == chain_id), UNNAMED)


def checked_network(name: str | None, chain_id: int) -> Network:
    """Give the profile that was named, or that of the chain; `chain_id` is what the node says.

    Raises Refused `chain.other_network` where the node serves another chain than the profile's.
    """
    if name is None:
        return network_of(chain_id)
    wanted = network(name)
    if wanted.chain_id not in (None, chain_id):
        raise Refused(
            "chain.other_network",
            f"the node serves chain {chain_id}, and {name} is chain {wanted.chain_id}",
            do="connect to a node of that network, or name the network that the node serves",
        )
    return wanted


def require_token(network: Network, named: bool) -> None:
    """Raise Refused `chain.needs_token` where a development token would stand for real money."""
    if network.real_money and not named:
        raise Refused(
            "chain.needs_token",
            f"a development token is never made on {network.name}",
            do="name the ERC-20 to pay with by --token",
        )


def confirmations_on(served: int, known: int, wanted: int | None) -> int:
    """Give how many blocks a transaction of ours must have: as wanted, else as the chain's profile says.

    `served` is the chain that the node says it serves; raises Refused `chain.other_chain` where it is not
    the `known` one, on which the contracts are.
    """
    if served != known:
        raise Refused(
            "chain.other_chain",
            f"the node serves chain {served}, and the contracts are on chain {known}",
            do="connect to a node of that chain",
        )
    return network_of(served).confirmations if wanted is None else wanted
