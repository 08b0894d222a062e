"""The `TelemetryStore` port and the ingest's writer, on a real database file."""

import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.errors import IntegrityFailure, Unavailable
from evmesh.domain.telemetry import TelemetryValue
from evmesh.ports import TelemetryStore
from evmesh.telemetry.store import MIGRATIONS, Row, SetAside, SqliteReadings, Written
from evmesh.telemetry.topics import Reading, encode, value_topic

BOOT = "platform-1"
AT = datetime(2026, 6, 1, 8, 0, 0, 123_456, tzinfo=UTC)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteReadings]:
    async with SqliteReadings(tmp_path / "telemetry.db") as opened:
        yield opened


def row(
    value: int | str | None,
    seq: int | None = 1,
    *,
    name: str = "PowerOutput",
    after_s: int = 0,
    charger: str = "cp-1",
) -> Row:
    """A reading `after_s` seconds after AT; without a number, a foreign one."""
    read = TelemetryValue(charger, name, AT + timedelta(seconds=after_s), value)
    boot = None if seq is None else BOOT
    reading = Reading(read, boot, seq)
    return Row(read, reading.identity, AT, value_topic(charger, name), encode(reading), boot, seq)


async def everything(
    store: TelemetryStore, name: str = "PowerOutput"
) -> list[tuple[datetime, int | str | None]]:
    found = await store.range("cp-1", name, AT - timedelta(days=9), AT + timedelta(days=9))
    return [(value.at, value.value) for value in found]


async def test_values_come_back_as_they_were_of_every_kind(store: SqliteReadings) -> None:
    rows = [
        row(7_200, 1),
        row(-(2**63), 2, after_s=1),
        row(None, 3, after_s=2),
        row("charging", 4, name="OperationState"),
        row("42", 5, name="ConnectedVehicle"),
    ]
    assert await store.write(rows, []) == Written(stored=5, duplicates=0, contradicting=0)
    assert await everything(store) == [
        (AT, 7_200),
        (AT + timedelta(seconds=1), -(2**63)),
        (AT + timedelta(seconds=2), None),
    ]
    last = await store.last("cp-1")
    assert {name: value.value for name, value in last.items()} == {
        "PowerOutput": None,
        "OperationState": "charging",
        "ConnectedVehicle": "42",
    }
    assert last["OperationState"] == TelemetryValue("cp-1", "OperationState", AT, "charging")


async def test_nobody_heard_of_has_no_values(store: SqliteReadings) -> None:
    await store.write([row(7)], [])
    assert await store.last("cp-2") == {}
    assert await store.range("cp-2", "PowerOutput", AT, AT + timedelta(days=1)) == []


async def test_a_range_holds_its_start_and_not_its_end_whatever_order_rows_came_in(
    store: SqliteReadings,
) -> None:
    await store.write([row(second, second + 1, after_s=second) for second in (4, 1, 3, 0, 2)], [])
    found = await store.range("cp-1", "PowerOutput", AT + timedelta(seconds=1), AT + timedelta(seconds=3))
    assert [value.value for value in found] == [1, 2]


async def test_of_values_with_one_time_the_later_number_is_the_last(store: SqliteReadings) -> None:
    await store.write([row(9, 9), row(10, 10)], [])
    assert (await store.last("cp-1"))["PowerOutput"].value == 10
    assert [value for _, value in await everything(store)] == [9, 10]


async def test_the_same_reading_is_stored_once_within_a_batch_and_across(store: SqliteReadings) -> None:
    foreign = row(5, None, after_s=9)
    assert await store.write([row(1), row(1), foreign, foreign], []) == Written(2, 2, 0)
    assert await store.write([row(1), foreign, row(2, 2)], []) == Written(1, 2, 0)
    assert await store.count() == 3


async def test_numbers_count_per_charger(store: SqliteReadings) -> None:
    assert await store.write([row(1), row(1, charger="cp-2")], []) == Written(2, 0, 0)


@pytest.mark.parametrize(
    "other",
    [row(2), row(1, name="SessionEnergy"), row(1, after_s=1), row(None)],
    ids=["value", "name", "time", "null"],
)
async def test_the_same_number_with_other_content_is_set_aside_and_the_first_stays(
    store: SqliteReadings, other: Row
) -> None:
    await store.write([row(1)], [])
    assert await store.write([other, row(3, 3, after_s=3)], []) == Written(1, 0, 1)
    assert [value for _, value in await everything(store)] == [1, 3]
    (aside,) = await store.set_aside()
    assert (aside.topic, aside.payload, aside.code) == (other.topic, other.payload, "telemetry.contradiction")
    assert f"{BOOT}/1" in aside.reason


async def test_what_is_set_aside_is_kept_verbatim_once_and_bounded(tmp_path: Path) -> None:
    def nonsense(number: int) -> SetAside:
        return SetAside("chargers/cp-1/Power", b"\xff%d" % number, "telemetry.bad_payload", "no", AT)

    async with SqliteReadings(tmp_path / "telemetry.db", set_aside_at_most=3) as store:
        await store.write([], [nonsense(1), nonsense(1)])
        await store.write([], [nonsense(1)])
        assert await store.set_aside() == [nonsense(1)]
        await store.write([], [nonsense(number) for number in (2, 3, 4)])
        assert await store.set_aside() == [nonsense(4), nonsense(3), nonsense(2)]


async def test_a_batch_is_stored_whole_or_not_at_all(store: SqliteReadings) -> None:
    broken = Row(TelemetryValue("cp-1", "PowerOutput", AT, 2**63), "x/1", AT, "", b"")
    with pytest.raises(OverflowError):
        await store.write([row(1), broken], [])
    assert await store.count() == 0
    assert await store.write([row(1)], []) == Written(1, 0, 0)


async def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    for expected in (0, 1):
        async with SqliteReadings(tmp_path / "telemetry.db") as store:
            assert await store.count() == expected
            await store.write([row(1)], [])


async def test_readers_do_not_wait_for_a_writer(store: SqliteReadings, tmp_path: Path) -> None:
    await store.write([row(1)], [])
    other = sqlite3.connect(tmp_path / "telemetry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert (await store.last("cp-1"))["PowerOutput"].value == 1
    other.execute("ROLLBACK")
    other.close()


async def test_a_file_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(IntegrityFailure) as failure:
        async with SqliteReadings(path):
            pass
    assert failure.value.code == "telemetry.store_too_new"


async def test_a_file_that_is_no_database_is_named_as_damaged(tmp_path: Path) -> None:
    path = tmp_path / "telemetry.db"
    path.write_bytes(b"not a database, and long enough for SQLite to look at its header" * 100)
    with pytest.raises(IntegrityFailure) as failure:
        async with SqliteReadings(path):
            pass
    assert failure.value.code == "telemetry.store_damaged"


async def test_a_directory_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as failure:
        async with SqliteReadings(tmp_path / "nowhere" / "telemetry.db"):
            pass
    assert failure.value.code == "telemetry.store_away"
