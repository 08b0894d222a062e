"""What the demo's files and chain say, derived a second time without evmesh.

Written from docs/formats.md, with other code for every step: json, hashlib, cbor2, coincurve,
pycryptodome and a JSON-RPC call. Nothing here imports evmesh, so an error of ours that made and
checked evidence alike would show.
"""

import hashlib
import json
from typing import Any

import cbor2
import httpx
from coincurve import PublicKey
from Crypto.Hash import keccak as _keccak

Json = dict[str, Any]
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def keccak(data: bytes) -> bytes:
    return _keccak.new(digest_bits=256, data=data).digest()


def canonical(document: Json) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def unhex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def word(kind: str, value: Any) -> bytes:
    if kind == "address":
        return unhex(value).rjust(32, b"\0")
    if kind == "bytes32":
        return unhex(value)
    if kind == "string":
        return keccak(value.encode())
    return int(value).to_bytes(32, "big")


def hash_struct(signature: str, values: Json) -> bytes:
    members = [member.split(" ") for member in signature[signature.index("(") + 1 : -1].split(",")]
    words = [word(kind, values[name]) for kind, name in members]
    return keccak(keccak(signature.encode()) + b"".join(words))


REQUEST = (
    "ChargeRequest(address payer,uint256 asset,uint64 departure,uint32 energyWh,bool flexible,"
    "uint96 maxCost,bytes32 nonce,uint64 deadline)"
)
OFFER = (
    "SessionOffer(bytes32 session,address payer,address payee,uint32 epoch,uint96 base,uint256 asset,"
    "uint32 price,uint96 budget,uint64 startBy,uint64 endBy,bytes32 request)"
)
VOUCHER = "Voucher(address payee,uint32 epoch,uint96 cumulative)"
DOCUMENT = "Document(string format,bytes32 sha256)"
DOMAIN = "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"


class Signer:
    """Recovers who signed under the domain of one chain and contract."""

    def __init__(self, chain_id: int, contract: str) -> None:
        values = {"name": "ChargeTab", "version": "1", "chainId": chain_id, "verifyingContract": contract}
        self._separator = hash_struct(DOMAIN, values)

    def of(self, signature_type: str, values: Json, signature: str) -> str:
        digest = keccak(b"\x19\x01" + self._separator + hash_struct(signature_type, values))
        raw = unhex(signature)
        r, vs = raw[:32], int.from_bytes(raw[32:], "big")
        parity, s = vs >> 255, vs & (1 << 255) - 1
        assert s <= HALF_ORDER
        key = PublicKey.from_signature_and_message(
            r + s.to_bytes(32, "big") + bytes([parity]), digest, hasher=None
        )
        return "0x" + keccak(key.format(compressed=False)[1:])[12:].hex()

    def of_document(self, document: Json) -> str:
        unsigned = {key: value for key, value in document.items() if key != "signature"}
        sha256 = "0x" + hashlib.sha256(canonical(unsigned)).hexdigest()
        return self.of(DOCUMENT, {"format": document["format"], "sha256": sha256}, document["signature"])


def leaf_of(entry: Json) -> bytes:
    content = {
        "meter": entry["meter"],
        "seq": entry["seq"],
        "prev_hash": unhex(entry["prev_hash"]),
        "payload": entry["payload"].encode(),
    }
    return hashlib.sha256(b"\0" + unhex(entry["salt"]) + cbor2.dumps(content, canonical=True)).digest()


def root_of(leaf: bytes, index: int, size: int, proof: list[str]) -> bytes:
    """RFC 9162 section 2.1.3.2."""
    node, last, here = leaf, size - 1, index
    for text in proof:
        sibling = unhex(text)
        assert last > 0
        if here & 1 or here == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        here, last = here >> 1, last >> 1
    assert last == 0
    return node


def station_code(asset: int) -> str:
    """Seven base32 digits of asset × 21235486155 + 11400714819 mod 2^35, and a check over GF(32)."""
    digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
    number = (asset * 21_235_486_155 + 11_400_714_819) % 2**35
    values = [number >> 5 * place & 31 for place in reversed(range(7))]
    check = 0
    for value in values:
        doubled = (check ^ value) * 2
        check = doubled ^ 37 if doubled >= 32 else doubled
    return "".join(digits[value] for value in [*values, check])


def check_schedule(problem_raw: bytes, schedule_raw: bytes) -> None:
    """The four conditions of a yes, or the count of a no."""
    problem, schedule = json.loads(problem_raw), json.loads(schedule_raw)
    assert schedule["problem_sha256"] == hashlib.sha256(problem_raw).hexdigest()
    steps = problem["steps"]
    capacity = [sum(one["cap_wh"] for one in problem["supply"] if one["step"] == t) for t in range(steps)]
    if schedule["status"] == "infeasible":
        chosen = set(schedule["steps"])
        need = 0
        for one in problem["requests"]:
            outside = sum(t not in chosen for t in range(one["arrival"], one["departure"]))
            need += max(0, one["energy_wh"] - one["max_wh"] * outside)
        deficit = need - sum(capacity[t] for t in chosen)
        assert deficit == schedule["deficit_wh"] > 0
        return
    price, rows = schedule["step_price"], {row["id"]: row for row in schedule["rows"]}
    x = {}
    for one in problem["requests"]:
        row = rows[one["id"]]
        x[one["id"]] = wh = [0] * steps
        for k, value in enumerate(row["wh"]):
            wh[row["first"] + k] = value
        assert sum(wh) == one["energy_wh"]
        inside = range(one["arrival"], one["departure"])
        assert all(0 <= wh[t] <= one["max_wh"] if t in inside else wh[t] == 0 for t in range(steps))
        used = [price[t] for t in inside if wh[t] > 0]
        open_to_more = [price[t] for t in inside if wh[t] < one["max_wh"]]
        assert not used or not open_to_more or max(used) <= min(open_to_more)
    cost = 0
    for t in range(steps):
        load = sum(wh[t] for wh in x.values())
        for one in sorted((s for s in problem["supply"] if s["step"] == t), key=lambda s: s["price"]):
            taken = min(load, one["cap_wh"])
            load -= taken
            cost += taken * one["price"]
            assert taken == 0 or one["price"] <= price[t]
            assert taken == one["cap_wh"] or one["price"] >= price[t]
        assert load == 0
    assert cost == int(schedule["objective"])


class Node:
    """A JSON-RPC node, asked by hand."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = httpx.post(self._url, json=body, trust_env=False).json()
        assert "error" not in answer, answer
        return answer["result"]

    def read(self, contract: str, signature: str, *arguments: bytes) -> list[int]:
        data = keccak(signature.encode())[:4] + b"".join(one.rjust(32, b"\0") for one in arguments)
        raw = unhex(self.call("eth_call", {"to": contract, "data": "0x" + data.hex()}, "latest"))
        return [int.from_bytes(raw[at : at + 32], "big") for at in range(0, len(raw), 32)]
