"""A platform that has run before starts while its chain is away, and tells the chain what it must later."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from evmesh.app.clock import ClockMaster
from evmesh.app.config import SiteConfig, load_site
from evmesh.app.examples import example
from evmesh.app.platform import open_platform
from evmesh.app.platform_site import SiteOnChain
from evmesh.app.registration import read_codes
from evmesh.app.run_file import RunFile
from evmesh.domain.errors import Unavailable
from evmesh.domain.money import Price
from tests.contract.chain import free_port
from tests.contract.ledger_world import SetClock, running_ledger
from tests.fakes.world import eventually, running


@pytest.fixture
def site() -> SiteConfig:
    """Give the demo's site with its first station only."""
    site = load_site(example("demo.toml"))
    group = site.groups[0]
    return replace(site, groups=(replace(group, stations=group.stations[:1]),))


def run_file(data: Path, rpc_url: str) -> RunFile:
    run = RunFile(1, "demo.toml", 60, free_port(), free_port(), free_port(), rpc_url, "clock")
    if not (data / "clock").exists():
        ClockMaster.start(data / "clock", SetClock().now(), 60_000)
    return run


def dearer(site: SiteConfig) -> SiteConfig:
    group = site.groups[0]
    station = group.stations[0]
    name, connector = station.connectors[0]
    changed = ((name, replace(connector, price=Price(connector.price + 1))), *station.connectors[1:])
    stations = (replace(station, connectors=changed), *group.stations[1:])
    return replace(site, groups=(replace(group, stations=stations), *site.groups[1:]))


async def test_a_site_that_has_run_before_starts_without_its_chain(tmp_path: Path, site: SiteConfig) -> None:
    async with (
        running_ledger(tmp_path) as ledger,
        open_platform(tmp_path, site, run_file(tmp_path, ledger.rpc.url)),
    ):
        pass
    known = read_codes(tmp_path)
    nowhere = f"http://127.0.0.1:{free_port()}"
    with capture_logs() as logs:
        async with open_platform(tmp_path, site, run_file(tmp_path, nowhere)) as platform:
            assert any(isinstance(one, SiteOnChain) for one in platform.services)
    assert read_codes(tmp_path) == known
    assert [log["places"] for log in logs if log["event"] == "site.remembered"] == [len(known)]
    with pytest.raises(Unavailable, match=r"chain\.away"):  # the registry has another price
        async with open_platform(tmp_path, dearer(site), run_file(tmp_path, nowhere)):
            pass


async def test_what_the_chain_has_to_be_told_follows_when_it_is_back(
    tmp_path: Path, site: SiteConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evmesh.app.platform_site._ASK_AGAIN_S", 0.05)
    async with running_ledger(tmp_path) as ledger:
        run = run_file(tmp_path, ledger.rpc.url)
        async with open_platform(tmp_path, site, run):
            pass
        ledger.making_blocks.cancel()
        await asyncio.wait([ledger.making_blocks])
        process = ledger.chain._process
        assert process is not None
        await ledger.chain.dump()
        process.kill()
        await process.wait()
        elsewhere = replace(run, http_port=free_port())
        async with open_platform(tmp_path, site, elsewhere) as platform:
            (on_chain,) = [one for one in platform.services if isinstance(one, SiteOnChain)]
            async with running(on_chain):
                ledger.making_blocks = asyncio.create_task(ledger.chain.run())
                registry = ledger.registry().registry

                async def is_told() -> bool:
                    try:
                        return await registry.base_url(ledger.keys.operator.address) == elsewhere.http_url
                    except Unavailable:
                        return False

                await eventually(is_told, within_s=20)
