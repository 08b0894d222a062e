"""A site in the public registry, on a real chain: registered once, followed when its file changes."""

from collections.abc import AsyncIterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from evmesh.app.config import SiteConfig, load_site
from evmesh.app.examples import example
from evmesh.app.registration import asset_record, register_site
from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.units import W
from tests.contract.ledger_world import Ledger, running_ledger

METER_KEY = Address.parse("0x" + "5a" * 20)
SECRET = b"\x01" * 32


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


@pytest.fixture
def site() -> SiteConfig:
    """Give the demo's site with its first connector only."""
    site = load_site(example("demo.toml"))
    station = site.groups[0].stations[0]
    return _with_connector(site, station.connectors[0][1])


@pytest.mark.parametrize(
    "changes",
    [{"price": Price(410_000)}, {"rating": W(3_680)}, {"latitude_udeg": 52_000_000}, {"phases": 3}, {}],
    ids=str,
)
async def test_the_registry_follows_whatever_the_site_file_changes(
    ledger: Ledger, site: SiteConfig, changes: dict[str, int]
) -> None:
    owner = ledger.registry()
    first = await register_site(site, owner, SECRET, METER_KEY, 1)
    connector = replace(first.places[0].connector, **changes)  # type: ignore[arg-type]
    again = await register_site(_with_connector(site, connector), owner, SECRET, METER_KEY, 2)
    assert [place.asset for place in again.places] == [place.asset for place in first.places]
    facts = await owner.registry.find(first.places[0].asset)
    assert facts is not None
    assert facts.record_hash == sha256(asset_record(connector, METER_KEY)).digest()
    assert (facts.price, facts.rating) == (connector.price, connector.rating)
    assert facts.latitude_udeg == connector.latitude_udeg
    assert await owner.registry.newest() == 1


def _with_connector(site: SiteConfig, connector: object) -> SiteConfig:
    group = site.groups[0]
    station = group.stations[0]
    only = replace(station, connectors=((station.connectors[0][0], connector),))  # type: ignore[arg-type]
    return replace(site, groups=(replace(group, stations=(only,)),))
