"""Each purpose is done once, whatever is killed and whatever the chain forgets."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.chain import JournaledTransaction
from evmesh.domain.errors import Refused, Unavailable
from evmesh.domain.ids import Address
from evmesh.ledger.abi import encode_call
from evmesh.ledger.relayer import Relayer, RelayerConfig, writer_lock
from evmesh.ledger.rpc import JsonRpc
from evmesh.ledger.signatures import KeySigner, keccak256
from evmesh.ledger.transactions import LegacyTransaction
from tests.contract.ledger_world import Ledger, running_ledger

DRIVER = Address.parse("0x" + "d1" * 20)


class Crash(BaseException):
    """A kill -9, as far as code can tell."""


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


def mint(units: int = 1, receiver: Address = DRIVER) -> bytes:
    """A call that shows how often it was done: minting adds up."""
    return encode_call("mint(address,uint256)", receiver, units)


async def minted(ledger: Ledger) -> int:
    return await ledger.token().balance(DRIVER)


def token(ledger: Ledger) -> Address:
    return ledger.deployment.contracts.token


async def test_a_purpose_is_done_once(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    first = await relayer.submit("mint:1", token(ledger), mint())
    assert await relayer.submit("mint:1", token(ledger), mint()) == first
    assert await ledger.relayer(ledger.keys.deployer).submit("mint:1", token(ledger), mint()) == first
    assert await minted(ledger) == 1


async def test_the_same_purpose_twice_at_once_is_done_once(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    outcomes = await asyncio.gather(*[relayer.submit("mint:1", token(ledger), mint()) for _ in range(5)])
    assert len(set(outcomes)) == 1
    assert await minted(ledger) == 1


async def test_many_purposes_at_once_leave_no_gap(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    await asyncio.gather(*[relayer.submit(f"mint:{n}", token(ledger), mint()) for n in range(30)])
    assert await minted(ledger) == 30
    assert not await ledger.journal.unmined(relayer.address)


@pytest.mark.parametrize("where", ["relayer.signed", "relayer.written", "relayer.sent", "relayer.mined"])
@pytest.mark.parametrize("first", ["the same purpose", "recovery", "another purpose"])
async def test_a_crash_anywhere_neither_loses_nor_doubles(ledger: Ledger, where: str, first: str) -> None:
    def crash(point: str) -> None:
        if point == where:
            raise Crash

    doomed = ledger.relayer(ledger.keys.deployer, checkpoint=crash)
    with pytest.raises(Crash):
        await doomed.submit("mint:1", token(ledger), mint())

    again = ledger.relayer(ledger.keys.deployer)
    if first == "recovery":
        await again.recover()
    if first == "another purpose":
        await again.submit("mint:2", token(ledger), mint())
    await again.submit("mint:1", token(ledger), mint())
    assert await minted(ledger) == (2 if first == "another purpose" else 1)
    assert not await ledger.journal.unmined(again.address)


async def test_what_was_mined_while_we_were_dead_is_recorded_at_the_start(ledger: Ledger) -> None:
    def crash(point: str) -> None:
        if point == "relayer.mined":
            raise Crash

    with pytest.raises(Crash):
        await ledger.relayer(ledger.keys.deployer, checkpoint=crash).submit("mint:1", token(ledger), mint())
    assert (await ledger.relayer(ledger.keys.deployer).recover()).resent == ()
    found = await ledger.journal.find("mint:1")
    assert found is not None
    assert found.outcome is not None


async def test_what_a_contract_refuses_is_never_sent(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.relayer)
    before = await ledger.rpc.call("eth_getTransactionCount", relayer.address.text, "latest")
    with pytest.raises(Refused, match=r"token\.not_the_minter") as refused:
        await relayer.submit("mint:1", token(ledger), mint())
    assert refused.value.what == "only the minter makes tokens"
    assert await ledger.journal.find("mint:1") is None
    assert await ledger.rpc.call("eth_getTransactionCount", relayer.address.text, "pending") == before


async def test_an_account_without_gas_says_so(ledger: Ledger) -> None:
    poor = KeySigner(keccak256(b"poor"))
    with pytest.raises(Refused, match=r"chain\.no_gas") as refused:
        await ledger.relayer(poor).submit(
            "approve:1", token(ledger), encode_call("approve(address,uint256)", DRIVER, 1)
        )
    assert str(poor.address) in refused.value.do
    assert await ledger.journal.find("approve:1") is None


async def test_what_fails_on_chain_is_refused_with_its_reason_and_may_be_tried_again(ledger: Ledger) -> None:
    """Two transfers of the same tokens: both simulate, one is mined first."""
    holder = ledger.keys.relayer
    faucet, sender = ledger.relayer(ledger.keys.deployer), ledger.relayer(holder)
    await faucet.submit("mint:1", token(ledger), mint(10, holder.address))
    ledger.making_blocks.cancel()
    await asyncio.wait([ledger.making_blocks])
    transfer = encode_call("transfer(address,uint256)", DRIVER, 10)
    results = [asyncio.create_task(sender.submit(f"pay:{n}", token(ledger), transfer)) for n in range(2)]
    while len(await ledger.journal.unmined(holder.address)) < 2:
        await asyncio.sleep(0.01)
    ledger.making_blocks = asyncio.create_task(ledger.chain.run())
    await asyncio.wait(results)
    [refused] = [error for task in results if (error := task.exception())]
    assert isinstance(refused, Refused)
    assert refused.code == "token.balance_too_small"

    [failed] = [key for n, key in enumerate(("pay:0", "pay:1")) if results[n].exception()]
    await faucet.submit("mint:2", token(ledger), mint(10, holder.address))
    await sender.submit(failed, token(ledger), transfer)
    assert await minted(ledger) == 20


async def test_a_chain_that_lost_its_last_blocks_gets_them_again(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    await relayer.submit("mint:1", token(ledger), mint())
    snapshot = await ledger.rpc.call("anvil_dumpState")
    before = {f"mint:{n}": await relayer.submit(f"mint:{n}", token(ledger), mint()) for n in (2, 3)}
    await _come_back_with(ledger, snapshot)
    assert await minted(ledger) == 1

    recovery = await ledger.relayer(ledger.keys.deployer).recover()
    assert recovery.resent == ("mint:2", "mint:3")
    assert recovery.failed == ()
    assert await minted(ledger) == 3
    for key, lost in before.items():
        found = await ledger.journal.find(key)
        assert found is not None
        assert found.outcome is not None
        assert found.outcome.tx_hash == lost.tx_hash


async def test_a_running_relayer_notices_by_itself_that_the_chain_forgot(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    await relayer.submit("mint:1", token(ledger), mint())
    snapshot = await ledger.rpc.call("anvil_dumpState")
    await relayer.submit("mint:2", token(ledger), mint())
    await _come_back_with(ledger, snapshot)
    await relayer.submit("mint:3", token(ledger), mint())
    assert await minted(ledger) == 3


async def test_what_is_lost_is_found_behind_many_blocks_of_others(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    await relayer.submit("mint:1", token(ledger), mint())
    snapshot = await ledger.rpc.call("anvil_dumpState")
    await relayer.submit("mint:2", token(ledger), mint())
    await _come_back_with(ledger, snapshot)
    await ledger.rpc.call("anvil_mine", hex(300))
    assert (await ledger.relayer(ledger.keys.deployer).recover()).resent == ("mint:2",)
    assert await minted(ledger) == 2


async def test_what_stood_on_a_lost_block_of_somebody_else_is_reported(ledger: Ledger) -> None:
    """Tokens that a stranger sent are lost with the block; paying them on fails the second time."""
    holder = ledger.keys.relayer
    snapshot = await ledger.rpc.call("anvil_dumpState")
    stranger = ledger.deployment.deployer.text
    await ledger.rpc.call("anvil_impersonateAccount", stranger)
    gift = {"from": stranger, "to": token(ledger).text, "data": "0x" + mint(10, holder.address).hex()}
    await ledger.rpc.call("eth_sendTransaction", gift)
    await ledger.rpc.call("evm_mine")
    transfer = encode_call("transfer(address,uint256)", DRIVER, 10)
    await ledger.relayer(holder).submit("pay:1", token(ledger), transfer)
    await _come_back_with(ledger, snapshot)

    recovery = await ledger.relayer(holder).recover()
    assert recovery.failed == ("pay:1",)
    found = await ledger.journal.find("pay:1")
    assert found is not None
    assert found.outcome is None
    assert await minted(ledger) == 0


async def test_a_failed_transaction_keeps_its_nonce_filled_on_a_chain_that_forgot(ledger: Ledger) -> None:
    holder = ledger.keys.relayer
    sender, faucet = ledger.relayer(holder), ledger.relayer(ledger.keys.deployer)
    snapshot = await ledger.rpc.call("anvil_dumpState")
    # A failure on chain: written by hand, since the simulation lets none through.
    transfer = encode_call("transfer(address,uint256)", DRIVER, 10)
    draft = LegacyTransaction(0, 2 * 10**9, 100_000, token(ledger), transfer)
    raw, tx_hash = draft.sign(holder, ledger.deployment.contracts.chain_id)
    await ledger.journal.write(JournaledTransaction("pay:1", holder.address, 0, raw, tx_hash))
    assert (await sender.recover()).failed == ("pay:1",)
    await faucet.submit("mint:1", token(ledger), mint(10, holder.address))
    await sender.submit("pay:1", token(ledger), transfer)
    assert await minted(ledger) == 10

    await _come_back_with(ledger, snapshot)
    await ledger.relayer(ledger.keys.deployer).recover()
    assert (await ledger.relayer(holder).recover()).resent == (f"filler:{holder.address}:0", "pay:1")
    assert await minted(ledger) == 10


async def test_a_nonce_that_somebody_else_used_is_signed_anew(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    await relayer.submit("mint:1", token(ledger), mint())
    # Another process with the same key, against the rules.
    stolen = {"from": relayer.address.text, "to": token(ledger).text, "data": "0x" + mint(100).hex()}
    await ledger.rpc.call("anvil_impersonateAccount", relayer.address.text)
    await ledger.rpc.call("eth_sendTransaction", stolen)
    await ledger.rpc.call("evm_mine")
    await ledger.rpc.call("anvil_stopImpersonatingAccount", relayer.address.text)
    with pytest.raises(Unavailable, match=r"chain\.superseded"):
        await relayer.submit("mint:2", token(ledger), mint())
    await relayer.submit("mint:2", token(ledger), mint())
    assert await minted(ledger) == 102


async def test_a_transaction_at_yesterdays_price_is_signed_anew_with_its_nonce(ledger: Ledger) -> None:
    deployer = ledger.keys.deployer
    nonce = int(await ledger.rpc.call("eth_getTransactionCount", deployer.address.text, "latest"), 16)
    draft = LegacyTransaction(nonce, 1, 200_000, token(ledger), mint())
    raw, tx_hash = draft.sign(deployer, ledger.deployment.contracts.chain_id)
    await ledger.journal.write(JournaledTransaction("mint:1", deployer.address, nonce, raw, tx_hash))
    await ledger.relayer(deployer).recover()
    found = await ledger.journal.find("mint:1")
    assert found is not None
    assert found.outcome is not None
    assert found.nonce == nonce
    assert LegacyTransaction.decode(found.raw) == replace(
        draft, gas_price=LegacyTransaction.decode(found.raw).gas_price
    )
    assert await minted(ledger) == 1


async def test_without_blocks_it_says_so_and_goes_on_later(ledger: Ledger) -> None:
    ledger.making_blocks.cancel()
    await asyncio.wait([ledger.making_blocks])
    hasty = RelayerConfig(mined_within_s=0.3, send_again_after_s=0.1, poll_s=0.02)
    relayer = ledger.relayer(ledger.keys.deployer, config=hasty)
    with pytest.raises(Unavailable, match=r"chain\.not_mined"):
        await relayer.submit("mint:1", token(ledger), mint())
    ledger.making_blocks = asyncio.create_task(ledger.chain.run())
    async with asyncio.timeout(60):
        while True:
            try:
                await relayer.submit("mint:1", token(ledger), mint())
                break
            except Unavailable as error:
                if error.code != "chain.not_mined":  # a node on a busy machine is slower than this is patient
                    raise
    assert await minted(ledger) == 1


async def test_it_waits_for_as_many_confirmations_as_it_is_told(ledger: Ledger) -> None:
    deep = RelayerConfig(confirmations=3, poll_s=0.02, mined_within_s=20)
    relayer = ledger.relayer(ledger.keys.deployer, config=deep)
    submitted = asyncio.create_task(relayer.submit("mint:1", token(ledger), mint()))
    while await minted(ledger) == 0:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert not submitted.done()
    await ledger.rpc.call("anvil_mine", hex(2))
    mined = await submitted
    assert await ledger.rpc.block_number() == mined.block + 2


async def test_a_killed_anvil_comes_back_and_gets_everything_again(ledger: Ledger) -> None:
    relayer = ledger.relayer(ledger.keys.deployer)
    await relayer.submit("mint:1", token(ledger), mint())
    await ledger.chain.dump()
    process = ledger.chain._process
    assert process is not None
    await relayer.submit("mint:2", token(ledger), mint())
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(Unavailable, match=r"chain\.died"):
        await ledger.making_blocks
    with pytest.raises(Unavailable, match=r"chain\.away"):
        await relayer.submit("mint:3", token(ledger), mint())
    ledger.making_blocks = asyncio.create_task(ledger.chain.run())
    while True:
        try:
            await relayer.submit("mint:3", token(ledger), mint())
            break
        except Unavailable:
            await asyncio.sleep(0.05)
    assert await minted(ledger) == 3


async def test_a_node_that_is_away_is_said(ledger: Ledger) -> None:
    async with JsonRpc("http://127.0.0.1:9") as nowhere:
        relayer = Relayer(nowhere, ledger.keys.relayer, ledger.journal, chain_id=31337)
        with pytest.raises(Unavailable, match=r"chain\.away"):
            await relayer.submit("mint:1", token(ledger), mint())


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    def second() -> None:
        with writer_lock(tmp_path / "writer.lock"):
            pass

    with writer_lock(tmp_path / "writer.lock"), pytest.raises(Refused, match=r"chain\.other_writer"):
        second()
    with writer_lock(tmp_path / "writer.lock"):
        pass


async def _come_back_with(ledger: Ledger, snapshot: str) -> None:
    """Do what a kill -9 of anvil and its restart from an older dump do."""
    ledger.making_blocks.cancel()
    await asyncio.wait([ledger.making_blocks])
    process = ledger.chain._process
    assert process is not None
    process.kill()
    await process.wait()
    ledger.chain._state.path.write_bytes(bytes.fromhex(snapshot[2:]))
    ledger.making_blocks = asyncio.create_task(ledger.chain.run())
    while True:
        try:
            await ledger.rpc.chain_id()
            break
        except Unavailable:
            await asyncio.sleep(0.02)
