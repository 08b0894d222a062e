"""Caps are durable, the lowest wins, the newest word of a source stands, and limits obey at once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from evmesh.domain.caps import Cap, CapKind, FloorRule, floor_of
from evmesh.domain.errors import InvalidInput
from evmesh.domain.units import W
from evmesh.services.caps import GroupCaps
from evmesh.services.directory import Group
from evmesh.services.dues import PLANNER
from tests.fakes.world import Driver, World, open_world

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path, capacity=16_000) as opened:
        yield opened


def group_of(world: World) -> Group:
    return world.directory.groups["yard"]


def cap(world: World, power: int | None, start: int = 0, end: int = 60, source: str = "grid co") -> Cap:
    """Give a cap for minutes from now."""
    now = world.clock.now()
    at, over = now + start * MINUTE, now + end * MINUTE
    return Cap("yard", source, None if power is None else W(power), at, over, "the cable is hot")


async def test_the_lowest_of_all_sources_holds_from_its_start_to_its_end(world: World) -> None:
    await world.caps.put(cap(world, 9_000, 0, 60))
    await world.caps.put(cap(world, 5_000, 10, 20, source="the operator"))
    now, group = world.clock.now(), group_of(world)
    seen = [world.caps.capacity(group, now + at * MINUTE) for at in (0, 9, 10, 19, 20, 59, 60)]
    assert seen == [9_000, 9_000, 5_000, 5_000, 9_000, 9_000, 16_000]
    assert world.caps.course(group, now).points == (
        (now, 9_000),
        (now + 10 * MINUTE, 5_000),
        (now + 20 * MINUTE, 9_000),
        (now + 60 * MINUTE, 16_000),
    )
    binding = world.caps.binding(group, now + 12 * MINUTE)
    assert binding is not None
    assert (binding.by, binding.reason) == ("grid:the operator", "the cable is hot")
    assert world.caps.binding(group, now + 60 * MINUTE) is None


async def test_the_newest_word_of_a_source_stands_even_when_it_is_higher(world: World) -> None:
    await world.caps.put(cap(world, 3_000))
    await world.caps.put(cap(world, 8_000, 0, 30))
    now, group = world.clock.now(), group_of(world)
    assert world.caps.capacity(group, now) == 8_000
    assert world.caps.capacity(group, now + 30 * MINUTE) == 3_000  # of that it has not spoken again
    assert await world.caps.lift("yard", "grid co", "all is well")
    assert world.caps.capacity(group, now) == world.caps.capacity(group, now + 30 * MINUTE) == 16_000
    assert not await world.caps.lift("yard", "grid co", "all is well")


async def test_caps_outlive_the_platform(world: World, tmp_path: Path) -> None:
    kept = await world.caps.put(cap(world, 4_000, 5, 90))
    async with open_world(tmp_path, capacity=16_000, clock=world.clock) as again:
        at = world.clock.now() + 5 * MINUTE
        assert again.caps.of("yard", at) == (kept,)
        assert again.caps.capacity(group_of(again), at) == 4_000
        assert again.caps.next_change(world.clock.now()) == at


async def test_the_same_words_again_are_kept_once(world: World) -> None:
    wish = cap(world, 4_000)
    first = await world.caps.put(wish)
    assert await world.caps.put(wish) == first
    await world.caps.put(cap(world, 5_000))
    assert (await world.caps.put(wish)).number > first.number  # it was another word meanwhile
    async with world.transitions.read() as unit:
        assert [one.power for one in await unit.caps("yard")] == [4_000, 5_000, 4_000]


async def test_a_grid_operator_lowers_no_group_below_its_floor_but_its_operator_may(world: World) -> None:
    group = replace(group_of(world), floor=W(7_560), floor_each=W(4_200))
    await world.caps.put(cap(world, 0))
    now = world.clock.now()
    assert world.caps.capacity(group, now) == 7_560
    await world.caps.put(replace(cap(world, 2_000), kind=CapKind.OPERATOR))
    assert world.caps.capacity(group, now) == 2_000


async def test_a_charge_point_has_caps_of_its_own(world: World) -> None:
    ref = world.places[1].connector.ref
    await world.caps.put(replace(cap(world, 2_000), connector=ref))
    group, now = group_of(world), world.clock.now()
    assert [world.caps.rating(group, one.connector, now) for one in world.places[:2]] == [7_360, 2_000]
    assert world.caps.capacity(group, now) == 16_000
    assert world.caps.rating(replace(group, floor_each=W(4_200)), world.places[1].connector, now) == 4_200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"group": "nowhere"}, "cap.unknown_group"),
        ({"power": W(-1)}, "cap.bad_power"),
        ({"power": W(2**31)}, "cap.bad_power"),
        ({"reason": ""}, "cap.bad_text"),
        ({"source": "a\nb"}, "cap.bad_text"),
    ],
)
async def test_a_cap_that_makes_no_sense_is_refused(
    world: World, change: dict[str, object], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await world.caps.put(replace(cap(world, 4_000), **change))  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.parametrize(("start", "end"), [(10, 10), (10, 5), (0, 367 * 24 * 60), (365 * 1440, 367 * 1440)])
async def test_a_window_that_is_empty_or_too_far_away_is_refused(world: World, start: int, end: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        await world.caps.put(cap(world, 4_000, start, end))
    assert caught.value.code == "cap.bad_time"


@pytest.mark.parametrize(
    ("rule", "n", "floor"),
    [
        (FloorRule.SECTION_14A, 0, 0),
        (FloorRule.SECTION_14A, 1, 4_200),
        (FloorRule.SECTION_14A, 2, 7_560),
        (FloorRule.SECTION_14A, 3, 10_500),
        (FloorRule.SECTION_14A, 8, 18_900),
        (FloorRule.SECTION_14A, 9, 19_320),
        (FloorRule.SECTION_14A, 20, 40_110),
        (FloorRule.EACH, 3, 12_600),
    ],
)
def test_the_floor_follows_the_rule(rule: FloorRule, n: int, floor: int) -> None:
    assert floor_of(rule, W(4_200), n) == floor


async def test_limits_go_down_with_a_cap_at_once_name_its_source_and_go_up_when_it_is_over(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0], 12_000, flexible=False)
    ref, group = session.terms.connector, group_of(world)
    world.live.awake |= world.directory.stations
    await world.control.once(group, has_moved=True)
    before = world.stations.limits[ref]
    assert (before.limit_at(world.clock.now()), before.source) == (7_360, PLANNER)
    await world.caps.put(cap(world, 3_000, 0, 7))
    await world.control.once(group, has_moved=False)
    capped = world.stations.limits[ref]
    assert capped.source == "grid:grid co"
    for minute in range(120):  # also as long as it would hold without us
        assert (capped.limit_at(world.clock.now() + minute * MINUTE) or 0) <= (3_000 if minute < 7 else 7_360)
    assert (capped.limit_at(world.clock.now()) or 0) > 2_900
    world.clock.move(7 * MINUTE)
    await world.control.once(group, has_moved=False)
    after = world.stations.limits[ref]
    assert ((after.limit_at(world.clock.now()) or 0) > 7_000, after.source) == (True, PLANNER)


async def test_a_cap_of_one_charge_point_leaves_the_others_alone(world: World, driver: Driver) -> None:
    first = await world.charging(driver, world.places[0], 12_000, flexible=False)
    other = await world.charging(Driver("neighbour"), world.places[1], 12_000, flexible=False)
    world.live.awake |= world.directory.stations
    await world.caps.put(replace(cap(world, 2_000, 0, 120), connector=first.terms.connector))
    await world.control.once(group_of(world), has_moved=True)
    now = world.clock.now()
    limits = [world.stations.limits[one.terms.connector] for one in (first, other)]
    assert 1_900 < (limits[0].limit_at(now) or 0) <= 2_000
    assert (limits[1].limit_at(now), limits[1].source) == (7_360, PLANNER)


async def test_putting_a_cap_wakes_the_control_loop(world: World) -> None:
    moved = world.transitions.moves()
    moved.clear()
    await world.caps.put(cap(world, 3_000))
    assert moved.is_set()
    other = GroupCaps(world.transitions, world.clock, world.directory)
    await other.load()
    assert other.capacity(group_of(world), world.clock.now()) == 3_000
