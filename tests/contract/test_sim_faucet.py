"""A killed chain loses what the simulation's faucet has minted; it is minted again without anybody asking."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

from evmesh.app.clock import ClockMaster
from evmesh.app.config import load_site
from evmesh.app.run_file import RunFile
from evmesh.app.simulation import SALARY, open_simulation
from evmesh.domain.units import W, Wh
from evmesh.ledger.keys import open_secret
from evmesh.ledger.signatures import KeySigner
from evmesh.sim.visits import Visit
from tests.contract.ledger_world import running_ledger
from tests.e2e.platform.test_library_station import SITE


async def test_what_the_faucet_minted_before_a_chain_was_killed_is_minted_again(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(SITE)
    (tmp_path / "prices.csv").write_text("2026-06-01T00:00:00,50\n")
    (tmp_path / "codes.json").write_text(json.dumps({"LIB": "AAAAAAAA"}))
    async with running_ledger(tmp_path) as ledger:
        now, later = ledger.clock.now(), ledger.clock.now() + timedelta(days=1)
        ClockMaster.start(tmp_path / "clock", now, 1_000)
        visits = (Visit("driver", "LIB", now + timedelta(hours=20), later, later, Wh(1), Wh(1), W(7_360)),)
        run = RunFile(0, str(tmp_path / "site.toml"), 1, 1, 1, 1, ledger.rpc.url, "clock")
        before = await ledger.rpc.call("evm_snapshot")
        async with open_simulation(tmp_path, load_site(tmp_path / "site.toml"), run, visits) as site:
            driver = KeySigner(open_secret(tmp_path / "sim" / "wallets" / "driver.key")).address
            assert await ledger.token().balance(driver) == SALARY
            await ledger.rpc.call("evm_revert", before)
            assert await ledger.token().balance(driver) == 0
            (watch,) = [one for one in site.services if one.name == "chain watch"]
            watching = asyncio.create_task(watch.run())
            async with asyncio.timeout(30):
                while not await ledger.token().balance(driver):
                    await asyncio.sleep(0.02)
            assert await ledger.token().balance(driver) == SALARY
            watching.cancel()
            await asyncio.wait([watching])
