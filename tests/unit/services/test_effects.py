"""What is owed to stations and to the chain is sent until it is known to be done, and counts once."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from evmesh.domain.ids import StationId
from evmesh.domain.readings import METER_STREAM
from evmesh.domain.sessions import Session, State
from evmesh.domain.settlement import Settlement
from tests.fakes.world import Driver, World, eventually, open_world, running


async def metered(world: World, driver: Driver, bay: int = 0, wh: int = 1_000) -> Session:
    session = await world.charging(driver, world.places[bay], 5_000)
    return await world.end(session, (session.meter_start or 0) + wh)


async def test_a_start_goes_to_the_station_once(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert world.stations.told == [("remote_start", session.terms.connector, session.id_tag)]
    assert (await world.now(session)).state is State.STARTING


async def test_a_station_that_is_away_hears_its_start_when_it_is_back(world: World, driver: Driver) -> None:
    await world.pay(driver, await world.promised(driver, world.places[0]))
    world.stations.away.add(StationId("CP-1"))

    with capture_logs() as logs:

        async def has_tried() -> bool:
            return any(log["event"] == "effect.delayed" for log in logs)

        async with running(world.effects):
            await eventually(has_tried)
            assert world.stations.told == []
            async with world.database.begin() as unit:
                assert [effect.attempts for effect in await unit.pending_effects()] == [0]
            world.stations.away.clear()
            await eventually(world.owes_nothing)
    assert len(world.stations.of("remote_start")) == 1


async def test_a_station_that_is_away_holds_up_no_other(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    await world.pay(driver, await world.promised(driver, world.places[0]))
    theirs = await world.pay(neighbour, await world.promised(neighbour, world.places[2]))
    world.stations.away.add(StationId("CP-1"))

    async def theirs_is_told() -> bool:
        return world.stations.of("remote_start") == [theirs.id_tag]

    async with running(world.effects):
        await eventually(theirs_is_told)


async def test_a_start_that_the_station_rejects_gives_the_money_back(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    world.stations.rejects.add("remote_start")
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.cause) == (State.REFUNDED, "station.rejected")
    assert world.escrow.balances[driver.address] == session.terms.budget
    assert world.escrow.held == 0
    assert await world.events_of(session) == ["reserve", "fund", "start", "refund", "refunded"]


async def test_a_start_that_may_run_already_is_not_refunded_when_it_is_rejected(
    world: World, driver: Driver
) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    async with world.database.begin() as unit:
        [effect] = await unit.pending_effects()
        await unit.effect_tried(effect.number)  # a crash came between this attempt and its answer
    world.stations.rejects.add("remote_start")
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert (await world.now(session)).state is State.STARTING


async def test_a_start_is_not_sent_for_a_session_that_is_over(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    await world.stop_word(driver, session)
    async with running(world.effects):
        done = await world.settled(session)
    assert world.stations.told == []
    assert done.state is State.REFUNDED


async def test_a_stop_names_the_transaction(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.stop_word(driver, session)
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert world.stations.of("remote_stop") == [session.transaction_id]


async def test_a_metered_session_is_anchored_claimed_and_settled(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    async with running(world.effects):
        done = await world.settled(session)
    assert done.state is State.SETTLED
    assert done.cause == "unplugged"
    assert world.escrow.order == [f"anchor:{session.id}", f"claim:{session.id}"]
    assert world.escrow.tabs[driver.address].spent == session.due == 350_000
    settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
    assert (settlement.kind, settlement.amount, len(settlement.transactions)) == ("claim", 350_000, 1)


async def test_a_session_without_energy_claims_nothing(world: World, driver: Driver) -> None:
    session = await metered(world, driver, wh=0)
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.due) == (State.SETTLED, 0)
    assert world.escrow.sent == []
    settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
    assert (settlement.amount, settlement.transactions) == (0, ())


async def test_a_second_session_claims_on_top_of_the_first(world: World, driver: Driver) -> None:
    first = await metered(world, driver, wh=1_000)
    async with running(world.effects):
        await world.settled(first)
        second = await metered(world, driver, wh=400)
        await world.settled(second)
    assert second.terms.base == 350_000
    assert world.escrow.tabs[driver.address].spent == 350_000 + 140_000


async def test_a_chain_that_is_away_loses_nothing(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    world.escrow.away = world.notary.away = True

    async def has_tried() -> bool:
        async with world.database.begin() as unit:
            return (await unit.pending_effects())[0].attempts > 0

    async with running(world.effects):
        await eventually(has_tried)
        assert (await world.now(session)).state is State.METERED
        world.escrow.away = world.notary.away = False
        assert (await world.settled(session)).state is State.SETTLED
    assert len(world.escrow.sent) == 1


async def test_what_goes_to_the_chain_goes_in_the_order_in_which_it_was_owed(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    first = await metered(world, driver, 0)
    second = await metered(world, neighbour, 2)
    world.notary.away = True

    async def has_tried() -> bool:
        async with world.database.begin() as unit:
            return any(effect.attempts > 1 for effect in await unit.pending_effects())

    async with running(world.effects):
        await eventually(has_tried)
        assert world.escrow.order == []  # nothing overtakes the anchor that waits for the node
        world.notary.away = False
        await eventually(world.owes_nothing)
    assert world.escrow.order == [
        f"anchor:{first.id}",
        f"anchor:{second.id}",
        f"claim:{first.id}",  # the second one's row is in it
    ]


async def test_a_claim_that_the_contract_refuses_does_not_hold_up_the_others(
    world: World, driver: Driver, neighbour: Driver
) -> None:
    first = await metered(world, driver, 0)
    second = await metered(world, neighbour, 2)
    world.escrow.tabs.pop(driver.address)  # a node that forgot the money: the voucher is underfunded

    async def second_is_settled() -> bool:
        return (await world.now(second)).state is State.SETTLED

    async with running(world.effects):
        await eventually(second_is_settled)
    assert (await world.now(first)).state is State.METERED
    assert await world.owed() == ["claim"]


async def test_an_answer_that_is_lost_pays_nothing_twice(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    world.escrow.lose_answers = 2
    async with running(world.effects):
        await world.settled(session)
    assert world.escrow.sent == [f"claim:{session.id}"]
    assert world.escrow.tabs[driver.address].spent == 350_000


@pytest.mark.parametrize("point", ["claim:before_send", "claim:after_send", "settle:before_commit"])
async def test_a_crash_between_send_and_commit_sends_the_same_key_again(
    world: World, driver: Driver, tmp_path: Path, point: str
) -> None:
    session = await metered(world, driver)

    class Crash(BaseException):
        pass

    def crash(name: str) -> None:
        if name == point:
            raise Crash

    world.transitions.checkpoint = crash
    run = asyncio.create_task(world.effects.run())
    with pytest.raises(BaseExceptionGroup) as died:
        await run
    assert died.group_contains(Crash)
    assert (await world.now(session)).state is State.METERED
    assert "claim" in await world.owed()

    async with open_world(tmp_path, clock=world.clock) as again:
        again.escrow.tabs, again.escrow.by_key = world.escrow.tabs, world.escrow.by_key
        again.escrow.sent, again.notary.heads = world.escrow.sent, world.notary.heads
        async with running(again.effects):
            assert (await again.settled(session)).state is State.SETTLED
        assert again.escrow.sent == [f"claim:{session.id}"]
        assert again.escrow.tabs[driver.address].spent == 350_000


async def refunding(world: World, driver: Driver) -> Session:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    return await world.stop_word(driver, session)


async def test_a_refund_gives_back_all_that_is_not_spent(world: World, driver: Driver) -> None:
    first = await metered(world, driver)
    async with running(world.effects):
        await world.settled(first)
        second = await refunding(world, driver)
        done = await world.settled(second)
    left = first.terms.budget - 350_000 + second.terms.budget
    assert (done.state, done.refund) == (State.REFUNDED, left)
    assert world.escrow.balances[driver.address] == left
    settlement = Settlement.parse(await world.document(second, Settlement.FORMAT))
    assert (settlement.kind, settlement.amount, settlement.receipt_sha256) == ("refund", left, None)


async def test_a_refund_whose_answer_is_lost_goes_back_once(world: World, driver: Driver) -> None:
    session = await refunding(world, driver)
    world.escrow.lose_answers = 1
    async with running(world.effects):
        done = await world.settled(session)
    assert done.refund == session.terms.budget == world.escrow.balances[driver.address]
    assert world.escrow.sent == [f"refund:{session.id}"]
    settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
    assert (settlement.amount, len(settlement.transactions)) == (session.terms.budget, 1)


async def test_a_driver_who_took_the_money_back_already_gets_nothing_twice(
    world: World, driver: Driver
) -> None:
    session = await refunding(world, driver)
    world.escrow.finish_exit(driver.address)
    world.fund(driver, 5)  # and began anew
    async with running(world.effects):
        done = await world.settled(session)
    assert (done.state, done.refund) == (State.REFUNDED, None)
    assert world.escrow.sent == []
    assert world.escrow.tabs[driver.address].ceiling == 5


async def test_an_older_head_is_not_sent_after_a_newer_one(world: World, driver: Driver) -> None:
    session = await metered(world, driver)
    async with world.database.begin() as unit:
        head = await unit.head_of(session.id)
        [anchor] = [one for one in await unit.pending_effects() if one.kind == "anchor"]
    assert head is not None
    assert anchor.session == session.id
    world.notary.heads[METER_STREAM] = head[0] + 10, b"\7" * 32
    async with running(world.effects):
        assert (await world.settled(session)).state is State.SETTLED
    assert world.notary.sent == []


async def test_money_is_conserved_over_sessions_that_end_in_every_way(world: World) -> None:
    minted = 0
    async with running(world.effects):
        for number in range(6):
            driver = Driver(f"driver {number}")
            session = await world.pay(driver, await world.promised(driver, world.places[number % 4], 2_000))
            minted += session.terms.budget
            if number % 3 == 0:
                await world.stop_word(driver, session)
            else:
                await world.begin(session)
                session = await world.now(session)
                await world.end(session, (session.meter_start or 0) + 700 * (number % 3))
            await world.settled(session)
            world.clock.move(timedelta(minutes=1))
    assert world.escrow.held + sum(world.escrow.balances.values()) == minted
    assert world.escrow.earned == sum(one.due or 0 for one in await world.sessions(open_only=False))


async def test_how_long_effects_wait_is_known_while_they_are_fresh(world: World, driver: Driver) -> None:
    assert world.effects.oldest_wait_s == 0
    await world.pay(driver, await world.promised(driver, world.places[0]))
    async with running(world.effects):
        await eventually(world.owes_nothing)

        async def none_waits() -> bool:
            return world.effects.oldest_wait_s == 0

        await eventually(none_waits)


async def test_a_stop_for_a_session_that_has_ended_is_not_sent(world: World, driver: Driver) -> None:
    session = await world.charging(driver, world.places[0])
    await world.stop_word(driver, session)
    await world.end(session, 1_500)
    async with running(world.effects):
        assert (await world.settled(session)).state is State.SETTLED
    assert world.stations.told == []
