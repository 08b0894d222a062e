"""The eleven steps of the main job (DESIGN section 2), each proven from outside."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from evmesh.app.demo_outcome import measured, outcome
from evmesh.app.receipt_facts import read_chain_facts
from evmesh.app.records_facts import read_proof_facts
from evmesh.domain.canonical import canonical_json
from evmesh.domain.commitment_proof import StreamProof
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import Address
from evmesh.domain.money import Price, cost_of
from evmesh.domain.problem_shape import read_answer, read_problem
from evmesh.domain.readings import meter_leaf_hash
from evmesh.domain.receipt import Receipt
from evmesh.domain.reward import flexibility_value, reward_of
from evmesh.domain.schedule import Refusal, Schedule
from evmesh.domain.station_code import code_of, counter_of
from evmesh.domain.trust import Trust
from evmesh.domain.units import Wh
from evmesh.ledger.escrow import TabReader
from evmesh.ledger.meter_signatures import EcdsaMeterSignatures
from evmesh.ledger.notary import NotaryReader
from evmesh.ledger.registry import AssetRegistry
from evmesh.ledger.signatures import EthereumSignatures
from evmesh.telemetry.bus import MqttBus
from evmesh.telemetry.connection import MqttConfig
from evmesh.verify.answer import verify_answer
from evmesh.verify.case import PlanCommitment, PlanFiles
from evmesh.verify.merkle import verify_inclusion
from evmesh.verify.receipt import verify_receipt

if TYPE_CHECKING:
    from evmesh.app.demo import Scene

Json = dict[str, Any]
MIN_CARS, MIN_STEPS = 4, 4
_BROKER_WITHIN_S = 5


def require(holds: bool, code: str, what: str) -> None:
    """Raise IntegrityFailure where what the step must show does not hold."""
    if not holds:
        raise IntegrityFailure(code, what)


async def registered(scene: "Scene") -> Json:
    """1. Each EVSE is in the public registry, and its code follows from its number there."""
    asset = counter_of(scene.session["code"])
    registry = AssetRegistry(scene.rpc, Address(scene.site["chain"]["contracts"]["registry"]))
    facts = await registry.find(asset)
    require(facts is not None and facts.active, "demo.not_registered", f"asset {asset} is not in service")
    record = await scene.keep(f"/v1/assets/{asset}", "asset.json")
    same = facts is not None and facts.record_hash == sha256(record).digest()
    require(same, "demo.other_record", "the registry holds the hash of another record")
    logs = await scene.rpc.call(
        "eth_getLogs",
        {"address": registry.contract.text, "fromBlock": "0x0", "topics": [None, f"0x{asset:064x}"]},
    )
    require(bool(logs), "demo.no_log", "the registration left no event")
    return {
        "asset": asset,
        "code": code_of(asset),
        "owner": facts.owner.text if facts else "",
        "rating_w": facts.rating if facts else 0,
        "record_sha256": sha256(record).hexdigest(),
        "base_url": facts.base_url if facts else "",
        "transaction": logs[0]["transactionHash"],
        "registered": await registry.newest(),
    }


async def online(scene: "Scene") -> Json:
    """2. The station is connected over OCPP, and its values stand retained on MQTT."""
    point = _point(scene)
    require(point["online"], "demo.offline", "the station is not connected")
    values = await _retained(scene, point["name"].lower())
    require(values.get("Availability") == "online", "demo.no_values", f"MQTT holds only {sorted(values)}")
    require("TotalEnergyConsumption" in values, "demo.no_values", f"MQTT holds only {sorted(values)}")
    return {"ocpp": f"{scene.run.ocpp_url}/{point['charge_point']}", "topics": values}


async def found(scene: "Scene") -> Json:
    """3. The code leads to the station; what the platform says is what the registry says."""
    station = await scene.get(f"/v1/stations/{scene.session['code']}")
    registry = AssetRegistry(scene.rpc, Address(scene.site["chain"]["contracts"]["registry"]))
    facts = await registry.find(station["asset"])
    require(facts is not None, "demo.not_registered", "the registry does not have it")
    same = facts is not None and (
        facts.price == station["price"]
        and facts.rating == station["rating_w"]
        and facts.deposit_address.text == station["deposit_address"]
    )
    require(same, "demo.registry_differs", "platform and registry differ")
    keys = ("code", "evse_id", "price", "rating_w", "latitude_udeg", "longitude_udeg", "deposit_address")
    return {key: station[key] for key in keys}


async def admitted(scene: "Scene") -> Json:
    """4. Accepted with a plan and its certificate; another refused with a proof and offers."""
    receipt = Receipt.parse(await scene.keep(f"/v1/receipts/{scene.session['id']}", "receipt.json"))
    plan = receipt.plan
    path = f"/v1/plans/{plan.schedule_sha256.hex()}"
    problem = await scene.keep(f"{path}/problem", "problem.json")
    schedule = await scene.keep(f"{path}/schedule", "schedule.json")
    verdict = verify_answer(problem, schedule)
    require(verdict.ok, verdict.code, "the certificate of the plan does not hold")
    cars = len(read_problem(problem).requests)
    refusal = scene.site["refusals"][-1]
    number = refusal["number"]
    no_problem = await scene.keep(f"/v1/refusals/{number}/problem", "refused-problem.json")
    no = await scene.keep(f"/v1/refusals/{number}/schedule", "refusal.json")
    verdict = verify_answer(no_problem, no)
    require(verdict.ok, verdict.code, "the certificate of the refusal does not hold")
    require(isinstance(read_answer(no), Refusal), "demo.no_refusal", "nobody was refused")
    return {
        "cars": cars,
        "planned_wh": list(plan.wh),
        "lambda": list(plan.step_price),
        "problem_sha256": plan.problem_sha256.hex(),
        "schedule_sha256": plan.schedule_sha256.hex(),
        "certificate": "holds",
        "refused": {key: refusal[key] for key in ("code", "energy_wh", "departure", "deficit_wh", "offers")},
        "refusal_certificate": "holds",
    }


async def funded(scene: "Scene") -> Json:
    """5. The money was in the escrow before energy flowed, by a deposit that the driver only signed."""
    receipt = _receipt(scene)
    payer = receipt.request.payer.to_bytes().rjust(32, b"\0").hex()
    logs = await scene.rpc.call(
        "eth_getLogs",
        {"address": receipt.chain.charge_tab.text, "fromBlock": "0x0", "topics": [None, None, "0x" + payer]},
    )
    require(bool(logs), "demo.no_deposit", "the payer's deposit left no event")
    tab = await TabReader(scene.rpc, receipt.chain.charge_tab).tab(receipt.payee, receipt.request.payer)
    voucher = receipt.vouchers[-1]
    require(tab.ceiling >= voucher.cumulative, "demo.underfunded", "the tab does not cover the voucher")
    order = [event["event"] for event in scene.session["timeline"]]
    require(order.index("fund") < order.index("started"), "demo.order", f"the order was {order}")
    nonce = int(await scene.rpc.call("eth_getTransactionCount", receipt.request.payer.text, "latest"), 16)
    return {
        "deposit": logs[0]["transactionHash"],
        "budget": str(receipt.offer.budget),
        "voucher": str(voucher.cumulative),
        "ceiling": str(tab.ceiling),
        "transactions_sent_by_the_driver": nonce,
    }


async def controlled(scene: "Scene") -> Json:
    """6. The group was planned again and again; limits went out, and the cabinet was not exceeded."""
    limits, peaks, plans = set[int](), [], set[str]()
    for snapshot in scene.snapshots:
        for group in snapshot["groups"]:
            peaks.append(group["power_w"])
            if group["plan"]:
                plans.add(group["plan"]["schedule_sha256"])
        for session in snapshot["sessions"]:
            if session["id"] == scene.session["id"] and session["limit_w"] is not None:
                limits.add(session["limit_w"])
    capacity = scene.site["groups"][0]["capacity_w"]
    require(max(peaks) <= capacity, "demo.over_capacity", f"{max(peaks)} W of {capacity} W")
    require(len(limits) > 1 and len(plans) > 1, "demo.no_control", f"limits {limits}, {len(plans)} plans")
    most = await _check_plans(scene, plans)
    return {
        "plans_checked": len(plans),
        "most_cars_in_a_plan": most[0],
        "its_lambda": most[1],
        "limits_w": sorted(limits),
        "highest_group_power_w": max(peaks),
        "capacity_w": capacity,
    }


async def _check_plans(scene: "Scene", plans: set[str]) -> tuple[int, list[int]]:
    """Check the certificate of each plan that was seen; give the fullest one's cars and λ."""
    most: tuple[int, list[int]] = (0, [])
    for plan in sorted(plans):
        problem = await scene.keep(f"/v1/plans/{plan}/problem", f"plans/{plan[:16]}-problem.json")
        schedule = await scene.keep(f"/v1/plans/{plan}/schedule", f"plans/{plan[:16]}-schedule.json")
        verdict = verify_answer(problem, schedule)
        require(verdict.ok, verdict.code, f"the certificate of plan {plan} does not hold")
        answer = read_answer(schedule)
        cars = sum(one.energy_wh > 0 for one in read_problem(problem).requests)
        if isinstance(answer, Schedule) and len(set(answer.step_price)) > 1:
            most = max(most, (cars, [int(price) for price in answer.step_price]))
    require(most[0] >= MIN_CARS, "demo.too_few_cars", f"at most {most[0]} cars shared the cabinet")
    require(len(most[1]) >= MIN_STEPS, "demo.too_few_steps", f"λ has only {len(most[1])} steps")
    return most


async def anchored(scene: "Scene") -> Json:
    """7. The meter's readings are leaves of a tree whose head is anchored on chain."""
    receipt = _receipt(scene)
    tree = receipt.tree
    for entry in (receipt.start, receipt.stop):
        leaf = meter_leaf_hash(entry.meter, entry.seq, entry.salt, entry.prev_hash, entry.payload)
        ok = verify_inclusion(leaf, entry.index, tree.size, entry.proof, tree.root)
        require(ok, "demo.not_included", "a reading is not in the tree")
    logs = await NotaryReader(scene.rpc, receipt.chain.notary).logs(tree.publisher, tree.stream)
    mine = [one for one in logs if (one.size, one.root) == (tree.size, tree.root)]
    require(len(mine) == 1, "demo.not_anchored", "the receipt's head is not anchored")
    return {
        "size": tree.size,
        "root": "0x" + tree.root.hex(),
        "anchor": mine[0].tx_hash,
        "proof": ["0x" + node.hex() for node in receipt.stop.proof],
        "leaf_index": receipt.stop.index,
    }


async def shown(scene: "Scene") -> Json:
    """8. While charging the driver saw power, energy, cost and the reason for the present power."""
    seen = [
        session
        for snapshot in scene.snapshots
        for session in snapshot["sessions"]
        if session["id"] == scene.session["id"] and session["power_w"] > 0
    ]
    require(len(seen) > 1, "demo.nothing_shown", "no power was ever shown")
    rising = all(a["delivered_wh"] <= b["delivered_wh"] for a, b in pairwise(seen))
    require(rising, "demo.not_rising", "the energy shown went back")
    priced = all(
        int(one["cost"]) == min(cost_of(Wh(one["delivered_wh"]), Price(one["price"])), int(one["budget"]))
        for one in seen
    )
    require(priced, "demo.other_cost", "the cost shown is not that of the energy shown")
    keys = ("power_w", "limit_w", "delivered_wh", "cost", "reason")
    return {"times_seen": len(seen), "samples": [{key: one[key] for key in keys} for one in seen[::4]][:8]}


async def settled(scene: "Scene") -> Json:
    """9. It stopped; the operator claimed exactly what was metered, and the rest stayed the driver's."""
    receipt = _receipt(scene)
    raw = await scene.keep(f"/v1/settlements/{receipt.session}", "settlement.json")
    settlement = json.loads(raw)
    tab = await TabReader(scene.rpc, receipt.chain.charge_tab).tab(receipt.payee, receipt.request.payer)
    require(tab.spent == receipt.offer.base + receipt.due, "demo.not_claimed", f"the tab says {tab.spent}")
    measures = measured(scene.snapshots, scene.session["id"])
    return {
        "outcome": outcome(receipt.request.energy_wh, receipt.energy, _point(scene)["rating_w"], measures),
        "cause": scene.session["cause"],
        "energy_wh": receipt.energy,
        "price": receipt.price,
        "cost": str(receipt.cost),
        "due": str(receipt.due),
        "claim": [one["hash"] for one in settlement["transactions"]],
        "left_with_the_driver": str(tab.ceiling - tab.spent),
    }


async def rewarded(scene: "Scene") -> Json:
    """10. What its flexibility earned so far is computed from metered data; it is not paid yet."""
    group = scene.site["groups"][0]["name"]
    day = scene.session["started_at"][:10]
    answer = await scene.get(f"/v1/groups/{group}/rewards?day={day}")
    mine = next(one for one in answer["rewards"] if one["session"] == scene.session["id"])
    # Not a document of its own yet: it is signed and final when the group's day is over.
    (scene.out / "reward-so-far.json").write_bytes(canonical_json(mine))
    value = flexibility_value(
        tuple(mine["metered_wh"]), tuple(mine["baseline_wh"]), tuple(mine["step_price"])
    )
    if not _receipt(scene).request.flexible:
        value = 0  # who opted out has offered nothing
    require(str(value) == mine["value"], "demo.other_value", f"the value is {value}")
    exact = reward_of(value, int(mine["total"]), int(mine["avoided"]), mine["share_per_mille"])
    require(str(exact) == mine["reward"], "demo.other_reward", f"the reward is {exact}")
    require(sum(mine["metered_wh"]) == _receipt(scene).energy, "demo.other_energy", "not the billed energy")
    keys = ("metered_wh", "baseline_wh", "step_price", "value", "avoided", "reward")
    return {key: mine[key] for key in keys} | {"final": answer["final"]}


async def verified(scene: "Scene") -> Json:
    """11. The receipt checks: offline, against the operator's keys, the group's files and the chain."""
    trust = Trust.parse(await scene.keep("/v1/trust", "trust.json"))
    receipt = _receipt(scene)
    report = verify_receipt(
        scene.files["receipt.json"],
        EthereumSignatures(),
        trust,
        PlanFiles(scene.files["problem.json"], scene.files["schedule.json"]),
        await read_chain_facts(scene.run.rpc_url, receipt),
        await _commitment(scene, receipt.plan.schedule_sha256.hex()),
        EcdsaMeterSignatures(),
    )
    checks = {check.name: check.status.value for check in report.checks}
    # How early the commitment was there depends on the machine: time runs fast in the demo.
    late = "plan commitment"
    bad = [
        check
        for check in report.checks
        if check.status.value != "ok" and (check.name != late or check.status.value == "failed")
    ]
    require(not bad, "demo.receipt_not_verified", "; ".join(f"{one.name}: {one.what}" for one in bad))
    return {"receipt": str(scene.out / "receipt.json"), "checks": checks}


async def _commitment(scene: "Scene", schedule_sha256: str) -> PlanCommitment:
    """Keep the proof that the plan was committed to, and ask the node for the heads that it names."""
    raw = await scene.keep(f"/v1/plans/{schedule_sha256}/proof", "plan-proof.json")
    return PlanCommitment(raw, await read_proof_facts(scene.run.rpc_url, StreamProof.parse(raw)))


STEPS: tuple[tuple[str, Callable[["Scene"], Awaitable[Json]]], ...] = (
    ("registered on chain", registered),
    ("station online", online),
    ("found by its code", found),
    ("admitted with a certificate", admitted),
    ("money secured first", funded),
    ("planned and limited", controlled),
    ("metered and anchored", anchored),
    ("shown while charging", shown),
    ("stopped, priced and claimed", settled),
    ("flexibility computed, unpaid", rewarded),
    ("receipt verified", verified),
)


async def _retained(scene: "Scene", charger: str) -> Json:
    """Read what stands on the broker for one charger, as any subscriber would."""
    bus = MqttBus(MqttConfig("127.0.0.1", scene.run.mqtt_port), scene.clock, publisher="demo")
    values: Json = {}
    try:
        async with asyncio.timeout(_BROKER_WITHIN_S):
            async for value in bus.values():
                if value.charger == charger:
                    values[value.name] = value.value
                if "Availability" in values and "TotalEnergyConsumption" in values:
                    break
    except TimeoutError:
        pass  # what came until now is judged by the caller
    return values


def _receipt(scene: "Scene") -> Receipt:
    return Receipt.parse(scene.files["receipt.json"])


def _point(scene: "Scene") -> Json:
    points = [point for group in scene.site["groups"] for point in group["charge_points"]]
    found: Json = next(point for point in points if point["code"] == scene.session["code"])
    return found
