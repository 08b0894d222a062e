"""Nothing begins before the cabinet was looked at once more, and what may flow unseen is counted."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from evmesh.domain.errors import Refused
from evmesh.domain.ids import ConnectorRef
from evmesh.domain.sessions import NO_CAR_TIMEOUT, State
from evmesh.domain.stations import BootInfo, ConnectorStatus, StartedTransaction
from evmesh.domain.units import Wh
from evmesh.services.requests import Promise
from evmesh.services.starts import NO_ROOM
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
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    for place in world.places[1:]:
        world.live.note_stray(place.connector.ref, 99)  # three that draw what they like
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


async def stray(world: World, ref: ConnectorRef) -> None:
    """Let a station begin what nobody has paid for."""
    answer = await world.events.started(StartedTransaction(ref, "CARD", world.clock.now(), Wh(1_000)))
    assert not answer.accepted


async def test_nothing_is_promised_where_strays_leave_no_room_to_begin(world: World, driver: Driver) -> None:
    for place in world.places[1:3]:  # 14 720 of 16 000 W: less than 6 A is left
        await stray(world, place.connector.ref)
    with pytest.raises(Refused) as refused:
        await world.ask(driver, world.places[0], 500)
    assert refused.value.code == NO_ROOM
    await world.says(world.places[1], ConnectorStatus.AVAILABLE)
    assert isinstance(await world.ask(driver, world.places[0], 500), Promise)


async def test_a_promise_counts_with_what_strays_take(tmp_path: Path, driver: Driver) -> None:
    async with open_world(tmp_path, bays=2, capacity=9_000) as world:
        await stray(world, world.places[1].connector.ref)  # 1 640 W are left
        assert not isinstance(await world.ask(driver, world.places[0], 8_000), Promise)
        assert isinstance(await world.ask(driver, world.places[0], 4_000), Promise)


async def test_a_charge_on_a_connector_that_is_none_takes_nobodys_room(world: World, driver: Driver) -> None:
    for number in range(90, 99):
        await stray(world, ConnectorRef(world.places[0].connector.ref.station, number))
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    await once(world)
    assert world.control.may_begin(session)


async def test_money_goes_back_for_want_of_room_and_says_so(world: World, driver: Driver) -> None:
    session = await world.pay(driver, await world.promised(driver, world.places[0]))
    for place in world.places[1:]:
        await stray(world, place.connector.ref)
    await once(world)

    async def is_said() -> bool:
        return (await world.now(session)).cause == NO_ROOM

    async with running(world.effects, world.caretaker):
        await eventually(is_said)
        world.clock.move(NO_CAR_TIMEOUT)
        await eventually(world.owes_nothing)
        await eventually(lambda: world.is_in(session, State.REFUNDED))
    assert (await world.now(session)).cause == NO_ROOM
    assert world.stations.of("remote_start") == []


async def test_a_status_of_a_connector_that_is_none_is_logged(world: World) -> None:
    station = world.places[0].connector.ref.station
    with capture_logs() as logs:
        for number in (0, 1, 99):  # 0 is the station as a whole
            ref = ConnectorRef(station, number)
            await world.events.status(ref, ConnectorStatus.AVAILABLE, "NoError", world.clock.now())
    assert [(one["event"], one["connector"]) for one in logs] == [
        ("status.unknown_connector", f"{station}/99")
    ]
