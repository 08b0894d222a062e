"""Promises that nobody has paid for never hold all charge points."""

from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.errors import Refused
from evmesh.domain.sessions import RESERVATION_TTL, UNSECURED_TTL, Event, Session, State
from evmesh.services.requests import Promise
from evmesh.services.reservations import (
    MOST_UNPAID_OF_PAYER,
    MOST_UNPAID_OF_SOURCE,
    PAYER_WINDOW,
    SOURCE_WINDOW,
)
from tests.fakes.world import Driver, World, open_world, running
from tests.unit.services.test_caretaker import becomes

MINUTE = timedelta(minutes=1)
BUDGET = 5_000 * 350


async def let_expire(world: World, session: Session) -> None:
    async with running(world.caretaker):
        world.clock.move(UNSECURED_TTL)
        await becomes(world, session, State.EXPIRED)


async def test_one_purse_handed_around_does_not_hold_every_connector(world: World) -> None:
    thieves = [Driver(f"thief {number}") for number in range(4)]
    for number in (0, 1):
        world.escrow.balances = {thief.address: 0 for thief in thieves}
        world.escrow.balances[thieves[number].address] = BUDGET  # the purse goes on to the next key
        await world.promised(thieves[number], world.places[number])
    world.escrow.balances[thieves[2].address] = BUDGET
    with pytest.raises(Refused) as refused:
        await world.ask(thieves[2], world.places[2])
    assert refused.value.code == "reservation.too_many_unpaid"
    assert "2 of 4" in refused.value.what
    assert "deposit" in refused.value.do
    assert f"{world.clock.now() + UNSECURED_TTL:%H:%M:%S} UTC" in refused.value.do


async def test_who_has_the_money_in_the_tab_is_promised_a_place_all_the_same(
    world: World, driver: Driver
) -> None:
    for number in (0, 1):
        await world.promised(Driver(f"thief {number}"), world.places[number])
    world.fund(driver, BUDGET)
    session = await world.promised(driver, world.places[2])
    assert session.deadline == session.created_at + RESERVATION_TTL


async def test_a_place_is_free_again_when_an_unpaid_reservation_has_ended(
    world: World, driver: Driver
) -> None:
    first = await world.promised(Driver("thief 1"), world.places[0])
    await world.promised(Driver("thief 2"), world.places[1])
    await let_expire(world, first)
    assert isinstance(await world.ask(driver, world.places[2]), Promise)


async def test_a_cabinet_with_one_place_can_be_reserved(tmp_path: Path, driver: Driver) -> None:
    async with open_world(tmp_path, bays=1) as world:
        assert isinstance(await world.ask(driver, world.places[0]), Promise)


async def test_who_let_reservations_end_unpaid_has_to_deposit_first_or_wait(
    world: World, driver: Driver
) -> None:
    for _ in range(MOST_UNPAID_OF_PAYER):
        await let_expire(world, await world.promised(driver, world.places[0]))
    with pytest.raises(Refused) as refused:
        await world.ask(driver, world.places[0])
    assert refused.value.code == "reservation.unpaid_before"
    assert "UTC" in refused.value.do
    world.fund(driver, BUDGET)
    assert isinstance(await world.ask(driver, world.places[0]), Promise)


async def test_who_has_waited_may_ask_again(world: World, driver: Driver) -> None:
    for _ in range(MOST_UNPAID_OF_PAYER):
        await let_expire(world, await world.promised(driver, world.places[0]))
    world.clock.move(PAYER_WINDOW)
    assert isinstance(await world.ask(driver, world.places[0]), Promise)


async def test_a_source_of_many_keys_that_never_pay_is_turned_away(world: World) -> None:
    for number in range(MOST_UNPAID_OF_SOURCE):
        thief = Driver(f"thief {number}")
        wish = world.wish(thief, world.places[0])
        answer = await world.requests.request(world.places[0].code, wish, thief.sign(wish), source="10.0.0.9")
        assert isinstance(answer, Promise)
        async with world.transitions.begin() as work:
            await work.apply(answer.session, Event.EXPIRE, "not_paid_in_time")
    thief, driver = Driver("thief with a fresh key"), Driver("driver")
    wish = world.wish(thief, world.places[0])
    with pytest.raises(Refused, match=r"reservation\.unpaid_before"):
        await world.requests.request(world.places[0].code, wish, thief.sign(wish), source="10.0.0.9")
    wish = world.wish(driver, world.places[1])
    elsewhere = await world.requests.request(world.places[1].code, wish, driver.sign(wish), source="10.0.0.8")
    assert isinstance(elsewhere, Promise)
    world.clock.move(SOURCE_WINDOW)
    wish = world.wish(thief, world.places[0])
    later = await world.requests.request(world.places[0].code, wish, thief.sign(wish), source="10.0.0.9")
    assert isinstance(later, Promise)


async def test_money_that_is_still_in_the_wallet_has_less_time(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    assert session.deadline == session.created_at + UNSECURED_TTL
    world.fund(driver, BUDGET)
    world.clock.move(UNSECURED_TTL + timedelta(seconds=1))
    with pytest.raises(Refused, match=r"reservation\.ended"):
        await world.payments.voucher(session.id, *world.voucher(driver, session))
