"""How a tab ends: at once where both agree, a window later where they do not."""

import pytest

from tests.contract.chain import Chain, Reverted, compact
from tests.contract.tab_world import EURO, OTHER_EPOCH, WINDOW, World


@pytest.fixture
def world(chain: Chain) -> World:
    return World.build(chain)


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
