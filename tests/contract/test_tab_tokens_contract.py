"""Tokens that misbehave: what a ChargeTab credits, and what it refuses."""

import pytest

from tests.contract.chain import Chain, Contract, Person, Reverted
from tests.contract.fickle_token import Mood, make_fickle
from tests.contract.tab_world import EURO, FOREVER, TOKEN_REFUSED, UNDERFUNDED, WINDOW, World


@pytest.fixture
def world(chain: Chain) -> World:
    """The driver has 20 in the tab of a token that is fair as yet, and lets it take more."""
    world = World.build(chain, make_fickle(chain))
    world.deposit(20 * EURO)
    world.allow()
    return world


def get_moody(world: World, mood: Mood) -> None:
    world.token.send("set_mood", mood, sender=world.thief.address)


def test_the_window_is_a_day_at_least_and_the_token_a_contract(chain: Chain) -> None:
    world = World.build(chain)
    for token, window, reason in (
        (world.token.address, WINDOW - 1, "tab: window out of range"),
        (world.token.address, 2**32, "tab: window out of range"),
        (world.driver.address, WINDOW, "tab: no such token"),
    ):
        with pytest.raises(Reverted, match=reason):
            world.chain.deploy("ChargeTab", token, window, sender=world.thief.address)


# Deposits


@pytest.mark.parametrize(
    ("mood", "credited"),
    [(Mood.FAIR, 10 * EURO), (Mood.FEE, 9 * EURO), (Mood.DOUBLES, 10 * EURO)],
)
def test_what_has_arrived_is_credited_and_never_more_than_was_asked(
    world: World, mood: Mood, credited: int
) -> None:
    get_moody(world, mood)
    world.tab.send("deposit", world.operator.address, 10 * EURO, sender=world.driver.address)
    assert world.state()[1] == 20 * EURO + credited
    world.deposit_with_authorization(10 * EURO)
    assert world.state()[1] == 20 * EURO + 2 * credited
    world.deposit_with_permit(world.state()[1] + 10 * EURO, permitted=10 * EURO)
    assert world.state()[1] == 20 * EURO + 3 * credited


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        (Mood.REFUSES, "token: refused"),
        (Mood.SAYS_NO, "tab: token refused"),
        (Mood.SAYS_NO_AND_MOVES, "tab: token refused"),
        (Mood.MOVES_NOTHING, "tab: nothing arrived"),
        (Mood.SHRINKS, "tab: nothing arrived"),
    ],
)
def test_a_deposit_of_which_nothing_arrives_is_refused(world: World, mood: Mood, reason: str) -> None:
    get_moody(world, mood)
    with pytest.raises(Reverted, match=reason):
        world.tab.send("deposit", world.operator.address, 10 * EURO, sender=world.driver.address)
    assert world.state() == (0, 20 * EURO, 0, 0)


@pytest.mark.parametrize("mood", [Mood.SAYS_NO, Mood.MOVES_NOTHING, Mood.SHRINKS])
def test_an_authorization_of_which_nothing_arrives_is_refused(world: World, mood: Mood) -> None:
    get_moody(world, mood)
    with pytest.raises(Reverted, match="tab: nothing arrived"):
        world.deposit_with_authorization(10 * EURO)


# Refills


@pytest.mark.parametrize(
    ("mood", "credited"),
    [
        (Mood.FAIR, 10 * EURO),
        (Mood.FEE, 9 * EURO),
        (Mood.DOUBLES, 10 * EURO),
        (Mood.SAYS_NO_AND_MOVES, 10 * EURO),
    ],
)
def test_a_pull_credits_what_has_arrived(world: World, mood: Mood, credited: int) -> None:
    get_moody(world, mood)
    receipt = world.claim_refill(world.refill_row(7 * EURO, 30 * EURO))
    assert world.state() == (7 * EURO, 20 * EURO + credited, 0, 0)
    assert receipt.events("Refilled")[0]["credited"] == credited


@pytest.mark.parametrize(
    "mood", [Mood.REFUSES, Mood.SAYS_NO, Mood.MOVES_NOTHING, Mood.SHRINKS, Mood.BURNS_GAS]
)
def test_whatever_a_pull_meets_all_debts_are_settled(world: World, mood: Mood) -> None:
    other = Person.make(world.chain, "other driver")
    world.token.send("mint", other.address, 100 * EURO, sender=other.address)
    world.deposit(20 * EURO, payer=other)
    get_moody(world, mood)
    rows = [
        world.refill_row(7 * EURO, 30 * EURO),
        world.refill_row(3 * EURO, 20 * EURO, signer=other),
        world.refill_row(8 * EURO, 30 * EURO),
        world.refill_row(21 * EURO, 30 * EURO),
    ]
    receipt = world.claim_refill(*rows)
    assert receipt.events("Claimed")[0]["settled"] == 0b0111
    assert receipt.events("Refilled")[0] == {
        "payee": world.operator.address.lower(),
        "credited": 0,
        "pulled": 0,
    }
    assert [(e["row"], e["reason"]) for e in receipt.events("PullSkipped")] == [
        (row, TOKEN_REFUSED) for row in (0, 2, 3)
    ]
    assert [(e["row"], e["reason"]) for e in receipt.events("RowSkipped")] == [(3, UNDERFUNDED)]
    assert world.state() == (8 * EURO, 20 * EURO, 0, 0)
    assert receipt.gas < 4 * 130_000


def test_a_pull_of_which_a_fee_takes_all_credits_nothing(world: World) -> None:
    get_moody(world, Mood.FEE)
    receipt = world.claim_refill(world.refill_row(7 * EURO, 20 * EURO + 1))
    assert [event["reason"] for event in receipt.events("PullSkipped")] == [TOKEN_REFUSED]
    assert world.state() == (7 * EURO, 20 * EURO, 0, 0)
    assert world.balance(world.tab) == 20 * EURO


# What goes out


@pytest.mark.parametrize(("mood", "reason"), [(Mood.REFUSES, "token: refused"), (Mood.SAYS_NO, "tab: token")])
def test_what_the_token_refuses_to_send_stays_owed(world: World, mood: Mood, reason: str) -> None:
    world.claim(world.row(7 * EURO))
    world.tab.send("begin_exit", world.operator.address, sender=world.driver.address)
    world.chain.pass_time(WINDOW)
    who = (world.operator.address, world.driver.address)
    before = world.state()
    get_moody(world, mood)
    for name, arguments in (("payout", who[:1]), ("finish_exit", who)):
        with pytest.raises(Reverted, match=reason):
            world.tab.send(name, *arguments, sender=world.thief.address)
    with pytest.raises(Reverted, match=reason):
        world.close(7 * EURO)
    assert world.state() == before
    assert world.tab.call("account", world.operator.address) == (7 * EURO, 0)
    get_moody(world, Mood.FAIR)
    world.tab.send("payout", world.operator.address, sender=world.thief.address)
    world.tab.send("finish_exit", *who, sender=world.thief.address)
    assert world.balance(world.operator) == 7 * EURO
    assert world.balance(world.driver) == 993 * EURO


def test_of_a_token_that_shrinks_by_itself_the_last_one_gets_nothing_and_nobody_gets_more(
    world: World,
) -> None:
    """As the contract says of itself: such a token must not be used. Still it pays nobody twice."""
    world.claim(world.row(10 * EURO))
    world.token.send("halve", world.tab.address, sender=world.thief.address)
    world.close(10 * EURO)
    assert world.balance(world.driver) == 990 * EURO
    with pytest.raises(Reverted, match="token: balance too small"):
        world.tab.send("payout", world.operator.address, sender=world.operator.address)


def test_what_somebody_sends_to_the_contract_is_nobodys_deposit(world: World) -> None:
    world.token.send("transfer", world.tab.address, 5 * EURO, sender=world.driver.address)
    world.tab.send("deposit", world.operator.address, 10 * EURO, sender=world.driver.address)
    assert world.state() == (0, 30 * EURO, 0, 0)


# Tokens that return nothing


MUTE_TOKEN = """
# pragma version 0.4.3
# pragma evm-version cancun
balanceOf: public(HashMap[address, uint256])
@external
def mint(receiver: address, amount: uint256):
    self.balanceOf[receiver] += amount
@external
def approve(spender: address, amount: uint256):
    pass
@external
def transferFrom(sender: address, receiver: address, amount: uint256):
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
@external
def transfer(receiver: address, amount: uint256):
    self.balanceOf[msg.sender] -= amount
    self.balanceOf[receiver] += amount
"""


def test_a_token_that_returns_nothing_works(chain: Chain) -> None:
    deployer = Person.make(chain, "deployer")
    world = World.build(chain, chain.deploy_source(MUTE_TOKEN, sender=deployer.address))
    world.deposit(10 * EURO)
    world.claim_refill(world.refill_row(4 * EURO, 15 * EURO))
    assert world.state() == (4 * EURO, 15 * EURO, 0, 0)
    world.tab.send("payout", world.operator.address, sender=world.thief.address)
    world.close(4 * EURO)
    assert world.balance(world.driver) == 996 * EURO
    assert world.balance(world.operator) == 4 * EURO


# Tokens that call back


@pytest.fixture
def busy(world: World) -> World:
    """A world in which every way into the tab is open, also to the token itself."""
    world.claim(world.row(1 * EURO))
    world.deposit(20 * EURO, payee=world.thief)
    world.allow()
    world.tab.send("begin_exit", world.thief.address, sender=world.driver.address)
    world.chain.pass_time(WINDOW)
    token = world.token.address
    world.chain.rpc("anvil_setBalance", token, hex(10**24))
    world.token.send("mint", token, 100 * EURO, sender=token)
    world.token.send("approve", world.tab.address, 100 * EURO, sender=token)
    world.tab.send("deposit", world.operator.address, 10 * EURO, sender=token)
    return world


def ways_in(world: World) -> dict[str, tuple[object, ...]]:
    """Give arguments with which each call is good, whoever sends it."""
    operator, driver = world.operator.address, world.driver.address
    rows, refills = [world.row(3 * EURO)], [world.refill_row(3 * EURO, 25 * EURO)]
    claimed, refilled = (list(world.signed_claim(each, FOREVER, world.operator)) for each in (rows, refills))
    return {
        "deposit": (operator, EURO),
        "deposit_with_permit": (
            *(operator, driver, 0, 30 * EURO, FOREVER, *world.top_up(30 * EURO)),
            *(0, FOREVER, 27, bytes(32), bytes(32)),
        ),
        "deposit_with_authorization": (
            *(operator, driver, EURO, 0, FOREVER, bytes(32)),
            *world.authorization(EURO, bytes(32)),
        ),
        "claim": (rows, operator, FOREVER, claimed),
        "claim_refill": (refills, operator, FOREVER, refilled),
        "payout": (operator,),
        "close": (operator, driver, 0, EURO, FOREVER, *world.close_signature(EURO), 0, 0, 0),
        "begin_exit": (operator,),
        "begin_exit_signed": (operator, driver, 0, *world.exit_signature()),
        "finish_exit": (world.thief.address, driver),
    }


MOVES_TOKENS = (
    "deposit",
    "deposit_with_permit",
    "deposit_with_authorization",
    "claim_refill",
    "payout",
    "close",
    "finish_exit",
)


def books(world: World) -> list[object]:
    """Give all that the contract and the token hold of anybody."""
    operator, driver, token = world.operator.address, world.driver.address, world.token.address
    tab, thief = world.tab, world.thief.address
    tabs = [(operator, driver), (operator, token), (thief, driver)]
    calls: list[tuple[Contract, str, tuple[object, ...]]] = [
        *((tab, "tab", pair) for pair in tabs),
        (tab, "account", (operator,)),
        (tab, "account", (thief,)),
        *((world.token, "balanceOf", (who,)) for who in (operator, driver, token, thief, tab.address)),
    ]
    return world.chain.read_many(calls)


def test_every_way_into_the_tab_is_tried_again_from_within(busy: World) -> None:
    changing = {
        entry["name"]
        for entry in busy.tab.abi
        if entry["type"] == "function" and entry["stateMutability"] == "nonpayable"
    }
    ways = ways_in(busy)
    assert set(ways) == changing
    before = books(busy)
    for name, arguments in ways.items():
        with busy.chain.undone():
            busy.tab.send(name, *arguments, sender=busy.token.address)
            assert books(busy) != before, name


@pytest.mark.parametrize("outer", MOVES_TOKENS)
def test_a_token_that_calls_back_changes_nothing(busy: World, outer: str) -> None:
    ways = ways_in(busy)
    with busy.chain.undone():
        busy.tab.send(outer, *ways[outer], sender=busy.token.address)
        alone = books(busy)
    for inner, arguments in ways.items():
        data = bytes.fromhex(
            str(busy.tab.transaction(inner, *arguments, sender=busy.token.address)["data"])[2:]
        )
        with busy.chain.undone():
            busy.token.send("call_back", busy.tab.address, data, False, sender=busy.thief.address)
            busy.tab.send(outer, *ways[outer], sender=busy.token.address)
            assert busy.token.call("answers") == 1, inner
            assert books(busy) == alone, inner


@pytest.mark.parametrize("outer", MOVES_TOKENS)
def test_a_token_that_insists_on_calling_back_is_refused(busy: World, outer: str) -> None:
    ways = ways_in(busy)
    payout = bytes.fromhex(
        str(busy.tab.transaction("payout", busy.operator.address, sender=busy.token.address)["data"])[2:]
    )
    busy.token.send("call_back", busy.tab.address, payout, True, sender=busy.thief.address)
    before = books(busy)
    if outer == "claim_refill":  # the debt is settled all the same
        receipt = busy.tab.send(outer, *ways[outer], sender=busy.thief.address)
        assert [event["reason"] for event in receipt.events("PullSkipped")] == [TOKEN_REFUSED]
        assert busy.state() == (3 * EURO, 20 * EURO, 0, 0)
    else:
        with pytest.raises(Reverted, match="token: call back"):
            busy.tab.send(outer, *ways[outer], sender=busy.token.address)
        assert books(busy) == before
