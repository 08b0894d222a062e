"""Whether a token can be paid out again is the token's word, and no other's."""

from typing import Any

import pytest

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.typed_data import Domain
from evmesh.ledger.deposits import NO_EIP3009, DepositAddresses
from evmesh.ledger.rpc import NodeRefused
from evmesh.ledger.signatures import KeySigner

KEY = KeySigner(b"\x44" * 32)


class Answering:
    """A relayer and a token in one: what a simulated payment comes to."""

    contract = Address("0x" + "d3" * 20)

    def __init__(self, error: EvmeshError | None) -> None:
        self._error = error

    async def domain(self) -> Domain:
        return Domain(31337, self.contract, "Token", "1")

    async def simulate(self, to: Address, data: bytes) -> bytes:
        if self._error is not None:
            raise self._error
        return b""


def asking(error: EvmeshError | None) -> DepositAddresses:
    answering: Any = Answering(error)
    return DepositAddresses(answering, answering, answering, {KEY.address: KEY})


@pytest.mark.parametrize(
    "error",
    [
        NodeRefused("eth_call", "internal error: upstream reset"),
        ProtocolViolation("chain.not_json_rpc", "that does not speak JSON-RPC"),
        Unavailable("chain.away", "no node answers"),
    ],
)
async def test_trouble_of_the_node_does_not_close_the_way(error: EvmeshError) -> None:
    with pytest.raises(Unavailable):
        await asking(error).why_closed()


@pytest.mark.parametrize(
    "error",
    [
        Refused("chain.refused", "the contract refused"),
        ProtocolViolation("chain.not_the_contract", "the account did not answer as the contract should"),
    ],
)
async def test_a_token_that_says_no_closes_the_way(error: EvmeshError) -> None:
    assert await asking(error).why_closed() == NO_EIP3009


async def test_a_token_that_would_pay_out_leaves_the_way_open() -> None:
    assert await asking(None).why_closed() == ""
