"""How money comes into a ChargeTab, and how a thief would like it to."""

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak

from tests.contract.chain import Chain, Reverted, compact
from tests.contract.tab_world import EURO, FOREVER, NOBODY, ORDER, World


@pytest.fixture
def world(chain: Chain) -> World:
    return World.build(chain)


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


# By authorization (EIP-3009)


def test_a_driver_without_gas_deposits_by_one_signature(world: World) -> None:
    world.chain.rpc("anvil_setBalance", world.driver.address, "0x0")
    receipt = world.deposit_with_authorization(20 * EURO)
    assert world.state() == (0, 20 * EURO, 0, 0)
    assert receipt.events("Deposited")[0]["credited"] == 20 * EURO
    world.deposit_with_authorization(5 * EURO, b"\x01" * 32)
    assert world.state() == (0, 25 * EURO, 0, 0)
    assert world.balance(world.driver) == 975 * EURO


def test_an_authorization_is_deposited_once(world: World) -> None:
    signature = world.authorization(20 * EURO, bytes(32))
    world.deposit_with_authorization(20 * EURO, authorization=signature)
    with pytest.raises(Reverted, match="token: authorization used"):
        world.deposit_with_authorization(20 * EURO, authorization=signature, sender=world.thief)
    world.close(0)
    with pytest.raises(Reverted, match="token: authorization used"):
        world.deposit_with_authorization(20 * EURO, authorization=signature, sender=world.thief)


def test_an_authorization_cannot_be_deposited_to_another_payee(world: World) -> None:
    """Its nonce names the payee; another salt cannot make up for another payee."""
    signature = world.authorization(20 * EURO, bytes(32))
    for salt in (bytes(32), b"\x01" * 32):
        with pytest.raises(Reverted, match="token: wrong signature"):
            world.deposit_with_authorization(
                20 * EURO, salt, payee=world.thief, authorization=signature, sender=world.thief
            )
    assert world.balance(world.tab) == 0


def test_an_authorization_cannot_be_taken_past_the_tab(world: World) -> None:
    """Who sees it waiting can only send it as it was meant."""
    signature = world.authorization(20 * EURO, bytes(32))
    nonce = keccak(encode(["address", "bytes32"], [world.operator.address, bytes(32)]))
    values = (world.driver.address, world.tab.address, 20 * EURO, 0, FOREVER, nonce)
    for function, reason in (
        ("receiveWithAuthorization", "token: not the receiver"),
        ("transferWithAuthorization", "token: wrong signature"),
    ):
        with pytest.raises(Reverted, match=reason):
            world.token.send(function, *values, *signature, sender=world.thief.address)
    world.deposit_with_authorization(20 * EURO, authorization=signature)
    assert world.state() == (0, 20 * EURO, 0, 0)


def test_an_authorization_to_somebody_else_is_no_deposit(world: World) -> None:
    signature = world.authorization(20 * EURO, bytes(32), receiver=world.operator.address)
    with pytest.raises(Reverted, match="token: wrong signature"):
        world.deposit_with_authorization(20 * EURO, authorization=signature)


def test_a_late_authorization_is_refused(world: World) -> None:
    past = world.chain.now() - 1
    with pytest.raises(Reverted, match="token: authorization too late"):
        world.deposit_with_authorization(20 * EURO, valid_before=past)


def test_while_a_driver_leaves_no_signature_deposits_more(world: World) -> None:
    world.deposit(20 * EURO)
    world.allow()
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    with pytest.raises(Reverted, match="tab: exit begun"):
        world.deposit_with_authorization(EURO)
    with pytest.raises(Reverted, match="tab: exit begun"):
        world.deposit_with_permit(30 * EURO, permitted=10 * EURO)


def test_an_authorization_cannot_pass_what_a_word_can_hold(world: World) -> None:
    world.deposit(EURO)
    with pytest.raises(Reverted, match=r"tab: ceiling past 2\^96"):
        world.deposit_with_authorization(2**96 - EURO)
    with pytest.raises(Reverted, match="tab: no payee"):
        world.tab.send(
            "deposit_with_authorization",
            *(NOBODY, world.driver.address, EURO, 0, FOREVER, bytes(32)),
            *(27, bytes(32), bytes(32)),
            sender=world.thief.address,
        )
