"""A charge point that left the site file takes nothing with it: its sessions end, pay and are shown."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from evmesh.app.registration import with_retired
from evmesh.app.snapshot import Snapshots
from evmesh.domain.errors import InvalidInput
from evmesh.domain.sessions import Session, State
from evmesh.services.directory import Directory, Group, Place
from evmesh.services.requests import NotPromised
from evmesh.services.rewards import RewardBook
from evmesh.services.supply import flat_tariff_supply
from evmesh.store.places import PlaceBook
from tests.fakes.world import OPERATOR, Driver, World, dear_morning, eventually, open_world, running

Smaller = Callable[[World], AbstractAsyncContextManager[World]]


@pytest.fixture
def smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Smaller:
    """Open the same platform after all connectors but the first have left the site file."""

    @asynccontextmanager
    async def reopened(world: World) -> AsyncIterator[World]:
        await with_retired(world.directory, PlaceBook(world.database))
        gone = await PlaceBook(world.database).all()
        await world.database.close()

        def with_gone(groups: tuple[Group, ...]) -> Directory:
            return Directory(groups, gone)

        monkeypatch.setattr("tests.fakes.world.Directory", with_gone)
        async with open_world(tmp_path, bays=1, clock=world.clock) as again:
            again.escrow.tabs, again.escrow.by_key = world.escrow.tabs, world.escrow.by_key
            yield again

    return reopened


async def funded(world: World, driver: Driver, place: Place, monkeypatch: pytest.MonkeyPatch) -> Session:
    session = await world.promised(driver, place)

    async def crash(id: object) -> Session:
        return session

    with monkeypatch.context() as at_start:
        at_start.setattr(world.payments, "start", crash)
        await world.pay(driver, session)
    return await world.now(session)


async def test_what_is_kept_of_a_place_comes_back(world: World) -> None:
    book = PlaceBook(world.database)
    await book.keep(world.places)
    await book.keep(world.places[:1])  # a smaller site forgets nothing
    found = Directory((), await book.all())
    for place in world.places:
        retired = found.by_asset(place.asset)
        assert (retired.asset, retired.name, retired.code) == (place.asset, place.name, place.code)
        assert retired.connector.evse_id == place.connector.evse_id
        assert retired.connector.ref == place.connector.ref
        assert retired.deposit_address == place.deposit_address
        assert retired.connector.group == ""
    assert found.meters == world.directory.meters
    assert found.places == ()


async def test_a_retired_place_is_offered_to_nobody(world: World, driver: Driver, smaller: Smaller) -> None:
    code = world.places[1].code
    async with smaller(world) as again:
        assert [place.asset for place in again.places] == [world.places[0].asset]
        with pytest.raises(InvalidInput, match=r"station\.unknown_code"):
            await again.requests.request(code, world.wish(driver, world.places[1]), b"\0" * 64)


async def test_a_place_that_comes_back_is_no_longer_retired(world: World) -> None:
    [group] = world.directory.groups.values()
    again = Directory((group,), world.places)
    assert again.by_asset(world.places[0].asset).connector.group == group.name


async def test_sessions_at_retired_places_end_and_nothing_stops(
    world: World,
    driver: Driver,
    neighbour: Driver,
    thief: Driver,
    smaller: Smaller,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paid = await funded(world, driver, world.places[1], monkeypatch)
    charging = await world.charging(neighbour, world.places[2], 3_000)
    assert isinstance(await world.ask(thief, world.places[3], 29_000), NotPromised)
    async with smaller(world) as again:
        snapshots = Snapshots(again.clock, again.directory, OPERATOR, again.live, again.planner, again.caps)

        async def paid_back() -> bool:
            return await again.is_in(paid, State.REFUNDED)

        async with running(again.effects, again.caretaker, again.control):
            await eventually(paid_back)
            async with again.database.begin() as unit:
                await snapshots.groups(unit)
                shown = {one["id"]: one for one in await snapshots.sessions(unit)}
                [refusal] = await snapshots.refusals(unit)
            assert shown[charging.id.text]["code"] == world.places[2].code
            assert refusal["code"] == world.places[3].code
            again.clock.move(timedelta(minutes=20))
            ended = await again.end(charging, (charging.meter_start or 0) + 1_000)
            done = await again.settled(ended)
        assert (done.state, done.due) == (State.SETTLED, 350_000)
        assert (await again.now(paid)).cause == "station.retired"
        book = RewardBook(again.directory, OPERATOR, flat_tariff_supply(dear_morning))
        midnight = datetime.combine(again.clock.now().date(), time(), UTC)
        async with again.database.begin() as unit:
            assert await book.day_so_far(unit, again.directory.groups["yard"], midnight) == []
