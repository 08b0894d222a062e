"""A second opinion on a receipt, from its bytes and the group's files, without a line of evmesh.

JSON by the standard library, EIP-712 and recovery by eth-account, CBOR by cbor2. Raises AssertionError.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import cbor2
from eth_account import Account
from eth_account.messages import _hash_eip191_message, encode_typed_data

TYPES = {
    "Voucher": "address payee,uint32 epoch,uint96 cumulative",
    "ChargeRequest": "address payer,uint256 asset,uint64 departure,uint32 energyWh,bool flexible,"
    "uint96 maxCost,bytes32 nonce,uint64 deadline",
    "SessionOffer": "bytes32 session,address payer,address payee,uint32 epoch,uint96 base,uint256 asset,"
    "uint32 price,uint96 budget,uint64 startBy,uint64 endBy,bytes32 request",
    "Document": "string format,bytes32 sha256",
}
JsonObject = dict[str, Any]


def rederive_receipt(raw: bytes) -> JsonObject:
    """Derive everything that a receipt claims anew; give the document."""
    receipt: JsonObject = json.loads(raw)
    assert canonical(receipt) == raw
    request, offer = receipt["request"], receipt["offer"]
    domain = {
        "name": "ChargeTab",
        "version": "1",
        "chainId": receipt["chain"]["chain_id"],
        "verifyingContract": receipt["chain"]["charge_tab"],
    }
    payee, payer = receipt["payee"], request["payer"]
    assert signer(domain, "Document", document(receipt), receipt["signature"]) == payee
    asked = {**request, "flexible": request["flexible"] == 1}
    assert signer(domain, "ChargeRequest", asked, receipt["request_signature"]) == payer
    assert signer(domain, "SessionOffer", offer, receipt["offer_signature"]) == payee
    request_hash = hash_struct(domain, "ChargeRequest", asked)
    assert offer["request"] == "0x" + request_hash.hex()
    assert offer["session"] == "0x" + receipt["session"].replace("-", "") + 32 * "0"
    assert (offer["payer"], offer["payee"], offer["asset"]) == (payer, payee, request["asset"])
    _rederive_meter(domain, receipt)
    _rederive_money(domain, receipt)
    digits = hashlib.sha256(b"evmesh.pseudonym/1" + request_hash).hexdigest()[:16]
    assert receipt["plan"]["row"]["id"] == digits
    return receipt


def _rederive_meter(domain: JsonObject, receipt: JsonObject) -> None:
    readings = []
    for name in ("start", "stop"):
        leaf, tree = receipt[name], receipt["tree"]
        reading = json.loads(leaf["payload"])
        key = receipt["meter_key"]["address"]
        assert signer(domain, "Document", document(reading), reading["signature"]) == key
        content = {
            "meter": leaf["meter"],
            "seq": leaf["seq"],
            "prev_hash": unhex(leaf["prev_hash"]),
            "payload": leaf["payload"].encode(),
        }
        salted = unhex(leaf["salt"]) + cbor2.dumps(content, canonical=True)
        node = hashlib.sha256(b"\0" + salted).digest()
        proof = [unhex(sibling) for sibling in leaf["proof"]]
        assert climb(node, leaf["index"], tree["size"], proof) == unhex(tree["root"])
        readings.append(reading)
    start, stop = readings
    assert receipt["energy_wh"] == stop["register_wh"] - start["register_wh"]
    lasted = datetime.fromisoformat(stop["at"]) - datetime.fromisoformat(start["at"])
    assert receipt["curve"][0] == [0, start["register_wh"]]
    assert receipt["curve"][-1] == [lasted.total_seconds(), stop["register_wh"]]
    assert sorted(receipt["curve"]) == receipt["curve"]


def _rederive_money(domain: JsonObject, receipt: JsonObject) -> None:
    offer = receipt["offer"]
    assert int(offer["price"]) == receipt["price"]
    cost = receipt["energy_wh"] * receipt["price"] // 1000
    due = min(cost, int(offer["budget"]))
    assert (receipt["cost"], receipt["due"]) == (str(cost), str(due))
    for voucher in receipt["vouchers"]:
        value = {"payee": receipt["payee"], "epoch": voucher["epoch"], "cumulative": voucher["cumulative"]}
        assert signer(domain, "Voucher", value, voucher["signature"]) == receipt["request"]["payer"]
        assert voucher["epoch"] == int(offer["epoch"])
    if due:
        assert int(receipt["vouchers"][-1]["cumulative"]) >= int(offer["base"]) + due


def rederive_plan(receipt: JsonObject, problem_raw: bytes, schedule_raw: bytes) -> None:
    """Check that the two files are the ones named, that the certificate holds, and that the row is theirs."""
    plan = receipt["plan"]
    assert "0x" + hashlib.sha256(problem_raw).hexdigest() == plan["problem_sha256"]
    assert "0x" + hashlib.sha256(schedule_raw).hexdigest() == plan["schedule_sha256"]
    problem, schedule = json.loads(problem_raw), json.loads(schedule_raw)
    assert schedule["problem_sha256"] == hashlib.sha256(problem_raw).hexdigest()
    price = schedule["step_price"]
    load = [0] * problem["steps"]
    rows = {row["id"]: row for row in schedule["rows"]}
    assert sorted(rows) == sorted(request["id"] for request in problem["requests"])
    for request in problem["requests"]:
        row = rows[request["id"]]
        wh = dict.fromkeys(range(request["arrival"], request["departure"]), 0)
        for step, energy in enumerate(row["wh"], row["first"]):
            assert energy == 0 or step in wh
            wh[step] = energy
            load[step] += energy
        assert all(0 <= energy <= request["max_wh"] for energy in wh.values())
        assert sum(wh.values()) == request["energy_wh"]
        used = [price[step] for step, energy in wh.items() if energy > 0]
        free = [price[step] for step, energy in wh.items() if energy < request["max_wh"]]
        assert max(used, default=-(2**40)) <= min(free, default=2**40)
    for step, drawn in enumerate(load):
        for segment in sorted(problem["supply"], key=lambda one: one["price"]):
            if segment["step"] == step:
                filled = min(drawn, segment["cap_wh"])
                drawn -= filled
                assert filled == 0 or segment["price"] <= price[step]
                assert filled == segment["cap_wh"] or segment["price"] >= price[step]
        assert drawn == 0
    mine = plan["row"]
    assert rows[mine["id"]] == mine
    assert price[mine["first"] : mine["first"] + len(mine["wh"])] == plan["step_price"]
    end = datetime.fromisoformat(plan["start"]).astimezone(UTC).timestamp()
    end += (mine["first"] + len(mine["wh"])) * plan["step_s"]
    assert end <= int(receipt["request"]["departure"])


def canonical(value: JsonObject) -> bytes:
    """RFC 8785 for ASCII keys and integers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def document(signed: JsonObject) -> JsonObject:
    unsigned = {key: value for key, value in signed.items() if key != "signature"}
    return {"format": signed["format"], "sha256": hashlib.sha256(canonical(unsigned)).digest()}


def signer(domain: JsonObject, primary: str, message: JsonObject, signature: str) -> str:
    raw = unhex(signature)
    packed = int.from_bytes(raw[32:], "big")
    vrs = (27 + (packed >> 255), int.from_bytes(raw[:32], "big"), packed & (1 << 255) - 1)
    digest = _hash_eip191_message(_typed(domain, primary, message))
    return str(Account._recover_hash(digest, vrs=vrs)).lower()


def hash_struct(domain: JsonObject, primary: str, message: JsonObject) -> bytes:
    return bytes(_typed(domain, primary, message).body)


def climb(node: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """Walk from a leaf to the root by splitting the tree as RFC 9162 defines it."""
    if size == 1:
        assert not proof
        return node
    left = 1 << (size - 1).bit_length() - 1
    *below, sibling = proof
    if index < left:
        return hashlib.sha256(b"\1" + climb(node, index, left, below) + sibling).digest()
    return hashlib.sha256(b"\1" + sibling + climb(node, index - left, size - left, below)).digest()


def unhex(text: str) -> bytes:
    assert text.startswith("0x")
    return bytes.fromhex(text[2:])


def _typed(domain: JsonObject, primary: str, message: JsonObject) -> Any:
    members = [dict(zip(("type", "name"), one.split(), strict=True)) for one in TYPES[primary].split(",")]
    return encode_typed_data(domain, {primary: members}, message)
