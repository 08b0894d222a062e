"""Trouble with plain transfers: dust, no cars, blocks that go and come again, a node with hiccups."""

from datetime import timedelta
from hashlib import sha256

import pytest
from sqlalchemy import RowMapping

from evmesh.domain.ids import Address
from evmesh.domain.sessions import Session, State
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.transfers import SeenTransfer, Transfer, TransferRef, named_again
from evmesh.services.directory import Place
from evmesh.store import transfers as transfer_rows
from tests.fakes.world import Driver, World, eventually, running
from tests.unit.services.test_transfers import (
    EURO,
    fee,
    has_started,
    minimum,
    only,
    returned,
    seen,
    sent,
)


@pytest.fixture
def sender(driver: Driver) -> Address:
    return driver.address


async def test_a_token_that_once_said_no_is_asked_again_after_some_minutes(
    world: World, sender: Address
) -> None:
    world.deposits.closed = "transfer.no_eip3009"
    assert (await world.transfers.quote()).closed
    world.deposits.closed = ""
    world.clock.move(timedelta(minutes=6))
    await sent(world, sender, world.places[0], 3 * EURO)
    assert (await world.transfers.quote()).closed == ""
    assert (await only(world)).state is State.STARTING


def rain(world: World, sender: Address, at: Place, grains: int) -> bytes:
    """Mine one transaction of so many transfers of one unit."""
    tx_hash, block = sha256(b"rain").digest(), len(world.deposits.blocks)
    world.deposits.mine(
        *(
            SeenTransfer(TransferRef(tx_hash, n), n, block, sender, at.deposit_address, 1)
            for n in range(grains)
        )
    )
    return tx_hash


async def test_a_rain_of_dust_is_read_about_once_and_stored_in_small_transactions(
    world: World, sender: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    grains, read = 250, 0
    of_row = transfer_rows._transfer_of

    def counted(row: RowMapping) -> Transfer:
        nonlocal read
        read += 1
        return of_row(row)

    monkeypatch.setattr(transfer_rows, "_transfer_of", counted)
    rain(world, sender, world.places[0], grains)
    await seen(world)
    assert read <= grains  # one look at all that waits for each grain would be 31,000
    assert world.reached.count("transfers:before_commit") == 3
    async with world.database.begin() as unit:
        assert len(await unit.waiting_transfers()) == grains
        assert await unit.waiting_amounts() == {(sender, world.places[0].asset): grains}
        assert await unit.held() == {world.places[0].asset: grains}


async def test_the_largest_of_what_waits_are_given_whatever_their_number_of_digits(
    world: World, sender: Address
) -> None:
    for amount in (9, 100, 99, 10, 2**80, 8):
        world.deposits.send(sender, world.places[0].deposit_address, amount)
    await world.watch.look()
    async with world.database.begin() as unit:
        found = await unit.waiting_of(sender, world.places[0].asset, 4)
    assert [one.amount for one in found] == [100, 99, 10, 2**80]


async def held_at(world: World, place: Place) -> int:
    async with world.database.begin() as unit:
        return (await unit.held())[place.asset]


async def test_a_return_waits_for_money_that_the_chain_took_back_and_brings_again(
    world: World, sender: Address, neighbour: Driver
) -> None:
    place = world.places[0]
    await sent(world, neighbour.address, place, 5 * EURO)
    await sent(world, sender, place, 5 * EURO)  # the charge point is busy: it is to go back
    (block,) = world.deposits.take_back(1)
    await seen(world)
    await returned(world)
    world.deposits.mine(*block)
    await seen(world)
    await returned(world)
    assert world.deposits.received_by(sender) == 5 * EURO - await fee(world)
    assert await held_at(world, place) == world.deposits.held(place.deposit_address)


async def test_a_refund_waits_for_money_that_the_chain_took_back_and_brings_again(
    world: World, sender: Address
) -> None:
    place = world.places[0]
    await sent(world, sender, place, 5 * EURO)
    (block,) = world.deposits.take_back(1)
    await seen(world)
    session = await only(world)
    async with running(world.effects):
        await eventually(lambda: _was_put_off(world))
        world.deposits.mine(*block)
        await seen(world)
        await eventually(lambda: world.is_in(session, State.REFUNDED))
    assert world.deposits.received_by(sender) == 5 * EURO - await fee(world)


async def _was_put_off(world: World) -> bool:
    async with world.database.begin() as unit:
        return any(one.attempts > 1 for one in await unit.pending_effects())


async def test_money_that_comes_back_after_its_deposit_was_settled_goes_back_once_more_and_not_twice(
    world: World, sender: Address, neighbour: Driver
) -> None:
    place, least = world.places[0], await minimum(world)
    await sent(world, neighbour.address, place, 5 * EURO)
    opened_by = world.deposits.send(sender, place.deposit_address, 3 * EURO)
    world.deposits.send(sender, place.deposit_address, least)
    await seen(world)  # both are to go back together
    opening, other = world.deposits.take_back(2)
    world.deposits.mine(*other)
    await seen(world)
    world.clock.move(timedelta(hours=2))
    await returned(world)
    cost = await fee(world)
    assert world.deposits.received_by(sender) == least - cost
    world.deposits.mine(*opening)
    await seen(world)
    await returned(world)
    await returned(world)
    assert world.deposits.received_by(sender) == least + 3 * EURO - 2 * cost
    assert await held_at(world, place) == world.deposits.held(place.deposit_address)
    async with world.database.begin() as unit:
        (back,) = await unit.transfers_in(opened_by.tx_hash)
        assert back.deposit == named_again(opened_by, 1)
        assert [one.reason for one in [await unit.deposit(back.deposit)] if one] == ["transfer.came_back"]


async def no_car_comes(world: World, session: Session) -> None:
    """Let the time pass in which a car may come, and the money go back."""
    async with running(world.effects, world.caretaker):
        await eventually(lambda: has_started(world, session))
        world.clock.move(timedelta(minutes=6))
        await eventually(lambda: world.is_in(session, State.REFUNDED))


async def test_who_lets_no_car_come_twice_is_not_waited_for_again_and_gets_the_money_back(
    world: World, sender: Address
) -> None:
    for at in world.places[:2]:
        await sent(world, sender, at, 3 * EURO)
        (session,) = await world.sessions()
        await no_car_comes(world, session)
    back = world.deposits.received_by(sender)
    await sent(world, sender, world.places[2], 3 * EURO)
    assert await world.sessions() == []
    world.clock.move(timedelta(minutes=3))
    await seen(world)
    await returned(world)
    assert await world.sessions() == []
    assert world.deposits.received_by(sender) - back == 3 * EURO - await fee(world)
    world.clock.move(timedelta(hours=1))
    await sent(world, sender, world.places[2], 3 * EURO)
    assert len(await world.sessions()) == 1


async def test_where_no_car_came_twice_a_stranger_is_served_who_plugs_in_before_or_soon_after(
    world: World, sender: Address, neighbour: Driver, thief: Driver
) -> None:
    place = world.places[0]
    for one in (sender, thief.address):
        await sent(world, one, place, 3 * EURO)
        (session,) = await world.sessions()
        await no_car_comes(world, session)
    await sent(world, neighbour.address, place, 3 * EURO)
    assert await world.sessions() == []
    await world.says(place, ConnectorStatus.PREPARING)
    await seen(world)
    assert [one.terms.payer for one in await world.sessions()] == [neighbour.address]


async def test_half_of_the_charge_points_at_most_wait_for_cars_of_transfers(
    world: World, sender: Address, neighbour: Driver, thief: Driver
) -> None:
    await sent(world, thief.address, world.places[0], 3 * EURO)
    await sent(world, sender, world.places[1], 3 * EURO)
    await sent(world, neighbour.address, world.places[2], 3 * EURO)
    assert {one.terms.payer for one in await world.sessions()} == {thief.address, sender}
    await world.says(world.places[1], ConnectorStatus.PREPARING)
    await seen(world)
    assert len(await world.sessions()) == 3
