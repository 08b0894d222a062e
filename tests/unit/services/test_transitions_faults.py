"""A unit that fails costs nobody the tree, and only what was written is told."""

import asyncio
from collections.abc import Sequence

import pytest

from evmesh.domain.errors import InvalidInput
from evmesh.domain.ids import SessionId
from evmesh.domain.sessions import Session
from evmesh.services.payments import find
from evmesh.store.unit import SqlUnit
from tests.fakes.world import Driver, World


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every time the tree is read from the database, how many leaves it had."""
    found: list[int] = []
    leaf_hashes = SqlUnit.leaf_hashes

    async def counted(unit: SqlUnit, start: int = 0) -> Sequence[bytes]:
        hashes = await leaf_hashes(unit, start)
        found.append(len(hashes))
        return hashes

    monkeypatch.setattr(SqlUnit, "leaf_hashes", counted)
    return found


async def root_of(world: World) -> tuple[int, bytes]:
    async with world.transitions.begin() as work:
        return work.log.size, work.log.root()


async def fail_after_looking(world: World) -> None:
    with pytest.raises(InvalidInput):
        async with world.transitions.begin() as work:
            await find(work, SessionId.make(1, b"\0" * 10))


async def test_an_error_that_added_no_leaf_keeps_the_tree(
    world: World, driver: Driver, loads: list[int]
) -> None:
    await world.charging(driver, world.places[0])
    before = await root_of(world)
    for _ in range(3):
        await fail_after_looking(world)
    assert await root_of(world) == before
    assert loads == [0]


async def test_an_error_that_added_a_leaf_has_the_tree_read_again(
    world: World, driver: Driver, loads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await world.charging(driver, world.places[0])
    before = await root_of(world)

    class Trouble(Exception):
        pass

    async def trouble(unit: SqlUnit, session: Session) -> None:
        raise Trouble

    with monkeypatch.context() as broken:
        broken.setattr(SqlUnit, "touch_session", trouble)  # comes after the leaf
        with pytest.raises(Trouble):
            await world.measure(session, 1_100, world.at(minutes=1))
    assert await root_of(world) == before
    assert loads == [0, 1]


async def test_a_cancelled_unit_leaves_a_tree_that_is_as_long_as_the_database_says(
    world: World, driver: Driver
) -> None:
    session = await world.charging(driver, world.places[0])
    for turns in range(60):
        task = asyncio.create_task(world.measure(session, 1_001 + turns, world.at(seconds=turns + 1)))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        size, _ = await root_of(world)
        async with world.database.begin() as unit:
            assert len(await unit.leaf_hashes()) == size


async def test_a_look_tells_nobody(world: World, driver: Driver) -> None:
    session = await world.promised(driver, world.places[0])
    changed = world.transitions.changes()
    changed.clear()
    async with world.transitions.begin() as work:
        assert await find(work, session.id) == session
    await fail_after_looking(world)
    assert not changed.is_set()
    await world.pay(driver, session)
    assert changed.is_set()


async def test_a_session_that_moved_in_a_unit_that_was_cancelled_at_its_end_is_told(
    world: World, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit came first: what it owes must not wait until something else moves."""
    session = await world.promised(driver, world.places[0])
    world.fund(driver, session.terms.budget)
    moved = world.transitions.moves()
    moved.clear()
    paying = asyncio.create_task(world.payments.voucher(session.id, *world.voucher(driver, session)))

    def cancel(name: str) -> None:
        if name == "fund:before_commit":
            paying.cancel()

    monkeypatch.setattr(world.transitions, "checkpoint", cancel)
    await asyncio.wait([paying])
    assert paying.cancelled()
    assert (await world.now(session)).state == "funded"
    assert moved.is_set()
