"""What a charge was paid in: named in its documents, signed for in its own domain, good at its issuer."""

from dataclasses import replace

import pytest

from evmesh.domain.canonical import canonical_json, parse_json
from evmesh.domain.errors import InvalidInput
from evmesh.domain.receipt import Receipt
from evmesh.domain.receipt_parts import PaidIn
from evmesh.domain.settlement import Settlement
from evmesh.domain.trust import Trust
from evmesh.verify.chain_facts import MoneyFacts, SettlementFacts
from evmesh.verify.followups import verify_reward, verify_settlement
from evmesh.verify.receipt import CHECKS, verify_receipt
from evmesh.verify.report import Report, Status
from tests.unit.verify.commitment_factory import make_commitment, make_session_record
from tests.unit.verify.followup_factory import make_reward, make_settlement
from tests.unit.verify.keys import Key
from tests.unit.verify.receipt_factory import (
    ASSET,
    BASE,
    CHAIN,
    EPOCH,
    OPERATOR,
    SIGNATURES,
    THIEF,
    make_chain_facts,
    make_plan,
    make_receipt,
    make_receipt_on,
    make_trust,
    resign,
    sign,
    sign_money,
)
from tests.unit.verify.test_streams import check_record, proof_of

FLEX = PaidIn(Key("flex tab").address, Key("flex").address)
IN_FLEX = replace(CHAIN, paid_in=FLEX)
RECEIPT = make_receipt_on(IN_FLEX, ASSET, BASE, EPOCH)
TRUST = replace(make_trust(), flex=FLEX)
GOOD = MoneyFacts(FLEX.token, OPERATOR.address)


def codes(report: Report) -> dict[str, str]:
    return {check.name: check.code for check in report.failed()}


def test_a_receipt_in_flex_is_true_and_says_what_could_not_be_checked() -> None:
    report = verify_receipt(RECEIPT.encode(), SIGNATURES, TRUST)
    assert report.ok, report.failed()
    assert [one.name for one in report.checks][-1] == "paid in"
    report = verify_receipt(RECEIPT.encode(), SIGNATURES, TRUST, chain=make_chain_facts(RECEIPT, money=GOOD))
    assert report.ok, report.failed()
    assert report.checks[-1].status is Status.OK


def test_its_plan_was_committed_to_on_the_sites_own_chain() -> None:
    commitment = make_commitment(RECEIPT, make_plan(RECEIPT.request)[1])
    report = verify_receipt(RECEIPT.encode(), SIGNATURES, commitment=commitment)
    assert next(one.status for one in report.checks if one.name == "plan commitment") is Status.OK


def test_a_receipt_in_the_sites_token_names_no_money_and_has_no_more_checks() -> None:
    receipt = make_receipt()
    assert b"paid_in" not in receipt.encode()
    names = [one.name for one in verify_receipt(receipt.encode(), SIGNATURES, TRUST).checks]
    assert names[2:] == [name for name, _ in CHECKS]


@pytest.mark.parametrize(
    ("money", "code"),
    [
        (MoneyFacts(CHAIN.token, OPERATOR.address), "paid_in.other_token"),
        (MoneyFacts(FLEX.token, None), "paid_in.no_issuer"),
        (MoneyFacts(FLEX.token, THIEF.address), "paid_in.other_issuer"),
    ],
)
def test_flex_of_another_issuer_or_of_nobody_is_no_money_here(money: MoneyFacts, code: str) -> None:
    chain = make_chain_facts(RECEIPT, money=money)
    assert codes(verify_receipt(RECEIPT.encode(), SIGNATURES, chain=chain)) == {"paid in": code}
    settlement = make_settlement(RECEIPT)
    facts = SettlementFacts(CHAIN.chain_id, contract_answers=True, calls=(None,), money=money)
    report = verify_settlement(settlement.encode(), SIGNATURES, RECEIPT.encode(), chain=facts)
    assert codes(report) == {"paid in": code}


@pytest.mark.parametrize(
    "flex", [None, replace(FLEX, token=THIEF.address), replace(FLEX, escrow=THIEF.address)]
)
def test_a_money_that_the_trust_file_does_not_name_is_not_trusted(flex: PaidIn | None) -> None:
    trust = replace(TRUST, flex=flex)
    report = verify_receipt(RECEIPT.encode(), SIGNATURES, trust)
    assert codes(report) == {"trusted chain": "trust.other_money"}
    settlement = make_settlement(RECEIPT)
    report = verify_settlement(settlement.encode(), SIGNATURES, RECEIPT.encode(), trust)
    assert codes(report) == {"trusted payee": "trust.other_money"}
    assert not trust.names(IN_FLEX)
    assert trust.names(CHAIN)


def test_what_was_signed_for_one_money_is_not_good_for_the_other() -> None:
    """An operator who claims the token's vouchers to be of FLEX, or the other way round, is caught."""
    as_flex = resign(make_receipt(), chain=IN_FLEX)
    as_token = resign(RECEIPT, chain=CHAIN)
    for receipt in (as_flex, as_token):
        assert codes(verify_receipt(receipt.encode(), SIGNATURES)) == {
            "charge request": "signature.other_signer",
            "session offer": "signature.other_signer",
            "vouchers": "signature.other_signer",
        }


def test_the_receipt_itself_is_signed_as_every_document_of_the_site() -> None:
    in_money = replace(RECEIPT, signature=b"\0" * 64)
    signed = in_money.signed(sign_money(OPERATOR, in_money.to_sign(), IN_FLEX))
    assert codes(verify_receipt(signed.encode(), SIGNATURES)) == {"payee signature": "signature.other_signer"}


def test_what_follows_it_is_of_the_same_money_and_its_reward_of_none() -> None:
    raw = RECEIPT.encode()
    assert verify_settlement(make_settlement(RECEIPT).encode(), SIGNATURES, raw, TRUST).ok
    other = make_settlement(RECEIPT, chain=CHAIN)
    report = verify_settlement(other.encode(), SIGNATURES, raw, TRUST)
    assert codes(report) == {"receipt": "followup.other_chain"}
    reward = make_reward(RECEIPT, chain=CHAIN)
    report = verify_reward(reward.encode(), SIGNATURES, raw, TRUST)
    assert "receipt" not in codes(report)
    with pytest.raises(InvalidInput) as refused:
        type(reward).parse(make_reward(RECEIPT, chain=IN_FLEX).encode())
    assert refused.value.path == "chain.paid_in"


def test_its_record_stands_in_the_sites_own_list_and_names_the_money() -> None:
    given = {"receipt_raw": RECEIPT.encode(), "trust": TRUST}
    record = make_session_record(RECEIPT)
    assert record.chain == IN_FLEX
    # Whose FLEX it is a record cannot tell, and says so.
    unsure = {"paid in": "not_checked"}
    assert check_record(proof_of(record), **given) == unsure
    untrusted = given | {"trust": make_trust()}
    assert check_record(proof_of(record), **untrusted) == unsure | {"trusted payee": "trust.other_money"}
    unsaid = replace(record, chain=CHAIN)
    unsaid = unsaid.signed(sign(OPERATOR, unsaid.to_sign()))
    assert check_record(proof_of(unsaid), **given) == {"receipt": "followup.other_chain"}


def test_documents_read_back_and_name_the_sites_own_money_in_one_way_only() -> None:
    assert Receipt.parse(RECEIPT.encode()) == RECEIPT
    settlement = make_settlement(RECEIPT)
    assert Settlement.parse(settlement.encode()) == settlement
    twice = replace(CHAIN, paid_in=PaidIn(CHAIN.charge_tab, CHAIN.token))
    with pytest.raises(InvalidInput) as refused:
        Receipt.parse(resign(make_receipt(), chain=twice).encode())
    assert refused.value.path == "chain.paid_in"


def test_a_trust_file_names_flex_or_does_not() -> None:
    for trust in (TRUST, make_trust()):
        assert Trust.parse(canonical_json(trust.to_json())) == trust
    assert "flex" not in make_trust().to_json()
    for spoilt, path in (({"escrow": FLEX.escrow.text}, "flex.token"), (None, "flex")):
        with pytest.raises(InvalidInput) as refused:
            Trust.parse(canonical_json(TRUST.to_json() | {"flex": spoilt}))
        assert refused.value.path == path
    with pytest.raises(InvalidInput) as refused:
        Trust.parse(canonical_json(replace(TRUST, payees=TRUST.payees | {THIEF.address}).to_json()))
    assert (refused.value.code, refused.value.path) == ("trust.flex_of_whom", "flex")


def test_two_domains_follow_from_what_is_named() -> None:
    assert (CHAIN.domain, CHAIN.money, CHAIN.site) == (CHAIN.domain, CHAIN.domain, CHAIN)
    assert (IN_FLEX.domain, IN_FLEX.site) == (CHAIN.domain, CHAIN)
    assert IN_FLEX.money.verifying_contract == IN_FLEX.escrow == FLEX.escrow
    assert (IN_FLEX.paid_token, CHAIN.paid_token) == (FLEX.token, CHAIN.token)
    document = parse_json(canonical_json(IN_FLEX.to_json()))
    assert document["paid_in"] == {"escrow": FLEX.escrow.text, "token": FLEX.token.text}
