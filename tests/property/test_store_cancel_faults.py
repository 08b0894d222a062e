"""A unit of work that is cancelled, at whatever moment, is whole or not there, and holds nobody up."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from evmesh.store.database import Database


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cancelled") / "state.db"
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA journal_mode=WAL")
        raw.execute("CREATE TABLE halves (unit INTEGER, half INTEGER)")
    return path


def is_free(file: Path) -> bool:
    """Say whether another process could write now."""
    other = sqlite3.connect(file, isolation_level=None, timeout=0)
    try:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    except sqlite3.OperationalError:
        return False
    finally:
        other.close()
    return True


async def write_both_halves(store: Database, unit_number: int) -> None:
    async with store.begin() as unit:
        for half in (1, 2):
            await unit.execute(text(f"INSERT INTO halves VALUES ({unit_number}, {half})"))


moments = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2_000)), min_size=1, max_size=8)
"""Of each unit: how many turns of the loop, and then how many microseconds, until it is cancelled."""


@settings(max_examples=60)
@given(moments=moments)
def test_a_unit_cancelled_at_any_moment_is_whole_or_gone_and_frees_the_database(
    file: Path, moments: list[tuple[int, int]]
) -> None:
    async def cancel_each() -> None:
        store = Database(f"sqlite+aiosqlite:///{file}")
        try:
            async with store.begin() as unit:
                await unit.execute(text("DELETE FROM halves"))
            for number, (turns, microseconds) in enumerate(moments):
                task = asyncio.create_task(write_both_halves(store, number))
                for _ in range(turns):
                    await asyncio.sleep(0)
                await asyncio.sleep(microseconds / 1_000_000)
                task.cancel()
                await asyncio.wait([task])
                assert task.cancelled() or task.exception() is None
                assert is_free(file)
            await write_both_halves(store, 99)
        finally:
            await store.close()

    asyncio.run(cancel_each())
    with sqlite3.connect(file) as raw:
        halves = raw.execute("SELECT unit, count(*) FROM halves GROUP BY unit").fetchall()
    assert {count for _, count in halves} == {2}
    assert (99, 2) in halves


async def test_units_that_wait_for_their_turn_can_be_cancelled_too(file: Path) -> None:
    store = Database(f"sqlite+aiosqlite:///{file}")
    async with store.begin():
        waiting = [asyncio.create_task(write_both_halves(store, number)) for number in range(3)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        assert all(task.cancelled() for task in waiting)
    await write_both_halves(store, 1)
    await store.close()


async def test_a_commit_that_is_refused_leaves_no_transaction_open(file: Path) -> None:
    store = Database(f"sqlite+aiosqlite:///{file}")
    async with store.begin() as unit:
        await unit.execute(text("DELETE FROM halves"))
        await unit.execute(text("CREATE TABLE IF NOT EXISTS parents (id INTEGER PRIMARY KEY)"))
        await unit.execute(
            text(
                "CREATE TABLE IF NOT EXISTS children"
                " (parent INTEGER REFERENCES parents(id) DEFERRABLE INITIALLY DEFERRED)"
            )
        )

    async def break_at_commit() -> None:
        async with store.begin() as unit:
            await unit.execute(text("INSERT INTO children VALUES (7)"))  # its parent is looked for at the end

    with pytest.raises(Exception, match="FOREIGN KEY"):
        await break_at_commit()
    assert is_free(file)
    await write_both_halves(store, 5)
    await store.close()
