"""What vouchers are worth, to whom, and how a batch of them is settled."""

import pytest

from tests.contract.chain import Chain, Reverted
from tests.contract.tab_world import (
    EURO,
    FOREVER,
    MALFORMED,
    NO_SIGNER,
    NOBODY,
    ORDER,
    OTHER_EPOCH,
    STALE,
    UNDERFUNDED,
    World,
)


@pytest.fixture
def world(chain: Chain) -> World:
    return World.build(chain)


def test_a_voucher_for_the_budget_is_claimed_for_what_was_metered(world: World) -> None:
    world.deposit(20 * EURO)
    world.claim(world.row(7 * EURO, cumulative=20 * EURO))
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)
    world.claim(world.row(9 * EURO, cumulative=20 * EURO))
    assert world.state() == (9 * EURO, 20 * EURO, 0, 0)
    assert world.tab.call("account", world.operator.address) == (9 * EURO, 0)


def test_claiming_above_what_was_signed_is_malformed(world: World) -> None:
    world.deposit(20 * EURO)
    assert world.skipped(world.row(7 * EURO + 1, cumulative=7 * EURO)) == [(0, MALFORMED)]
    assert world.state() == (0, 20 * EURO, 0, 0)


def test_a_claim_never_passes_the_ceiling(world: World) -> None:
    world.deposit(5 * EURO)
    assert world.skipped(world.row(5 * EURO + 1)) == [(0, UNDERFUNDED)]
    assert world.skipped(world.row(5 * EURO, cumulative=9 * EURO)) == []
    assert world.skipped(world.row(5 * EURO + 1, cumulative=9 * EURO)) == [(0, UNDERFUNDED)]
    assert world.state() == (5 * EURO, 5 * EURO, 0, 0)


def test_stale_and_duplicate_rows_pay_nothing_more(world: World) -> None:
    world.deposit(20 * EURO)
    row = world.row(7 * EURO)
    receipt = world.claim(row, row, world.row(3 * EURO), world.row(8 * EURO))
    assert [(e["row"], e["reason"]) for e in receipt.events("RowSkipped")] == [(1, STALE), (2, STALE)]
    assert receipt.events("Claimed") == [
        {"payee": world.operator.address.lower(), "amount": 8 * EURO, "settled": 0b1001}
    ]
    assert world.skipped(row) == [(0, STALE)]


def test_one_bad_row_does_not_stop_the_others(world: World) -> None:
    world.deposit(20 * EURO)
    good = world.row(7 * EURO)
    huge = 2**256 - 1
    rows = [
        [huge, huge, huge],
        [0, 0, EURO | EURO << 96],
        [good[0], good[1], good[2] | 1 << 224],
        world.row(EURO, signer=world.thief),
        world.row(6 * EURO, epoch=1),
        good,
    ]
    reasons = [MALFORMED, NO_SIGNER, MALFORMED, UNDERFUNDED, OTHER_EPOCH]
    assert world.skipped(*rows) == list(enumerate(reasons))
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)


def test_a_zero_recovery_is_nobodys_money(world: World) -> None:
    """Zero is an account that tokens can be sent to and that anybody could deposit for."""
    for r, vs in ((0, 0), (1, 0), (ORDER, 1), (2**256 - 1, 1)):
        assert world.skipped([r, vs, EURO | EURO << 96])[0][1] == NO_SIGNER


def test_nobody_signs_for_the_zero_account(world: World) -> None:
    """A signature that recovers nobody must not pass as one of the account that is nobody's."""
    with pytest.raises(Reverted, match="tab: claim not signed by payee"):
        world.tab.send("claim", [], NOBODY, FOREVER, [0, 0], sender=world.thief.address)
    arguments = (world.operator.address, NOBODY, 0, EURO, FOREVER, 0, 0)
    permit = (EURO, FOREVER, 27, bytes(32), bytes(32))
    with pytest.raises(Reverted, match="tab: top-up not signed by payer"):
        world.tab.send("deposit_with_permit", *arguments, *permit, sender=world.thief.address)


def test_the_twin_of_a_signature_is_malformed(world: World) -> None:
    """An s above half the order only fits EIP-2098 just above the half; it is refused there as well."""
    world.deposit(20 * EURO)
    for s in (ORDER // 2 + 1, 2**255 - 1):
        assert world.skipped([world.row(EURO)[0], s, EURO | EURO << 96]) == [(0, MALFORMED)]
    r, _ = world.exit_signature()
    with pytest.raises(Reverted, match="tab: malleable signature"):
        world.tab.send(
            "begin_exit_signed",
            world.operator.address,
            world.driver.address,
            0,
            r,
            ORDER // 2 + 1,
            sender=world.relayer.address,
        )


@pytest.mark.parametrize(
    "other",
    [
        {"chainId": 1},
        {"verifyingContract": "0x" + "11" * 20},
        {"name": "OtherTab"},
        {"version": "2"},
    ],
)
def test_a_voucher_for_another_chain_or_contract_is_worth_nothing(
    world: World, other: dict[str, object]
) -> None:
    world.deposit(20 * EURO)
    row = world.row(7 * EURO, domain=world.domain(**other))
    assert world.skipped(row) == [(0, UNDERFUNDED)]  # recovers somebody without a tab
    assert world.state() == (0, 20 * EURO, 0, 0)


def test_a_voucher_for_one_payee_is_worth_nothing_to_another(world: World) -> None:
    world.deposit(20 * EURO)
    world.deposit(20 * EURO, payee=world.thief)
    receipt = world.claim(world.row(7 * EURO), sender=world.thief)
    assert receipt.events("RowSkipped")[0]["reason"] == UNDERFUNDED
    assert world.tab.call("account", world.thief.address) == (0, 0)


def test_on_a_forked_chain_old_vouchers_are_worth_nothing(world: World) -> None:
    world.deposit(20 * EURO)
    row = world.row(7 * EURO)
    world.chain.rpc("anvil_setChainId", 4242)
    try:
        assert world.skipped(row) == [(0, UNDERFUNDED)]
        assert world.skipped(world.row(7 * EURO, domain=world.domain(chainId=4242))) == []
    finally:
        world.chain.rpc("anvil_setChainId", 31337)


def test_anybody_sends_a_claim_that_the_payee_signed(world: World) -> None:
    world.deposit(20 * EURO)
    rows = [world.row(7 * EURO)]
    signature = world.signed_claim(rows, FOREVER, world.operator)
    world.tab.send(
        "claim", rows, world.operator.address, FOREVER, list(signature), sender=world.relayer.address
    )
    assert world.tab.call("account", world.operator.address) == (7 * EURO, 0)


def test_nobody_claims_for_a_payee_who_did_not_sign(world: World) -> None:
    world.deposit(20 * EURO)
    rows = [world.row(7 * EURO, cumulative=20 * EURO)]
    more = [[*rows[0][:2], 20 * EURO | 20 * EURO << 96]]
    by_operator = world.signed_claim(rows, FOREVER, world.operator)
    by_thief = world.signed_claim(rows, FOREVER, world.thief)
    for sent, signature in ((rows, by_thief), (more, by_operator), (rows, (0, 0))):
        with pytest.raises(Reverted, match="tab: claim not signed by payee"):
            world.tab.send(
                "claim", sent, world.operator.address, FOREVER, list(signature), sender=world.thief.address
            )
    past = world.chain.now() - 1
    with pytest.raises(Reverted, match="tab: claim too late"):
        world.tab.send(
            "claim",
            rows,
            world.operator.address,
            past,
            list(world.signed_claim(rows, past, world.operator)),
            sender=world.relayer.address,
        )


def test_two_hundred_rows_are_the_most(world: World) -> None:
    world.deposit(20 * EURO)
    row = world.row(7 * EURO)
    assert len(world.skipped(*[row] * 200)) == 199
    with pytest.raises(Reverted):
        world.claim(*[row] * 201)


def test_anybody_pays_out_once_what_the_payee_earned(world: World) -> None:
    world.deposit(20 * EURO)
    world.claim(world.row(7 * EURO))
    world.tab.send("payout", world.operator.address, sender=world.thief.address)
    assert world.balance(world.operator) == 7 * EURO
    assert world.balance(world.thief) == 0
    with pytest.raises(Reverted, match="tab: nothing to pay out"):
        world.tab.send("payout", world.operator.address, sender=world.operator.address)
    world.claim(world.row(9 * EURO))
    world.tab.send("payout", world.operator.address, sender=world.operator.address)
    assert world.balance(world.operator) == 9 * EURO
    assert world.tab.call("account", world.operator.address) == (9 * EURO, 9 * EURO)
