"""All evidence of the demo, derived again from the files and the chain by code that shares none."""

import hashlib
import json
import subprocess
import sys

import pytest

from tests.e2e.demo.conftest import DemoRun
from tests.e2e.demo.rederive import (
    OFFER,
    REQUEST,
    VOUCHER,
    Json,
    Node,
    Signer,
    canonical,
    check_schedule,
    hash_struct,
    leaf_of,
    root_of,
    station_code,
    unhex,
)

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def receipt(demo: DemoRun) -> Json:
    document: Json = json.loads(demo.read("receipt.json"))
    return document


@pytest.fixture(scope="module")
def signer(receipt: Json) -> Signer:
    return Signer(receipt["chain"]["chain_id"], receipt["chain"]["charge_tab"])


def test_the_second_derivation_imports_nothing_of_evmesh() -> None:
    code = "import sys, tests.e2e.demo.rederive; print([m for m in sys.modules if m.startswith('evmesh')])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_receipt_is_canonical_and_signed_by_its_payee(
    demo: DemoRun, receipt: Json, signer: Signer
) -> None:
    assert canonical(receipt) == demo.read("receipt.json")
    assert signer.of_document(receipt) == receipt["payee"]


def test_request_offer_and_voucher_are_signed_by_their_makers(receipt: Json, signer: Signer) -> None:
    request, offer = receipt["request"], receipt["offer"]
    assert signer.of(REQUEST, request, receipt["request_signature"]) == request["payer"]
    assert signer.of(OFFER, offer, receipt["offer_signature"]) == receipt["payee"]
    assert offer["request"] == "0x" + hash_struct(REQUEST, request).hex()
    assert offer["session"] == "0x" + receipt["session"].replace("-", "") + 32 * "0"
    for voucher in receipt["vouchers"]:
        values = {"payee": receipt["payee"], **voucher}
        assert signer.of(VOUCHER, values, voucher["signature"]) == request["payer"]
    assert int(receipt["vouchers"][-1]["cumulative"]) == int(offer["base"]) + int(offer["budget"])


def test_the_readings_are_signed_chained_and_in_the_tree(receipt: Json, signer: Signer) -> None:
    for entry in (receipt["start"], receipt["stop"]):
        reading = json.loads(entry["payload"])
        assert signer.of_document(reading) == receipt["meter_key"]["address"]
        assert reading["session"] == receipt["session"]
        root = root_of(leaf_of(entry), entry["index"], receipt["tree"]["size"], entry["proof"])
        assert "0x" + root.hex() == receipt["tree"]["root"]


def test_energy_and_cost_follow_from_the_registers(receipt: Json) -> None:
    first, last = (json.loads(receipt[name]["payload"])["register_wh"] for name in ("start", "stop"))
    assert receipt["energy_wh"] == last - first
    cost = (last - first) * receipt["price"] // 1000
    assert int(receipt["cost"]) == cost
    assert int(receipt["due"]) == min(cost, int(receipt["offer"]["budget"]))
    assert receipt["curve"][0][1] == first
    assert receipt["curve"][-1][1] == last


def test_plan_and_refusal_hold(demo: DemoRun, receipt: Json) -> None:
    problem, schedule = demo.read("problem.json"), demo.read("schedule.json")
    assert "0x" + hashlib.sha256(problem).hexdigest() == receipt["plan"]["problem_sha256"]
    assert "0x" + hashlib.sha256(schedule).hexdigest() == receipt["plan"]["schedule_sha256"]
    check_schedule(problem, schedule)
    check_schedule(demo.read("refused-problem.json"), demo.read("refusal.json"))
    others = sorted((demo.out / "plans").glob("*-problem.json"))
    assert others
    for other in others:
        check_schedule(
            other.read_bytes(), other.with_name(other.name.replace("problem", "schedule")).read_bytes()
        )
    row = next(row for row in json.loads(schedule)["rows"] if row["id"] == receipt["plan"]["row"]["id"])
    assert row == receipt["plan"]["row"]
    seed = b"evmesh.pseudonym/1" + hash_struct(REQUEST, receipt["request"])
    assert row["id"] == hashlib.sha256(seed).hexdigest()[:16]


def test_the_reward_follows_from_its_arrays(demo: DemoRun, receipt: Json) -> None:
    reward = json.loads(demo.read("reward-so-far.json"))
    steps = list(zip(reward["metered_wh"], reward["baseline_wh"], reward["step_price"], strict=True))
    value = max(0, sum(price * (baseline - metered) for metered, baseline, price in steps))
    if receipt["request"]["flexible"] == 0:
        value = 0
    assert int(reward["value"]) == value
    share = int(reward["avoided"]) * reward["share_per_mille"]
    total = int(reward["total"])
    exact = value * share // (total * 1_000_000) if total * 1000 > share else value // 1000
    assert int(reward["reward"]) == exact
    assert sum(reward["metered_wh"]) == receipt["energy_wh"]


def test_the_settlement_names_the_receipt_and_is_signed(demo: DemoRun, receipt: Json, signer: Signer) -> None:
    settlement = json.loads(demo.read("settlement.json"))
    assert settlement["receipt_sha256"] == "0x" + hashlib.sha256(demo.read("receipt.json")).hexdigest()
    assert settlement["amount"] == receipt["due"]
    assert signer.of_document(settlement) == receipt["payee"]


def test_the_chain_says_the_same(demo: DemoRun, receipt: Json, node: str) -> None:
    chain, here = receipt["chain"], Node(node)
    payee, payer = unhex(receipt["payee"]), unhex(receipt["request"]["payer"])
    spent, ceiling, leaving, epoch = here.read(chain["charge_tab"], "tab(address,address)", payee, payer)
    assert spent == int(receipt["offer"]["base"]) + int(receipt["due"])
    assert ceiling >= spent
    assert (leaving, epoch) == (0, int(receipt["offer"]["epoch"]))

    facts, place, record = here.read(
        chain["registry"], "asset(uint256)", receipt["station"]["asset"].to_bytes(32, "big")
    )
    assert facts & (1 << 160) - 1 == int(receipt["payee"], 16)
    assert record == int(hashlib.sha256(demo.read("asset.json")).hexdigest(), 16)
    assert place >> 217 & (1 << 32) - 1 == receipt["price"]
    assert station_code(receipt["station"]["asset"]) == receipt["station"]["code"]

    tree = receipt["tree"]
    size, root, _ = here.read(
        chain["notary"], "newest(address,bytes32)", unhex(tree["publisher"]), unhex(tree["stream"])
    )
    assert size >= tree["size"]
    if size == tree["size"]:
        assert root == int(tree["root"], 16)
    for step, contract in ((7, chain["notary"]), (9, chain["charge_tab"])):
        evidence = demo.answer["steps"][step - 1]["evidence"]
        for hash in [evidence["anchor"]] if step == 7 else evidence["claim"]:
            mined = here.call("eth_getTransactionReceipt", hash)
            assert int(mined["status"], 16) == 1
            assert mined["to"] == contract
    anchored = here.call("eth_getTransactionByHash", demo.answer["steps"][6]["evidence"]["anchor"])
    assert tree["root"][2:] in anchored["input"]
