"""Prices that rise, nodes that refuse, blocks that go: one transaction a purpose, whatever form is mined."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from evmesh.domain.chain import Mined
from evmesh.domain.errors import Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.relayer import Recovery, Relayer, RelayerConfig
from evmesh.ledger.rpc import NodeRefused
from evmesh.ledger.signatures import KeySigner, keccak256
from tests.property.faulty_node import FaultyNode, RememberedJournal, VirtualLoop

SHOP = Address.parse("0x" + "5e" * 20)
SIGNER = KeySigner(keccak256(b"an operator who relays"))


class Scene:
    """A node that does what a test says, in virtual time."""

    def __init__(self, node: FaultyNode, confirmations: int) -> None:
        self.node = node
        self.journal = RememberedJournal()
        self.relayer = self.another_process(confirmations)

    def another_process(self, confirmations: int = 1) -> Relayer:
        config = RelayerConfig(confirmations, mined_within_s=10, send_again_after_s=1, poll_s=0.2)
        return Relayer(self.node, SIGNER, self.journal, chain_id=31337, config=config)

    def pay(self, key: str) -> "asyncio.Task[Mined]":
        return asyncio.create_task(self.relayer.submit(key, SHOP, key.encode()))

    async def pooled(self, nonce: int, price: int) -> None:
        while nonce not in self.node.pool or self.node.pool[nonce].transaction.gas_price != price:
            await asyncio.sleep(0.01)

    def paid(self) -> list[tuple[bytes, int]]:
        return [(one.data, one.gas_price) for one in self.node.mined]


def play(
    scenario: Callable[[Scene], Coroutine[Any, Any, None]], *, is_strict: bool = False, confirmations: int = 1
) -> None:
    with _virtual_loop() as loop:
        loop.run_until_complete(scenario(Scene(FaultyNode(is_strict=is_strict), confirmations)))


@contextmanager
def _virtual_loop() -> Iterator[VirtualLoop]:
    loop = VirtualLoop()
    try:
        yield loop
    finally:
        loop.close()


@pytest.mark.parametrize(("later", "paid"), [(1_050, 1_100), (1_500, 1_500)])
def test_where_the_price_rises_a_waiting_transaction_is_signed_anew_with_its_nonce(
    later: int, paid: int
) -> None:
    """A node takes it for the old one at 110 %, so a rise of less is answered by that."""

    async def scenario(scene: Scene) -> None:
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        scene.node.price = later
        await scene.pooled(0, paid)
        scene.node.mine()
        await paying
        assert scene.paid() == [(b"claim", paid)]

    play(scenario)


def test_a_price_that_falls_changes_nothing() -> None:
    async def scenario(scene: Scene) -> None:
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        scene.node.price = 900
        await asyncio.sleep(3)
        scene.node.mine()
        await paying
        assert [one.transaction.gas_price for one in scene.node.accepted] == [1_000]

    play(scenario)


def test_where_any_other_price_is_refused_the_one_of_today_is_sent() -> None:
    """IOTA EVM: what was signed yesterday is refused, and so is more than today's price."""

    async def scenario(scene: Scene) -> None:
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        scene.node.pool, scene.node.price = {}, 1_050
        await scene.pooled(0, 1_050)
        scene.node.mine()
        await paying
        assert scene.paid() == [(b"claim", 1_050)]

    play(scenario, is_strict=True)


@pytest.mark.parametrize("is_new_process", [False, True])
def test_a_form_that_was_replaced_counts_where_it_is_mined_after_all(is_new_process: bool) -> None:
    """Another node still held the cheaper form, and made the block."""

    async def scenario(scene: Scene) -> None:
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        cheaper = scene.node.pool[0]
        scene.node.price = 1_500
        await scene.pooled(0, 1_500)
        scene.node.pool, scene.node.price = {0: cheaper}, 1_000
        if is_new_process:
            paying.cancel()
            scene.relayer = scene.another_process()
            paying = scene.pay("claim")
        scene.node.mine()
        mined = await paying
        assert mined.tx_hash == cheaper.tx_hash
        row = scene.journal.rows["claim"]
        assert (row.tx_hash, row.outcome) == (cheaper.tx_hash, mined)
        assert len(row.earlier) == 1
        assert await scene.relayer.submit("claim", SHOP, b"claim") == mined
        assert scene.paid() == [(b"claim", 1_000)]

    play(scenario)


def test_what_a_node_refuses_for_good_leaves_no_nonce_behind() -> None:
    async def scenario(scene: Scene) -> None:
        scene.node.next_sends.append("refused")
        with pytest.raises(NodeRefused, match="block gas limit"):
            await scene.pay("too much")
        assert scene.journal.rows == {}
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        scene.node.mine()
        await paying

    play(scenario)


def test_what_may_have_arrived_keeps_its_nonce() -> None:
    """No answer is not a refusal: the node may hold it."""

    async def scenario(scene: Scene) -> None:
        scene.node.next_sends.append("unanswered")
        with pytest.raises(Unavailable, match=r"chain\.away"):
            await scene.pay("claim")
        assert scene.journal.rows["claim"].nonce == 0
        paying = scene.pay("another")
        await scene.pooled(1, 1_000)
        scene.node.mine()
        await paying
        assert [data for data, _ in scene.paid()] == [b"claim", b"another"]

    play(scenario)


def test_a_head_of_another_chain_than_the_receipts_confirms_nothing() -> None:
    """Between the receipt and the head, the receipt's block is replaced by a longer chain without it."""

    async def scenario(scene: Scene) -> None:
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        scene.node.mine()
        ask = scene.node.call
        fooled = False

        async def ask_badly(method: str, *params: object) -> Any:
            nonlocal fooled
            if method == "eth_blockNumber" and not fooled:
                fooled = True
                for _ in range(3):
                    scene.node.mine()
                scene.node.reorganise(4, forgets=True)
            return await ask(method, *params)

        scene.node.call = ask_badly  # type: ignore[method-assign]
        await asyncio.sleep(1)
        assert fooled
        assert not paying.done()
        await scene.pooled(0, 1_000)
        for _ in range(3):
            scene.node.mine()
        assert (await paying).block == len(scene.node.blocks) - 3
        assert [data for data, _ in scene.paid()] == [b"claim"]

    play(scenario, confirmations=3)


def test_what_moved_to_another_block_is_told_by_that_one() -> None:
    async def scenario(scene: Scene) -> None:
        paying = scene.pay("claim")
        await scene.pooled(0, 1_000)
        scene.node.mine()
        first = await paying
        scene.node.reorganise(1, forgets=False)
        scene.node.mine()
        assert await scene.relayer.recover(from_block=first.block) == Recovery((), ())
        second = scene.journal.rows["claim"].outcome
        assert second is not None
        assert (second.tx_hash, second.block) == (first.tx_hash, first.block + 2)

    play(scenario)
