"""Blocks that a real node takes back, and a node that is killed: ours comes again, the rest is told."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from evmesh.domain.chain import Contracts
from evmesh.domain.errors import IntegrityFailure, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.abi import encode_call
from evmesh.ledger.chain_watch import ChainWatch
from evmesh.ledger.deploy import wait_final
from evmesh.ledger.embedded import EmbeddedChain, EmbeddedConfig
from evmesh.ledger.relayer import Recovery, RelayerConfig
from evmesh.ledger.signatures import KeySigner, keccak256
from tests.contract.ledger_world import EURO, Ledger, SetClock, running_ledger

DRIVER = Address.parse("0x" + "d1" * 20)
DEEP = RelayerConfig(confirmations=3, poll_s=0.02, mined_within_s=20, send_again_after_s=0.2)


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


def mint(units: int = 1) -> bytes:
    return encode_call("mint(address,uint256)", DRIVER, units)


async def minted(ledger: Ledger) -> int:
    return await ledger.token().balance(DRIVER)


async def test_a_reorganisation_before_it_is_deep_enough_is_waited_out(ledger: Ledger) -> None:
    token = ledger.deployment.contracts.token
    relayer = ledger.relayer(ledger.keys.deployer, config=DEEP)
    paying = asyncio.create_task(relayer.submit("mint:1", token, mint()))
    while not await minted(ledger):
        await asyncio.sleep(0.01)
    await ledger.rpc.call("anvil_mine", hex(1))  # two of three
    await ledger.rpc.call("anvil_reorg", 2, [])
    assert not paying.done()
    while not await minted(ledger):
        await asyncio.sleep(0.01)
    while not paying.done():
        await ledger.rpc.call("anvil_mine", hex(1))
        await asyncio.sleep(0.05)
    mined = await paying
    receipt = await ledger.rpc.call("eth_getTransactionReceipt", mined.tx_hash)
    assert int(receipt["blockNumber"], 16) == mined.block
    assert await minted(ledger) == 1


@pytest.mark.parametrize("is_seen", [True, False])
async def test_a_reorganisation_after_it_was_taken_for_done_is_noticed_and_mended(
    ledger: Ledger, is_seen: bool
) -> None:
    """Also where the block came and went between two looks."""
    token = ledger.deployment.contracts.token
    relayer = ledger.relayer(ledger.keys.deployer)
    recoveries: list[Recovery] = []
    told = asyncio.Event()

    async def tell() -> None:
        told.set()

    watch = ChainWatch(ledger.rpc, [relayer], on_recovery=recoveries.append, on_loss=tell, look_s=0.02)
    first = await relayer.submit("mint:1", token, mint())
    watching = asyncio.create_task(watch.run())
    if is_seen:
        while not watch._seen:
            await asyncio.sleep(0.01)
    await ledger.rpc.call("anvil_reorg", 1, [])
    if is_seen:
        await asyncio.wait_for(told.wait(), 20)
    while not await minted(ledger):
        await asyncio.sleep(0.01)
    await relayer.recover()
    row = await ledger.journal.find("mint:1")
    assert row is not None
    assert row.outcome is not None
    assert row.outcome.tx_hash == first.tx_hash
    assert [one.resent for one in recoveries] in ([], [("mint:1",)])  # the node may have kept it itself
    watching.cancel()
    await asyncio.wait([watching])


async def test_what_another_wallet_sent_is_lost_with_a_killed_node_and_told(ledger: Ledger) -> None:
    """Ours comes again from the journal, in order of nonces; the driver's own deposit does not."""
    contracts, payee = ledger.deployment.contracts, ledger.keys.operator.address
    deployer, holder = ledger.relayer(ledger.keys.deployer), KeySigner(keccak256(b"another wallet"))
    told = asyncio.Event()

    async def tell() -> None:
        told.set()

    await ledger.chain.dump()
    dumped = ledger.chain._state.path.read_bytes()
    watch = ChainWatch(ledger.rpc, [deployer], on_loss=tell, look_s=0.02)
    watching = asyncio.create_task(watch.run())
    await ledger.chain.fund(holder.address)
    await deployer.submit("mint:1", contracts.token, encode_call("mint(address,uint256)", holder.address, 9))
    await _send_foreign(ledger, holder, contracts.token, "approve(address,uint256)", contracts.charge_tab, 9)
    await _send_foreign(ledger, holder, contracts.charge_tab, "deposit(address,uint256)", payee, 9)
    await deployer.submit("mint:2", contracts.token, mint())
    tabs = ledger.escrow()
    assert (await tabs.tab(payee, holder.address)).ceiling == 9
    while not watch._seen or watch._seen[-1] != await watch._newest():  # who has seen nothing misses nothing
        await asyncio.sleep(0.01)

    process = ledger.chain._process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match=r"chain\.died"):
        await ledger.making_blocks
    ledger.chain._state.path.write_bytes(dumped)  # the one of before: later ones may have been made
    ledger.making_blocks = asyncio.create_task(ledger.chain.run())
    await asyncio.wait_for(told.wait(), 20)
    assert await minted(ledger) == 1
    assert await ledger.token().balance(holder.address) == 9
    assert (await tabs.tab(payee, holder.address)).ceiling == 0
    watching.cancel()
    await asyncio.wait([watching])


async def _send_foreign(
    ledger: Ledger, holder: KeySigner, to: Address, signature: str, *arguments: object
) -> None:
    """Send as any wallet does, with nothing of ours in between."""
    await ledger.rpc.call("anvil_impersonateAccount", holder.address.text)
    data = "0x" + encode_call(signature, *arguments).hex()
    sent = await ledger.rpc.call(
        "eth_sendTransaction", {"from": holder.address.text, "to": to.text, "data": data, "gas": hex(300_000)}
    )
    while await ledger.rpc.call("eth_getTransactionReceipt", sent) is None:
        await asyncio.sleep(0.01)


async def test_contracts_that_a_reorganisation_took_are_not_taken_for_final(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    contracts: Contracts = ledger.deployment.contracts
    asked, block_number = asyncio.Event(), ledger.rpc.block_number

    async def noted() -> int:
        number = await block_number()
        asked.set()
        return number

    monkeypatch.setattr(ledger.rpc, "block_number", noted)
    waiting = asyncio.create_task(wait_final(ledger.rpc, ledger.deployment, 3))
    await asked.wait()  # it counts from the block that it found, which has to be one of before
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await ledger.rpc.call("anvil_setCode", contracts.charge_tab.text, "0x")  # as if they had never been made
    await ledger.rpc.call("anvil_mine", hex(2))
    with pytest.raises(IntegrityFailure, match=r"chain\.reorganised"):
        await waiting


async def test_the_embedded_chain_makes_the_blocks_that_somebody_waits_for(tmp_path: Path) -> None:
    clock = SetClock()
    config = EmbeddedConfig(tmp_path / "chain", seal_every_s=0.01, blocks_after=2)
    async with EmbeddedChain(config, clock) as chain:
        making = asyncio.create_task(chain.run())
        signer = KeySigner(keccak256(b"who waits for three blocks"))
        await chain.fund(signer.address, 10 * EURO * 10**12)
        sent = {"from": signer.address.text, "to": DRIVER.text, "value": "0x1"}
        await chain.rpc.call("anvil_impersonateAccount", signer.address.text)
        tx_hash = await chain.rpc.call("eth_sendTransaction", sent)
        while (receipt := await chain.rpc.call("eth_getTransactionReceipt", tx_hash)) is None:
            await asyncio.sleep(0.01)
        until = int(receipt["blockNumber"], 16) + 2
        while await chain.rpc.block_number() < until:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert await chain.rpc.block_number() == until
        making.cancel()
        await asyncio.wait([making])
