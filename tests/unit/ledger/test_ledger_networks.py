"""The networks that are known by name."""

import pytest

from evmesh.domain.errors import InvalidInput, Refused
from evmesh.ledger.networks import NETWORKS, checked_network, network_of, require_token


@pytest.mark.parametrize(
    ("chain_id", "name"),
    [(31337, "embedded"), (8822, "iota-evm"), (1076, "iota-evm-testnet"), (1, "unnamed"), (1075, "unnamed")],
)
def test_a_chain_tells_its_network_by_its_id(chain_id: int, name: str) -> None:
    assert network_of(chain_id).name == name
    assert checked_network(None, chain_id).name == name


def test_a_node_of_another_chain_than_the_named_one_is_refused() -> None:
    with pytest.raises(Refused, match=r"chain\.other_network") as refused:
        checked_network("iota-evm-testnet", 1075)
    assert "1075" in refused.value.what
    assert "1076" in refused.value.what


@pytest.mark.parametrize(("chain_id", "name"), [(31337, "embedded"), (8822, "iota-evm"), (5, "evm")])
def test_a_node_of_the_named_network_is_taken(chain_id: int, name: str) -> None:
    assert checked_network(name, chain_id).name == name


def test_the_embedded_chain_and_a_generic_one_may_have_any_id() -> None:
    assert checked_network("embedded", 4711).confirmations == 1
    assert checked_network("evm", 4711).confirmations > 1


def test_a_network_that_nobody_knows_is_refused_with_those_that_are() -> None:
    with pytest.raises(InvalidInput, match=r"chain\.unknown_network") as refused:
        checked_network("tangle", 1)
    assert "iota-evm" in refused.value.do


def test_a_token_that_anybody_mints_never_stands_for_real_money() -> None:
    with pytest.raises(Refused, match=r"chain\.needs_token"):
        require_token(NETWORKS["iota-evm"], named=False)
    require_token(NETWORKS["iota-evm"], named=True)
    require_token(NETWORKS["iota-evm-testnet"], named=False)
