"""Somebody else anchors with our notary key: it is said, and nothing runs in circles."""

import pytest
from structlog.testing import capture_logs

from evmesh.domain.readings import METER_STREAM
from evmesh.domain.sessions import Session, State
from tests.fakes.world import Driver, World, running

FOREIGN = b"\7" * 32


async def metered(world: World, driver: Driver, bay: int = 0) -> Session:
    session = await world.charging(driver, world.places[bay], 5_000)
    return await world.end(session, (session.meter_start or 0) + 1_000)


@pytest.mark.parametrize("ahead", [0, 10])
async def test_a_foreign_head_is_told_and_not_tried_against_for_ever(
    world: World, driver: Driver, ahead: int
) -> None:
    session = await metered(world, driver)
    async with world.database.begin() as unit:
        head = await unit.head_of(session.id)
    assert head is not None
    world.notary.heads[METER_STREAM] = head[0] + ahead, FOREIGN
    with capture_logs() as logs:
        async with running(world.effects):
            done = await world.settled(session)
    assert (done.state, done.flags) == (State.SETTLED, ("notary.foreign_head",))
    assert world.notary.sent == []
    said = [log for log in logs if log["event"] == "notary.foreign_head"]
    assert [log["log_level"] for log in said] == ["error"]


async def test_a_shorter_foreign_head_is_told_and_ours_is_anchored_over_it(
    world: World, driver: Driver
) -> None:
    session = await metered(world, driver)
    world.notary.heads[METER_STREAM] = 1, FOREIGN
    async with running(world.effects):
        done = await world.settled(session)
    assert done.flags == ("notary.foreign_head",)
    assert world.notary.sent == [f"anchor:{session.id}"]


async def test_heads_of_our_own_are_not_foreign(world: World, driver: Driver, neighbour: Driver) -> None:
    first, second = await metered(world, driver), await metered(world, neighbour, 2)
    async with running(world.effects):
        await world.settled(first)
    assert (await world.now(first)).flags == (await world.now(second)).flags == ()
    assert len(world.notary.sent) == 2
