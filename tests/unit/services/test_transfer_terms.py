"""Terms of transfers: signed before anybody pays, held to when gas grows dear, named in every document."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.ids import Address
from evmesh.domain.money import Price
from evmesh.domain.receipt import Receipt
from evmesh.domain.sessions import State
from evmesh.domain.transfer_return import TransferReturn
from evmesh.domain.transfer_terms import TransferTerms, terms_hash
from evmesh.domain.transfers import TransferPolicy, TransferRef
from evmesh.services.directory import Place
from evmesh.services.transfers_terms import HOLD
from evmesh.verify.receipt import verify_receipt
from evmesh.verify.report import Status
from evmesh.verify.returns import verify_return
from tests.fakes.world import SIGNATURES, Driver, World, open_world, running

EURO = 1_000_000


@pytest.fixture
def sender(driver: Driver) -> Address:
    return driver.address


async def told(world: World, place: Place | None = None) -> TransferTerms:
    """Give the terms that a charge point shows now."""
    terms = await world.transfers.terms(place or world.places[0])
    assert isinstance(terms, TransferTerms)
    return terms


async def seen(world: World) -> None:
    await world.watch.look()
    await world.transfers.decide()


async def charged(world: World, sender: Address, before: float = 0) -> Receipt:
    """Transfer 5 euros, let it be seen some hours later, charge 4 kWh, and give the receipt."""
    world.deposits.send(sender, world.places[0].deposit_address, 5 * EURO)
    world.clock.move(timedelta(hours=before))
    await seen(world)
    (session,) = await world.sessions(open_only=False)
    await world.begin(session)
    session = await world.now(session)
    session = await world.end(session, (session.meter_start or 0) + 4_000)
    async with running(world.effects):
        done = await world.settled(session)
    assert done.state is State.SETTLED
    raw = await world.document(done, Receipt.FORMAT)
    report = verify_receipt(raw, SIGNATURES, world.trust())
    assert {one.name: one.status for one in report.checks}["fee"] is Status.OK
    return Receipt.parse(raw)


async def paid_by(world: World, sender: Address, before: float = 0) -> TransferTerms:
    payment = (await charged(world, sender, before)).payment
    assert payment is not None
    assert payment.fee == payment.terms.fee
    return payment.terms


async def test_terms_are_the_operators_word_on_price_fee_and_place(world: World) -> None:
    place, terms = world.places[0], await told(world)
    quote = await world.transfers.quote()
    assert (terms.fee, terms.minimum, terms.price) == (quote.fee, quote.minimum, place.connector.price)
    assert (terms.deposit_address, terms.station.asset) == (place.deposit_address, place.asset)
    assert terms.covers(world.clock.now())
    assert terms == await told(world)


async def test_a_fee_that_was_told_holds_though_gas_has_grown_dear(world: World, sender: Address) -> None:
    before = await told(world)
    world.deposits.price *= 50
    world.clock.move(timedelta(minutes=5))
    assert (await world.transfers.quote()).fee > 40 * before.fee
    assert await paid_by(world, sender) == before


async def test_terms_end_and_dearer_ones_follow_of_which_nobody_who_paid_before_hears(
    world: World, sender: Address
) -> None:
    before = await told(world)
    world.deposits.price *= 50
    world.clock.move(HOLD / 2)
    after = await told(world)
    assert after.fee > before.fee
    assert await paid_by(world, sender) == before  # both are in force: the better ones count
    world.clock.move(HOLD)
    assert (await told(world)).valid_from > before.valid_until


async def test_what_came_while_the_platform_was_away_goes_by_the_terms_of_then(
    world: World, sender: Address
) -> None:
    before = await told(world)
    world.deposits.price *= 50
    assert await paid_by(world, sender, before=30) == before


async def test_a_transfer_of_a_time_without_terms_goes_by_todays(world: World, sender: Address) -> None:
    terms = await paid_by(world, sender, before=30)
    assert terms == await told(world)


async def test_a_fee_that_has_fallen_is_told_at_once(world: World) -> None:
    world.deposits.price *= 50
    before = await told(world)
    world.deposits.price //= 50
    world.clock.move(timedelta(minutes=2))
    assert (await told(world)).fee < before.fee / 40


async def test_a_price_that_was_told_holds_after_the_site_has_raised_it(
    tmp_path: Path, sender: Address
) -> None:
    async with open_world(tmp_path) as world:
        before = await told(world)
        world.deposits.send(sender, world.places[0].deposit_address, 5 * EURO)
        place = world.places[0]
        dear = replace(place, connector=replace(place.connector, price=Price(place.connector.price * 2)))
        world.directory.groups["yard"] = replace(  # type: ignore[index]
            world.directory.groups["yard"], places=(dear, *world.places[1:])
        )
        world.directory.places = (dear, *world.places[1:])
        world.directory._by_asset[place.asset] = dear  # as after a restart with another site file
        after = await told(world, dear)
        assert after.price == 2 * before.price
        await seen(world)
        (session,) = await world.sessions()
        assert session.terms.price == before.price


async def test_terms_outlive_the_platform_and_are_forgotten_when_nobody_can_need_them(
    tmp_path: Path, sender: Address
) -> None:
    async with open_world(tmp_path) as world:
        before, clock, chain = await told(world), world.clock, world.deposits
        used = await paid_by(world, sender)
    async with open_world(tmp_path, clock=clock, deposits=chain) as world:
        assert await told(world) == before
        for _ in range(4):
            world.clock.move(timedelta(days=3))
            await told(world)
        latest = await told(world)
        async with world.transitions.read() as unit:
            assert await unit.transfer_terms(terms_hash(used.encode())) == used.encode()
            assert await unit.transfer_terms(terms_hash(latest.encode())) == latest.encode()
            kept = [await unit.transfer_terms_at(world.places[1].asset, before.valid_from)]
            assert kept == [[]]


async def test_a_return_is_promised_in_writing_and_kept(world: World, sender: Address) -> None:
    world.live.online.clear()
    ref = world.deposits.send(sender, world.places[0].deposit_address, 5 * EURO)
    await seen(world)
    world.clock.move(timedelta(minutes=3))
    await seen(world)
    word = await word_on(world, ref)
    report = verify_return(word.encode(), SIGNATURES, world.trust())
    assert not report.failed()
    assert (word.payer, word.why, word.deposit.received) == (sender, "station.out_of_service", 5 * EURO)
    assert world.deposits.received_by(sender) == 0
    await world.returns.look()
    assert world.deposits.received_by(sender) == word.deposit.returned == 5 * EURO - word.deposit.terms.fee


async def word_on(world: World, ref: TransferRef) -> TransferReturn:
    async with world.transitions.read() as unit:
        (transfer,) = await unit.transfers_in(ref.tx_hash)
        assert transfer.deposit is not None
        deposit = await unit.deposit(transfer.deposit)
    assert deposit is not None
    return TransferReturn.parse(deposit.word)


async def test_who_sends_too_little_is_looked_at_once_until_more_comes(
    world: World, sender: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    least, asked = (await told(world)).minimum, []
    original = world.deposits.block_time

    async def counted(number: int) -> object:
        asked.append(number)
        return await original(number)

    monkeypatch.setattr(world.deposits, "block_time", counted)
    world.deposits.send(sender, world.places[0].deposit_address, least - 1)
    for _ in range(5):
        await seen(world)
    assert len(asked) == 1
    world.deposits.send(sender, world.places[0].deposit_address, 1)
    await seen(world)
    assert len(await world.sessions()) == 1


async def test_a_minimum_that_was_told_holds_after_it_was_raised(tmp_path: Path, sender: Address) -> None:
    async with open_world(tmp_path) as world:
        least, clock, chain = (await told(world)).minimum, world.clock, world.deposits
        world.deposits.send(sender, world.places[0].deposit_address, least)
    dear = TransferPolicy(least=20 * least)
    async with open_world(tmp_path, clock=clock, deposits=chain, transfer_policy=dear) as world:
        await seen(world)
        assert len(await world.sessions()) == 1
        world.deposits.send(sender, world.places[1].deposit_address, least - 1)
        await seen(world)
        assert len(await world.sessions()) == 1
