"""Claims go together: one transaction for what is owed at a time, each row once, and no row stops another."""

from pathlib import Path

import pytest

from evmesh.domain.errors import Refused
from evmesh.domain.sessions import UNCOLLECTABLE, Session, State
from evmesh.domain.settlement import Settlement
from tests.drivers.clocks import HandClock
from tests.fakes.world import Driver, World, eventually, open_world, running
from tests.unit.services.streaming_sessions import PER_100_WH, send, streaming


async def metered(world: World, *drivers: Driver, wh: int = 1_000) -> list[Session]:
    """Let each driver charge at a bay of its own, one after the other, and end."""
    ended = []
    for bay, driver in enumerate(drivers):
        session = await world.charging(driver, world.places[bay], 5_000)
        ended.append(await world.end(session, (session.meter_start or 0) + wh))
    return ended


def crowd(size: int = 3) -> list[Driver]:
    return [Driver(f"driver {number}") for number in range(size)]


async def test_what_is_owed_at_a_time_is_claimed_in_one_transaction(world: World) -> None:
    drivers = crowd()
    ended = await metered(world, *drivers)
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert [key for key in world.escrow.sent if key.startswith("claim")] == [f"claim:{ended[0].id}"]
    for driver, session in zip(drivers, ended, strict=True):
        assert world.escrow.tabs[driver.address].spent == 350_000
        settlement = Settlement.parse(await world.document(session, Settlement.FORMAT))
        assert (await world.now(session)).state is State.SETTLED
        assert (settlement.amount, len(settlement.transactions)) == (350_000, 1)


async def test_a_dead_voucher_is_lost_and_the_others_are_claimed(world: World) -> None:
    drivers = crowd()
    ended = await metered(world, *drivers)
    world.escrow.finish_exit(drivers[1].address)
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert [(await world.now(one)).uncollected for one in ended] == [0, 350_000, 0]
    assert UNCOLLECTABLE in (await world.now(ended[1])).flags


async def test_a_row_that_dies_on_its_way_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit ends between the look at the tabs and the block."""
    drivers = crowd()
    ended = await metered(world, *drivers)
    claim = world.escrow.claim

    async def too_late(claims, key):  # type: ignore[no-untyped-def]
        if len(claims) == 3:
            world.escrow.finish_exit(drivers[2].address)
        return await claim(claims, key)

    monkeypatch.setattr(world.escrow, "claim", too_late)
    async with running(world.effects):
        await eventually(world.owes_nothing)
    assert [(await world.now(one)).uncollected for one in ended] == [0, 0, 350_000]
    assert world.escrow.earned == 700_000


async def test_a_row_that_the_escrow_cannot_pay_now_is_tried_again(world: World) -> None:
    drivers = crowd(2)
    ended = await metered(world, *drivers)
    full = world.escrow.tabs[drivers[0].address]
    world.escrow.tabs[drivers[0].address] = type(full)(full.spent, 1, 0, full.epoch)  # a chain that lost it

    async def other_is_settled() -> bool:
        return await world.is_in(ended[1], State.SETTLED)

    async with running(world.effects):
        await eventually(other_is_settled)
        assert await world.is_in(ended[0], State.METERED)
        world.escrow.tabs[drivers[0].address] = full
        await eventually(world.owes_nothing)
    assert world.escrow.earned == 700_000


@pytest.mark.parametrize("point", ["claim:before_send", "claim:fixed", "claim:after_send"])
async def test_a_crash_at_any_point_claims_each_row_once(tmp_path: Path, point: str) -> None:
    class Crash(BaseException):
        pass

    clock, drivers = HandClock(), crowd()
    async with open_world(tmp_path, clock=clock) as world:
        ended = await metered(world, *drivers)
        escrow = world.escrow

        def checkpoint(name: str) -> None:
            if name == point:
                raise Crash

        world.transitions.checkpoint = checkpoint
        with pytest.raises((Crash, BaseExceptionGroup)):
            async with running(world.effects):
                await eventually(world.owes_nothing, within_s=3)
    async with open_world(tmp_path, clock=clock, escrow=escrow) as world:
        async with running(world.effects):
            await eventually(world.owes_nothing)
        assert [(await world.now(one)).state for one in ended] == [State.SETTLED] * 3
    assert (escrow.earned, len([key for key in escrow.sent if key.startswith("claim")])) == (1_050_000, 1)


async def test_a_voucher_counts_until_its_row_is_fixed(world: World, driver: Driver) -> None:
    session = await streaming(world, driver)
    done = await world.end(session, (session.meter_start or 0) + 180)
    world.escrow.away = world.notary.away = True
    async with running(world.effects):
        taken = await send(world, driver, done, 2 * PER_100_WH)  # the claim waits for the chain
        assert taken.due == 63_000
    world.escrow.away = world.notary.away = False
    world.escrow.lose_answers = 10**6
    async with running(world.effects):

        async def is_sent() -> bool:
            return f"claim:{done.id}" in world.escrow.sent

        await eventually(is_sent)
        with pytest.raises(Refused, match=r"voucher\.too_late"):
            await send(world, driver, done, 3 * PER_100_WH)
        world.escrow.lose_answers = 0
        await eventually(world.owes_nothing)
    assert world.escrow.tabs[driver.address].spent == 63_000
