"""Refills: a debt that is settled, and a ceiling that is pulled up behind it, each by itself."""

import pytest

from evmesh.domain.ids import Address
from evmesh.domain.signed_types import Refill
from evmesh.domain.typed_data import Domain, digest
from evmesh.ledger.signatures import KeySigner, compact_words, keccak256
from tests.contract.chain import CHAIN_ID, Chain, Reverted
from tests.contract.tab_world import (
    EURO,
    EXIT_BEGUN,
    FOREVER,
    MALFORMED,
    NO_SIGNER,
    ORDER,
    OTHER_EPOCH,
    STALE,
    TOKEN_REFUSED,
    TOO_LATE,
    UNDERFUNDED,
    WINDOW,
    Row,
    World,
)


@pytest.fixture
def world(chain: Chain) -> World:
    """The driver has 20 in the tab, and lets it take more."""
    world = World.build(chain)
    world.deposit(20 * EURO)
    world.allow()
    return world


def refilled(world: World, *rows: Row) -> tuple[int, int]:
    """Claim and give the bits of what was settled and of what was pulled."""
    receipt = world.claim_refill(*rows)
    [claimed], [refilled] = receipt.events("Claimed"), receipt.events("Refilled")
    return claimed["settled"], refilled["pulled"]


def why_not(world: World, *rows: Row) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Claim and give (row, reason) of debts and of pulls that were skipped."""
    receipt = world.claim_refill(*rows)
    skipped, unpulled = (
        [(event["row"], event["reason"]) for event in receipt.events(name)]
        for name in ("RowSkipped", "PullSkipped")
    )
    return skipped, unpulled


def test_a_refill_settles_its_debt_and_raises_the_ceiling(world: World) -> None:
    receipt = world.claim_refill(world.refill_row(7 * EURO, 30 * EURO))
    assert world.state() == (7 * EURO, 30 * EURO, 0, 0)
    assert world.balance(world.tab) == 30 * EURO
    assert world.tab.call("account", world.operator.address) == (7 * EURO, 0)
    payee = world.operator.address.lower()
    assert receipt.events("Claimed") == [{"payee": payee, "amount": 7 * EURO, "settled": 1}]
    assert receipt.events("Refilled") == [{"payee": payee, "credited": 10 * EURO, "pulled": 1}]


def test_our_own_encoder_signs_what_the_contract_checks(world: World) -> None:
    signer = KeySigner(bytes.fromhex(world.driver.key[2:]))
    refill = Refill(Address.parse(world.operator.address.lower()), 0, 7 * EURO, 30 * EURO, FOREVER)
    domain = Domain(CHAIN_ID, Address.parse(world.tab.address.lower()))
    signature = compact_words(signer.sign(digest(domain, refill, keccak256)))
    words = [*signature, 7 * EURO | 7 * EURO << 96, 30 * EURO | FOREVER << 96]
    assert words == world.refill_row(7 * EURO, 30 * EURO)
    assert refilled(world, words) == (1, 1)


def test_the_debt_is_settled_although_the_pull_fails(world: World) -> None:
    world.allow(10 * EURO - 1)
    assert why_not(world, world.refill_row(7 * EURO, 30 * EURO)) == ([], [(0, TOKEN_REFUSED)])
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)
    world.allow()
    world.token.send("transfer", world.thief.address, 975 * EURO, sender=world.driver.address)
    assert why_not(world, world.refill_row(8 * EURO, 30 * EURO)) == ([], [(0, TOKEN_REFUSED)])
    assert world.state() == (8 * EURO, 20 * EURO, 0, 0)


def test_a_pull_that_failed_is_tried_again_with_nothing_owed(world: World) -> None:
    row = world.refill_row(7 * EURO, 30 * EURO)
    world.allow(0)
    assert refilled(world, row) == (1, 0)
    world.allow()
    assert refilled(world, row) == (0, 1)
    assert refilled(world, row) == (0, 0)
    assert world.state() == (7 * EURO, 30 * EURO, 0, 0)


def test_a_pull_pays_for_its_own_rows_debt(world: World) -> None:
    world.claim(world.row(19 * EURO))
    assert refilled(world, world.refill_row(21 * EURO, 40 * EURO)) == (1, 1)
    assert world.state() == (21 * EURO, 40 * EURO, 0, 0)


def test_a_debt_past_the_ceiling_waits_for_the_pull(world: World) -> None:
    row = world.refill_row(21 * EURO, 40 * EURO)
    world.allow(0)
    assert why_not(world, row) == ([(0, UNDERFUNDED)], [(0, TOKEN_REFUSED)])
    world.allow(1000 * EURO)
    past_both = world.refill_row(41 * EURO, 40 * EURO)
    assert why_not(world, past_both) == ([(0, UNDERFUNDED)], [])  # pulled all the same: that was signed
    assert world.state() == (0, 40 * EURO, 0, 0)
    assert refilled(world, row) == (1, 0)


def test_a_ceiling_that_is_reached_is_not_pulled(world: World) -> None:
    assert why_not(world, world.refill_row(7 * EURO, 20 * EURO)) == ([], [])
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)


def test_stale_and_duplicate_refills_settle_and_pull_nothing_more(world: World) -> None:
    row, older = world.refill_row(7 * EURO, 30 * EURO), world.refill_row(3 * EURO, 25 * EURO)
    assert why_not(world, row, row, older) == ([(1, STALE), (2, STALE)], [])
    assert world.state() == (7 * EURO, 30 * EURO, 0, 0)


def test_a_refill_pulls_until_its_deadline_and_is_a_debt_after_it(world: World) -> None:
    late = world.refill_row(7 * EURO, 30 * EURO, deadline=world.chain.now() - 1)
    assert why_not(world, late) == ([], [(0, TOO_LATE)])
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)


def test_one_bad_row_does_not_stop_the_others(world: World) -> None:
    good = world.refill_row(7 * EURO, 30 * EURO)
    huge = 2**256 - 1
    rows = [
        [huge] * 4,
        [0, 0, EURO | EURO << 96, 0],
        [*good[:2], good[2] | 1 << 224, good[3]],
        [*good[:3], good[3] | 1 << 128],
        world.refill_row(EURO + 1, 30 * EURO, cumulative=EURO),
        [good[0], ORDER // 2 + 1, *good[2:]],
        world.refill_row(6 * EURO, 30 * EURO, epoch=1),
        good,
    ]
    reasons = [MALFORMED, NO_SIGNER, *[MALFORMED] * 4, OTHER_EPOCH]
    assert why_not(world, *rows) == (list(enumerate(reasons)), [])
    assert world.state() == (7 * EURO, 30 * EURO, 0, 0)


def test_each_part_of_a_refill_is_signed(world: World) -> None:
    """Whatever is changed, it recovers somebody else, who has no tab and allows nothing."""
    good = world.refill_row(7 * EURO, 30 * EURO, cumulative=9 * EURO)
    changed = [
        [*good[:3], 31 * EURO | FOREVER << 96],
        [*good[:3], 30 * EURO | (FOREVER - 1) << 96],
        [*good[:2], 7 * EURO | 10 * EURO << 96, good[3]],
        [*world.row(7 * EURO), 30 * EURO | FOREVER << 96],
    ]
    skipped, unpulled = why_not(world, *changed)
    assert skipped == [(row, UNDERFUNDED) for row in range(4)]
    assert unpulled == [(row, TOKEN_REFUSED) for row in range(4)]
    assert world.skipped(good[:3]) == [(0, UNDERFUNDED)]  # nor is a refill a voucher
    assert world.state() == (0, 20 * EURO, 0, 0)


def test_a_refill_for_one_payee_pulls_nothing_for_another(world: World) -> None:
    world.deposit(20 * EURO, payee=world.thief)
    world.allow()
    row = world.refill_row(7 * EURO, 30 * EURO)
    receipt = world.claim_refill(row, sender=world.thief)
    assert [event["reason"] for event in receipt.events("RowSkipped")] == [UNDERFUNDED]
    assert world.tab.call("tab", world.thief.address, world.driver.address) == (0, 20 * EURO, 0, 0)
    assert world.balance(world.tab) == 40 * EURO


def test_a_refill_kept_for_later_is_dead_once_the_driver_leaves(world: World) -> None:
    kept = world.refill_row(7 * EURO, 500 * EURO)
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    assert why_not(world, kept) == ([], [(0, EXIT_BEGUN)])  # what is owed is owed, and nothing is pulled
    who = (world.operator.address, world.driver.address)
    world.chain.pass_time(WINDOW)
    world.tab.send("finish_exit", *who, sender=world.thief.address)
    assert why_not(world, kept) == ([(0, OTHER_EPOCH)], [])
    assert world.balance(world.driver) == 993 * EURO
    world.deposit(EURO)
    world.allow()
    assert why_not(world, kept) == ([(0, OTHER_EPOCH)], [])
    assert world.state() == (0, EURO, 0, 1)


def test_a_refill_kept_for_later_is_dead_after_a_close(world: World) -> None:
    kept = world.refill_row(7 * EURO, 500 * EURO)
    world.close(0)
    assert why_not(world, kept) == ([(0, OTHER_EPOCH)], [])
    assert world.balance(world.driver) == 1000 * EURO


def test_anybody_sends_refills_that_the_payee_signed_as_a_claim(world: World) -> None:
    rows = [world.refill_row(7 * EURO, 30 * EURO)]
    signature = list(world.signed_claim(rows, FOREVER, world.operator))
    sent = (rows, world.operator.address, FOREVER, signature)
    world.tab.send("claim_refill", *sent, sender=world.relayer.address)
    assert world.state() == (7 * EURO, 30 * EURO, 0, 0)
    forged = list(world.signed_claim(rows, FOREVER, world.thief))
    past = world.chain.now() - 1
    for arguments, reason in (
        ((rows, world.operator.address, FOREVER, forged), "tab: claim not signed by payee"),
        ((rows * 2, world.operator.address, FOREVER, signature), "tab: claim not signed by payee"),
        ((rows, world.operator.address, past, signature), "tab: claim too late"),
    ):
        with pytest.raises(Reverted, match=reason):
            world.tab.send("claim_refill", *arguments, sender=world.thief.address)


def test_a_claim_signed_for_vouchers_is_none_for_refills(world: World) -> None:
    """Four rows of three words are the same words as three rows of four."""
    vouchers = [world.row((number + 1) * EURO) for number in range(4)]
    words = [word for row in vouchers for word in row]
    refills = [words[place : place + 4] for place in range(0, 12, 4)]
    signature = list(world.signed_claim(vouchers, FOREVER, world.operator))
    with pytest.raises(Reverted, match="tab: claim not signed by payee"):
        world.tab.send(
            "claim_refill", refills, world.operator.address, FOREVER, signature, sender=world.thief.address
        )


def test_no_amount_of_gas_settles_a_debt_and_starves_its_pull(world: World) -> None:
    """Who submits must not be able to choose that a pull fails."""
    transaction = world.tab.transaction(
        "claim_refill", [world.refill_row(7 * EURO, 30 * EURO)], sender=world.operator.address
    )
    outcomes = set()
    for gas in range(40_000, 260_000, 2_500):
        try:
            raw = world.chain.rpc("eth_call", {**transaction, "gas": hex(gas)}, "latest")
        except Reverted:
            outcomes.add("nothing")
        else:
            outcomes.add(f"settled {int(raw[2:66], 16)} pulled {int(raw[66:], 16)}")
    assert outcomes == {"settled 1 pulled 1", "nothing"}


def test_two_hundred_rows_are_the_most(world: World) -> None:
    row = world.refill_row(7 * EURO, 30 * EURO)
    assert refilled(world, *[row] * 200) == (1, 1)
    with pytest.raises(Reverted):
        world.claim_refill(*[row] * 201)
