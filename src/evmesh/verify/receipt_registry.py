"""What the registry says of the station: whose it is, its price, its rating, and its meter's key."""

from datetime import timedelta
from hashlib import sha256
from typing import Final

from evmesh.domain.asset_record import AssetRecord
from evmesh.domain.errors import IntegrityFailure, InvalidInput
from evmesh.domain.readings import most_growth
from evmesh.domain.units import W
from evmesh.verify.case import Case, require_contracts
from evmesh.verify.chain_facts import AssetEntry
from evmesh.verify.receipt_signed import key_difference
from evmesh.verify.receipt_terms import NO_READINGS
from evmesh.verify.report import OFFLINE, Finding, NotChecked, require

_SIGNS_ITSELF: Final = (
    "the registered record has a key of the meter's own, and the receipt no record that it signed: what the "
    "meter itself says of this charge is not shown"
)


def registry(case: Case) -> Finding:
    """Check that the registry gives the asset to the payee."""
    if case.chain is None:
        return OFFLINE
    entry, asset = _entry(case), case.receipt.station.asset
    require(
        entry.owner == case.receipt.payee,
        "registry.other_owner",
        f"asset {asset} is {entry.owner}'s",
        "payee",
    )
    return f"asset {asset} is {entry.owner}'s"


def registered_price(case: Case) -> Finding:
    """Check that the price is the public one. The registry keeps only today's; logs tell of changes."""
    if case.chain is None:
        return OFFLINE
    entry, offered = _entry(case), case.receipt.offer.price
    same = entry.price == offered
    if entry.changed is False:
        require(
            same,
            "registry.other_price",
            f"the registry's price is {entry.price}, and was when {offered} was offered",
            "offer.price",
        )
        return f"{offered} is the registry's price, and was before the charge"
    now = "the same now" if same else f"{entry.price} now, not {offered}"
    return NotChecked(f"the registry's price is {now}; {_then(entry)}")


def registered_meter(case: Case) -> Finding:
    """Check that the key of the readings is in the record whose hash the registry holds."""
    if case.chain is None:
        return OFFLINE
    entry = _entry(case)
    if entry.record is None:
        return NotChecked(f"the station's full record could not be fetched: {entry.no_record}")
    found = _difference(case, entry, entry.record)
    if found is None and case.receipt.signed_meter is None and AssetRecord.parse(entry.record).ocmf_key:
        return NotChecked(_SIGNS_ITSELF)
    if found is None:
        return f"{case.receipt.meter_key.address} is the registered key of meter {case.receipt.start.meter}"
    code, what, path = found
    if entry.changed:
        return NotChecked(f"{what}; {_then(entry)}")
    raise IntegrityFailure(code, what, path=path)


def power(case: Case) -> Finding:
    """Check that no more was metered, at any point of the curve, than the connector can have delivered."""
    if case.chain is None:
        return OFFLINE
    entry = _entry(case)
    if case.start is None or case.stop is None:
        return NO_READINGS
    for number, (after_s, register) in enumerate(case.receipt.curve):
        most = most_growth(W(entry.rating), timedelta(seconds=after_s))
        grown = register - case.start.register
        require(
            grown <= most,
            "curve.above_rating",
            f"{grown} Wh after {after_s} s, where {entry.rating} W give {most} Wh with all allowances",
            f"curve[{number}]",
        )
    return f"no more than {entry.rating} W can deliver"


def _entry(case: Case) -> AssetEntry:
    facts, asset = require_contracts(case), case.receipt.station.asset
    if facts.asset is None:
        raise IntegrityFailure("registry.unknown_asset", f"there is no asset {asset}", path="station.asset")
    return facts.asset


def _difference(case: Case, entry: AssetEntry, raw: bytes) -> tuple[str, str, str] | None:
    """Give code, words and path of what the record has otherwise than the receipt; None where nothing is."""
    if sha256(raw).digest() != entry.record_hash:
        return (
            "record.other_hash",
            "what is served is not the record that the registry names",
            "station.asset",
        )
    try:
        record = AssetRecord.parse(raw)
    except InvalidInput as error:
        return "record.unreadable", f"the registered record is none: {error.what}", "station.asset"
    receipt, station = case.receipt, case.receipt.station
    for name, registered, shown, path in (
        ("evse", record.evse_id, station.evse_id, "station.evse_id"),
        ("station", record.charge_point, station.charge_point, "station.charge_point"),
        ("meter", record.meter, receipt.start.meter, "start.meter"),
        ("key", record.meter_key, receipt.meter_key.address, "meter_key.address"),
    ):
        if registered != shown:
            return f"record.other_{name}", f"the registered record says {registered}, not {shown}", path
    if other := key_difference(receipt.signed_meter, record.ocmf_key):
        return other
    if record.rating != entry.rating:
        return (
            "record.other_rating",
            f"record and registry differ: {record.rating} and {entry.rating} W",
            "station",
        )
    return None


def _then(entry: AssetEntry) -> str:
    if entry.changed:
        return "its entry was changed since shortly before the charge, so what it said then is not shown"
    return "the node has no logs that would tell whether it was at the charge"
