"""The wallet checks a receipt as `evmesh verify` does: also what the meter has signed itself."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from evmesh.app import wallet_receipt
from evmesh.app.operator_client import OperatorClient
from evmesh.app.wallet_book import Charge
from evmesh.app.wallet_place import Place
from evmesh.domain.receipt import Receipt
from evmesh.verify.report import Status
from tests.fakes.world import Driver, World, open_world
from tests.unit.services.test_signed_meters import KEY, charge


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, ocmf_key=KEY) as opened:
        yield opened


async def test_the_meters_own_signature_is_checked_on_the_drivers_device(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver()
    raw = await world.document(await charge(world, driver), Receipt.FORMAT)

    async def no_facts(url: str, receipt: Receipt) -> None:
        """A node is the contract tests' matter."""

    async def document(path: str) -> bytes:
        return raw

    monkeypatch.setattr(wallet_receipt, "read_chain_facts", no_facts)
    monkeypatch.setattr(wallet_receipt, "_require_ours", lambda *_: None)
    place: Any = SimpleNamespace(trust=world.trust(), rpc=SimpleNamespace(url=""))
    api: Any = SimpleNamespace(document=document)
    charged: Any = SimpleNamespace(session=Receipt.parse(raw).session.text)
    kept = await wallet_receipt.keep_receipt(
        cast("Place", place),
        cast("OperatorClient", api),
        tmp_path,
        cast("Charge", charged),
        driver.address,
    )
    assert {one.name: one.status for one in kept.report.checks}["signed meter"] is Status.OK
    assert kept.path.read_bytes() == raw
