"""Charges that are paid in FLEX: in an escrow of their own, at the same numbers, apart from the token's."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.chain import Mined, Tab
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused, Unavailable
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import NO_CAR_TIMEOUT, Session, State, Way
from evmesh.domain.settlement import Settlement
from evmesh.domain.signed_types import Exit, StopRequest
from evmesh.services.chain_losses import DEPOSIT_LOST, ChainLosses
from evmesh.services.closes import Closes
from evmesh.services.payouts import EVERY, Payouts
from evmesh.services.tab_watch import TAB_EXITING, TabWatch
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from tests.drivers.clocks import HandClock
from tests.fakes.money import EMPTY
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, eventually, open_world, running
from tests.unit.services.streaming_sessions import PER_100_WH, meter, send

FLEX, PAYEE = CONTRACTS.flex_tab, OPERATOR.payee.address


async def in_flex(world: World, driver: Driver, bay: int = 0, wh: int = 5_000) -> Session:
    return await world.promised(driver, world.places[bay], wh, escrow=FLEX)


async def charged(world: World, driver: Driver, bay: int = 0, wh: int = 1_000) -> Session:
    """Go to the end of a charge in FLEX."""
    session = await world.pay(driver, await in_flex(world, driver, bay))
    assert (await world.begin(session)).accepted
    session = await world.now(session)
    return await world.end(session, (session.meter_start or 0) + wh)


async def test_a_charge_in_flex_is_claimed_of_its_own_escrow_and_the_rest_stays_there(
    world: World, driver: Driver
) -> None:
    world.fund(driver, 2_000_000)
    session = await charged(world, driver)
    async with running(world.effects):
        session = await world.settled(session)
    assert (session.state, session.due, session.terms.way) == (State.SETTLED, 350_000, Way.PREPAID)
    assert world.flex.tabs[driver.address] == Tab(350_000, 1_750_000, 0, 0)
    assert world.flex.earned == 350_000
    assert (world.escrow.tabs[driver.address], world.escrow.earned) == (Tab(0, 2_000_000, 0, 0), 0)
    assert (world.escrow.sent, world.flex.sent) == ([], [f"claim:{session.id}"])


async def test_its_documents_say_what_it_was_paid_in_and_hold(world: World, driver: Driver) -> None:
    session = await charged(world, driver)
    async with running(world.effects):
        session = await world.settled(session)
    raw = await world.document(session, Receipt.FORMAT)
    receipt = Receipt.parse(raw)
    assert receipt.chain.paid_in == CONTRACTS.flex_money
    assert receipt.chain.site == CONTRACTS.ref()
    report = verify_receipt(raw, SIGNATURES, world.trust())
    assert report.ok, report.failed()
    assert (report.checks[-1].name, report.checks[-1].status) == ("paid in", Status.NOT_CHECKED)
    settlement = await world.document(session, Settlement.FORMAT)
    assert Settlement.parse(settlement).chain == receipt.chain
    report = verify_settlement(settlement, SIGNATURES, raw, world.trust())
    assert report.ok, report.failed()


async def test_the_documents_of_a_charge_in_the_sites_token_name_no_other_money(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    session = await world.end(session, 2_000)
    async with running(world.effects):
        await world.settled(session)
    for format in (Receipt.FORMAT, Settlement.FORMAT):
        raw = await world.document(session, format)
        assert b"paid_in" not in raw
        assert FLEX.text.encode() not in raw


async def test_a_request_is_of_the_money_whose_domain_it_is_signed_in(world: World, driver: Driver) -> None:
    wish = world.wish(driver, world.places[0])
    for signed_for, named in ((None, FLEX), (FLEX, None), (FLEX, CONTRACTS.charge_tab)):
        with pytest.raises(IntegrityFailure, match=r"request\.wrong_signature"):
            await world.requests.request(
                world.places[0].code, wish, driver.sign(wish, signed_for), escrow=named
            )
    thief = Driver("thief").address
    with pytest.raises(InvalidInput, match=r"request\.unknown_escrow"):
        await world.requests.request(world.places[0].code, wish, driver.sign(wish, thief), escrow=thief)


async def test_a_nonce_is_of_one_money(world: World, driver: Driver) -> None:
    wish = world.wish(driver, world.places[0])
    code = world.places[0].code
    await world.requests.request(code, wish, driver.sign(wish))
    with pytest.raises(InvalidInput, match=r"request\.nonce_used"):
        await world.requests.request(code, wish, driver.sign(wish, FLEX), escrow=FLEX)


async def test_a_voucher_on_the_tokens_tab_is_none_on_the_tab_of_flex(world: World, driver: Driver) -> None:
    """Payee, epoch and total are the same in both: only the domain tells them apart."""
    world.fund(driver, 5_000_000)
    first = await world.promised(driver, world.places[0])
    on_token = world.voucher(driver, first)
    await world.stop_word(driver, first)
    session = await in_flex(world, driver)
    world.fund(driver, 5_000_000, world.flex)
    assert world.voucher(driver, session)[:2] == on_token[:2]
    with pytest.raises(IntegrityFailure, match=r"voucher\.wrong_signature"):
        await world.payments.voucher(session.id, *on_token)
    assert (await world.payments.voucher(session.id, *world.voucher(driver, session))).state is State.STARTING


async def test_the_word_to_stop_is_in_the_domain_of_the_charges_money(world: World, driver: Driver) -> None:
    session = await in_flex(world, driver)
    at = int(world.clock.now().timestamp())
    word = StopRequest(session.id.to_bytes32(), at)
    with pytest.raises(IntegrityFailure, match=r"stop\.wrong_signature"):
        await world.payments.stop(session.id, at, driver.sign(word))
    assert (await world.payments.stop(session.id, at, driver.sign(word, FLEX))).state is State.EXPIRED


async def test_money_in_the_token_pays_for_nothing_in_flex(world: World, driver: Driver) -> None:
    world.fund(driver, 5_000_000)
    world.flex.balances[driver.address] = 1_749_999
    with pytest.raises(Refused, match=r"units of FLEX") as refused:
        await in_flex(world, driver)
    assert refused.value.code == "wallet.too_little"
    world.flex.balances[driver.address] = 1_750_000
    session = await in_flex(world, driver)
    with pytest.raises(Refused, match=r"voucher\.underfunded"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))


async def test_one_session_of_a_wallet_is_open_whatever_it_is_paid_in(world: World, driver: Driver) -> None:
    await in_flex(world, driver)
    with pytest.raises(Refused, match=r"payer\.session_open"):
        await world.promised(driver, world.places[1])


async def test_without_a_car_the_flex_goes_back_and_the_token_stays(world: World, driver: Driver) -> None:
    world.fund(driver, 3_000_000)
    session = await world.pay(driver, await in_flex(world, driver))
    async with running(world.effects, world.caretaker):
        await eventually(lambda: _told(world))
        world.clock.move(NO_CAR_TIMEOUT + timedelta(seconds=1))
        await eventually(lambda: world.is_in(session, State.REFUNDED))
    assert (await world.now(session)).refund == 1_750_000
    assert world.flex.tabs[driver.address] == Tab(0, 0, 0, 1)
    assert world.escrow.tabs[driver.address] == Tab(0, 3_000_000, 0, 0)
    settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
    assert (settlement.kind, settlement.chain.paid_in) == ("refund", CONTRACTS.flex_money)


async def _told(world: World) -> bool:
    return "remote_start" not in await world.owed()


async def test_a_charge_streams_in_flex(world: World, driver: Driver) -> None:
    session = await in_flex(world, driver)
    world.fund(driver, session.terms.budget, world.flex)
    session = await send(world, driver, session, PER_100_WH)
    assert (await world.begin(session)).accepted
    session = await meter(world, await world.now(session), 80)
    session = await send(world, driver, session, 2 * PER_100_WH)
    session = await world.end(session, (session.meter_start or 0) + 160)
    async with running(world.effects):
        session = await world.settled(session)
    assert (session.terms.way, session.due) == (Way.STREAMING, 56_000)
    assert world.flex.tabs[driver.address].spent == 56_000
    receipt = await world.document(session, Receipt.FORMAT)
    assert verify_receipt(receipt, SIGNATURES, world.trust()).ok


async def test_claims_that_wait_together_go_to_the_escrow_of_each(world: World, driver: Driver) -> None:
    others = [Driver("neighbour"), Driver("guest")]
    in_token = []
    for bay, other in enumerate(others, 1):
        session = await world.charging(other, world.places[bay])
        in_token.append(await world.end(session, (session.meter_start or 0) + 1_000))
    session = await charged(world, driver)
    async with running(world.effects):
        await world.settled(session)
    assert world.flex.sent == [f"claim:{session.id}"]
    assert world.escrow.sent == [f"claim:{in_token[0].id}"]
    assert (world.escrow.earned, world.flex.earned) == (700_000, 350_000)


async def test_money_is_neither_made_nor_lost_in_either_escrow(world: World) -> None:
    """Drivers who change their money: what they had is what is held, was paid out, or is theirs again."""
    drivers = [Driver(f"driver {number}") for number in range(3)]
    banks = (world.escrow, world.flex)
    for round, driver in enumerate([*drivers, *reversed(drivers)]):
        escrow = FLEX if round % 2 else None
        session = await world.promised(driver, world.places[round % 3], escrow=escrow)
        session = await world.pay(driver, session)
        assert (await world.begin(session)).accepted
        session = await world.now(session)
        session = await world.end(session, (session.meter_start or 0) + 400 + 100 * round)
        async with running(world.effects):
            assert (await world.settled(session)).state is State.SETTLED
    put_in = [3 * 1_750_000] * 2
    assert [bank.held for bank in banks] == put_in
    assert [bank.earned for bank in banks] == [
        sum((400 + 100 * n) * 350 for n in ns) for ns in ((0, 2, 4), (1, 3, 5))
    ]
    for bank in banks:
        assert bank.earned == sum(tab.spent for tab in bank.tabs.values())


async def test_what_was_seen_of_one_tab_is_nothing_on_the_other(world: World, driver: Driver) -> None:
    world.fund(driver, 2_000_000)
    await world.tabs.look(CONTRACTS.charge_tab, driver.address)
    world.escrow.away = world.flex.away = True
    with pytest.raises(Unavailable, match=r"tab\.never_seen"):
        await world.tabs.look(FLEX, driver.address)


async def test_what_is_owed_in_flex_is_not_taken_off_the_tokens_tab(world: World, driver: Driver) -> None:
    world.fund(driver, 2_000_000)
    await world.tabs.look(CONTRACTS.charge_tab, driver.address)
    await charged(world, driver)
    world.escrow.away = world.flex.away = True
    assert (await world.tabs.look(CONTRACTS.charge_tab, driver.address)).tab.spent == 0
    assert (await world.tabs.look(FLEX, driver.address)).tab.spent == 350_000


async def test_who_leaves_a_tab_ends_the_charges_on_that_one(world: World, driver: Driver) -> None:
    world.fund(driver, 2_000_000)
    world.escrow.leave(driver.address, 2**31)
    session = await world.pay(driver, await in_flex(world, driver))
    assert (await world.begin(session)).accepted
    watch = TabWatch(world.transitions, world.clock, world.tabs, world.live)
    await watch.look()
    assert (await world.now(session)).state is State.CHARGING
    world.flex.leave(driver.address, 2**31)
    await watch.look()
    stopped = await world.now(session)
    assert (stopped.state, stopped.cause) == (State.STOPPING, TAB_EXITING)


async def test_a_deposit_of_flex_that_the_chain_lost_is_seen_at_its_session(
    world: World, driver: Driver
) -> None:
    world.fund(driver, 2_000_000)
    session = await world.pay(driver, await in_flex(world, driver))
    assert (await world.begin(session)).accepted
    losses = ChainLosses(world.transitions, world.tabs, world.live)
    world.escrow.tabs[driver.address] = EMPTY
    await losses.look()
    assert (await world.now(session)).flags == ()
    world.flex.tabs[driver.address] = EMPTY
    await losses.look()
    assert (await world.now(session)).flags == (DEPOSIT_LOST,)


async def test_a_tab_of_flex_is_closed_by_agreement_and_the_tokens_stays(
    world: World, driver: Driver
) -> None:
    for bank in (world.escrow, world.flex):
        world.fund(driver, 2_000_000, bank)
    closes = Closes(world.transitions, world.tabs, world.escrows, SIGNATURES, OPERATOR)
    leaving = driver.sign(Exit(PAYEE, 0))
    with pytest.raises(IntegrityFailure, match=r"close\.wrong_signature"):
        await closes.close(driver.address, 0, 0, leaving, escrow=FLEX)
    await closes.close(driver.address, 0, 0, driver.sign(Exit(PAYEE, 0), FLEX), escrow=FLEX)
    assert world.flex.tabs[driver.address] == Tab(0, 0, 0, 1)
    assert world.escrow.tabs[driver.address] == Tab(0, 2_000_000, 0, 0)
    # A close in one money keeps nobody from the other.
    assert (await world.pay(driver, await world.promised(driver, world.places[0]))).state is State.STARTING


class Furnace:
    """Destroys what it is told was received, once; may fail."""

    def __init__(self) -> None:
        self.burnt = 0
        self.refusals: list[Refused] = []

    async def burn_up_to(self, received: int) -> Mined | None:
        if self.refusals:
            raise self.refusals.pop()
        self.burnt = max(self.burnt, received)
        return None


async def test_flex_that_was_paid_out_is_destroyed_and_the_token_is_not(world: World) -> None:
    own, flex = world.escrows
    furnace = Furnace()
    furnace.refusals = [Refused("token.balance_too_small", "the operator gave it away")]
    world.escrow.earned, world.flex.earned = 500, 700
    moneys = type(world.escrows)(own, replace(flex, burner=furnace))

    async def is_done() -> bool:
        world.clock.move(EVERY)
        return furnace.burnt > 0

    async with running(Payouts(world.clock, moneys, OPERATOR)):
        await eventually(is_done)
    assert (world.escrow.paid_out, world.flex.paid_out, furnace.burnt) == (500, 700, 700)
    assert world.escrow.sent == [f"payout:{CONTRACTS.charge_tab}:500"]
    assert world.flex.sent == [f"payout:{FLEX}:700"]


async def test_a_session_in_flex_goes_on_after_a_crash(tmp_path: Path, driver: Driver) -> None:
    clock = HandClock()
    async with open_world(tmp_path, clock=clock) as world:
        session = await charged(world, driver)
        escrow, flex = world.escrow, world.flex
        flex.lose_answers = 1
    async with open_world(tmp_path, clock=clock, escrow=escrow, flex=flex) as world:
        async with running(world.effects):
            session = await world.settled(session)
        assert session.state is State.SETTLED
        assert (flex.earned, flex.sent, escrow.sent) == (350_000, [f"claim:{session.id}"], [])
