"""Whether a token can be paid out again is the token's word; what one transaction brought, and to whom."""

from typing import Any, cast

import pytest

from evmesh.domain.errors import EvmeshError, ProtocolViolation, Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.domain.typed_data import Domain
from evmesh.ledger.deposits import NO_EIP3009, TRANSFER, DepositAddresses
from evmesh.ledger.rpc import JsonRpc, NodeRefused
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


SECOND = KeySigner(b"\x55" * 32)
SENDER = Address("0x" + "5e" * 20)


def log(number: int, receiver: Address) -> dict[str, Any]:
    words = ["0x" + one.to_bytes().rjust(32, b"\0").hex() for one in (SENDER, receiver)]
    return {
        "topics": [TRANSFER, *words],
        "data": "0x" + (5).to_bytes(32, "big").hex(),
        "transactionHash": "0x" + "7" * 64,
        "blockNumber": "0x28",
        "logIndex": hex(number),
    }


class OneBlock:
    """A node whose only transaction paid one charge point, then another, then the first again."""

    async def call(self, method: str, *_: object) -> object:
        return [log(1, KEY.address), log(2, SECOND.address), log(3, KEY.address), log(4, SECOND.address)]


async def test_a_transaction_that_pays_two_charge_points_brings_transfers_of_four_names() -> None:
    answering: Any = Answering(None)
    signers = {one.address: one for one in (KEY, SECOND)}
    addresses = DepositAddresses(cast(JsonRpc, OneBlock()), answering, answering, signers)
    seen, _ = await addresses.transfers(40, 40)
    assert len({one.ref for one in seen}) == 4
    assert [(one.receiver, one.ref.rank) for one in seen] == [
        (KEY.address, 0),
        (SECOND.address, 0),
        (KEY.address, 1),
        (SECOND.address, 1),
    ]
    assert [one.ref.position for one in seen if one.receiver == KEY.address] == [0, 1]
