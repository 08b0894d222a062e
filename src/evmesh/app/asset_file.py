"""What is to be registered of an asset of any kind, as a TOML file or the API says it."""

import json
import tomllib
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from evmesh.app.files import read_input
from evmesh.domain.asset_record import AssetRecord
from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.equipment_record import FACTS, EquipmentRecord
from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.strict import StrictFields
from evmesh.domain.units import W
from evmesh.ledger.asset_words import AssetKind, ConnectorKind, Lifecycle, NewAsset
from evmesh.ledger.keys import deposit_signer

_EVSE: Final = "evse"
_KINDS: Final = {_EVSE: AssetKind.EVSE, **{name: AssetKind[name.upper()] for name in FACTS}}
_MAX_FILE: Final = 64 * 1024
_PLACES: Final = ("latitude_udeg", "longitude_udeg")


@dataclass(frozen=True, slots=True)
class AssetSpec:
    """One asset: the registry's words and the full record behind their hash."""

    kind: AssetKind
    lifecycle: Lifecycle
    connector: ConnectorKind
    group: int
    latitude_udeg: int
    longitude_udeg: int
    price: Price
    record: AssetRecord | EquipmentRecord

    @property
    def raw(self) -> bytes:
        """The record's bytes, which the base URL serves."""
        return self.record.encode()

    @property
    def key(self) -> str:
        """Name the purpose of registering it: the same asset is registered once."""
        if isinstance(self.record, AssetRecord):
            return f"register:{self.record.evse_id}"
        return f"register:{self.record.kind}:{self.record.meter}"

    def new_asset(self, owner: Address, operator_secret: bytes) -> NewAsset:
        """Give it as the registry takes it: an EVSE has a deposit address of its own, others the owner's."""
        deposit = owner
        if isinstance(self.record, AssetRecord):
            deposit = deposit_signer(operator_secret, self.record.evse_id).address
        return NewAsset(
            kind=self.kind,
            lifecycle=self.lifecycle,
            connector=self.connector,
            rating=W(self.record.rating),
            group=self.group,
            deposit_address=deposit,
            latitude_udeg=self.latitude_udeg,
            longitude_udeg=self.longitude_udeg,
            price=self.price,
            record_hash=sha256(self.raw).digest(),
        )

    @classmethod
    def of(cls, document: dict[str, Any], meter_key: Address) -> "AssetSpec":
        """Read the entries; raises InvalidInput with the path of the wrong one.

        `meter_key` signs the readings where the file names no key of the meter's own.
        """
        # Through the canonical form, so that a float, a boolean or a date is refused as in any document.
        members = StrictFields(parse_canonical_json(canonical_json(_with_defaults(document))))
        kind = members.literal("kind", *_KINDS)
        lifecycle = members.literal("lifecycle", *(one.name.lower() for one in Lifecycle))
        connector = members.literal("connector_type", *(one.name.lower() for one in ConnectorKind))
        latitude = members.integer("latitude_udeg", -90_000_000, 90_000_000)
        longitude = members.integer("longitude_udeg", -180_000_000, 180_000_000)
        group, price = members.integer("group"), Price(members.integer("price"))
        record = members.take("record")
        members.done()
        if not isinstance(record, dict):
            raise InvalidInput("asset.bad_file", "a table [record] must stand here", path="record")
        return cls(
            kind=_KINDS[kind],
            lifecycle=Lifecycle[lifecycle.upper()],
            connector=ConnectorKind[connector.upper()],
            group=group,
            latitude_udeg=latitude,
            longitude_udeg=longitude,
            price=price,
            record=_record(kind, {"meter_key": meter_key.text, **record}),
        )


def read_asset_file(name: str) -> dict[str, Any]:
    """Read a TOML file (or JSON, where it begins so); raises InvalidInput `asset.bad_file`."""
    raw = read_input(name, _MAX_FILE)
    try:
        text = raw.decode()
        found = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("asset.bad_file", f"{name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInput("asset.bad_file", f"{name} holds no table")
    return found


def keep_record(data: Path, asset: int, raw: bytes) -> None:
    """Put a record where the platform serves it from: `DIR/assets/{number}.json`."""
    folder = data / "assets"
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f"{asset}.new"
    fresh.write_bytes(raw)
    fresh.replace(folder / f"{asset}.json")


def kept_record(data: Path, asset: int) -> bytes | None:
    """Give a record that was put there."""
    path = data / "assets" / f"{asset}.json"
    return path.read_bytes() if path.is_file() else None


def _with_defaults(document: dict[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"lifecycle": "in_service", "connector_type": "none", "group": 0, "price": 0}
    return defaults | dict.fromkeys(_PLACES, 0) | document


def _record(kind: str, members: dict[str, Any]) -> AssetRecord | EquipmentRecord:
    document = {"format": AssetRecord.FORMAT, **members}
    try:
        if kind == _EVSE:
            return AssetRecord.parse(canonical_json(document))
        return EquipmentRecord.of({**document, "kind": kind})
    except InvalidInput as error:
        error.path = f"record.{error.path}" if error.path else "record"
        raise
