"""The port Registry on a real chain."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.errors import IntegrityFailure, InvalidInput, ProtocolViolation, Refused
from evmesh.domain.ids import Address, EvseId
from evmesh.domain.money import Price
from evmesh.domain.station_code import code_of
from evmesh.domain.units import W
from evmesh.ledger.asset_words import AssetKind, ConnectorKind, Lifecycle, NewAsset
from evmesh.ledger.keys import deposit_signer
from evmesh.ledger.registry import AssetOwner, AssetRegistry
from evmesh.ports import Registry
from tests.contract.ledger_world import Ledger, running_ledger

EVSE = NewAsset(
    kind=AssetKind.EVSE,
    lifecycle=Lifecycle.IN_SERVICE,
    connector=ConnectorKind.TYPE_2_SOCKET,
    rating=W(22_000),
    group=7,
    deposit_address=deposit_signer(b"\x01" * 32, EvseId.parse("DE*ABC*E1*1")).address,
    latitude_udeg=-33_856_784,
    longitude_udeg=151_215_297,
    price=Price(450_000),
    record_hash=b"\x5a" * 32,
)


def _changed(field: str, value: int) -> NewAsset:
    values = {name: getattr(EVSE, name) for name in NewAsset.__slots__}
    return NewAsset(**{**values, field: value})


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with running_ledger(tmp_path) as ledger:
        yield ledger


async def test_an_evse_reads_back_with_its_code_and_its_owners_url(ledger: Ledger) -> None:
    owner = ledger.registry()
    registry: Registry = owner.registry
    assert await registry.find(1) is None
    number = await owner.register(EVSE, "register:1")
    await owner.set_base_url("https://charge.example/v1", "url:1")
    found = await registry.find(number)
    assert found is not None
    assert found.code == code_of(1)
    assert (found.asset, found.owner) == (1, ledger.keys.operator.address)
    assert (found.rating, found.price, found.active) == (22_000, 450_000, True)
    assert (found.latitude_udeg, found.longitude_udeg) == (-33_856_784, 151_215_297)
    assert found.deposit_address == EVSE.deposit_address
    assert found.record_hash == EVSE.record_hash
    assert found.base_url == "https://charge.example/v1"


async def test_the_same_purpose_registers_once(ledger: Ledger) -> None:
    owner = ledger.registry()
    assert [await owner.register(EVSE, key) for key in ("a", "b", "a")] == [1, 2, 1]
    assert await owner.registry.newest() == 2


async def test_two_who_register_at_once_get_a_number_each(ledger: Ledger) -> None:
    mine = ledger.registry()
    theirs = AssetOwner(mine.registry, ledger.relayer(ledger.keys.notary))
    numbers = await asyncio.gather(mine.register(EVSE, "mine"), theirs.register(EVSE, "theirs"))
    assert sorted(numbers) == [1, 2]
    for owner, number in zip((mine, theirs), numbers, strict=True):
        found = await mine.registry.find(number)
        assert found is not None
        assert found.owner == owner._relayer.address


async def test_only_an_evse_is_found_as_one(ledger: Ledger) -> None:
    owner = ledger.registry()
    number = await owner.register(replace(EVSE, kind=AssetKind.BATTERY), "battery")
    assert await owner.registry.find(number) is None
    read = await owner.registry.read(number)
    assert read is not None
    assert read[0].kind == AssetKind.BATTERY


async def test_an_owner_changes_its_asset_and_nobody_elses(ledger: Ledger) -> None:
    owner = ledger.registry()
    number = await owner.register(EVSE, "register:1")
    await owner.set_price(number, Price(390_000), "price:1")
    await owner.set_lifecycle(number, Lifecycle.OUT_OF_SERVICE, "lifecycle:1")
    await owner.set_record(number, b"\x11" * 32, "record:1")
    found = await owner.registry.find(number)
    assert found is not None
    assert (found.price, found.active, found.record_hash) == (390_000, False, b"\x11" * 32)
    await owner.update(number, EVSE, "update:1")
    found = await owner.registry.find(number)
    assert found is not None
    assert (found.price, found.active, found.record_hash) == (450_000, True, EVSE.record_hash)
    thief = AssetOwner(owner.registry, ledger.relayer(ledger.keys.relayer))
    with pytest.raises(Refused, match=r"registry\.not_the_owner"):
        await thief.set_price(number, Price(0), "price:2")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latitude_udeg", 90_000_001),
        ("longitude_udeg", -180_000_001),
        ("price", 2**32),
        ("price", -1),
        ("rating", 2**32),
        ("group", 2**40),
    ],
)
async def test_what_does_not_fit_is_refused_before_it_is_sent(ledger: Ledger, field: str, value: int) -> None:
    with pytest.raises(InvalidInput, match=r"registry\."):
        await ledger.registry().register(_changed(field, value), "register:1")
    assert await ledger.journal.find("register:1") is None


async def test_a_wrong_address_is_noticed(ledger: Ledger) -> None:
    stray = AssetRegistry(ledger.rpc, Address.parse("0x" + "11" * 20))
    with pytest.raises(ProtocolViolation, match=r"chain\.not_the_contract"):
        await stray.find(1)


async def test_a_registration_whose_receipt_is_gone_is_found_again(ledger: Ledger) -> None:
    owner = ledger.registry()
    await owner.register(replace(EVSE, record_hash=b"\x01" * 32), "other")
    number = await owner.register(EVSE, "register:1")
    assert await owner._find_again(EVSE) == number
    with pytest.raises(IntegrityFailure, match=r"registry\.lost"):
        await owner._find_again(replace(EVSE, record_hash=b"\x77" * 32))
