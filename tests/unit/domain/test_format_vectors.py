"""The test vectors of docs/formats.md, computed again: by evmesh, and by code that shares nothing with it."""

import json
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from evmesh.domain.canonical import canonical_cbor, canonical_json, parse_canonical_json
from evmesh.domain.commitment import Commitment, Stream, stream_leaf_hash
from evmesh.domain.ids import Address
from evmesh.domain.merkle import MerkleLog, leaf_hash
from evmesh.domain.readings import meter_leaf_hash
from evmesh.domain.receipt_parts import pseudonym_of
from evmesh.domain.signed_types import ChargeRequest, Document, SessionRecord, Voucher
from evmesh.domain.station_code import code_of, counter_of
from evmesh.domain.typed_data import Domain, digest, hash_struct
from tests.e2e.demo import rederive
from tests.unit.verify.keys import keccak256

PAGE = Path(__file__).parents[3] / "docs" / "formats.md"
NAMES = {
    "leaf",
    "tree",
    "pseudonym",
    "document",
    "voucher",
    "stream_leaf",
    "session_record",
    "station_code",
}


def read_vectors() -> dict[str, dict[str, Any]]:
    section = PAGE.read_text().split("\n## Test vectors\n")[1].split("\n## ")[0]
    found = [
        json.loads(block) for block in re.findall(r"^```json\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    ]
    return {one["vector"]: one for one in found}


VECTORS = read_vectors()


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def domain(vector: dict[str, Any]) -> Domain:
    return Domain(vector["chain_id"], Address(vector["charge_tab"]))


def separator(vector: dict[str, Any]) -> bytes:
    values = {
        "name": "ChargeTab",
        "version": "1",
        "chainId": vector["chain_id"],
        "verifyingContract": vector["charge_tab"],
    }
    return rederive.hash_struct(rederive.DOMAIN, values)


def test_the_leaf_of_a_further_stream() -> None:
    leaf = VECTORS["stream_leaf"]
    stream, payload = Stream(leaf["stream"]), leaf["payload"].encode()
    assert canonical_cbor({"stream": stream.value, "payload": payload}) == raw(leaf["cbor"])
    theirs = sha256(b"\0" + raw(leaf["salt"]) + raw(leaf["cbor"])).digest()
    assert stream_leaf_hash(stream, raw(leaf["salt"]), payload) == theirs == raw(leaf["hash"])
    assert Commitment.parse(payload).encode() == payload


def test_the_session_record() -> None:
    vector = VECTORS["session_record"]
    session, receipt = raw(vector["session"]), raw(vector["receipt"])
    energy, due = int(vector["energy_wh"]), int(vector["due"])
    ours = digest(domain(vector), SessionRecord(session, receipt, energy, due), keccak256)
    assert ours == raw(vector["digest"])
    words = session + receipt + energy.to_bytes(32, "big") + due.to_bytes(32, "big")
    struct = keccak256(keccak256(str(SessionRecord.TYPE).encode()) + words)
    assert keccak256(b"\x19\x01" + separator(vector) + struct) == ours


def test_the_page_has_all_of_them() -> None:
    assert set(VECTORS) == NAMES


def test_the_leaf() -> None:
    leaf = VECTORS["leaf"]
    content = {name: leaf[name] for name in ("meter", "seq")}
    payload = leaf["payload"].encode()
    encoded = canonical_cbor(content | {"prev_hash": raw(leaf["prev_hash"]), "payload": payload})
    assert encoded == raw(leaf["cbor"])
    computed = meter_leaf_hash(leaf["meter"], leaf["seq"], raw(leaf["salt"]), raw(leaf["prev_hash"]), payload)
    assert computed == raw(leaf["hash"]) == rederive.leaf_of(leaf)
    assert computed == sha256(b"\0" + raw(leaf["salt"]) + raw(leaf["cbor"])).digest()


def test_the_tree_of_three_leaves() -> None:
    tree = VECTORS["tree"]
    hashes = [leaf_hash(raw(one)) for one in tree["leaves"]]
    assert hashes == [raw(one) for one in tree["leaf_hashes"]]
    assert MerkleLog(hashes).root() == raw(tree["root"])
    first, second, third = hashes
    left = sha256(b"\1" + first + second).digest()
    assert sha256(b"\1" + left + third).digest() == raw(tree["root"])


def test_the_pseudonym() -> None:
    vector = VECTORS["pseudonym"]
    request = ChargeRequest.from_document(vector["request"], "request")
    assert hash_struct(request, keccak256) == raw(vector["struct_hash"])
    assert rederive.hash_struct(rederive.REQUEST, vector["request"]) == raw(vector["struct_hash"])
    assert pseudonym_of(raw(vector["struct_hash"])) == vector["row_id"]


def test_what_is_signed_of_a_document() -> None:
    vector = VECTORS["document"]
    unsigned = vector["unsigned"].encode()
    assert canonical_json(parse_canonical_json(unsigned)) == unsigned
    assert sha256(unsigned).digest() == raw(vector["sha256"])
    value = Document(vector["format"], raw(vector["sha256"]))
    struct = rederive.hash_struct(rederive.DOCUMENT, vector)
    again = rederive.keccak(b"\x19\x01" + separator(vector) + struct)
    assert digest(domain(vector), value, keccak256) == raw(vector["signing_hash"]) == again


def test_the_voucher() -> None:
    vector = VECTORS["voucher"]
    value = Voucher(Address(vector["payee"]), vector["epoch"], int(vector["cumulative"]))
    again = rederive.keccak(b"\x19\x01" + separator(vector) + rederive.hash_struct(rederive.VOUCHER, vector))
    assert digest(domain(vector), value, keccak256) == raw(vector["digest"]) == again


@pytest.mark.parametrize(("number", "code"), VECTORS["station_code"]["codes"].items())
def test_the_station_codes(number: str, code: str) -> None:
    assert code_of(int(number)) == code == rederive.station_code(int(number))
    assert counter_of(code) == int(number)
