"""A receipt without the meter's own records, where the registry says whether the meter signs."""

import pytest

from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Check, Status
from tests.unit.verify.receipt_factory import (
    SIGNATURES,
    make_chain_facts,
    make_entry,
    make_receipt,
    make_record,
    make_trust,
)

P256 = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004") + bytes(range(64))


def registered_meter(ocmf_key: bytes, *, changed: bool | None = False) -> Check:
    entry = make_entry(record=make_record(ocmf_key=ocmf_key), changed=changed)
    receipt = make_receipt()
    assert receipt.signed_meter is None
    facts = make_chain_facts(receipt, asset=entry)
    report = verify_receipt(receipt.encode(), SIGNATURES, make_trust(), chain=facts)
    return {one.name: one for one in report.checks}["registered meter"]


@pytest.mark.parametrize("changed", [False, True, None])
def test_a_meter_that_signs_by_the_registry_and_has_not_signed_is_not_called_ok(changed: bool | None) -> None:
    found = registered_meter(P256, changed=changed)
    assert found.status is Status.NOT_CHECKED
    assert "no record that it signed" in found.what


def test_a_meter_that_signs_nothing_by_the_registry_either_is_the_registered_one() -> None:
    assert registered_meter(b"").status is Status.OK
