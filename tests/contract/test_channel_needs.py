"""What cars say that they need, and what becomes of it."""

from datetime import datetime
from pathlib import Path

import pytest
import structlog

from evmesh.domain.channel_grant import Invitation
from evmesh.domain.channel_messages import CarNeed
from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.sessions import Session
from evmesh.domain.signed_types import NeedChannel
from evmesh.domain.units import W, Wh
from evmesh.ledger.channels_desk import ChannelDesk
from evmesh.ledger.channels_ears import ChannelEars
from evmesh.services.channel_needs import CarNeeds
from tests.brokers import until
from tests.contract.channel_yard import (
    CAR,
    Yard,
    broker,
    driver,
    yard,
)
from tests.fakes.world import OPERATOR, SIGNATURES, Driver, running
from tests.unit.ledger.channel_world import STRANGER, Dice

__all__ = ["broker", "driver", "yard"]  # fixtures


async def say_need(yard: Yard, driver: Driver, session: Session, energy: int, at: datetime) -> ChannelDesk:
    desk = ChannelDesk(CAR.writer, await yard.book_of("car"), yard.carrier(), yard.world.clock, Dice(b"car"))
    channel, sealed = await desk.begin("need"), await desk.admit("need", yard.needs.inbox)
    word = NeedChannel(session.id.to_bytes32(), channel.id)
    await yard.needs.attach(session.id, Invitation(channel, sealed), driver.sign(word))
    await desk.say({"need": CarNeed(at, Wh(energy), 70, None).encode()})
    await desk.carry_once()
    return desk


async def test_a_car_that_needs_less_gives_back_what_it_was_promised_beyond_that(
    yard: Yard, driver: Driver, tmp_path: Path
) -> None:
    world = yard.world
    session = await world.charging(driver, world.places[0], 10_000)
    await world.measure(session, 2_000, power=W(3_000))
    session = await world.now(session)
    async with running(yard.ears):
        await say_need(yard, driver, session, 4_000, world.clock.now())
        await until(lambda: yard.needs.of(session.id) is not None)
    assert world.live.wanted(session) == 5_000  # 1,000 Wh that it has, and 4,000 that it needs
    [group] = world.directory.groups.values()
    async with world.transitions.read() as unit:
        plan, short = await world.planner.replan(unit, group, world.clock.now())
    assert short == {}
    planned = sum(sum(row.wh) for row in plan.schedule.rows)
    assert planned <= 4_000
    # The same after a restart of the services.
    again = CarNeeds(world.transitions, yard.ears, yard.book, SIGNATURES, OPERATOR, world.live.note_wanted)
    world.live.note_wanted(session.id, Wh(9_999))
    async with running(again):
        await until(lambda: again.of(session.id) is not None)
    assert world.live.wanted(session) == 5_000


async def test_a_car_whose_grant_our_new_key_cannot_open_is_left_out(yard: Yard, driver: Driver) -> None:
    world = yard.world
    session = await world.charging(driver, world.places[0], 5_000)
    await say_need(yard, driver, session, 4_000, world.clock.now())
    ears = ChannelEars(STRANGER, yard.book, yard.carrier())
    again = CarNeeds(world.transitions, ears, yard.book, SIGNATURES, OPERATOR, world.live.note_wanted)
    with structlog.testing.capture_logs() as logs:
        async with running(again):
            await until(lambda: any(log["event"] == "need.not_heard" for log in logs))
    assert again.of(session.id) is None


async def test_a_car_that_says_it_needs_more_is_planned_for_what_it_was_promised(
    yard: Yard, driver: Driver
) -> None:
    world = yard.world
    session = await world.charging(driver, world.places[0], 5_000)
    async with running(yard.ears):
        await say_need(yard, driver, session, 60_000, world.clock.now())
        await until(lambda: yard.needs.of(session.id) is not None)
    assert world.live.wanted(session) == 5_000


async def test_a_strangers_channel_is_no_need_of_a_drivers_car(yard: Yard, driver: Driver) -> None:
    session = await yard.world.charging(driver, yard.world.places[0], 5_000)
    with pytest.raises(IntegrityFailure, match=r"need\.wrong_signature"):
        await say_need(yard, Driver("thief"), session, 100, yard.world.clock.now())
    assert yard.needs.of(session.id) is None
    async with running(yard.ears):
        with structlog.testing.capture_logs() as logs:
            await say_need(yard, driver, session, 100, yard.world.at(hours=-3))
            await until(lambda: any(log.get("code") == "need.before_session" for log in logs))
    assert yard.world.live.wanted(session) == 5_000
