"""Our EIP-712 encoding against eth-account's, and the type strings against what is frozen."""

import json
from dataclasses import fields
from typing import Any

import pytest
from eth_account.messages import _hash_eip191_message, encode_typed_data

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import Address
from evmesh.domain.signed_types import (
    ChannelAccess,
    ChannelKey,
    ChargeRequest,
    Claim,
    Close,
    Document,
    Exit,
    FlexVoucher,
    NeedChannel,
    Refill,
    SessionOffer,
    SessionRecord,
    StopRequest,
    TopUp,
    Voucher,
)
from evmesh.domain.typed_data import Domain, StructType, TypedStruct, digest, to_json
from tests.unit.verify.keys import Key, keccak256

PAYER, PAYEE = Key("driver").address, Key("operator").address
HASH = bytes(range(32))
DOMAIN = Domain(8822, Key("tab").address)

FROZEN = {
    Voucher: "Voucher(address payee,uint32 epoch,uint96 cumulative)",
    Refill: "Refill(address payee,uint32 epoch,uint96 cumulative,uint96 ceiling,uint32 deadline)",
    TopUp: "TopUp(address payee,uint32 epoch,uint96 ceiling,uint256 deadline)",
    Exit: "Exit(address payee,uint32 epoch)",
    Close: "Close(address payer,uint32 epoch,uint96 amount,uint256 deadline)",
    Claim: "Claim(bytes32 rows,uint256 deadline)",
    ChargeRequest: "ChargeRequest(address payer,uint256 asset,uint64 departure,uint32 energyWh,"
    "bool flexible,uint96 maxCost,bytes32 nonce,uint64 deadline)",
    SessionOffer: "SessionOffer(bytes32 session,address payer,address payee,uint32 epoch,uint96 base,"
    "uint256 asset,uint32 price,uint96 budget,uint64 startBy,uint64 endBy,bytes32 request)",
    StopRequest: "StopRequest(bytes32 session,uint64 at)",
    SessionRecord: "SessionRecord(bytes32 session,bytes32 receipt,uint64 energyWh,uint96 due)",
    Document: "Document(string format,bytes32 sha256)",
    FlexVoucher: "FlexVoucher(address holder,uint96 cumulative,bytes32 certificate)",
    ChannelKey: "ChannelKey(address wallet)",
    ChannelAccess: "ChannelAccess(bytes32 session,string channel,bytes32 reader,bool allowed,uint64 at)",
    NeedChannel: "NeedChannel(bytes32 session,bytes32 channel)",
    Domain: "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)",
}
VALUES: list[TypedStruct] = [
    Voucher(PAYEE, 3, 2**96 - 1),
    Refill(PAYEE, 2**32 - 1, 5, 6, 7),
    TopUp(PAYEE, 0, 9, 2**256 - 1),
    Exit(PAYEE, 1),
    Close(PAYER, 1, 2, 3),
    Claim(HASH, 4),
    ChargeRequest(PAYER, 17, 1_772_355_600, 8_000, True, 6_000_000, HASH, 2**64 - 1),
    ChargeRequest(PAYER, 2**256 - 1, 0, 0, False, 0, bytes(32), 0),
    SessionOffer(HASH, PAYER, PAYEE, 2, 1, 17, 400_000, 5, 6, 7, HASH),
    StopRequest(HASH, 1),
    SessionRecord(HASH, HASH, 2**64 - 1, 2**96 - 1),
    Document("evmesh.receipt/1", HASH),
    Document("Straße ⚡", HASH),
    FlexVoucher(PAYER, 2**96 - 1, HASH),
    ChannelKey(PAYER),
    ChannelAccess(HASH, "status", HASH, True, 2**64 - 1),
    NeedChannel(HASH, HASH),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.TYPE.name)
def test_the_digest_is_the_one_that_wallets_sign(value: TypedStruct) -> None:
    message: Any = json.loads(json.dumps(to_json(DOMAIN, value)))
    theirs = _hash_eip191_message(encode_typed_data(full_message=message))
    assert digest(DOMAIN, value, keccak256) == theirs


@pytest.mark.parametrize("kind", FROZEN, ids=lambda kind: kind.__name__)
def test_the_type_strings_are_frozen_and_are_what_the_fields_say(kind: type[TypedStruct]) -> None:
    assert str(kind.TYPE) == FROZEN[kind]
    snake = {"".join("_" + c.lower() if c.isupper() else c for c in name) for name, _ in kind.TYPE.members}
    assert snake == {field.name for field in fields(kind)}


def test_all_signed_types_are_under_test() -> None:
    assert {type(value) for value in VALUES} | {Domain} == set(FROZEN)


def test_chain_contract_and_every_member_change_the_digest() -> None:
    offer = VALUES[8]
    mine = digest(DOMAIN, offer, keccak256)
    others = [
        digest(Domain(1, DOMAIN.verifying_contract), offer, keccak256),
        digest(Domain(8822, PAYER), offer, keccak256),
        digest(Domain(8822, DOMAIN.verifying_contract, name="x"), offer, keccak256),
        digest(Domain(8822, DOMAIN.verifying_contract, version="2"), offer, keccak256),
    ]
    for position, value in enumerate(offer.values()):
        changed: list[Any] = list(offer.values())
        changed[position] = (
            value + 1 if isinstance(value, int) else THIRD if isinstance(value, Address) else bytes(32)
        )
        others.append(digest(DOMAIN, SessionOffer(*changed), keccak256))
    assert len({mine, *others}) == 1 + len(others)


THIRD = Key("thief").address


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: Voucher(PAYEE, -1, 0), "epoch"),
        (lambda: Voucher(PAYEE, 2**32, 0), "epoch"),
        (lambda: Voucher(PAYEE, 0, 2**96), "cumulative"),
        (lambda: Voucher(PAYEE, True, 0), "epoch"),
        (lambda: Voucher("0x00", 0, 0), "payee"),  # type: ignore[arg-type]
        (lambda: Claim(b"short", 0), "rows"),
        (lambda: Document(5, HASH), "format"),  # type: ignore[arg-type]
        (lambda: ChargeRequest(PAYER, 1, 1, 1, 1, 1, HASH, 1), "flexible"),  # type: ignore[arg-type]
        (lambda: ChargeRequest(PAYER, 1, 2**64, 1, True, 1, HASH, 1), "departure"),
    ],
)
def test_a_value_that_its_type_cannot_hold_is_refused(make: Any, path: str) -> None:
    with pytest.raises(InvalidInput, match=r"typed_data\.bad_value") as refused:
        make()
    assert refused.value.path == path


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.TYPE.name)
def test_the_document_form_reads_back_to_the_same_value(value: TypedStruct) -> None:
    assert type(value).from_document(value.to_document()) == value


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"energyWh": 8_000}, "request.energyWh"),
        ({"energyWh": "08000"}, "request.energyWh"),
        ({"energyWh": "-1"}, "request.energyWh"),
        ({"energyWh": "4294967296"}, "request.energyWh"),
        ({"flexible": True}, "request.flexible"),
        ({"flexible": 2}, "request.flexible"),
        ({"payer": PAYER.text.upper()}, "request.payer"),
        ({"nonce": "0x00"}, "request.nonce"),
        ({"more": 1}, "request.more"),
    ],
)
def test_a_document_has_one_spelling_of_each_value(changes: dict[str, object], path: str) -> None:
    document = VALUES[6].to_document() | changes
    with pytest.raises(InvalidInput) as refused:
        ChargeRequest.from_document(document, "request")
    assert refused.value.path == path


def test_a_missing_member_is_named() -> None:
    document = VALUES[6].to_document()
    del document["maxCost"]
    with pytest.raises(InvalidInput) as refused:
        ChargeRequest.from_document(document)
    assert (refused.value.code, refused.value.path) == ("document.missing_key", "maxCost")


def test_a_type_is_read_from_its_own_spelling_only() -> None:
    assert str(StructType.parse("Exit(address payee,uint32 epoch)")) == "Exit(address payee,uint32 epoch)"
    for text in ("Exit", "Exit()", "exit(address payee)", "Exit(address payee) "):
        with pytest.raises(ValueError, match="not a type"):
            StructType.parse(text)
