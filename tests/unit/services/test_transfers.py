"""A plain transfer from any wallet: what it starts, what it adds to, what goes back; and it all adds up."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.chain import TabRef
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.ids import Address
from evmesh.domain.money import energy_within
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import Session, State, Way
from evmesh.domain.settlement import Settlement
from evmesh.domain.stations import ConnectorStatus
from evmesh.domain.transfers import MAX_TRANSFERS, TransferPolicy, TransferRef
from evmesh.services.directory import Place
from evmesh.services.transitions import Work
from evmesh.verify.followups import verify_settlement
from evmesh.verify.receipt import verify_receipt
from tests.fakes.world import CONTRACTS, OPERATOR, SIGNATURES, Driver, World, eventually, open_world, running

EURO = 1_000_000


@pytest.fixture
def sender(driver: Driver) -> Address:
    return driver.address


async def seen(world: World) -> None:
    """Let everything that is deep enough be stored and decided."""
    await world.watch.look()
    await world.transfers.decide()


async def sent(world: World, sender: Address, at: Place, amount: int) -> TransferRef:
    ref = world.deposits.send(sender, at.deposit_address, amount)
    await seen(world)
    return ref


async def only(world: World) -> Session:
    (session,) = await world.sessions(open_only=False)
    return session


async def returned(world: World) -> None:
    await world.returns.look()


async def fee(world: World) -> int:
    return (await world.transfers.quote()).fee


async def minimum(world: World) -> int:
    return (await world.transfers.quote()).minimum


async def test_a_transfer_from_an_unknown_wallet_starts_a_charge_bounded_by_its_amount(
    world: World, sender: Address
) -> None:
    place = world.places[0]
    await sent(world, sender, place, 5 * EURO)
    session = await only(world)
    terms = session.terms
    assert (session.state, terms.way, terms.payer) == (State.STARTING, Way.TRANSFER, sender)
    assert terms.budget == 5 * EURO - await fee(world)
    assert terms.energy == energy_within(terms.budget, terms.price)
    assert not terms.flexible
    async with running(world.effects):
        await eventually(lambda: has_started(world, session))
    assert await world.events_of(session) == ["reserve", "fund", "start"]


async def has_started(world: World, session: Session) -> bool:
    return any(what == "remote_start" and tag == session.id_tag for what, _, tag in world.stations.told)


async def charged(world: World, session: Session, wh: int) -> Session:
    """Charge so much, end, and let everything be paid."""
    await world.begin(session)
    session = await world.now(session)
    session = await world.end(session, (session.meter_start or 0) + wh)
    async with running(world.effects):
        return await world.settled(session)


async def test_what_is_due_goes_to_the_operator_and_the_remainder_to_the_sender_exactly(
    world: World, sender: Address
) -> None:
    place = world.places[0]
    await sent(world, sender, place, 5 * EURO)
    done = await charged(world, await only(world), 4_000)
    due, cost_of_return = 4 * 350_000, await fee(world)
    assert (done.state, done.due) == (State.SETTLED, due)
    assert world.deposits.received_by(sender) == 5 * EURO - due - cost_of_return == done.refund
    assert world.deposits.received_by(OPERATOR.payee.address) == due + cost_of_return
    assert world.deposits.held(place.deposit_address) == 0


async def test_receipt_and_settlement_name_the_transfer_and_hold(world: World, sender: Address) -> None:
    ref = await sent(world, sender, world.places[0], 5 * EURO)
    done = await charged(world, await only(world), 4_000)
    raw = await world.document(done, Receipt.FORMAT)
    receipt = Receipt.parse(raw)
    assert receipt.payment is not None
    (named,) = receipt.payment.transfers
    assert (named.ref, named.sender, named.amount) == (ref, sender, 5 * EURO)
    assert (receipt.vouchers, receipt.request_signature) == ((), b"")
    report = verify_receipt(raw, SIGNATURES, world.trust())
    assert report.ok, [check for check in report.checks if check.status == "failed"]
    settlement = await world.document(done, Settlement.FORMAT)
    assert verify_settlement(settlement, SIGNATURES, raw, world.trust()).ok
    split = Settlement.parse(settlement).deposit
    assert split is not None
    assert split.received == receipt.due + split.returned + split.fee + split.kept
    assert len(Settlement.parse(settlement).transactions) == 2


async def test_amounts_below_the_minimum_add_up_and_the_first_that_reaches_it_starts(
    world: World, sender: Address
) -> None:
    least, place = await minimum(world), world.places[0]
    await sent(world, sender, place, least - 2)
    await sent(world, sender, place, 1)
    assert await world.sessions() == []
    await sent(world, sender, place, 1)
    session = await only(world)
    assert session.terms.budget == least - await fee(world)


async def test_dust_starts_nothing_and_costs_no_gas(world: World, sender: Address, thief: Driver) -> None:
    place = world.places[0]
    for _ in range(20):
        await sent(world, thief.address, place, 1)
    world.clock.move(timedelta(days=2))
    await seen(world)
    await returned(world)
    assert await world.sessions(open_only=False) == []
    assert world.deposits.paid == []
    async with world.database.begin() as unit:
        assert sum(one.amount for one in await unit.waiting_transfers()) == 20


async def test_senders_do_not_add_up_with_each_other(
    world: World, sender: Address, neighbour: Driver
) -> None:
    least, place = await minimum(world), world.places[0]
    await sent(world, sender, place, least - 1)
    await sent(world, neighbour.address, place, least - 1)
    assert await world.sessions(open_only=False) == []


async def test_a_second_sender_on_a_busy_charge_point_gets_the_money_back_less_the_fee(
    world: World, sender: Address, neighbour: Driver
) -> None:
    place = world.places[0]
    await sent(world, sender, place, 5 * EURO)
    await sent(world, neighbour.address, place, 3 * EURO)
    await returned(world)
    assert world.deposits.received_by(neighbour.address) == 3 * EURO - await fee(world)
    assert len(await world.sessions(open_only=False)) == 1
    assert world.deposits.held(place.deposit_address) == 5 * EURO + await fee(world)


@pytest.mark.parametrize("status", [ConnectorStatus.CHARGING, ConnectorStatus.FINISHING])
async def test_where_a_car_stands_already_the_money_goes_back(
    world: World, sender: Address, status: ConnectorStatus
) -> None:
    await world.says(world.places[0], status)
    await sent(world, sender, world.places[0], 3 * EURO)
    await returned(world)
    assert world.deposits.received_by(sender) == 3 * EURO - await fee(world)


async def test_plugging_first_is_as_good_as_paying_first(world: World, sender: Address) -> None:
    await world.says(world.places[0], ConnectorStatus.PREPARING)
    await sent(world, sender, world.places[0], 3 * EURO)
    assert (await only(world)).state is State.STARTING


async def test_a_station_that_is_away_gets_time_to_come_back_before_the_money_goes_back(
    world: World, sender: Address
) -> None:
    station = world.places[0].connector.ref.station
    world.live.online.discard(station)
    await sent(world, sender, world.places[0], 3 * EURO)
    await returned(world)
    assert world.deposits.paid == []
    world.live.online.add(station)
    await seen(world)
    assert (await only(world)).state is State.STARTING


async def test_a_station_that_stays_away_means_the_money_goes_back(world: World, sender: Address) -> None:
    world.live.online.clear()
    await sent(world, sender, world.places[0], 3 * EURO)
    world.clock.move(timedelta(minutes=3))
    await seen(world)
    await returned(world)
    assert world.deposits.received_by(sender) == 3 * EURO - await fee(world)
    assert await world.sessions(open_only=False) == []


async def test_without_a_car_within_five_minutes_the_money_goes_back(world: World, sender: Address) -> None:
    await sent(world, sender, world.places[0], 3 * EURO)
    session = await only(world)
    async with running(world.effects, world.caretaker):
        await eventually(lambda: has_started(world, session))
        world.clock.move(timedelta(minutes=6))
        await eventually(lambda: world.is_in(session, State.REFUNDED))
    assert world.deposits.received_by(sender) == 3 * EURO - await fee(world)
    settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
    assert (settlement.kind, settlement.receipt_sha256) == ("refund", None)
    assert settlement.amount == 3 * EURO - await fee(world)


async def test_a_station_that_rejects_the_start_means_the_money_goes_back(
    world: World, sender: Address
) -> None:
    world.stations.rejects.add("remote_start")
    await sent(world, sender, world.places[0], 3 * EURO)
    session = await only(world)
    async with running(world.effects):
        await eventually(lambda: world.is_in(session, State.REFUNDED))
    assert world.deposits.received_by(sender) == 3 * EURO - await fee(world)


async def test_a_later_transfer_of_the_same_sender_raises_budget_and_energy(
    world: World, sender: Address
) -> None:
    place = world.places[0]
    await sent(world, sender, place, 2 * EURO)
    before = await only(world)
    await world.begin(before)
    await sent(world, sender, place, 1 * EURO)
    after = await only(world)
    assert after.terms.budget == 3 * EURO - await fee(world)
    assert after.terms.energy == energy_within(after.terms.budget, after.terms.price)
    assert (after.offered_budget, after.offered_energy) == (before.terms.budget, before.terms.energy)
    done = await charged_on(world, after, before.terms.energy + 1_000)
    assert done.due == (before.terms.energy + 1_000) * 350_000 // 1000
    raw = await world.document(done, Receipt.FORMAT)
    report = verify_receipt(raw, SIGNATURES, world.trust())
    assert report.ok, [check for check in report.checks if check.status == "failed"]
    assert world.deposits.held(place.deposit_address) == 0


async def charged_on(world: World, session: Session, wh: int) -> Session:
    session = await world.end(session, (session.meter_start or 0) + wh)
    async with running(world.effects):
        return await world.settled(session)


async def test_more_money_takes_nothing_from_what_others_were_promised(
    world_of_one: World, sender: Address, neighbour: Driver
) -> None:
    """The cabinet carries one car, and the neighbour was promised most of what the first one leaves."""
    world = world_of_one
    await sent(world, sender, world.places[0], 2 * EURO)
    mine = await only(world)
    theirs = await world.promised(neighbour, world.places[1], 15_000, flexible=False)
    theirs = await world.pay(neighbour, theirs)
    await sent(world, sender, world.places[0], 1_000 * EURO)
    after = await world.now(mine)
    assert after.terms.budget == 1_002 * EURO - await fee(world)
    async with world.transitions.begin() as work:
        group = world.directory.groups["yard"]
        _, short = await world.planner.replan(work.unit, group, work.now)
    assert short.get(theirs.id.text, 0) == 0


@pytest.fixture
async def world_of_one(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, bays=2, capacity=7_360) as opened:
        yield opened


async def test_too_much_money_for_a_day_starts_what_fits(world: World, sender: Address) -> None:
    await sent(world, sender, world.places[0], 100_000 * EURO)
    session = await only(world)
    assert session.state is State.STARTING
    assert 0 < session.terms.energy <= 24 * 7_360


async def test_a_transfer_before_it_is_deep_enough_starts_nothing(tmp_path: Path, sender: Address) -> None:
    async with open_world(tmp_path, transfer_policy=TransferPolicy(confirmations=3)) as world:
        await sent(world, sender, world.places[0], 3 * EURO)
        world.deposits.mine()
        await seen(world)
        assert await world.sessions(open_only=False) == []
        world.deposits.mine()
        await seen(world)
        assert (await only(world)).state is State.STARTING


async def test_a_transfer_that_is_taken_back_before_it_is_deep_enough_never_counts(
    tmp_path: Path, sender: Address
) -> None:
    async with open_world(tmp_path, transfer_policy=TransferPolicy(confirmations=3)) as world:
        await sent(world, sender, world.places[0], 3 * EURO)
        world.deposits.take_back(1)
        for _ in range(5):
            world.deposits.mine()
        await seen(world)
        assert await world.sessions(open_only=False) == []


async def test_a_charge_whose_transfer_is_taken_back_stops_and_bills_nothing(
    world: World, sender: Address
) -> None:
    await sent(world, sender, world.places[0], 3 * EURO)
    session = await only(world)
    await world.begin(session)
    world.deposits.take_back(1)
    await seen(world)
    stopping = await world.now(session)
    assert (stopping.state, stopping.cause) == (State.STOPPING, "transfer.lost")
    assert "transfer.lost" in stopping.flags
    metered = await world.end(stopping, (stopping.meter_start or 0) + 500)
    world.clock.move(timedelta(hours=2))  # it may come again
    async with running(world.effects):
        done = await world.settled(metered)
    assert (done.state, done.due) == (State.SETTLED, 0)
    assert world.deposits.paid == []


async def test_a_transfer_that_comes_back_in_another_block_counts_once(world: World, sender: Address) -> None:
    await sent(world, sender, world.places[0], 3 * EURO)
    session = await only(world)
    ((again,),) = world.deposits.take_back(1)
    world.deposits.mine(replace(again, block=len(world.deposits.blocks), log_index=7))
    await seen(world)
    await seen(world)
    now = await only(world)
    assert now.id == session.id
    assert (now.state, now.terms.budget) == (State.STARTING, 3 * EURO - await fee(world))
    done = await charged(world, now, 1_000)
    receipt = Receipt.parse(await world.document(done, Receipt.FORMAT))
    assert receipt.payment is not None
    assert receipt.payment.transfers[0].log_index == 7


async def test_a_token_that_takes_a_fee_on_transfers_starts_nothing(world: World, sender: Address) -> None:
    place = world.places[0]
    world.deposits.send(sender, place.deposit_address, 3 * EURO, arrives=2 * EURO)
    await seen(world)
    await returned(world)
    assert await world.sessions(open_only=False) == []
    assert world.deposits.paid == []
    async with world.database.begin() as unit:
        (aside,) = await unit.transfers_aside()
    assert aside.aside == "short"


async def test_money_from_nobody_is_set_aside(world: World) -> None:
    await sent(world, Address("0x" + 40 * "0"), world.places[0], 3 * EURO)
    assert await world.sessions(open_only=False) == []
    async with world.database.begin() as unit:
        assert [one.aside for one in await unit.transfers_aside()] == ["no_sender"]


async def test_money_of_which_no_event_tells_is_flagged_and_stays(world: World, sender: Address) -> None:
    place = world.places[0]
    await seen(world)
    world.deposits.send(sender, place.deposit_address, 3 * EURO)
    world.deposits.pruned_before = len(world.deposits.blocks)
    await world.watch.compare()
    async with world.database.begin() as unit:
        assert await unit.unseen() == {}  # its event may be on its way
    await seen(world)
    await world.watch.compare()
    async with world.database.begin() as unit:
        assert await unit.unseen() == {place.asset: 3 * EURO}
    assert world.deposits.held(place.deposit_address) == 3 * EURO


async def test_a_restart_counts_nothing_twice_and_returns_nothing_twice(
    tmp_path: Path, sender: Address, neighbour: Driver
) -> None:
    async with open_world(tmp_path) as world:
        await sent(world, sender, world.places[0], 3 * EURO)
        await sent(world, neighbour.address, world.places[0], 3 * EURO)
        await returned(world)
        chain, cost = world.deposits, await fee(world)
    async with open_world(tmp_path, deposits=chain) as world:
        await seen(world)
        await returned(world)
        await returned(world)
        assert len(await world.sessions(open_only=False)) == 1
        assert chain.received_by(neighbour.address) == 3 * EURO - cost


async def test_a_return_whose_journal_was_lost_is_paid_once(
    world: World, sender: Address, neighbour: Driver
) -> None:
    place = world.places[0]
    await sent(world, sender, place, 3 * EURO)
    await sent(world, neighbour.address, place, 3 * EURO)
    world.deposits.lose_answers = 1
    with pytest.raises(Exception, match=r"chain\.away|node went away"):
        await returned(world)
    world.deposits.by_key.clear()
    await returned(world)
    assert world.deposits.received_by(neighbour.address) == 3 * EURO - await fee(world)
    async with world.database.begin() as unit:
        assert [one.session is None for one in await unit.unsettled_deposits()] == [False]


async def test_a_token_without_eip_3009_takes_no_transfers(world: World, sender: Address) -> None:
    world.deposits.closed = "transfer.no_eip3009"
    await sent(world, sender, world.places[0], 3 * EURO)
    assert await world.sessions(open_only=False) == []
    assert (await world.transfers.quote()).closed == "transfer.no_eip3009"


async def test_the_sender_may_stop_with_a_signed_word(world: World, driver: Driver) -> None:
    await sent(world, driver.address, world.places[0], 3 * EURO)
    session = await only(world)
    await world.begin(session)
    assert (await world.stop_word(driver, session)).state is State.STOPPING


async def test_a_hundred_grains_of_dust_do_not_take_the_place_of_the_money(
    world: World, sender: Address
) -> None:
    place = world.places[0]
    for _ in range(MAX_TRANSFERS + 5):
        world.deposits.send(sender, place.deposit_address, 1)
    await sent(world, sender, place, 3 * EURO)
    session = await only(world)
    assert session.terms.budget == 3 * EURO + MAX_TRANSFERS - 1 - await fee(world)
    async with world.database.begin() as unit:
        assert len(await unit.waiting_transfers()) == 6


async def test_much_dust_that_no_deposit_can_hold_starts_nothing(tmp_path: Path, sender: Address) -> None:
    async with open_world(tmp_path, transfer_policy=TransferPolicy(least=150)) as world:
        for _ in range(200):
            world.deposits.send(sender, world.places[0].deposit_address, 1)
        assert await minimum(world) <= 200
        await seen(world)
        assert await world.sessions(open_only=False) == []


async def test_money_of_one_that_cannot_be_decided_keeps_nobody_waiting(
    world: World, sender: Address, neighbour: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_free = world.requests.require_free

    async def broken(work: Work, place: Place) -> None:
        if place is world.places[0]:
            raise IntegrityFailure("plan.missing", "the plan is not stored")
        await require_free(work, place)

    monkeypatch.setattr(world.requests, "require_free", broken)
    await sent(world, sender, world.places[0], 3 * EURO)
    await sent(world, neighbour.address, world.places[2], 3 * EURO)
    assert (await only(world)).terms.payer == neighbour.address
    monkeypatch.undo()
    await seen(world)
    assert {one.terms.payer for one in await world.sessions()} == {sender, neighbour.address}


async def test_what_comes_while_the_way_is_closed_is_flagged(world: World, sender: Address) -> None:
    world.deposits.closed = "transfer.no_eip3009"
    await sent(world, sender, world.places[0], 3 * EURO)
    await world.watch.compare()
    async with world.database.begin() as unit:
        assert await unit.unseen() == {1: 3 * EURO}


async def test_a_charge_by_transfer_owes_nothing_on_the_senders_tab(world: World, sender: Address) -> None:
    await sent(world, sender, world.places[0], 5 * EURO)
    await charged(world, await only(world), 4_000)
    async with world.database.begin() as unit:
        assert await unit.owed_on_tab(TabRef(CONTRACTS.charge_tab, OPERATOR.payee.address, sender), 0) == 0
