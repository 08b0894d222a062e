"""Any value of any signed type has the digest that eth-account gives it, and survives its document form."""

import json
from typing import Any

from eth_account.messages import _hash_eip191_message, encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from evmesh.domain.canonical import canonical_json, parse_canonical_json
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import ChargeRequest, Close, Document, Refill, SessionOffer, TopUp, Voucher
from evmesh.domain.typed_data import Domain, TypedStruct, digest, to_json
from tests.unit.verify.keys import keccak256

addresses = st.binary(min_size=20, max_size=20).map(Address.from_bytes)
words = st.binary(min_size=32, max_size=32)


def uint(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, 2**bits - 1) | st.sampled_from([0, 1, 2**bits - 1])


def strategy_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.startswith("uint"):
        return uint(int(kind.removeprefix("uint")))
    by_kind = {"address": addresses, "bytes32": words, "bool": st.booleans(), "string": st.text()}
    return by_kind[kind]


def values_of(struct: type[TypedStruct]) -> st.SearchStrategy[TypedStruct]:
    return st.tuples(*(strategy_of(kind) for _, kind in struct.TYPE.members)).map(lambda args: struct(*args))


domains = st.builds(Domain, uint(63), addresses)
structs = st.sampled_from([Voucher, Refill, TopUp, Close, ChargeRequest, SessionOffer, Document]).flatmap(
    values_of
)


@given(domains, structs)
def test_our_digest_is_eth_accounts(domain: Domain, value: TypedStruct) -> None:
    message: Any = json.loads(json.dumps(to_json(domain, value)))
    assert digest(domain, value, keccak256) == _hash_eip191_message(encode_typed_data(full_message=message))


@given(structs)
def test_a_value_survives_a_canonical_document(value: TypedStruct) -> None:
    document = parse_canonical_json(canonical_json(value.to_document()))
    assert type(value).from_document(document) == value
