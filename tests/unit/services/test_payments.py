"""Money first: what a voucher must be, and where it goes back when the start cannot be."""

from dataclasses import replace
from datetime import timedelta

import pytest

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Refused
from evmesh.domain.ids import Address, SessionId
from evmesh.domain.sessions import RESERVATION_TTL, Event, State
from tests.fakes.world import Driver, World


async def test_a_funded_voucher_starts_the_station(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    assert session.state is State.STARTING
    assert session.deadline == world.at(minutes=5)
    assert await world.owed() == ["remote_start"]
    assert await world.events_of(session) == ["reserve", "fund", "start"]


async def test_the_same_voucher_again_is_no_error_and_starts_nothing_twice(
    world: World, driver: Driver
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    again = await world.payments.voucher(session.id, *world.voucher(driver, session))
    assert again == session
    assert await world.owed() == ["remote_start"]


async def test_an_empty_wallet_is_told_what_is_missing_and_may_try_again(
    world: World, driver: Driver
) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget - 1)
    with pytest.raises(Refused) as refused:
        await world.payments.voucher(session.id, *world.voucher(driver, session))
    assert refused.value.code == "voucher.underfunded"
    assert str(session.terms.budget) in refused.value.what
    assert (await world.now(session)).state is State.RESERVED
    world.fund(driver, 1)
    paid = await world.payments.voucher(session.id, *world.voucher(driver, session))
    assert paid.state is State.STARTING


@pytest.mark.parametrize("cumulative", [34_999, 1_750_001])
async def test_another_amount_than_the_offer_asks_for_is_refused(
    world: World, driver: Driver, cumulative: int
) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, 10 * session.terms.budget)
    other = world.voucher(driver, session, cumulative=cumulative)
    with pytest.raises(InvalidInput) as refused:
        await world.payments.voucher(session.id, *other)
    assert (refused.value.code, refused.value.path) == ("voucher.other_amount", "cumulative")


async def test_another_epoch_is_refused(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    with pytest.raises(InvalidInput, match=r"voucher\.other_amount"):
        await world.payments.voucher(session.id, *world.voucher(driver, session, epoch=1))


async def test_a_tab_that_began_a_new_epoch_meanwhile_pays_nothing(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    world.escrow.finish_exit(driver.address)
    world.fund(driver, session.terms.budget)
    with pytest.raises(Refused, match=r"voucher\.underfunded"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))


async def test_a_tab_that_is_left_meanwhile_pays_nothing(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    world.escrow.leave(driver.address, 2_000_000_000)
    with pytest.raises(Refused, match=r"voucher\.underfunded"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))


async def test_nobody_pays_with_anothers_money(world: World, driver: Driver, thief: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    with pytest.raises(IntegrityFailure, match=r"voucher\.wrong_signature"):
        await world.payments.voucher(session.id, *world.voucher(thief, session))
    assert (await world.now(session)).state is State.RESERVED


async def test_a_voucher_for_another_payee_is_refused(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    other = world.voucher(driver, session, payee=Address("0x" + "9" * 40))
    with pytest.raises(IntegrityFailure, match=r"voucher\.wrong_signature"):
        await world.payments.voucher(session.id, *other)


async def test_a_session_that_is_not_there_is_said_to_be_none(world: World, driver: Driver) -> None:
    nowhere = SessionId.make(1, bytes(10))
    with pytest.raises(InvalidInput, match=r"session\.unknown"):
        await world.payments.voucher(nowhere, 0, 1, bytes(64))


async def test_money_for_a_reservation_that_expired_is_refused(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    async with world.transitions.begin() as work:
        await work.apply(session, Event.EXPIRE, "not_paid_in_time")
    with pytest.raises(Refused, match=r"session\.wrong_state"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))


async def test_money_that_comes_after_the_reservation_has_ended_is_refused(
    world: World, driver: Driver
) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    world.clock.move(RESERVATION_TTL + timedelta(seconds=1))
    with pytest.raises(Refused, match=r"reservation\.ended"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))
    assert (await world.now(session)).voucher_signature is None


async def test_a_car_whose_energy_no_longer_fits_gets_its_money_back(world: World, driver: Driver) -> None:
    world.clock.move(timedelta(minutes=9))
    leaves = int(world.at(minutes=36).timestamp())
    session = await world.promised(driver, world.places[0], 3_300, departure=leaves)
    funded = await fund_only(world, driver, session.id)
    world.clock.move(timedelta(minutes=7))  # the first of the two quarter hours has begun without it
    moved = await world.payments.start(funded)
    assert (moved.state, moved.cause) == (State.REFUNDING, "admission.no_longer_fits")
    assert await world.owed() == ["refund"]


async def test_a_start_after_the_offer_has_ended_gives_the_money_back(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0], 2_000)
    funded = await fund_only(world, driver, session.id)
    world.clock.move(timedelta(minutes=16))
    moved = await world.payments.start(funded)
    assert (moved.state, moved.cause) == (State.REFUNDING, "offer.ended")


async def fund_only(world: World, driver: Driver, id: SessionId) -> SessionId:
    """Leave a session where a crash between the voucher and the start would leave it."""
    session = await world.now(id)
    world.fund(driver, session.terms.budget)
    _, _, signature = world.voucher(driver, session)
    async with world.transitions.begin() as work:
        await work.apply(session, Event.FUND, "voucher", voucher_signature=signature)
    return id


async def test_starting_what_is_not_funded_changes_nothing(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    assert (await world.payments.start(session.id)) == session


@pytest.mark.parametrize(
    ("until", "state", "owed"),
    [
        ("reserved", State.EXPIRED, []),
        ("starting", State.REFUNDING, ["remote_start", "refund"]),
        ("charging", State.STOPPING, ["remote_start", "remote_stop"]),
    ],
)
async def test_a_driver_may_stop_at_any_time(
    world: World, driver: Driver, until: str, state: State, owed: list[str]
) -> None:
    session = await world.promised(driver, world.places[0])
    if until != "reserved":
        session = await world.pay(driver, session)
    if until == "charging":
        await world.begin(session)
    stopped = await world.stop_word(driver, session)
    assert (stopped.state, stopped.cause) == (state, "driver")
    assert await world.owed() == owed
    again = await world.stop_word(driver, session)
    assert again.state is state


async def test_nobody_stops_anothers_charge(world: World, driver: Driver, thief: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    with pytest.raises(IntegrityFailure, match=r"stop\.wrong_signature"):
        await world.stop_word(thief, session)
    assert (await world.now(session)).state is State.CHARGING


@pytest.mark.parametrize("late_s", [601, -601])
async def test_an_old_word_to_stop_is_refused(world: World, driver: Driver, late_s: int) -> None:
    session = await world.charging(driver, world.places[0])
    with pytest.raises(InvalidInput, match=r"stop\.stale"):
        await world.stop_word(driver, session, late_s=late_s)


async def test_a_word_to_stop_within_ten_minutes_holds(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    assert (await world.stop_word(driver, session, late_s=600)).state is State.STOPPING


async def test_an_offer_on_a_tab_that_has_moved_on_is_not_funded(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    world.fund(driver, 2 * session.terms.budget)
    (payer, tab), *_ = world.escrow.tabs.items()
    world.escrow.tabs[payer] = replace(tab, spent=tab.spent + 1)
    with pytest.raises(Refused, match=r"voucher\.other_base"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))
    assert (await world.now(session)).state is State.RESERVED
