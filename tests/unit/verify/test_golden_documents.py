"""Documents as they were first issued: they must verify for ever, whatever the code becomes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from evmesh.domain.trust import Trust
from evmesh.verify.case import PlanFiles
from evmesh.verify.followups import verify_reward, verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Report, Status
from tests.unit.verify.receipt_factory import SIGNATURES
from tests.unit.verify.rederive import rederive_plan, rederive_receipt

GOLDEN = Path(__file__).parent / "golden"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def test_the_first_receipt_still_verifies() -> None:
    files = PlanFiles(golden("problem"), golden("schedule"))
    report = verify_receipt(golden("receipt"), SIGNATURES, Trust.parse(golden("trust")), files)
    assert report.ok
    assert [check.name for check in report.checks if check.status is not Status.OK] == [
        "registry",
        "registered price",
        "registered meter",
        "power",
        "anchor",
        "settlement",
        "plan commitment",
    ]


@pytest.mark.parametrize(("name", "verify"), [("settlement", verify_settlement), ("reward", verify_reward)])
def test_what_followed_it_still_verifies(name: str, verify: Callable[..., Report]) -> None:
    report = verify(golden(name), SIGNATURES, golden("receipt"), Trust.parse(golden("trust")))
    assert report.ok
    assert {check.name for check in report.checks if check.status is not Status.OK} <= {
        "transactions",
        "voucher",
        "made",
    }


def test_a_program_without_evmesh_derives_the_same() -> None:
    receipt = rederive_receipt(golden("receipt"))
    rederive_plan(receipt, golden("problem"), golden("schedule"))


@pytest.mark.parametrize("member", ["cost", "due", "signature", "energy_wh", "request_signature"])
def test_the_other_program_is_not_easily_pleased(member: str) -> None:
    receipt = json.loads(golden("receipt"))
    value = receipt[member]
    receipt[member] = value + 1 if isinstance(value, int) else value[:-2] + "11"
    raw = json.dumps(receipt, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever way it says no
        rederive_receipt(raw)
