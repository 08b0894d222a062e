"""A controller that offers no less than 10 A is given 10 A or nothing, and promises to it are still kept."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from evmesh.domain.stations import BootInfo
from evmesh.domain.units import MIN_CURRENT, Milliamp, W
from evmesh.planning.board import DispatchConnector, GroupLimit
from evmesh.planning.dispatch import dispatch
from evmesh.services.directory import Group
from tests.fakes.world import World, open_world, place
from tests.fakes.yard import Car, Yard

TEN = Milliamp(10_000)
TEN_W = 2_300
BOOT = BootInfo("maker", "model", "1", "1")


def group_of(capacity: int, least: Milliamp = TEN) -> Group:
    places = [place(number, "yard") for number in (1, 2, 3)]
    slow = tuple(replace(one, connector=replace(one.connector, least_current=least)) for one in places)
    return Group("yard", W(capacity), slow)


@pytest.fixture
async def slow_world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, wired=group_of(5_000), price_at=lambda _: 50_000, admits=True) as world:
        yield world


async def test_cars_behind_such_controllers_take_turns_at_10_a_and_get_what_was_promised(
    slow_world: World,
) -> None:
    cars = [Car("first", 0, 0, 120, 2_000), Car("second", 1, 1, 150, 2_400), Car("third", 2, 2, 180, 1_500)]
    yard = Yard(slow_world, cars)
    offered: set[int] = set()

    def watch() -> None:
        for car in yard.plugged():
            profile = yard.profile_of(car)
            offered.update(one.limit for one in profile.periods) if profile is not None else None

    await yard.run(185, watch)
    assert yard.refused == []
    assert all((car.left_with or 0) >= car.wh for car in cars)
    assert min(offered - {0}) >= TEN_W
    assert yard.peak_w > TEN_W


@pytest.mark.parametrize(
    ("capacity", "least", "safe"), [(6_899, TEN, 0), (6_900, TEN, TEN_W), (6_899, MIN_CURRENT, 1_380)]
)
async def test_the_safe_limit_is_the_least_that_all_can_draw_at_once(
    tmp_path: Path, capacity: int, least: Milliamp, safe: int
) -> None:
    async with open_world(tmp_path, wired=group_of(capacity, least)) as world:
        [group] = world.directory.groups.values()
        for station in world.directory.stations:
            await world.events.booted(station, BOOT)
        await world.control.once(group, has_moved=True)
        assert set(world.stations.defaults.values()) == {safe}


def test_one_needs_10_a_beside_one_that_needs_6() -> None:
    slow = DispatchConnector("slow", (1,), Milliamp(32_000), 500, min_current=TEN)  # type: ignore[arg-type]
    quick = DispatchConnector("quick", (1,), Milliamp(32_000), 300)  # type: ignore[arg-type]
    cut = dispatch([slow, quick], GroupLimit(power=W(3_700)), 900)  # 16 A
    assert min(ma for ma in cut.currents["slow"] if ma) >= 10_000
    assert min(ma for ma in cut.currents["quick"] if ma) >= 6_000
    assert cut.shortfall_wh == {"slow": 0, "quick": 0}
