"""Replays, races, signatures out of place: whatever a thief sends, money goes where it was signed to go."""

from collections.abc import Callable

import pytest

from tests.contract.chain import Chain, Reverted, compact
from tests.contract.tab_world import (
    EURO,
    FOREVER,
    NOBODY,
    ORDER,
    OTHER_EPOCH,
    UNDERFUNDED,
    WINDOW,
    World,
)


@pytest.fixture
def world(chain: Chain) -> World:
    """The driver has 20 in the tab, and lets it take more."""
    world = World.build(chain)
    world.deposit(20 * EURO)
    world.allow()
    return world


# Replays


def _top_up(world: World, signed: World) -> None:
    world.deposit_with_permit(30 * EURO, top_up=signed.top_up(30 * EURO))


def _exit(world: World, signed: World) -> None:
    who = (world.operator.address, world.driver.address)
    world.tab.send("begin_exit_signed", *who, 0, *signed.exit_signature(), sender=world.thief.address)


def _close(world: World, signed: World) -> None:
    world.close(0, signature=signed.close_signature(0))


def _consent(world: World, signed: World) -> None:
    world.close(7 * EURO, agreed=7 * EURO, consent=compact(signed.voucher(7 * EURO)))


def _claim(world: World, signed: World) -> None:
    rows = [world.row(7 * EURO)]
    signature = list(signed.signed_claim(rows, FOREVER, world.operator))
    world.tab.send("claim", rows, world.operator.address, FOREVER, signature, sender=world.thief.address)


ELSEWHERE: list[dict[str, object]] = [
    {"chainId": 1},
    {"verifyingContract": "0x" + "11" * 20},
    {"name": "OtherTab"},
    {"version": "2"},
]


@pytest.mark.parametrize("other", ELSEWHERE, ids=[next(iter(other)) for other in ELSEWHERE])
@pytest.mark.parametrize(
    ("use", "reason"),
    [
        (_top_up, "tab: top-up not signed by payer"),
        (_exit, "tab: exit not signed by payer"),
        (_close, "tab: close not signed by payee"),
        (_consent, "tab: final total not agreed"),
        (_claim, "tab: claim not signed by payee"),
    ],
)
def test_what_was_signed_for_another_chain_or_contract_is_worth_nothing(
    world: World, use: Callable[[World, World], None], reason: str, other: dict[str, object]
) -> None:
    with pytest.raises(Reverted, match=reason):
        use(world, world.elsewhere(**other))
    assert world.state() == (0, 20 * EURO, 0, 0)
    use(world, world)  # the same, signed for here, is good
    assert world.state() != (0, 20 * EURO, 0, 0)


@pytest.mark.parametrize("other", ELSEWHERE, ids=[next(iter(other)) for other in ELSEWHERE])
def test_rows_that_were_signed_for_another_chain_or_contract_are_skipped(
    world: World, other: dict[str, object]
) -> None:
    signed = world.elsewhere(**other)
    assert world.skipped(signed.row(7 * EURO)) == [(0, UNDERFUNDED)]  # recovers somebody without a tab
    receipt = world.claim_refill(signed.refill_row(7 * EURO, 30 * EURO))
    assert [event["reason"] for event in receipt.events("RowSkipped")] == [UNDERFUNDED]
    assert receipt.events("Refilled")[0]["pulled"] == 0
    assert world.state() == (0, 20 * EURO, 0, 0)


def test_on_a_twin_of_the_contract_nothing_is_replayed(world: World) -> None:
    """The same people, the same money, another escrow: what was signed for one is good for that one."""
    twin = World.build(world.chain, world.token)
    twin.deposit(20 * EURO)
    assert twin.skipped(world.row(7 * EURO)) == [(0, UNDERFUNDED)]
    with pytest.raises(Reverted, match="tab: close not signed by payee"):
        _close(twin, world)
    with pytest.raises(Reverted, match="tab: exit not signed by payer"):
        _exit(twin, world)


def test_on_a_forked_chain_what_was_signed_before_is_worth_nothing(world: World) -> None:
    row, refill = world.row(7 * EURO), world.refill_row(7 * EURO, 30 * EURO)
    close, leaving = world.close_signature(0), world.exit_signature()
    who = (world.operator.address, world.driver.address)
    world.chain.rpc("anvil_setChainId", 4242)
    try:
        assert world.skipped(row) == [(0, UNDERFUNDED)]
        assert world.claim_refill(refill).events("Refilled")[0]["pulled"] == 0
        with pytest.raises(Reverted, match="tab: close not signed by payee"):
            world.close(0, signature=close)
        with pytest.raises(Reverted, match="tab: exit not signed by payer"):
            world.tab.send("begin_exit_signed", *who, 0, *leaving, sender=world.thief.address)
        _exit(world, world.elsewhere(chainId=4242))
    finally:
        world.chain.rpc("anvil_setChainId", 31337)


def test_a_close_is_good_once_and_for_one_payer(world: World) -> None:
    close = world.close_signature(0)
    world.close(0, signature=close)
    world.deposit(20 * EURO)
    with pytest.raises(Reverted, match="tab: other epoch"):
        world.close(0, signature=close)
    with pytest.raises(Reverted, match="tab: close not signed by payee"):
        world.close(0, epoch=1, signature=close)
    world.token.send("transfer", world.thief.address, 20 * EURO, sender=world.driver.address)
    world.deposit(20 * EURO, payer=world.thief)
    with pytest.raises(Reverted, match="tab: close not signed by payee"):
        world.tab.send(
            "close",
            *(world.operator.address, world.thief.address, 0, 0, FOREVER, *close, 0, 0, 0),
            sender=world.thief.address,
        )


# Signatures that should not be


@pytest.mark.parametrize("signature", [(0, 0), (1, 0), (ORDER, 1), (2**256 - 1, 1)])
def test_a_signature_of_nobody_signs_for_nobody(world: World, signature: tuple[int, int]) -> None:
    """Where recovery gives zero, zero must not pass as a payee or a payer: tokens can be sent to it."""
    calls: list[tuple[str, tuple[object, ...]]] = [
        ("begin_exit_signed", (world.operator.address, NOBODY, 0, *signature)),
        ("claim", ([], NOBODY, FOREVER, list(signature))),
        ("claim_refill", ([], NOBODY, FOREVER, list(signature))),
        ("deposit_with_permit", (world.operator.address, NOBODY, 0, EURO, FOREVER, *signature, *_NO_PERMIT)),
    ]
    for name, arguments in calls:
        with pytest.raises(Reverted, match="not signed by"):
            world.tab.send(name, *arguments, sender=world.thief.address)


_NO_PERMIT = (EURO, FOREVER, 27, bytes(32), bytes(32))


def test_the_twin_of_a_signature_is_refused_everywhere(world: World) -> None:
    """(r, n - s) with the other parity is the same signature to ecrecover. EIP-2098 has no room for it but
    just above half the order, and there it is refused; a standard token's permit does the same."""
    r, vs = world.exit_signature()
    s, parity = vs & (2**255 - 1), vs >> 255
    twin = ORDER - s
    for vs in (ORDER // 2 + 1, (ORDER // 2 + 1) | 1 << 255, twin | (1 - parity) << 255):
        with pytest.raises(Reverted, match=r"tab: (malleable signature|exit not signed by payer)"):
            world.tab.send(
                "begin_exit_signed",
                *(world.operator.address, world.driver.address, 0, r, vs),
                sender=world.thief.address,
            )
    assert world.state()[2] == 0


# Races


def _finish(world: World) -> dict[str, object]:
    who = (world.operator.address, world.driver.address)
    return world.tab.transaction("finish_exit", *who, sender=world.driver.address)


def test_a_claim_just_before_the_exit_is_finished_is_paid(world: World) -> None:
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    world.chain.pass_time(WINDOW)
    claim = world.tab.transaction("claim", [world.row(7 * EURO)], sender=world.operator.address)
    receipts = world.chain.in_one_block(claim, _finish(world))
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x1"]
    assert world.tab.call("account", world.operator.address) == (7 * EURO, 0)
    assert world.balance(world.driver) == 993 * EURO
    assert world.balance(world.tab) == 7 * EURO


def test_a_claim_just_after_the_exit_is_finished_is_skipped(world: World) -> None:
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    world.chain.pass_time(WINDOW)
    claim = world.tab.transaction("claim", [world.row(7 * EURO)], sender=world.operator.address)
    receipts = world.chain.in_one_block(_finish(world), claim)
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x1"]
    assert world.tab.call("account", world.operator.address) == (0, 0)
    assert world.balance(world.driver) == 1000 * EURO
    assert world.skipped(world.row(7 * EURO)) == [(0, OTHER_EPOCH)]


def test_a_refill_just_before_an_exit_pulls_money_that_the_exit_returns(world: World) -> None:
    row = world.refill_row(7 * EURO, 30 * EURO)
    refill = world.tab.transaction("claim_refill", [row], sender=world.operator.address)
    leave = world.tab.transaction("begin_exit", world.operator.address, sender=world.driver.address)
    world.chain.in_one_block(refill, leave)
    assert world.state()[:2] == (7 * EURO, 30 * EURO)
    world.chain.pass_time(WINDOW)
    world.chain.send(_finish(world))
    assert world.balance(world.driver) == 993 * EURO


def test_a_refill_just_after_an_exit_settles_and_pulls_nothing(world: World) -> None:
    row = world.refill_row(7 * EURO, 30 * EURO)
    refill = world.tab.transaction("claim_refill", [row], sender=world.operator.address)
    leave = world.tab.transaction("begin_exit", world.operator.address, sender=world.driver.address)
    world.chain.in_one_block(leave, refill)
    assert world.state()[:2] == (7 * EURO, 20 * EURO)


def test_a_close_and_a_claim_in_one_block_pay_the_debt_once(world: World) -> None:
    """A payee signs the end at nothing more and claims first: the close has to fail and take nothing back."""
    who = (world.operator.address, world.driver.address)
    signature = world.close_signature(0)
    claim = world.tab.transaction("claim", [world.row(7 * EURO)], sender=world.operator.address)
    close = world.tab.transaction(
        "close", *who, 0, 0, FOREVER, *signature, 0, 0, 0, sender=world.driver.address
    )
    receipts = world.chain.in_one_block(claim, close)
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x0"]
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)


def test_deposits_that_were_signed_go_to_the_payee_whoever_comes_first(world: World) -> None:
    """A permit that is used up by somebody else, in front of the deposit, in the same block."""
    world.allow(0)
    top_up, (v, r, s) = world.top_up(30 * EURO), world.permit(10 * EURO)
    front = world.token.transaction(
        "permit",
        *(world.driver.address, world.tab.address, 10 * EURO, FOREVER, v, r, s),
        sender=world.thief.address,
    )
    deposit = world.tab.transaction(
        "deposit_with_permit",
        *(world.operator.address, world.driver.address, 0, 30 * EURO, FOREVER, *top_up),
        *(10 * EURO, FOREVER, v, r, s),
        sender=world.relayer.address,
    )
    receipts = world.chain.in_one_block(front, deposit)
    assert [receipt["status"] for receipt in receipts] == ["0x1", "0x1"]
    assert world.state() == (0, 30 * EURO, 0, 0)
