"""Lost blocks are noticed while nobody sends anything."""

import asyncio
from pathlib import Path

from evmesh.ledger.abi import encode_call
from evmesh.ledger.chain_watch import ChainWatch
from evmesh.ledger.relayer import Recovery
from evmesh.ports import AsyncService
from tests.contract.ledger_world import running_ledger


async def test_blocks_that_a_chain_lost_are_sent_again_without_a_reason_to_send(tmp_path: Path) -> None:
    async with running_ledger(tmp_path) as ledger:
        relayer = ledger.relayer(ledger.keys.deployer)
        token, driver = ledger.deployment.contracts.token, ledger.keys.gateway.address
        recoveries: list[Recovery] = []
        service: AsyncService = ChainWatch(ledger.rpc, [relayer], on_recovery=recoveries.append, look_s=0.02)
        watching = asyncio.create_task(service.run())
        snapshot = await ledger.rpc.call("evm_snapshot")
        await relayer.submit("mint:1", token, encode_call("mint(address,uint256)", driver, 5))
        assert await ledger.token().balance(driver) == 5
        await asyncio.sleep(0.1)  # several looks
        assert recoveries == []

        await ledger.rpc.call("evm_revert", snapshot)
        while not recoveries:
            await asyncio.sleep(0.02)
        assert recoveries[0] == Recovery(resent=("mint:1",), failed=())
        assert await ledger.token().balance(driver) == 5
        watching.cancel()
        await asyncio.wait([watching])
