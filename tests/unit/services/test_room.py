"""Nothing begins before the cabinet was looked at once more, and what may flow unseen is counted."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.stations import BootInfo, ConnectorStatus
from tests.fakes.world import Driver, World, eventually, open_world, running

MINUTE = timedelta(minutes=1)
BOOT = BootInfo("maker", "model", "1", "1")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, capacity=16_000, admits=True) as opened:
        yield opened


async def once(world: World) -> None:
    await world.control.once(next(iter(world.directory.groups.values())), has_moved=True)


async def test_a_start_waits_until_the_cabinet_has_room_for_it(world: World, driver: Driver) -> None:
    for place in world.places[1:]:
        world.live.note_stray(place.connector.ref, 99)  # three that draw what they like
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    await once(world)
    looks, may_begin = 0, world.control.may_begin

    async def has_asked() -> bool:
        return looks > 2

    def counted(one: object) -> bool:
        nonlocal looks
        looks += 1
        return may_begin(session)

    world.effects._may_begin = counted
    async with running(world.effects):
        await eventually(has_asked)
        assert world.stations.of("remote_start") == []
        async with world.database.begin() as unit:
            assert [effect.attempts for effect in await unit.pending_effects()] == [0]
        for place in world.places[1:]:
            world.live.drop_stray(place.connector.ref)
        await eventually(world.owes_nothing)
    assert world.stations.of("remote_start") == [session.id_tag]


async def test_nothing_begins_before_anybody_has_looked_at_the_group(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    assert not world.control.may_begin(session)
    await once(world)
    assert world.control.may_begin(session)


async def test_what_was_drawing_before_a_restart_counts_from_the_first_look(
    world: World, tmp_path: Path, driver: Driver
) -> None:
    for place in world.places[1:3]:
        await world.says(place, ConnectorStatus.CHARGING)  # for nobody that we know
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    async with open_world(tmp_path, capacity=16_000, clock=world.clock) as again:
        async with again.database.begin() as unit:
            for ref, status in (await unit.statuses()).items():
                again.live.connector(ref).status = status
        await again.events.booted(world.places[0].connector.ref.station, BOOT)
        await once(again)
        assert {place.connector.ref for place in world.places[1:3]} <= again.live.unknown
        assert session.terms.connector not in again.live.unknown
        assert (await again.begin(session)).accepted
        again.clock.move(MINUTE)
        await once(again)
        profile = again.stations.limits[session.terms.connector]
        limit = profile.limit_at(again.clock.now())
        assert limit is not None
        assert limit <= 16_000 - 2 * 7_360
        await again.says(world.places[1], ConnectorStatus.AVAILABLE)
        assert world.places[1].connector.ref not in again.live.unknown
