"""Files of assets: every kind that the registry takes, and what is refused with its path."""

import json
from pathlib import Path
from typing import Any

import pytest

from evmesh.app.asset_file import AssetSpec, keep_record, kept_record, read_asset_file
from evmesh.domain.asset_record import AssetRecord
from evmesh.domain.equipment_record import FACTS, EquipmentRecord
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.ledger.asset_words import AssetKind, ConnectorKind, Lifecycle
from evmesh.ledger.keys import deposit_signer

ASSETS = Path(__file__).parents[3] / "examples" / "assets"
METER_KEY = Address("0x" + "5a" * 20)
OWNER = Address("0x" + "0a" * 20)
SECRET = b"\x01" * 32


def spec(name: str) -> AssetSpec:
    return AssetSpec.of(read_asset_file(str(ASSETS / f"{name}.toml")), METER_KEY)


def test_there_is_an_example_of_each_kind() -> None:
    assert {path.stem for path in ASSETS.glob("*.toml")} == {"evse", *FACTS}
    assert {spec(path.stem).kind for path in ASSETS.glob("*.toml")} == set(AssetKind)


def test_an_evse_is_registered_as_the_site_file_would() -> None:
    evse = spec("evse")
    assert isinstance(evse.record, AssetRecord)
    assert AssetRecord.parse(evse.raw) == evse.record
    new = evse.new_asset(OWNER, SECRET)
    assert (new.kind, new.lifecycle, new.connector) == (
        AssetKind.EVSE,
        Lifecycle.IN_SERVICE,
        ConnectorKind.TYPE_2_SOCKET,
    )
    assert new.deposit_address == deposit_signer(SECRET, evse.record.evse_id).address
    assert evse.key == "register:NL*EVM*ECA303"


@pytest.mark.parametrize("kind", FACTS)
def test_other_kinds_have_their_facts_and_the_owner_as_deposit_address(kind: str) -> None:
    asset = spec(kind)
    assert isinstance(asset.record, EquipmentRecord)
    assert EquipmentRecord.parse(asset.raw) == asset.record
    assert tuple(name for name, _ in asset.record.facts) == FACTS[kind]
    assert json.loads(asset.raw)["meter_key"] == METER_KEY.text
    assert asset.new_asset(OWNER, SECRET).deposit_address == OWNER


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"kind": "toaster"}, "kind"),
        ({"price": 3.5}, "price"),
        ({"group": -1}, "group"),
        ({"latitude_udeg": 90_000_001}, "latitude_udeg"),
        ({"lifecycle": True}, "lifecycle"),
        ({"colour": "red"}, "colour"),
        ({"record": 5}, "record"),
        ({"record": {"rating_w": 1, "meter": "m", "phases": 4, "capacity_wh": 1}}, "record.phases"),
        ({"record": {"rating_w": 1, "meter": "m", "phases": 3}}, "record.capacity_wh"),
        ({"record": {"rating_w": 1, "meter": "m", "phases": 3, "capacity_wh": 1, "x": 1}}, "record.x"),
    ],
)
def test_what_is_wrong_is_refused_with_its_path(change: dict[str, Any], path: str) -> None:
    document = read_asset_file(str(ASSETS / "battery.toml")) | change
    with pytest.raises(InvalidInput) as refused:
        AssetSpec.of(document, METER_KEY)
    assert refused.value.path == path


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    for text in ("kind = ", '{"kind": ', "[1, 2]"):
        (tmp_path / "asset").write_text(text)
        with pytest.raises(InvalidInput, match=r"asset\.bad_file"):
            read_asset_file(str(tmp_path / "asset"))


def test_records_are_kept_where_the_platform_serves_them(tmp_path: Path) -> None:
    assert kept_record(tmp_path, 7) is None
    keep_record(tmp_path, 7, b"{}")
    assert kept_record(tmp_path, 7) == b"{}"
