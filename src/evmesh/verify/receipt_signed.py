"""What the meter signed itself: by its own key, of this charge, and no less than what is billed."""

from evmesh.domain.errors import EvmeshError, IntegrityFailure
from evmesh.domain.ocmf import OcmfRecord
from evmesh.domain.ocmf_charge import OcmfCharge
from evmesh.domain.readings import meter_leaf_hash
from evmesh.domain.receipt_parts import MeterEntry
from evmesh.domain.signed_meter import SignedMeter, difference
from evmesh.verify.case import Case
from evmesh.verify.merkle import root_from_inclusion_proof
from evmesh.verify.ocmf import verify_ocmf
from evmesh.verify.receipt_terms import NO_READINGS
from evmesh.verify.report import Finding, NotChecked, require

_GATEWAY = "the meter has signed nothing itself: the readings are signed for it, as the receipt says"


def signed_meter(case: Case) -> Finding:
    """Check the meter's records: its signature, their sense, their place in the tree, and their registers."""
    signed = case.receipt.signed_meter
    if signed is None:
        return _GATEWAY
    for number, entry in enumerate(signed.records):
        _require_place(case, entry, f"signed_meter.records[{number}]")
    if case.meter_signatures is None:
        return NotChecked("meters' signatures cannot be checked here")
    payloads = [entry.payload for entry in signed.records]
    report = verify_ocmf(payloads, signed.public_key, case.meter_signatures)
    for check in report.report.failed():
        raise IntegrityFailure(check.code, f"{check.name}: {check.what}", path="signed_meter.records")
    if case.start is None or case.stop is None:
        return NO_READINGS
    charge = OcmfCharge.of([OcmfRecord.parse(entry.payload) for entry in signed.records])
    other = difference(charge, case.start.register, case.stop.register)
    require(other is None, "signed_meter.differs", other or "", "signed_meter.records")
    return f"the meter's own key signed {charge.energy} mWh of this charge"


def key_difference(signed: SignedMeter | None, registered: bytes) -> tuple[str, str, str] | None:
    """Give code, words and path where the meter's key is not the registered one, if the meter signed."""
    if signed is None or signed.public_key == registered:
        return None
    said = "another key of the meter" if registered else "no key of the meter"
    return "record.other_ocmf_key", f"the registered record has {said}", "signed_meter.public_key"


def _require_place(case: Case, entry: MeterEntry, path: str) -> None:
    first, last, tree = case.receipt.start, case.receipt.stop, case.receipt.tree
    require(entry.meter == first.meter, "meter.other_meter", "a record of another meter", f"{path}.meter")
    follows = first.seq < entry.seq < last.seq and first.index < entry.index < last.index
    require(follows, "meter.out_of_order", "it was not filed between start and stop", f"{path}.seq")
    leaf = meter_leaf_hash(entry.meter, entry.seq, entry.salt, entry.prev_hash, entry.payload)
    try:
        root = root_from_inclusion_proof(leaf, entry.index, tree.size, entry.proof)
    except EvmeshError as error:
        error.path = f"{path}.proof"
        raise
    require(root == tree.root, "merkle.other_root", "the proof does not lead to the root", f"{path}.proof")
