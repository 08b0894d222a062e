"""A receipt against a real chain: owner, record, anchor and settlement, as `verify receipt --rpc` asks."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from typer.testing import CliRunner

from evmesh.app import asset_fetch
from evmesh.app.receipt_facts import read_settlement_facts
from evmesh.app.verify import app
from evmesh.domain.ids import Address
from evmesh.domain.settlement import TransactionRef
from evmesh.domain.signed_types import Claim, Close
from evmesh.domain.strict import unix_seconds
from evmesh.ledger.abi import encode_call
from evmesh.ledger.signatures import compact_words, compacted, keccak256
from evmesh.verify.followups import verify_settlement
from evmesh.verify.report import Check, Status
from tests.contract.chain import Chain, running_anvil
from tests.contract.chain import Receipt as Mined
from tests.contract.receipt_place import FUNDS, Place, Served, serving
from tests.unit.verify.followup_factory import make_settlement
from tests.unit.verify.receipt_factory import (
    BUDGET,
    DRIVER,
    GATEWAY,
    NOTARY,
    OPERATOR,
    PRICE,
    SIGNATURES,
    START,
    STOP,
    THIEF,
    make_receipt_on,
    make_record,
    resign,
    sign,
)

CHAIN_CHECKS = ("registry", "registered price", "registered meter", "power", "anchor", "settlement")
CONTRACTS = ("charge_tab", "registry", "notary", "token")
OK, NOT_CHECKED, FAILED = Status.OK, Status.NOT_CHECKED, Status.FAILED


@pytest.fixture(scope="module")
def march() -> Iterator[Chain]:
    """A chain on which it is the morning of the receipt's day."""
    with running_anvil("--timestamp", str(unix_seconds(START - timedelta(hours=2)))) as chain:
        yield chain


@pytest.fixture
def place(march: Chain) -> Iterator[Place]:
    """Everything is there an hour before the charge, and the newest block is one right after its stop."""
    served = Served()
    with march.undone(), serving(served) as base_url:
        place = Place.build(march, base_url, served)
        place.next_block_at(START - timedelta(hours=1))
        place.next_block_at(STOP)
        yield place


async def test_before_anchor_and_claim_nothing_is_false_and_nothing_of_it_is_called_ok(place: Place) -> None:
    checks = await place.checks()
    assert checks["registry"].status is Status.OK
    assert str(PRICE) in checks["registered price"].what
    assert (checks["anchor"].status, checks["settlement"].status) == (Status.NOT_CHECKED,) * 2


async def test_the_newest_head_and_the_claim_are_found(place: Place) -> None:
    place.anchor(place.receipt.tree.size, place.receipt.tree.root)
    place.claim()
    checks = await place.checks()
    assert {check.status for check in checks.values()} == {Status.OK, Status.NOT_CHECKED}
    assert (checks["anchor"].status, checks["settlement"].status) == (Status.OK,) * 2


async def test_an_older_head_is_found_in_the_logs(place: Place) -> None:
    tree = place.receipt.tree
    place.anchor(3, bytes(31) + b"\1")
    place.anchor(tree.size, tree.root)
    place.anchor(tree.size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].status is Status.OK


async def test_a_head_that_was_skipped_is_not_called_anchored(place: Place) -> None:
    place.anchor(place.receipt.tree.size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].status is Status.NOT_CHECKED


async def test_another_root_at_this_size_is_a_lie_whether_newest_or_older(place: Place) -> None:
    size = place.receipt.tree.size
    place.anchor(size, bytes(31) + b"\1")
    assert (await place.checks())["anchor"].code == "anchor.other_root"
    place.anchor(size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].code == "anchor.other_root"


async def test_what_another_publisher_anchors_in_the_same_stream_does_not_count(place: Place) -> None:
    place.anchor(place.receipt.tree.size, place.receipt.tree.root, publisher=THIEF)
    assert (await place.checks())["anchor"].status is Status.NOT_CHECKED


async def test_an_asset_of_somebody_else_is_not_the_payees(place: Place) -> None:
    place.registry.send("register", 1, 1 << 160, 0, bytes(32), sender=THIEF.address.text)
    place.receipt = make_receipt_on(place.receipt.chain, asset=2, base=0, epoch=0)
    assert (await place.checks())["registry"].code == "registry.other_owner"
    place.receipt = make_receipt_on(place.receipt.chain, asset=3, base=0, epoch=0)
    assert (await place.checks())["registry"].code == "registry.unknown_asset"


async def test_a_chain_or_contracts_other_than_the_receipts_prove_nothing(place: Place) -> None:
    chain = place.receipt.chain
    place.receipt = make_receipt_on(replace(chain, chain_id=1), asset=1, base=0, epoch=0)
    checks = await place.checks()
    assert {checks[name].code for name in ("registry", "anchor", "settlement")} == {"chain.other_chain"}
    place.receipt = make_receipt_on(replace(chain, notary=chain.token), asset=1, base=0, epoch=0)
    assert (await place.checks())["anchor"].code == "chain.not_the_contract"


def test_the_command_asks_the_node(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    file.write_bytes(place.receipt.encode())
    place.anchor(place.receipt.tree.size, place.receipt.tree.root)
    place.claim()
    result = CliRunner().invoke(app, ["receipt", str(file), "--rpc", place.chain.url, "--json"])
    answer: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    found = {check["name"]: check["status"] for check in answer["checks"]}
    assert {found[name] for name in CHAIN_CHECKS} == {"ok"}
    assert place.served.asked == ["/v1/assets/1"]


def test_a_node_of_another_chain_says_neither_that_it_is_true_nor_that_it_is_false(
    place: Place, tmp_path: Path
) -> None:
    chain, file = place.receipt.chain, tmp_path / "receipt.json"
    nowhere: Any = {
        name: Address.parse("0x" + digit * 40) for name, digit in zip(CONTRACTS, "abcd", strict=True)
    }
    for elsewhere, code in (
        (replace(chain, chain_id=chain.chain_id + 1), "chain.other_chain"),
        (replace(chain, **nowhere), "chain.no_contracts"),
    ):
        receipt = make_receipt_on(elsewhere, asset=1, base=0, epoch=0)
        for raw, exit_code in ((receipt.encode(), 3), (resign(receipt, THIEF).encode(), 6)):
            file.write_bytes(raw)
            result = CliRunner().invoke(app, ["receipt", str(file), "--rpc", place.chain.url])
            assert result.exit_code == exit_code, result.output
            assert "not checked registry, registered price, registered meter, power" in result.output
            assert ("FALSE" in result.output) is (exit_code == 6)
        as_json = CliRunner().invoke(app, ["receipt", str(file), "--rpc", place.chain.url, "--json"])
        assert json.loads(as_json.stdout)["ok"] is False
        file.write_bytes(receipt.encode())
        as_json = CliRunner().invoke(app, ["receipt", str(file), "--rpc", place.chain.url, "--json"])
        assert json.loads(as_json.stdout)["code"] == code


def test_contracts_that_are_not_all_there_stay_false(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "receipt.json"
    lie = replace(place.receipt.chain, notary=Address.parse("0x" + "ab" * 20))
    file.write_bytes(make_receipt_on(lie, asset=1, base=0, epoch=0).encode())
    result = CliRunner().invoke(app, ["receipt", str(file), "--rpc", place.chain.url])
    assert (result.exit_code, "chain.not_the_contract" in result.output) == (6, True)


async def test_a_price_that_was_changed_since_is_not_compared(place: Place) -> None:
    place.registry.send("set_price", 1, PRICE + 1, sender=OPERATOR.address.text)
    assert (await place.checks())["registered price"].status is NOT_CHECKED
    place.registry.send("set_price", 1, PRICE, sender=OPERATOR.address.text)
    assert (await place.checks())["registered price"].status is NOT_CHECKED


async def test_a_price_that_was_never_the_registrys_is_a_lie(place: Place) -> None:
    offer = replace(place.receipt.offer, price=PRICE + 1)
    place.receipt = replace(place.receipt, offer=offer)
    assert (await place.checks())["registered price"].code == "registry.other_price"


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, make_record(), (OK, "")),
        (200, make_record(meter_key=THIEF.address), (FAILED, "record.other_hash")),
        (200, b"x" * 1_000_000, (NOT_CHECKED, "")),
        (404, make_record(), (NOT_CHECKED, "")),
        (302, make_record(), (NOT_CHECKED, "")),
        (500, b"", (NOT_CHECKED, "")),
    ],
)
async def test_the_meters_key_is_the_one_in_the_record_that_the_owner_serves(
    place: Place, status: int, body: bytes, expected: tuple[Status, str]
) -> None:
    place.served.status, place.served.body = status, body
    check = (await place.checks())["registered meter"]
    assert (check.status, check.code) == expected


async def test_another_key_in_the_registered_record_is_a_lie(place: Place) -> None:
    place.served.body = make_record(meter_key=THIEF.address)
    operator = OPERATOR.address.text
    facts = 1 << 160 | 22_000 << 184
    place.registry.send(
        "register", 1, facts, PRICE << 217, sha256(place.served.body).digest(), sender=operator
    )
    place.receipt = make_receipt_on(place.receipt.chain, asset=2, base=0, epoch=0)
    assert (await place.checks())["registered meter"].code == "record.other_key"


@pytest.mark.parametrize(
    "url", ["", "ftp://127.0.0.1/x", "http://127.0.0.1:1", "http://[", "https://\x00", "http://" + 180 * "a"]
)
async def test_an_owner_who_cannot_be_reached_leaves_the_meter_unchecked(place: Place, url: str) -> None:
    place.registry.send("set_base_url", url, sender=OPERATOR.address.text)
    check = (await place.checks())["registered meter"]
    assert (check.status, check.code) == (NOT_CHECKED, "")


async def test_an_owner_who_answers_too_slowly_is_not_waited_for(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asset_fetch, "_WITHIN_S", 0.0)
    check = (await place.checks())["registered meter"]
    assert check.status is NOT_CHECKED
    assert "within" in check.what


async def test_an_anchor_of_the_next_day_is_said(place: Place) -> None:
    place.next_block_at(STOP + timedelta(days=1))
    place.anchor(place.receipt.tree.size, place.receipt.tree.root)
    check = (await place.checks())["anchor"]
    assert check.status is NOT_CHECKED
    assert "1440 minutes after the stop" in check.what
    place.anchor(place.receipt.tree.size + 1, bytes(31) + b"\2")
    assert (await place.checks())["anchor"].what.startswith(
        f"the head of {place.receipt.tree.size} leaves was"
    )


def claimed_at_once(place: Place) -> None:
    place.claim(place.receipt.due + 1)


def claimed_afterwards(place: Place) -> None:
    place.claim()
    place.claim(BUDGET)


def claimed_by_close(place: Place) -> None:
    place.claim()
    close(place, BUDGET)


def claimed_for_later_sessions(place: Place) -> None:
    place.claim()
    place.claim(BUDGET + 7, BUDGET + 9)


def claimed_beside_others(place: Place) -> None:
    place.token.send("mint", THIEF.address.text, FUNDS, sender=OPERATOR.address.text)
    place.token.send("approve", place.tab.address, FUNDS, sender=THIEF.address.text)
    place.tab.send("deposit", OPERATOR.address.text, FUNDS, sender=THIEF.address.text)
    rows = [
        place.row(BUDGET, BUDGET, driver=THIEF),
        place.row(BUDGET + 1, BUDGET, driver=DRIVER),  # above its voucher: skipped
        place.row(place.receipt.due, BUDGET, driver=DRIVER),
    ]
    place.tab.send("claim", rows, sender=OPERATOR.address.text)


def closed_at_what_was_due(place: Place) -> None:
    close(place, place.receipt.due)


def left_by_the_driver(place: Place) -> None:
    place.claim()
    place.tab.send("begin_exit", OPERATOR.address.text, sender=DRIVER.address.text)
    place.chain.pass_time(86_400)
    place.tab.send("finish_exit", OPERATOR.address.text, DRIVER.address.text, sender=THIEF.address.text)


def claimed_in_two_parts(place: Place) -> None:
    place.claim(place.receipt.due - 1)
    place.claim()


def close(place: Place, amount: int) -> Mined:
    chain, deadline = place.receipt.chain, 2**32
    signature = sign(OPERATOR, Close(DRIVER.address, 0, amount, deadline), chain)
    r, vs = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
    operator, driver = OPERATOR.address.text, DRIVER.address.text
    agreed = [BUDGET, *place.row(amount, BUDGET)[:2]] if amount else []
    return place.tab.send(
        "close", operator, driver, 0, amount, deadline, r, vs, *agreed, sender=THIEF.address.text
    )


@pytest.mark.parametrize(
    ("what_happened", "status", "words"),
    [
        (claimed_at_once, FAILED, "claimed up to 3200001 where 3200000 was owed"),
        (claimed_afterwards, NOT_CHECKED, "1800000 more by a voucher within this session's budget (0x"),
        (claimed_by_close, NOT_CHECKED, "1800000 more by a voucher within this session's budget (0x"),
        (claimed_for_later_sessions, OK, "claimed: 3200000 here, 0 before, and 1800007 since"),
        (claimed_beside_others, OK, "claimed: 3200000 here"),
        (closed_at_what_was_due, OK, "claimed: 3200000 here"),
        (left_by_the_driver, OK, "claimed: 3200000 here"),
        (claimed_in_two_parts, OK, "claimed: 3200000 here"),
    ],
)
async def test_what_was_claimed_is_read_from_the_claims_themselves(
    place: Place, what_happened: Callable[[Place], None], status: Status, words: str
) -> None:
    what_happened(place)
    check = (await place.checks())["settlement"]
    assert check.status is status, check
    assert words in check.what


async def test_the_budget_taken_of_a_charge_without_energy_is_said(place: Place) -> None:
    place.receipt = replace(place.receipt, due=0)
    assert (await place.checks())["settlement"].what == "nothing was due; 0 was claimed before"
    place.claim(BUDGET)
    assert (await place.checks())["settlement"].status is NOT_CHECKED


async def settled(place: Place, mined: Mined, **changes: Any) -> Check:
    named = TransactionRef(bytes.fromhex(mined.raw["transactionHash"][2:]), int(mined.raw["blockNumber"], 16))
    settlement = make_settlement(place.receipt, **{"transactions": (named,), **changes})
    facts = await read_settlement_facts(place.chain.url, settlement)
    receipt = None if settlement.receipt_sha256 is None else place.receipt.encode()
    report = verify_settlement(settlement.encode(), SIGNATURES, receipt, chain=facts)
    assert {check.status for check in report.checks if check.name == "payee signature"} == {OK}
    return next(check for check in report.checks if check.name == "transactions")


async def test_a_settlement_names_the_claim_that_was_made(place: Place) -> None:
    claim = place.claim()
    assert (await settled(place, claim)).status is OK
    unknown = (TransactionRef(bytes(32), 1),)
    assert (await settled(place, claim, transactions=unknown)).status is NOT_CHECKED
    deposit = place.token.send("mint", DRIVER.address.text, 1, sender=OPERATOR.address.text)
    assert (await settled(place, deposit)).code == "settlement.other_transaction"
    assert (await settled(place, place.claim(BUDGET))).code == "settlement.other_base"
    assert (await settled(place, claim, payer=THIEF.address)).code == "settlement.other_transaction"


def claim_with_another(place: Place, amount: int) -> Mined:
    """Claim of two tabs in one call, which says only what it moved of both."""
    place.token.send("mint", THIEF.address.text, FUNDS, sender=OPERATOR.address.text)
    place.token.send("approve", place.tab.address, FUNDS, sender=THIEF.address.text)
    place.tab.send("deposit", OPERATOR.address.text, FUNDS, sender=THIEF.address.text)
    rows = [place.row(1_000, BUDGET, THIEF), place.row(amount, BUDGET)]
    return place.tab.send("claim", rows, sender=OPERATOR.address.text)


async def test_a_claim_of_many_tabs_is_checked_by_what_the_tab_held_before_it(place: Place) -> None:
    check = await settled(place, claim_with_another(place, place.receipt.due))
    assert check.status is OK, check


async def test_a_claim_of_many_tabs_that_took_more_is_seen(place: Place) -> None:
    check = await settled(place, claim_with_another(place, place.receipt.due + 1))
    assert check.status is FAILED, check


FORWARDER = "0x00000000000000000000000000000000000f00d5"


def claimed_through_another_contract(place: Place) -> None:
    """Claim what is due openly, the whole budget where no call shows it, and the next charge openly."""
    chain, deadline, most = place.receipt.chain, 2**40, BUDGET
    place.claim()
    code = "0x365f5f375f5f365f5f73" + place.tab.address[2:].lower() + "5af15000"  # calls on whatever it gets
    place.chain.rpc("anvil_setCode", FORWARDER, code)
    rows = [list(place.row(most, most))]
    word = Claim(keccak256(encode(["uint256[3][]"], [rows])), deadline)
    signature = list(compact_words(compacted(sign(OPERATOR, word, chain))))
    data = encode_call(
        "claim(uint256[3][],address,uint256,uint256[2])", rows, OPERATOR.address, deadline, signature
    )
    sent = {"from": OPERATOR.address.text, "to": FORWARDER, "data": "0x" + data.hex(), "gas": hex(3_000_000)}
    receipt = place.chain.mined(place.chain.rpc("eth_sendTransaction", sent))
    assert len(receipt["logs"]) == 1
    place.claim(most + 1_000_000, most + 1_000_000)


async def test_a_claim_that_no_call_shows_is_never_called_right(place: Place) -> None:
    claimed_through_another_contract(place)
    assert (await place.checks())["settlement"].status is NOT_CHECKED


async def test_a_settlement_of_another_contract_proves_nothing(place: Place) -> None:
    claim = place.claim()
    for other in ("token", "registry", "notary"):
        chain = replace(place.receipt.chain, charge_tab=getattr(place.receipt.chain, other))
        assert (await settled(place, claim, chain=chain)).code == "chain.not_the_contract"


async def test_a_refund_names_the_close_that_gave_everything_back(place: Place) -> None:
    refund = {"kind": "refund", "receipt_sha256": None, "amount": FUNDS}
    with place.chain.undone():
        took = close(place, 1)
        assert (await settled(place, took, **(refund | {"amount": FUNDS - 1}))).code == (
            "settlement.other_transaction"
        )
    mined = close(place, 0)
    assert (await settled(place, mined, **refund)).status is NOT_CHECKED
    assert (await settled(place, mined, **(refund | {"amount": 5}))).code == "settlement.moved_differs"


async def test_one_claim_does_not_settle_the_next_session_of_the_same_due(place: Place) -> None:
    first = place.claim()
    due, voucher = place.receipt.due, place.receipt.vouchers[-1].cumulative
    place.receipt = make_receipt_on(place.receipt.chain, asset=1, base=due, epoch=0)
    assert place.receipt.due == due
    assert (await settled(place, first)).code == "settlement.other_base"
    assert (await settled(place, place.claim(2 * due, due + voucher))).status is OK


async def test_a_claim_in_an_earlier_epoch_settles_nothing_now(place: Place) -> None:
    claim = place.claim()
    later = make_receipt_on(place.receipt.chain, asset=1, base=0, epoch=1)
    with_claim, place.receipt = place.receipt, later
    assert (await settled(place, claim)).code == "settlement.other_epoch"
    place.receipt = with_claim
    assert (await settled(place, claim)).status is OK


async def test_the_refund_of_one_epoch_is_not_that_of_the_next(place: Place) -> None:
    refund = close(place, 0)
    returned = {"kind": "refund", "amount": FUNDS}
    assert (await settled(place, refund, **returned)).status is OK
    place.receipt = make_receipt_on(place.receipt.chain, asset=1, base=0, epoch=1)
    assert (await settled(place, refund, **returned)).code == "settlement.other_epoch"


def test_roles_have_keys_of_their_own() -> None:
    assert len({key.address for key in (DRIVER, GATEWAY, NOTARY, OPERATOR, THIEF)}) == 5
