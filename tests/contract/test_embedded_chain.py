"""The chain that runs on a laptop: its time, its state, and what a kill leaves."""

import asyncio
import gzip
import itertools
import json
import os
import signal
import socket
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from evmesh.domain.errors import EvmeshError, Refused, Unavailable
from evmesh.ledger.child_process import ChildRecord, start_mark
from evmesh.ledger.embedded import EmbeddedChain, EmbeddedConfig
from evmesh.ledger.notary import MeterNotary
from evmesh.ledger.rpc import JsonRpc
from tests.contract.ledger_world import MORNING, SetClock, running_ledger

STREAM = b"\x01" * 32


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 10) -> None:
    """Wait for an async condition."""
    waited = 0.0
    while not await condition():
        assert waited < within_s, "it did not come"
        await asyncio.sleep(0.02)
        waited += 0.02


async def test_blocks_carry_platform_time(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        notary = ledger.notary()
        for minutes in (0, 0, 15, 15):
            ledger.clock.move(minutes=minutes)
            await notary.anchor(
                STREAM, await _next_size(notary), b"\xaa" * 32, f"at {ledger.clock.now()} {minutes}"
            )
            assert await ledger.rpc.block_time() == int(ledger.clock.now().timestamp())


async def _next_size(notary: MeterNotary) -> int:
    size, _ = await notary.head(STREAM)
    return size + 1


async def test_no_block_is_made_where_nothing_waits(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        before = await ledger.rpc.block_number()
        await asyncio.sleep(0.3)
        assert await ledger.rpc.block_number() == before


async def test_estimates_see_platform_time_without_a_block(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        ledger.clock.move(days=1)
        wanted = int(ledger.clock.now().timestamp())

        async def is_told() -> bool:
            block = await ledger.rpc.call("eth_getBlockByNumber", "pending", False)
            return int(block["timestamp"], 16) >= wanted

        await until(is_told)


async def test_a_restart_goes_on_where_it_stopped(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        await ledger.notary().anchor(STREAM, 1, b"\xaa" * 32, "anchor:1")
        contracts, block = ledger.deployment, await ledger.rpc.block_number()
    clock = SetClock()
    clock.move(hours=1)
    async with running_ledger(tmp_path, clock=clock) as ledger:
        assert ledger.deployment == contracts
        assert await ledger.rpc.block_number() >= block
        assert (await ledger.notary().head(STREAM))[0] == 1
        await ledger.notary().anchor(STREAM, 2, b"\xbb" * 32, "anchor:2")
        assert await ledger.rpc.block_time() == int(clock.now().timestamp())


async def test_time_never_goes_back_even_where_the_clock_does(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        await ledger.notary().anchor(STREAM, 1, b"\xaa" * 32, "anchor:1")
        last = await ledger.rpc.block_time()
    clock = SetClock()
    clock.move(hours=-5)
    async with running_ledger(tmp_path, clock=clock) as ledger:
        await ledger.notary().anchor(STREAM, 2, b"\xbb" * 32, "anchor:2")
        assert await ledger.rpc.block_time() == last


async def test_an_anvil_that_its_killed_parent_left_behind_is_saved_and_ended(tmp_path: Path) -> None:
    config = EmbeddedConfig(tmp_path / "chain")
    async with running_ledger(tmp_path) as ledger:
        await ledger.notary().anchor(STREAM, 1, b"\xaa" * 32, "anchor:1")
        record = ChildRecord.load(tmp_path / "chain" / "anvil.pid")
        assert record is not None
        # What a kill -9 of the parent does: the lock is freed, the child lives on with unsaved blocks.
        ledger.making_blocks.cancel()
        await asyncio.wait([ledger.making_blocks])
        account, sender = "0x" + "22" * 20, "0x" + "33" * 20
        await ledger.rpc.call("anvil_setBalance", account, "0x7")
        await ledger.rpc.call("anvil_setBalance", sender, hex(10**24))
        await ledger.rpc.call("anvil_impersonateAccount", sender)
        await ledger.rpc.call("eth_sendTransaction", {"from": sender, "to": account, "value": "0x1"})
        ledger.chain._held.close()

        async with EmbeddedChain(config, SetClock()) as second:
            assert not record.is_alive()
            assert (
                await second.rpc.call("eth_getBalance", account, "latest") == "0x8"
            )  # what waited was mined
        # The first one's own end finds its child gone, and that is no error.


async def test_one_that_was_left_behind_and_does_not_answer_is_ended_and_that_is_said(tmp_path: Path) -> None:
    deaf = await asyncio.create_subprocess_exec("sleep", "60")
    ChildRecord(deaf.pid, start_mark(deaf.pid) or "", 1).save(tmp_path / "anvil.pid")
    with capture_logs() as said:
        async with EmbeddedChain(EmbeddedConfig(tmp_path), SetClock()) as chain:
            assert await chain.rpc.block_number() == 0
    assert await deaf.wait() == -signal.SIGTERM
    assert [one["event"] for one in said] == ["chain.not_saved"]


async def test_a_pid_that_was_given_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    bystander = await asyncio.create_subprocess_exec("sleep", "60")
    directory = tmp_path / "chain"
    directory.mkdir()
    ChildRecord(bystander.pid, "another boot/1", 1).save(directory / "anvil.pid")
    async with EmbeddedChain(EmbeddedConfig(directory), SetClock()):
        assert bystander.returncode is None
        assert start_mark(bystander.pid) is not None
    bystander.kill()
    await bystander.wait()


async def test_after_a_kill_it_comes_back_at_the_same_place_with_what_was_dumped(tmp_path: Path) -> None:
    restarts = []

    async def restarted() -> None:
        restarts.append(1)

    async with EmbeddedChain(EmbeddedConfig(tmp_path), SetClock(), on_restart=restarted) as chain:
        account = "0x" + "22" * 20
        await chain.rpc.call("anvil_setBalance", account, "0x7")
        await chain.dump()
        url = chain.url
        assert chain._process is not None
        running = asyncio.create_task(chain.run())
        await chain.rpc.chain_id()  # and so `run` has begun
        os.kill(chain._process.pid, signal.SIGKILL)
        with pytest.raises(Unavailable, match=r"chain\.died"):
            await running
        assert restarts == []
        running = asyncio.create_task(chain.run())

        async def is_back() -> bool:
            return bool(restarts)

        await until(is_back)
        assert chain.url == url
        assert await chain.rpc.call("eth_getBalance", account, "latest") == "0x7"
        running.cancel()
        await asyncio.wait([running])


class Making(JsonRpc):
    """Notes which calls that make a block or a dump are under way at once."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.under_way: Counter[str] = Counter()
        self.met: set[frozenset[str]] = set()

    async def call(self, method: str, *params: object) -> Any:
        if method not in ("evm_mine", "anvil_dumpState"):
            return await super().call(method, *params)
        self.under_way[method] += 1
        self.met.add(frozenset(+self.under_way))
        try:
            return await super().call(method, *params)
        finally:
            self.under_way[method] -= 1


async def test_a_dump_has_the_blocks_of_all_that_its_accounts_did(tmp_path: Path) -> None:
    """One that a block came in between would know of a payment, and of no transaction that made it."""
    sender, data = "0x" + "33" * 20, "0x" + "ab" * 20_000
    config = EmbeddedConfig(tmp_path, seal_every_s=0)
    async with EmbeddedChain(config, SetClock()) as chain:
        await chain.rpc.aclose()
        chain._rpc = rpc = Making(chain.url)  # it is closed with the chain
        running = asyncio.create_task(chain.run())
        await rpc.call("anvil_setBalance", sender, hex(10**24))
        await rpc.call("anvil_impersonateAccount", sender)

        async def pay() -> None:
            for nonce in itertools.count():
                call = {"from": sender, "to": sender, "data": data, "gas": hex(10**6), "nonce": hex(nonce)}
                await rpc.call("eth_sendTransaction", call)

        paying = asyncio.create_task(pay())
        for _ in range(25):
            before = await rpc.block_number()
            await chain.dump()
            state = json.loads(gzip.decompress((tmp_path / "state.json.gz").read_bytes()))
            mined = sum(len(block["transactions"]) for block in state["blocks"])
            assert int(state["accounts"].get(sender, {"nonce": 0})["nonce"]) == mined
            assert mined == len(state["transactions"])
            while await rpc.block_number() <= before:
                await asyncio.sleep(0)
        assert rpc.met == {frozenset({"evm_mine"}), frozenset({"anvil_dumpState"})}
        for task in (paying, running):
            task.cancel()
        await asyncio.wait([paying, running])


async def test_one_directory_has_one_chain(tmp_path: Path) -> None:
    async with EmbeddedChain(EmbeddedConfig(tmp_path), SetClock()):
        with pytest.raises(Refused, match=r"chain\.already_running"):
            await EmbeddedChain(EmbeddedConfig(tmp_path), SetClock()).__aenter__()


async def test_a_port_of_somebody_else_is_said(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = EmbeddedConfig(tmp_path, port=listener.getsockname()[1])
        with pytest.raises(Refused, match=r"chain\.port_in_use"):
            await EmbeddedChain(config, SetClock()).__aenter__()


@pytest.mark.parametrize("damaged", [b"", b"\x1f\x8b\x08\0", gzip.compress(b"{"), gzip.compress(b'{"a":1}')])
async def test_a_damaged_state_is_said_and_left_as_it_is(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "state.json.gz").write_bytes(damaged)
    with pytest.raises(EvmeshError, match=r"chain\.(bad_state|did_not_start)"):
        await EmbeddedChain(EmbeddedConfig(tmp_path), SetClock()).__aenter__()
    assert (tmp_path / "state.json.gz").read_bytes() == damaged


async def test_the_chain_id_is_as_asked_for_and_genesis_at_platform_time(tmp_path: Path) -> None:
    async with EmbeddedChain(EmbeddedConfig(tmp_path, chain_id=4711), SetClock()) as chain:
        assert await chain.rpc.chain_id() == 4711
        assert await chain.rpc.block_time() == int(MORNING.timestamp())


async def test_nobody_is_left_when_it_has_ended(tmp_path: Path) -> None:
    async with EmbeddedChain(EmbeddedConfig(tmp_path), SetClock()) as chain:
        url = chain.url
        record = json.loads((tmp_path / "anvil.pid").read_text())
    assert start_mark(record["pid"]) is None
    assert not (tmp_path / "anvil.pid").exists()
    async with JsonRpc(url) as rpc:
        with pytest.raises(Unavailable, match=r"chain\.away"):
            await rpc.chain_id()
