"""The part of the port `Store` that knows the further streams, on a real database file."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.commitment import Stream, StreamLeaf, stream_leaf_hash
from evmesh.domain.ids import SessionId
from evmesh.store.database import Database

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
SESSION = SessionId.make(1_780_000_000_000, bytes(10))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(f"sqlite+aiosqlite:///{tmp_path / 'state.db'}")
    await database.migrate()
    yield database
    await database.close()


def leaf(index: int, stream: Stream = Stream.RECORDS, ref: str = "") -> StreamLeaf:
    salt, payload = bytes([index]) * 32, b"{}"
    hash_ = stream_leaf_hash(stream, salt, payload)
    return StreamLeaf(stream, index, ref or f"ref {index}", NOON, salt, payload, hash_)


async def test_a_stream_only_grows_by_its_next_leaf(store: Database) -> None:
    async with store.begin() as unit:
        assert await unit.stream_size(Stream.RECORDS) == 0
        for index in range(3):
            await unit.append_stream_leaf(leaf(index))
        await unit.append_stream_leaf(leaf(0, Stream.SCHEDULES))
    for wrong in (2, 4):
        with pytest.raises(ValueError, match="not the next one"):
            async with store.begin() as unit:
                await unit.append_stream_leaf(leaf(wrong))
    async with store.begin() as unit:
        assert await unit.stream_size(Stream.RECORDS) == 3
        assert await unit.stream_hashes(Stream.RECORDS, 1, 9) == [leaf(1).hash, leaf(2).hash]
        assert await unit.stream_leaves_of(Stream.RECORDS, "ref 1") == [leaf(1)]
        assert await unit.stream_leaves_of(Stream.SCHEDULES, "ref 1") == []


async def test_of_several_heads_the_newest_or_the_first_that_covers_a_leaf_is_given(store: Database) -> None:
    async with store.begin() as unit:
        assert await unit.stream_head(Stream.RECORDS) is None
        for size in (3, 7):
            await unit.add_stream_head(Stream.RECORDS, size, bytes([size]) * 32, NOON)
        await unit.add_stream_head(Stream.RECORDS, 3, b"\xff" * 32, NOON + timedelta(hours=1))
    async with store.begin() as unit:
        assert await unit.stream_head(Stream.RECORDS) == (7, b"\x07" * 32)
        assert await unit.stream_head(Stream.RECORDS, 2) == (3, b"\x03" * 32)
        assert await unit.stream_head(Stream.RECORDS, 3) == (7, b"\x07" * 32)
        assert await unit.stream_head(Stream.RECORDS, 7) is None
        assert await unit.stream_head(Stream.SCHEDULES) is None


async def test_the_first_countersignature_stays(store: Database) -> None:
    async with store.begin() as unit:
        assert await unit.countersignature(SESSION) is None
        await unit.add_countersignature(SESSION, b"\1" * 64, NOON)
        await unit.add_countersignature(SESSION, b"\2" * 64, NOON)
    async with store.begin() as unit:
        assert await unit.countersignature(SESSION) == b"\1" * 64
