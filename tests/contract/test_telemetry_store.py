"""The `TelemetryHistory` port and the ingest's writer, on every store that there is."""

import asyncio
import contextlib
import random
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Unavailable
from evmesh.domain.telemetry import TelemetryValue
from evmesh.ports import TelemetryStore
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.rows import Row, SetAside, Written
from evmesh.telemetry.store import MIGRATIONS, SqliteReadings
from evmesh.telemetry.topics import Reading, encode, value_topic
from tests.databases import Postgres
from tests.timescale_server import running_timescale

BOOT = "platform-1"
AT = datetime(2026, 6, 1, 8, 0, 0, 123_456, tzinfo=UTC)
ALWAYS = datetime.max.replace(tzinfo=UTC)


Store = SqliteReadings | PostgresReadings


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("timescaledb", marks=pytest.mark.soak)])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Store]]:
    """Opens one store, again and again."""
    if request.param == "sqlite":
        yield lambda **options: SqliteReadings(tmp_path / "telemetry.db", **options)
        return
    if request.param == "timescaledb":
        with running_timescale(request.getfixturevalue("timescale")) as url:
            yield lambda **options: PostgresReadings(url, **options)
        return
    cluster: Postgres = request.getfixturevalue("postgres")
    name = f"t{uuid4().hex}"
    url = cluster.create(name)
    yield lambda **options: PostgresReadings(url, **options)
    cluster.drop(name)


@pytest.fixture
async def store(open_store: Callable[..., Store]) -> AsyncIterator[Store]:
    async with open_store() as opened:
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


async def test_values_come_back_as_they_were_of_every_kind(store: Store) -> None:
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


async def test_nobody_heard_of_has_no_values(store: Store) -> None:
    await store.write([row(7)], [])
    assert await store.last("cp-2") == {}
    assert await store.range("cp-2", "PowerOutput", AT, AT + timedelta(days=1)) == []


async def test_a_range_holds_its_start_and_not_its_end_whatever_order_rows_came_in(
    store: Store,
) -> None:
    await store.write([row(second, second + 1, after_s=second) for second in (4, 1, 3, 0, 2)], [])
    found = await store.range("cp-1", "PowerOutput", AT + timedelta(seconds=1), AT + timedelta(seconds=3))
    assert [value.value for value in found] == [1, 2]


async def test_of_values_with_one_time_the_later_number_is_the_last(store: Store) -> None:
    await store.write([row(9, 9), row(10, 10)], [])
    assert (await store.last("cp-1"))["PowerOutput"].value == 10
    assert [value for _, value in await everything(store)] == [9, 10]


async def test_the_same_reading_is_stored_once_within_a_batch_and_across(store: Store) -> None:
    foreign = row(5, None, after_s=9)
    assert await store.write([row(1), row(1), foreign, foreign], []) == Written(2, 2, 0)
    assert await store.write([row(1), foreign, row(2, 2)], []) == Written(1, 2, 0)
    assert await store.count() == 3


async def test_numbers_count_per_charger(store: Store) -> None:
    assert await store.write([row(1), row(1, charger="cp-2")], []) == Written(2, 0, 0)


@pytest.mark.parametrize(
    "other",
    [row(2), row(1, name="SessionEnergy"), row(1, after_s=1), row(None)],
    ids=["value", "name", "time", "null"],
)
async def test_the_same_number_with_other_content_is_set_aside_and_the_first_stays(
    store: Store, other: Row
) -> None:
    await store.write([row(1)], [])
    assert await store.write([other, row(3, 3, after_s=3)], []) == Written(1, 0, 1)
    assert [value for _, value in await everything(store)] == [1, 3]
    (aside,) = await store.set_aside()
    assert (aside.topic, aside.payload, aside.code) == (other.topic, other.payload, "telemetry.contradiction")
    assert f"{BOOT}/1" in aside.reason


async def test_what_is_set_aside_is_kept_verbatim_once_and_bounded(
    open_store: Callable[..., Store],
) -> None:
    def nonsense(number: int) -> SetAside:
        return SetAside("chargers/cp-1/Power", b"\xff%d" % number, "telemetry.bad_payload", "no", AT)

    async with open_store(set_aside_at_most=3) as store:
        await store.write([], [nonsense(1), nonsense(1)])
        await store.write([], [nonsense(1)])
        assert await store.set_aside() == [nonsense(1)]
        await store.write([], [nonsense(number) for number in (2, 3, 4)])
        assert await store.set_aside() == [nonsense(4), nonsense(3), nonsense(2)]


async def test_a_batch_is_stored_whole_or_not_at_all(store: Store) -> None:
    broken = Row(TelemetryValue("cp-1", "PowerOutput", AT, 2**63), "x/1", AT, "", b"")
    with pytest.raises(InvalidInput, match=r"telemetry\.unstorable"):
        await store.write([row(1), broken], [])
    assert await store.count() == 0
    assert await store.write([row(1)], []) == Written(1, 0, 0)


async def test_what_was_written_is_there_after_opening_again(open_store: Callable[..., Store]) -> None:
    for expected in (0, 1):
        async with open_store() as store:
            assert await store.count() == expected
            await store.write([row(1)], [])


async def test_clocks_that_are_far_off_lose_nothing_and_come_back_in_order(store: Store) -> None:
    odd = [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        AT + timedelta(days=1),
        datetime(2038, 1, 20, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ]
    rows = [row(n, n + 1, after_s=(at - AT) // timedelta(seconds=1)) for n, at in enumerate(odd)]
    assert await store.write(rows, []) == Written(5, 0, 0)
    assert await store.write(rows, []) == Written(0, 5, 0)
    found = await store.range("cp-1", "PowerOutput", datetime.min.replace(tzinfo=UTC), ALWAYS)
    assert [value.value for value in found] == [0, 1, 2, 3, 4]
    assert (await store.last("cp-1"))["PowerOutput"].value == 4


async def test_what_a_clock_that_is_behind_told_is_kept_as_long_as_if_it_were_right(store: Store) -> None:
    days = timedelta(days=1)
    behind = [row(1, 1, after_s=-100 * 86_400), row(2, 2, after_s=-20_000 * 86_400)]
    old = replace(row(3, 3, after_s=-100 * 86_400), received_at=AT - 100 * days)
    await store.write([*behind, old, row(4, 4)], [])

    async def kept() -> list[int | str | None]:
        found = await store.range("cp-1", "PowerOutput", datetime.min.replace(tzinfo=UTC), ALWAYS)
        return [one.value for one in found]

    await store.forget(AT - 30 * days)
    assert await kept() == [2, 1, 4]
    await store.write([row(5, 5, after_s=-100 * 86_400)], [])  # and its month comes again
    assert await kept() == [2, 1, 5, 4]
    await store.forget(AT + days)
    assert await kept() in ([], [4])  # PostgreSQL keeps the month that has begun


async def test_one_number_twice_within_a_batch_with_two_contents_is_set_aside(store: Store) -> None:
    assert await store.write([row(1), row(2)], []) == Written(1, 0, 1)
    assert [value for _, value in await everything(store)] == [1]


async def test_a_run_that_is_told_again_in_part_adds_what_is_new(store: Store) -> None:
    await store.write([row(n, n, after_s=n) for n in (1, 2, 5, 9)], [])
    again = [row(n, n, after_s=n) for n in range(1, 11)]
    assert await store.write(again, []) == Written(6, 4, 0)
    assert [value for _, value in await everything(store)] == list(range(1, 11))


async def test_what_follows_from_a_last_will_is_stored_once_whenever_it_is_delivered(store: Store) -> None:
    def offline(after_s: int) -> Row:
        at = AT + timedelta(seconds=after_s)
        value = TelemetryValue("cp-1", "Availability", at, "offline")
        return Row(value, "presence:~1", at, "publishers/p/Availability", b"", BOOT)

    assert await store.write([offline(0)], []) == Written(1, 0, 0)
    assert await store.write([offline(60), offline(61)], []) == Written(0, 2, 0)


@pytest.mark.parametrize("width_s", [60, 900, 3_600, 86_400])
async def test_sums_are_of_all_whole_numbers_and_of_each_once(store: Store, width_s: int) -> None:
    draw = random.Random(width_s)
    rows = [row(draw.randrange(-9, 2**62), n, after_s=draw.randrange(200_000)) for n in range(1, 301)]
    rows += [row(None, 301), row("charging", 302, name="OperationState")]
    for _ in range(2):
        draw.shuffle(rows)
        for cut in range(0, len(rows), 70):
            await store.write(rows[cut : cut + 100], [])
    start, end = datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 5, tzinfo=UTC)
    numbers = [
        (one.value.at, one.value.value)
        for one in sorted(rows, key=lambda one: (one.value.at, one.seq))
        if isinstance(one.value.value, int)
    ]
    expected = [
        (slot, [n for when, n in numbers if slot <= when < slot + timedelta(seconds=width_s)])
        for slot in (start + timedelta(seconds=s) for s in range(0, 4 * 86_400, width_s))
    ]
    found = await store.summaries("cp-1", "PowerOutput", start, end, width_s)
    assert [(one.at, one.count, one.total, one.lowest, one.highest) for one in found] == [
        (slot, len(values), sum(values), min(values), max(values)) for slot, values in expected if values
    ]
    assert [(one.first, one.last) for one in found] == [(v[0], v[-1]) for _, v in expected if v]


async def test_looking_back_gives_the_newest_number_before_and_all_in_pages(store: Store) -> None:
    await store.write([row(n, n, after_s=n) for n in range(1, 12_001)], [])
    await store.write([row(None, 12_001, after_s=12_001)], [])
    assert await store.before("cp-1", "PowerOutput", AT) is None
    before = await store.before("cp-1", "PowerOutput", AT + timedelta(days=1))
    assert before is not None
    assert before.value == 12_000
    pages = [page async for page in store.stream("cp-1", "PowerOutput", AT, AT + timedelta(days=1))]
    assert [one.value for page in pages for one in page] == [*range(1, 12_001), None]
    assert len(pages) > 1


async def test_a_write_that_is_given_up_at_any_moment_leaves_the_store_whole(store: Store) -> None:
    batches = [[row(n, n, after_s=n) for n in range(start, start + 50)] for start in range(1, 2_001, 50)]
    for number, batch in enumerate(batches):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(number / 4_000):
                await store.write(batch, [])
    for batch in batches:
        await store.write(batch, [])
    assert [value for _, value in await everything(store)] == list(range(1, 2_001))
    (day,) = await store.summaries("cp-1", "PowerOutput", AT, AT + timedelta(hours=9), 86_400)
    assert (day.count, day.total) == (2_000, 2_001_000)


async def test_readers_do_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = SqliteReadings(tmp_path / "telemetry.db")
    await store.__aenter__()
    await store.write([row(1)], [])
    other = sqlite3.connect(tmp_path / "telemetry.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert (await store.last("cp-1"))["PowerOutput"].value == 1
    other.execute("ROLLBACK")
    other.close()
    await store.__aexit__(None, None, None)


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
