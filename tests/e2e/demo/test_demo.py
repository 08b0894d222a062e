"""The demo, and its receipt under attack."""

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from typer.testing import CliRunner

from evmesh.app.main import app
from evmesh.domain.canonical import canonical_json
from evmesh.domain.receipt import Receipt
from evmesh.domain.trust import Trust
from evmesh.domain.typed_data import digest
from evmesh.ledger.signatures import EthereumSignatures, KeySigner, keccak256
from evmesh.verify.receipt import verify_receipt
from tests.e2e.demo.conftest import DemoRun

pytestmark = pytest.mark.timeout(300)

SIGNATURES = EthereumSignatures()


def test_the_demo_shows_eleven_steps_and_all_of_them_check(demo: DemoRun) -> None:
    failed = [step for step in demo.answer["steps"] if not step["ok"]]
    assert not failed
    assert [step["n"] for step in demo.answer["steps"]] == list(range(1, 12))
    assert demo.answer["ok"] is True
    assert demo.exit_code == 0


def test_the_demo_is_the_charge_that_was_asked_for(demo: DemoRun) -> None:
    steps = {step["n"]: step["evidence"] for step in demo.answer["steps"]}
    assert steps[6]["most_cars_in_a_plan"] >= 4
    assert len(set(steps[6]["its_lambda"])) > 1
    assert len(steps[6]["its_lambda"]) >= 4
    assert steps[9]["energy_wh"] >= 10_000
    assert steps[9]["outcome"].startswith("asked 12,000 Wh, got ")
    assert steps[9]["energy_wh"] >= 12_000 or "the car took less" in steps[9]["outcome"]
    assert steps[4]["refused"]["deficit_wh"] > 0
    assert steps[4]["refused"]["offers"]
    assert steps[5]["transactions_sent_by_the_driver"] == 0
    assert steps[10]["final"] is False  # its day is not over, so nothing is paid yet


def test_every_flipped_byte_of_the_receipt_is_refused(demo: DemoRun) -> None:
    raw = demo.read("receipt.json")
    accepted = []
    for position in range(len(raw)):
        forged = bytearray(raw)
        forged[position] ^= 1
        if verify_receipt(bytes(forged), SIGNATURES).ok:
            accepted.append(position)
    assert not accepted


def test_every_changed_field_of_the_receipt_is_refused(demo: DemoRun) -> None:
    document = json.loads(demo.read("receipt.json"))
    paths = list(fields_of(document))
    assert len(paths) > 100
    accepted = [path for path in paths if verify_receipt(with_change(document, path), SIGNATURES).ok]
    assert not accepted


def test_a_receipt_signed_anew_by_another_key_fails_with_a_trust_file(demo: DemoRun) -> None:
    thief = KeySigner(b"\x07" * 32)
    honest = Receipt.parse(demo.read("receipt.json"))
    forged = Receipt.parse(canonical_json({**json.loads(honest.encode()), "payee": thief.address.text}))
    signature = thief.sign(digest(forged.chain.domain, forged.to_sign(), keccak256))
    raw = forged.signed(signature).encode()
    trust = Trust.parse(demo.read("trust.json"))

    report = verify_receipt(raw, SIGNATURES, trust)

    codes = {check.code for check in report.failed()}
    assert "trust.unknown_payee" in codes


def test_the_command_line_verifies_the_receipt_and_names_what_fails(demo: DemoRun) -> None:
    receipt, trust = str(demo.out / "receipt.json"), str(demo.out / "trust.json")
    good = CliRunner().invoke(app, ["verify", "receipt", receipt, "--trust", trust])
    assert good.exit_code == 0, good.output

    forged = demo.out / "forged.json"
    forged.write_bytes(demo.read("receipt.json").replace(b'"due":"', b'"due":"1'))
    bad = CliRunner().invoke(app, ["verify", "receipt", str(forged), "--json"])
    assert bad.exit_code == 6
    failed = [check for check in json.loads(bad.stdout)["checks"] if check["status"] == "failed"]
    assert {"payee signature", "due"} <= {check["name"] for check in failed}


def test_the_plan_of_the_demo_verifies_from_its_files(demo: DemoRun) -> None:
    for problem, schedule in (("problem.json", "schedule.json"), ("refused-problem.json", "refusal.json")):
        files = [str(demo.out / problem), str(demo.out / schedule)]
        assert CliRunner().invoke(app, ["plan", "verify", *files]).exit_code == 0


def fields_of(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Give the path of every leaf of a document."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from fields_of(item, (*path, key))
    elif isinstance(value, list):
        for position, item in enumerate(value):
            yield from fields_of(item, (*path, position))
    else:
        yield path


def with_change(document: dict[str, Any], path: tuple[Any, ...]) -> bytes:
    """Change one leaf into another value of its kind, and encode canonically."""
    changed = deepcopy(document)
    parent: Any = changed
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = other(parent[path[-1]])
    return canonical_json(changed)


def other(value: Any) -> Any:
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str) and value.isdecimal():
        return str(int(value) + 1)
    if isinstance(value, str) and value.startswith("0x"):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    return value[:-1] + ("A" if value[-1] != "A" else "B") if value else "A"


def test_the_chain_started_again_says_the_same_of_receipt_and_settlement(demo: DemoRun, node: str) -> None:
    files = {name: str(demo.out / f"{name}.json") for name in ("receipt", "settlement", "trust")}
    common = ["--trust", files["trust"], "--rpc", node, "--json"]
    found = CliRunner().invoke(app, ["verify", "receipt", files["receipt"], *common])
    assert found.exit_code == 0, found.output
    checks = {check["name"]: check["status"] for check in json.loads(found.stdout)["checks"]}
    assert {name for name, status in checks.items() if status != "ok"} == {
        "plan optimality",  # its files were not given
        "registered meter",  # the operator's server is down
        "plan commitment",  # nor was its proof
    }
    proof, plan = (
        str(demo.out / "plan-proof.json"),
        [str(demo.out / f"{n}.json") for n in ("problem", "schedule")],
    )
    found = CliRunner().invoke(app, ["verify", "receipt", files["receipt"], "--plan-proof", proof, *common])
    assert found.exit_code == 0, found.output
    found = CliRunner().invoke(app, ["plan", "verify", *plan, "--proof", proof, *common])
    assert found.exit_code == 0, found.output
    checks = {check["name"]: check["status"] for check in json.loads(found.stdout)["checks"]}
    checks.pop("committed in time")  # time runs fast in the demo: that depends on the machine
    assert set(checks.values()) == {"ok"}, found.output
    beside = ["verify", "settlement", files["settlement"], "--receipt", files["receipt"], *common]
    found = CliRunner().invoke(app, beside)
    assert found.exit_code == 0, found.output
    assert {check["status"] for check in json.loads(found.stdout)["checks"]} == {"ok"}
