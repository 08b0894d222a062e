"""What is registered reads back, bit for bit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.units import W
from evmesh.ledger.asset_words import (
    AssetKind,
    ConnectorKind,
    Lifecycle,
    NewAsset,
    StoredAsset,
    facts_word,
    place_word,
)

addresses = st.binary(min_size=20, max_size=20).map(Address.from_bytes)
assets = st.builds(
    NewAsset,
    kind=st.sampled_from(AssetKind),
    lifecycle=st.sampled_from(Lifecycle),
    connector=st.sampled_from(ConnectorKind),
    rating=st.integers(0, 2**32 - 1).map(W),
    group=st.integers(0, 2**40 - 1),
    deposit_address=addresses,
    latitude_udeg=st.integers(-90_000_000, 90_000_000),
    longitude_udeg=st.integers(-180_000_000, 180_000_000),
    price=st.integers(0, 2**32 - 1).map(Price),
    record_hash=st.binary(min_size=32, max_size=32),
)


@given(assets, addresses)
def test_an_asset_reads_back_as_it_was_packed(asset: NewAsset, owner: Address) -> None:
    facts = facts_word(asset) | int.from_bytes(owner.to_bytes(), "big")
    stored = StoredAsset.read(facts, place_word(asset))
    assert stored.owner == owner
    for name in StoredAsset.__slots__:
        if name != "owner":
            assert getattr(stored, name) == getattr(asset, name)


def test_the_layout_is_frozen() -> None:
    asset = NewAsset(
        AssetKind.EVSE,
        Lifecycle.IN_SERVICE,
        ConnectorKind.TYPE_2_SOCKET,
        W(22_000),
        7,
        Address.parse("0x" + "de" * 20),
        52_520_008,
        13_404_954,
        Price(450_000),
        bytes(32),
    )
    assert facts_word(asset) == 1 << 160 | 1 << 168 | 2 << 176 | 22_000 << 184 | 7 << 216
    deposit = int("de" * 20, 16)
    assert place_word(asset) == deposit | 142_520_008 << 160 | 193_404_954 << 188 | 450_000 << 217


def test_a_place_off_the_earth_is_refused() -> None:
    off = NewAsset(
        AssetKind.EVSE,
        Lifecycle.PLANNED,
        ConnectorKind.NONE,
        W(0),
        0,
        Address.parse("0x" + "00" * 20),
        90_000_001,
        0,
        Price(0),
        bytes(32),
    )
    with pytest.raises(InvalidInput, match=r"registry\.no_such_place"):
        place_word(off)
