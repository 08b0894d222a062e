"""Paid as energy flows: vouchers rise, a missing one stops the station, no more is billed than they reach."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from evmesh.app.payment_view import PaymentView
from evmesh.domain.chain import SignedRefill
from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import State, StopCause, Way
from evmesh.domain.settlement import Settlement
from evmesh.domain.signed_types import Refill, Voucher
from evmesh.domain.typed_data import Domain, digest
from evmesh.domain.units import W
from evmesh.services.streaming import SHORT, TRUST_AGAIN
from evmesh.verify.receipt import verify_receipt
from tests.fakes.world import OPERATOR, RATING, SIGNATURES, Driver, World, eventually, running
from tests.unit.services.streaming_sessions import PER_100_WH, RULES, meter, send, streaming

GRACE = RULES.grace(RATING)
ENOUGH = 20 * PER_100_WH


async def test_a_first_voucher_for_100_wh_starts_the_charge(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    started = await send(world, driver, session, PER_100_WH)
    assert (started.state, started.terms.way) == (State.STARTING, Way.STREAMING)
    assert started.voucher_cumulative == session.terms.base + PER_100_WH
    assert (await world.now(session)).terms.way is Way.STREAMING
    assert await world.owed() == ["remote_start"]


async def test_a_first_voucher_for_the_budget_is_prepaid(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    assert session.terms.way is Way.PREPAID
    assert session.voucher_cumulative == session.terms.base + session.terms.budget


async def test_a_first_voucher_may_be_for_less_than_the_tab_will_need(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, 2 * PER_100_WH)
    session = await send(world, driver, session, 2 * PER_100_WH)
    assert session.state is State.STARTING
    with pytest.raises(Refused, match=r"voucher\.underfunded"):
        await send(world, driver, session, 2 * PER_100_WH + 1)
    world.fund(driver, PER_100_WH)
    assert (await send(world, driver, session, 3 * PER_100_WH)).voucher_cumulative == 3 * PER_100_WH


async def test_each_higher_voucher_takes_the_place_of_the_one_before(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    for steps in (2, 3, 7):
        session = await send(world, driver, session, steps * PER_100_WH)
        stored = await world.now(session)
        assert stored.voucher_cumulative == session.terms.base + steps * PER_100_WH
        assert stored.voucher_signature == world.voucher(driver, session, cumulative=steps * PER_100_WH)[2]
    whole = await send(world, driver, session, session.terms.budget)
    assert (whole.voucher_cumulative, whole.terms.way) == (session.terms.budget, Way.STREAMING)


@pytest.mark.parametrize("units", [PER_100_WH, 2 * PER_100_WH, 3 * PER_100_WH])
async def test_a_stale_voucher_is_no_error_and_changes_nothing(
    world: World, driver: Driver, units: int
) -> None:
    session = await send(world, driver, await streaming(world, driver), 3 * PER_100_WH)
    world.escrow.away = True  # not even the chain is asked
    assert await send(world, driver, session, units) == await world.now(session) == session


async def test_vouchers_are_taken_without_asking_the_chain_each_time(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    world.escrow.away = True
    session = await send(world, driver, session, 9 * PER_100_WH)
    assert session.voucher_cumulative == 9 * PER_100_WH


async def test_more_than_the_offer_is_refused(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    world.fund(driver, 1_000_000)
    with pytest.raises(InvalidInput, match=r"voucher\.other_amount"):
        await send(world, driver, session, session.terms.budget + 1)


async def test_a_voucher_of_another_chain_contract_payee_epoch_or_driver_is_refused(
    world: World, driver: Driver, thief: Driver
) -> None:
    session = await streaming(world, driver)
    terms, cumulative = session.terms, session.terms.base + ENOUGH
    voucher = Voucher(OPERATOR.payee.address, terms.epoch, cumulative)

    def under(domain: Domain) -> bytes:
        return driver.key.sign(digest(domain, voucher, SIGNATURES.keccak256))

    chain, contract = OPERATOR.domain.chain_id, OPERATOR.domain.verifying_contract
    for signature in (
        under(Domain(chain + 1, contract)),
        under(Domain(chain, Address("0x" + "99" * 20))),
        driver.sign(replace(voucher, payee=Address("0x" + "99" * 20))),
        driver.sign(replace(voucher, epoch=terms.epoch + 1)),
        thief.sign(voucher),
    ):
        with pytest.raises(IntegrityFailure, match=r"voucher\.wrong_signature"):
            await world.payments.voucher(session.id, terms.epoch, cumulative, signature)
    with pytest.raises(InvalidInput, match=r"voucher\.other_amount"):
        await send(world, driver, session, ENOUGH, epoch=terms.epoch + 1)
    assert (await world.now(session)).voucher_cumulative == PER_100_WH


async def test_a_voucher_hoarded_over_an_exit_starts_nothing(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    hoarded = world.voucher(driver, session, cumulative=session.terms.base + PER_100_WH)
    world.escrow.finish_exit(driver.address)
    world.fund(driver, session.terms.budget)  # in the next epoch
    with pytest.raises(Refused, match=r"voucher\.underfunded"):
        await world.payments.voucher(session.id, *hoarded)


async def test_what_was_metered_has_a_grace_and_then_the_station_is_stopped(
    world: World, driver: Driver
) -> None:
    session = await streaming(world, driver)
    assert (await meter(world, session, 100)).voucher_by is None
    uncovered = await meter(world, session, 150)
    assert uncovered.voucher_by == world.clock.now() + GRACE
    async with running(world.caretaker):
        world.clock.move(GRACE - timedelta(seconds=1))
        await asyncio.sleep(0.1)  # several rounds of looking
        assert await world.is_in(session, State.CHARGING)
        world.clock.move(timedelta(seconds=1))
        await eventually(lambda: world.is_in(session, State.STOPPING))
    assert (await world.now(session)).cause == StopCause.VOUCHER
    assert "remote_stop" in await world.owed()


async def test_a_voucher_in_time_lets_it_flow_on(world: World, driver: Driver) -> None:
    session = await meter(world, await streaming(world, driver), 150)
    world.clock.move(GRACE - timedelta(seconds=1))
    assert (await send(world, driver, session, 2 * PER_100_WH)).voucher_by is None
    async with running(world.caretaker):
        world.clock.move(timedelta(minutes=5))
        await asyncio.sleep(0.1)
        assert await world.is_in(session, State.CHARGING)


async def test_a_voucher_that_covers_too_little_buys_no_time(world: World, driver: Driver) -> None:
    session = await meter(world, await streaming(world, driver), 250)
    by = session.voucher_by
    world.clock.move(timedelta(seconds=10))
    assert (await send(world, driver, session, 2 * PER_100_WH)).voucher_by == by
    assert (await meter(world, session, 270)).voucher_by == by


async def test_a_value_after_the_deadline_stops_it_at_once(world: World, driver: Driver) -> None:
    session = await meter(world, await streaming(world, driver), 150)
    world.clock.move(GRACE)
    assert (await meter(world, session, 160)).state is State.STOPPING


async def test_a_prepaid_charge_is_never_asked_for_a_voucher(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    assert (await meter(world, session, 4_000)).voucher_by is None


async def test_no_more_is_billed_than_the_vouchers_reach(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    done = await world.end(session, (session.meter_start or 0) + 180)
    assert (done.state, done.due, done.flags) == (State.METERED, PER_100_WH, (SHORT,))
    raw = await world.document(done, Receipt.FORMAT)
    receipt = Receipt.parse(raw)
    assert (receipt.cost, receipt.due, receipt.energy) == (63_000, PER_100_WH, 180)
    assert [one.cumulative for one in receipt.vouchers] == [PER_100_WH]
    assert verify_receipt(raw, SIGNATURES, world.trust()).ok
    async with running(world.effects):
        settled = await world.settled(done)
    assert world.escrow.tabs[driver.address].spent == PER_100_WH
    assert (settled.state, settled.flags) == (State.SETTLED, (SHORT,))
    assert Settlement.parse(await world.document(done, Settlement.FORMAT)).amount == PER_100_WH


async def test_a_wallet_whose_vouchers_fell_short_prepays_until_it_is_trusted_again(
    world: World, driver: Driver
) -> None:
    """The energy that flows before the stop is worth more than the one voucher: once, not again and again."""
    session = await streaming(world, driver)
    done = await world.end(session, (session.meter_start or 0) + 280)
    assert done.flags == (SHORT,)
    async with running(world.effects):
        await world.settled(done)
    world.fund(driver, 5_000_000)
    session = await world.promised(driver, world.places[0])
    assert await world.payments.ways(driver.address) == (Way.PREPAID,)
    offered = PaymentView(world.directory).choices(session, (Way.PREPAID,))
    assert (set(offered["risk"]), offered["first_cumulative"]) == (
        {"prepaid"},
        str(session.terms.base + session.terms.budget),
    )
    with pytest.raises(Refused) as refused:
        await send(world, driver, session, 2 * PER_100_WH)
    assert refused.value.code == "voucher.prepaid_only"
    other = Driver("other")
    assert await world.payments.ways(other.address) == (Way.PREPAID, Way.STREAMING)
    assert (await streaming(world, other, bay=1)).terms.way is Way.STREAMING
    session = await send(world, driver, session, session.terms.budget)
    assert session.terms.way is Way.PREPAID
    assert (await world.begin(session)).accepted
    session = await world.now(session)
    done = await world.end(session, session.meter_start or 0)
    async with running(world.effects):
        await world.settled(done)
    world.clock.move(TRUST_AGAIN + timedelta(seconds=1))
    session = await world.promised(driver, world.places[0])
    assert (await send(world, driver, session, PER_100_WH)).terms.way is Way.STREAMING


async def test_what_is_covered_is_billed_exactly_and_the_rest_stays_the_drivers(
    world: World, driver: Driver
) -> None:
    session = await send(world, driver, await streaming(world, driver), ENOUGH)
    done = await world.end(session, (session.meter_start or 0) + 180)
    assert (done.due, done.flags) == (63_000, ())
    async with running(world.effects):
        await world.settled(done)
    tab = world.escrow.tabs[driver.address]
    assert (tab.spent, tab.ceiling) == (63_000, session.terms.budget)


@pytest.mark.parametrize("state", ["suspended", "stopping", "metered"])
async def test_a_late_voucher_still_counts(world: World, driver: Driver, state: str) -> None:
    session = await meter(world, await streaming(world, driver), 150)
    register = (session.meter_start or 0) + 180
    if state == "stopping":
        session = await world.stop_word(driver, session)
    if state == "metered":
        session = await world.end(session, register)
    taken = await send(world, driver, session, ENOUGH)
    assert taken.voucher_cumulative == ENOUGH
    done = taken if state == "metered" else await world.end(session, register)
    assert (done.due, done.flags) == (63_000, ())
    raw = await world.document(done, Receipt.FORMAT)
    assert Receipt.parse(raw).due == 63_000
    assert verify_receipt(raw, SIGNATURES, world.trust()).ok
    async with running(world.effects):
        await world.settled(done)
    assert world.escrow.tabs[driver.address].spent == 63_000


async def test_after_the_claim_a_voucher_is_too_late(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    done = await world.end(session, (session.meter_start or 0) + 180)
    async with running(world.effects):
        await world.settled(done)
    with pytest.raises(Refused, match=r"voucher\.too_late"):
        await send(world, driver, session, ENOUGH)


async def test_a_bill_that_the_driver_has_signed_is_not_written_anew(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    done = await world.end(session, (session.meter_start or 0) + 180)
    before = await world.document(done, Receipt.FORMAT)
    async with world.transitions.begin() as work:
        await work.unit.add_countersignature(done.id, bytes(64), work.now)
    with pytest.raises(Refused, match=r"voucher\.too_late"):
        await send(world, driver, session, ENOUGH)
    assert await world.document(done, Receipt.FORMAT) == before


async def test_a_refill_is_checked_and_kept_with_its_voucher(
    world: World, driver: Driver, thief: Driver
) -> None:
    session = await streaming(world, driver)
    payee, epoch = OPERATOR.payee.address, session.terms.epoch
    value = Refill(payee, epoch, 2 * PER_100_WH, 9_000_000, 2_000_000_000)
    voucher = world.voucher(driver, session, cumulative=2 * PER_100_WH)
    refill = SignedRefill(value.cumulative, value.ceiling, value.deadline, driver.sign(value))
    with pytest.raises(IntegrityFailure, match=r"voucher\.wrong_signature"):
        await world.payments.voucher(session.id, *voucher, replace(refill, signature=thief.sign(value)))
    with pytest.raises(InvalidInput, match=r"refill\.other_amount"):
        await world.payments.voucher(session.id, *voucher, replace(refill, cumulative=PER_100_WH))
    await world.payments.voucher(session.id, *voucher, refill)
    async with world.database.begin() as unit:
        assert await unit.refill_of(session.id) == refill


async def test_whoever_pays_as_late_as_possible_gets_no_more_than_the_bound(
    world: World, driver: Driver
) -> None:
    """A full-power charge whose driver covers each value at the last instant, then stops paying."""
    session = await streaming(world, driver)
    interval, latency = RULES.sample_interval, RULES.stop_latency
    begun = world.clock.now()

    def flown() -> int:
        return int(RATING * (world.clock.now() - begun).total_seconds() / 3_600)

    async with running(world.caretaker):
        for _ in range(4):
            world.clock.move(begun + interval - begun - (world.clock.now() - begun) % interval)
            session = await meter(world, session, flown())
            if session.voucher_by is not None:
                world.clock.move(session.voucher_by - world.clock.now() - timedelta(seconds=1))
                owed = session.delivered * 350 if session.delivered < 5_000 else 0
                session = await send(world, driver, session, owed)
                assert session.voucher_by is None
        paid_for = session.delivered
        world.clock.move(interval - (world.clock.now() - begun) % interval)
        session = await meter(world, session, flown())
        assert session.voucher_by is not None
        world.clock.move(session.voucher_by - world.clock.now())
        await eventually(lambda: world.is_in(session, State.STOPPING))
    world.clock.move(latency)
    uncovered = flown() - paid_for
    assert RATING * 60 // 3_600 < uncovered <= RULES.uncovered_at_most(W(RATING))
