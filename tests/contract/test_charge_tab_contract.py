"""Every rule of ChargeTab on a real EVM, and everything a thief may try."""

import pytest

from tests.contract.chain import Chain, Person, Reverted, compact
from tests.contract.tab_world import (
    EURO,
    FOREVER,
    MALFORMED,
    NO_SIGNER,
    OTHER_EPOCH,
    STALE,
    UNDERFUNDED,
    WINDOW,
    World,
)

NOBODY = "0x" + "00" * 20
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


@pytest.fixture
def world(chain: Chain) -> World:
    return World.build(chain)


# Deposits


def test_an_approved_deposit_raises_the_ceiling(world: World) -> None:
    receipt = world.deposit(20 * EURO)
    assert world.state() == (0, 20 * EURO, 0, 0)
    assert world.balance(world.tab) == 20 * EURO
    assert receipt.events("Deposited")[0]["credited"] == 20 * EURO
    world.deposit(5 * EURO)
    assert world.state() == (0, 25 * EURO, 0, 0)


def test_a_driver_without_gas_deposits_by_signatures_that_a_relayer_sends(world: World) -> None:
    world.chain.rpc("anvil_setBalance", world.driver.address, "0x0")
    world.deposit_with_permit(20 * EURO)
    assert world.state() == (0, 20 * EURO, 0, 0)
    world.deposit_with_permit(30 * EURO, permitted=10 * EURO)
    assert world.state() == (0, 30 * EURO, 0, 0)


def test_a_permit_that_was_used_by_somebody_else_first_does_no_harm(world: World) -> None:
    permit, top_up = world.permit(20 * EURO), world.top_up(20 * EURO)
    v, r, s = permit
    world.token.send(
        "permit",
        world.driver.address,
        world.tab.address,
        20 * EURO,
        FOREVER,
        v,
        r,
        s,
        sender=world.thief.address,
    )
    world.deposit_with_permit(20 * EURO, permit=permit, top_up=top_up)
    assert world.state() == (0, 20 * EURO, 0, 0)


def test_a_permit_cannot_be_deposited_to_another_payee(world: World) -> None:
    top_up = world.top_up(20 * EURO)
    with pytest.raises(Reverted, match="tab: top-up not signed by payer"):
        world.deposit_with_permit(20 * EURO, payee=world.thief, top_up=top_up)
    assert world.balance(world.tab) == 0


def test_a_standing_allowance_is_of_no_use_without_the_drivers_signature(world: World) -> None:
    world.token.send("approve", world.tab.address, 2**256 - 1, sender=world.driver.address)
    forged = compact(
        world.thief.sign(
            world.domain(),
            "TopUp",
            "address payee,uint32 epoch,uint96 ceiling,uint256 deadline",
            {"payee": world.thief.address, "epoch": 0, "ceiling": EURO, "deadline": FOREVER},
        )
    )
    for signature in (forged, (0, 0), (ORDER, 1)):
        with pytest.raises(Reverted, match="tab: top-up not signed by payer"):
            world.deposit_with_permit(EURO, payee=world.thief, top_up=signature)


def test_a_top_up_is_for_once_for_its_epoch_and_for_its_time(world: World) -> None:
    world.token.send("approve", world.tab.address, 2**256 - 1, sender=world.driver.address)
    world.deposit_with_permit(20 * EURO)
    with pytest.raises(Reverted, match="tab: ceiling already reached"):
        world.deposit_with_permit(20 * EURO)
    late = world.chain.now() - 1
    with pytest.raises(Reverted, match="tab: top-up too late"):
        world.deposit_with_permit(30 * EURO, deadline=late)
    world.close(0)
    with pytest.raises(Reverted, match="tab: other epoch"):
        world.deposit_with_permit(30 * EURO)
    world.deposit_with_permit(30 * EURO, epoch=1)
    assert world.state() == (0, 30 * EURO, 0, 1)


def test_no_ceiling_passes_what_a_word_can_hold(world: World) -> None:
    world.deposit(EURO)
    with pytest.raises(Reverted, match=r"tab: ceiling past 2\^96"):
        world.deposit(2**96 - EURO)
    with pytest.raises(Reverted, match=r"tab: ceiling past 2\^96"):
        world.tab.send(
            "deposit_with_permit",
            world.operator.address,
            world.driver.address,
            0,
            2**96,
            FOREVER,
            *(0, 0),
            *(0, FOREVER, 27, bytes(32), bytes(32)),
            sender=world.relayer.address,
        )


def test_a_deposit_needs_a_payee_and_the_money(world: World) -> None:
    with pytest.raises(Reverted, match="token: allowance too small"):
        world.tab.send("deposit", world.operator.address, EURO, sender=world.driver.address)
    world.token.send("approve", world.tab.address, 2**256 - 1, sender=world.driver.address)
    with pytest.raises(Reverted, match="token: balance too small"):
        world.tab.send("deposit", world.operator.address, 1001 * EURO, sender=world.driver.address)
    with pytest.raises(Reverted, match="tab: no payee"):
        world.tab.send("deposit", "0x" + "00" * 20, EURO, sender=world.driver.address)
    with pytest.raises(Reverted, match="tab: nothing arrived"):
        world.tab.send("deposit", world.operator.address, 0, sender=world.driver.address)


# Claims


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


# Closing


def test_a_close_at_what_is_spent_gives_the_rest_back_at_once(world: World) -> None:
    world.deposit(20 * EURO)
    world.claim(world.row(7 * EURO, cumulative=20 * EURO))
    world.close(7 * EURO)
    assert world.state() == (0, 0, 0, 1)
    assert world.balance(world.driver) == 993 * EURO
    assert world.tab.call("account", world.operator.address) == (7 * EURO, 0)


def test_after_a_close_old_vouchers_and_the_close_itself_are_dead(world: World) -> None:
    world.deposit(20 * EURO)
    voucher, close = world.row(7 * EURO), world.close_signature(0)
    world.close(0, signature=close)
    world.deposit(20 * EURO)
    assert world.skipped(voucher) == [(0, OTHER_EPOCH)]
    with pytest.raises(Reverted, match="tab: other epoch"):
        world.close(0, signature=close)
    with pytest.raises(Reverted, match="tab: close not signed by payee"):
        world.close(0, epoch=1, signature=close)
    assert world.skipped(world.row(7 * EURO, epoch=1)) == []


def test_closing_above_what_is_spent_needs_the_drivers_voucher(world: World) -> None:
    world.deposit(20 * EURO)
    with pytest.raises(Reverted, match="tab: final total not agreed"):
        world.close(7 * EURO)
    small = compact(world.voucher(6 * EURO))
    with pytest.raises(Reverted, match="tab: final total not agreed"):
        world.close(7 * EURO, agreed=6 * EURO, consent=small)
    with pytest.raises(Reverted, match="tab: final total not agreed"):
        world.close(7 * EURO, agreed=7 * EURO, consent=small)
    elsewhere = compact(world.voucher(7 * EURO, payee=world.thief))
    with pytest.raises(Reverted, match="tab: final total not agreed"):
        world.close(7 * EURO, agreed=7 * EURO, consent=elsewhere)
    world.close(7 * EURO, agreed=20 * EURO, consent=compact(world.voucher(20 * EURO)))
    assert world.balance(world.driver) == 993 * EURO
    assert world.tab.call("account", world.operator.address) == (7 * EURO, 0)


def test_a_close_is_the_payees_to_sign(world: World) -> None:
    world.deposit(20 * EURO)
    for signer in (world.driver, world.thief):
        with pytest.raises(Reverted, match="tab: close not signed by payee"):
            world.close(0, signature=world.close_signature(0, signer=signer))
    with pytest.raises(Reverted, match="tab: close not signed by payee"):
        world.close(1, signature=world.close_signature(0))
    past = world.chain.now() - 1
    with pytest.raises(Reverted, match="tab: close too late"):
        world.close(0, deadline=past)


def test_a_close_stays_between_spent_and_ceiling(world: World) -> None:
    with pytest.raises(Reverted, match="tab: nothing to close"):
        world.close(0)
    world.deposit(20 * EURO)
    world.claim(world.row(7 * EURO))
    with pytest.raises(Reverted, match="tab: final total below spent"):
        world.close(7 * EURO - 1)
    with pytest.raises(Reverted, match="tab: final total above ceiling"):
        world.close(20 * EURO + 1, agreed=21 * EURO, consent=compact(world.voucher(21 * EURO)))


# Leaving


def test_a_driver_leaves_without_anybodys_help(world: World) -> None:
    world.deposit(20 * EURO)
    world.claim(world.row(7 * EURO))
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    with pytest.raises(Reverted, match="tab: exit too early"):
        world.tab.send(
            "finish_exit", world.operator.address, world.driver.address, sender=world.thief.address
        )
    world.chain.pass_time(WINDOW)
    world.tab.send("finish_exit", world.operator.address, world.driver.address, sender=world.thief.address)
    assert world.state() == (0, 0, 0, 1)
    assert world.balance(world.driver) == 993 * EURO
    with pytest.raises(Reverted, match="tab: no exit begun"):
        world.tab.send(
            "finish_exit", world.operator.address, world.driver.address, sender=world.driver.address
        )


def test_a_signed_exit_is_sent_by_anybody_and_only_for_its_epoch(world: World) -> None:
    world.deposit(20 * EURO)
    signature = world.exit_signature()
    who = (world.operator.address, world.driver.address)
    with pytest.raises(Reverted, match="tab: exit not signed by payer"):
        world.tab.send(
            "begin_exit_signed",
            *who,
            0,
            *world.exit_signature(signer=world.thief),
            sender=world.thief.address,
        )
    world.tab.send("begin_exit_signed", *who, 0, *signature, sender=world.thief.address)
    with pytest.raises(Reverted, match="tab: exit begun"):
        world.tab.send("begin_exit_signed", *who, 0, *signature, sender=world.thief.address)
    world.close(0)
    world.deposit(20 * EURO)
    with pytest.raises(Reverted, match="tab: other epoch"):
        world.tab.send("begin_exit_signed", *who, 0, *signature, sender=world.thief.address)
    with pytest.raises(Reverted, match="tab: exit not signed by payer"):
        world.tab.send("begin_exit_signed", *who, 1, *signature, sender=world.thief.address)


def test_while_leaving_the_payee_claims_and_nobody_deposits(world: World) -> None:
    world.deposit(20 * EURO)
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    exit_time = world.state()[2]
    with pytest.raises(Reverted, match="tab: exit begun"):
        world.deposit(EURO)
    with pytest.raises(Reverted, match="tab: exit begun"):
        world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    world.chain.pass_time(WINDOW)
    assert world.skipped(world.row(7 * EURO)) == []
    assert world.state() == (7 * EURO, 20 * EURO, exit_time, 0)
    world.tab.send("finish_exit", world.operator.address, world.driver.address, sender=world.driver.address)
    assert world.balance(world.driver) == 993 * EURO
    assert world.skipped(world.row(8 * EURO)) == [(0, OTHER_EPOCH)]


def test_there_must_be_something_to_leave(world: World) -> None:
    with pytest.raises(Reverted, match="tab: nothing to leave"):
        world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)


# Construction, tokens that misbehave


def test_the_window_is_a_day_at_least_and_the_token_a_contract(world: World) -> None:
    for token, window, reason in (
        (world.token.address, WINDOW - 1, "tab: window out of range"),
        (world.token.address, 2**32, "tab: window out of range"),
        (world.driver.address, WINDOW, "tab: no such token"),
    ):
        with pytest.raises(Reverted, match=reason):
            world.chain.deploy("ChargeTab", token, window, sender=world.thief.address)


TOKEN_SOURCE = """
# pragma version 0.4.3
# pragma evm-version cancun
interface Tab:
    def payout(payee: address) -> uint256: nonpayable
    def deposit(payee: address, amount: uint256) -> uint256: nonpayable
balanceOf: public(HashMap[address, uint256])
attack: public(bool)
@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount
@external
def approve(spender: address, amount: uint256) -> bool:
    return True
@external
def arm():
    self.attack = True
@external
def transferFrom(sender: address, receiver: address, amount: uint256){returns}:
    {body}
@external
def transfer(receiver: address, amount: uint256){returns}:
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
    {ok}
"""
MOVE = "self.balanceOf[sender] -= amount; self.balanceOf[receiver] += amount"


def _world_with(chain: Chain, body: str, returns: str = " -> bool", ok: str = "return True") -> World:
    deployer = Person.make(chain, "deployer")
    source = TOKEN_SOURCE.format(returns=returns, body=body.replace("; ", "\n    "), ok=ok)
    return World.build(chain, chain.deploy_source(source, sender=deployer.address))


def test_of_a_token_with_a_fee_only_what_arrived_is_credited(chain: Chain) -> None:
    fee = "self.balanceOf[sender] -= amount; self.balanceOf[receiver] += amount - amount // 10; return True"
    world = _world_with(chain, fee)
    world.deposit(10 * EURO)
    assert world.state() == (0, 9 * EURO, 0, 0)


def test_of_a_token_that_gives_too_much_only_what_was_asked_is_credited(chain: Chain) -> None:
    world = _world_with(chain, "self.balanceOf[receiver] += 2 * amount; return True")
    world.deposit(10 * EURO)
    assert world.state() == (0, 10 * EURO, 0, 0)


def test_a_token_that_returns_nothing_works(chain: Chain) -> None:
    world = _world_with(chain, MOVE, returns="", ok="pass")
    world.deposit(10 * EURO)
    world.close(0)
    assert world.balance(world.driver) == 1000 * EURO


def test_a_token_that_returns_false_or_moves_nothing_is_refused(chain: Chain) -> None:
    world = _world_with(chain, f"{MOVE}; return False")
    with pytest.raises(Reverted, match="tab: token refused"):
        world.deposit(10 * EURO)
    world = _world_with(chain, "return True")
    with pytest.raises(Reverted, match="tab: nothing arrived"):
        world.deposit(10 * EURO)


@pytest.mark.parametrize(
    "again", ["extcall Tab(msg.sender).payout(sender)", "extcall Tab(msg.sender).deposit(sender, 1)"]
)
def test_a_token_cannot_call_back_into_the_tab(chain: Chain, again: str) -> None:
    body = f"if self.attack:;     {again}; {MOVE}; return True".replace("extcall", "x: uint256 = extcall")
    world = _world_with(chain, body)
    world.deposit(10 * EURO)
    world.token.send("arm", sender=world.thief.address)
    with pytest.raises(Reverted) as refused:
        world.deposit(10 * EURO)
    assert "nothing to pay out" not in str(refused.value)
    assert world.state() == (0, 10 * EURO, 0, 0)
