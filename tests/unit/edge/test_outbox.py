"""The outbox: durable, ordered, bounded, and honest about what it could not keep."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.errors import IntegrityFailure
from evmesh.domain.telemetry import Ack, TelemetryValue, ValueName
from evmesh.edge.outbox import ROW_BYTES, Outbox

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
POWER = ValueName.POWER_OUTPUT


def reading(value: int, name: str = POWER, charger: str = "cp-1", at: datetime = NOON) -> TelemetryValue:
    return TelemetryValue(charger, name, at, value)


async def waiting(outbox: Outbox) -> list[tuple[str, int, int | str | None]]:
    return [
        (one.reading.value.charger, one.reading.seq, one.reading.value.value)
        for one in await outbox.take(0, 10_000)
    ]


async def test_readings_are_numbered_by_charger_and_come_in_order(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1") as outbox:
        await outbox.put([reading(1), reading(2, charger="cp-2"), reading(3)])
        await outbox.put([reading(4)])
        assert await waiting(outbox) == [("cp-1", 1, 1), ("cp-2", 1, 2), ("cp-1", 2, 3), ("cp-1", 3, 4)]
        first = (await outbox.take(0, 1))[0]
        assert [one.reading.value.value for one in await outbox.take(first.number, 2)] == [2, 3]


async def test_devices_that_tell_at_the_same_time_get_numbers_of_their_own(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1") as outbox, asyncio.TaskGroup() as group:
        for value in range(40):
            group.create_task(outbox.put([reading(value)]))
    async with Outbox(tmp_path / "outbox.db", "gw-2") as outbox:
        found = await waiting(outbox)
    assert [seq for _, seq, _ in found] == list(range(1, 41))
    assert sorted(value for _, _, value in found if isinstance(value, int)) == list(range(40))


async def test_a_reading_stays_until_the_database_has_it(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1") as outbox:
        await outbox.put([reading(n) for n in range(1, 7)])
        assert await outbox.stored(Ack("cp-1", "gw-1", ((1, 2), (5, 5)))) == 3
        assert await outbox.stored(Ack("cp-1", "gw-1", ((1, 2),))) == 0
        assert await outbox.stored(Ack("cp-1", "another-run", ((1, 9),))) == 0
        assert await outbox.stored(Ack("cp-2", "gw-1", ((1, 9),))) == 0
        assert [seq for _, seq, _ in await waiting(outbox)] == [3, 4, 6]


async def test_what_an_earlier_run_read_is_still_there_under_its_own_number(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1") as outbox:
        await outbox.put([reading(1), reading(2)])
    async with Outbox(tmp_path / "outbox.db", "gw-2") as outbox:
        await outbox.put([reading(3)])
        found = [(one.reading.boot, one.reading.seq) for one in await outbox.take(0, 9)]
    assert found == [("gw-1", 1), ("gw-1", 2), ("gw-2", 1)]


async def test_times_and_values_come_back_exactly(tmp_path: Path) -> None:
    at = NOON + timedelta(microseconds=123_457)
    told = [
        TelemetryValue("cp-1", ValueName.OPERATION_STATE, at, "idle"),
        TelemetryValue("cp-1", POWER, datetime(1970, 1, 1, tzinfo=UTC), None),
        TelemetryValue("cp-1", ValueName.TOTAL_ENERGY_CONSUMPTION, at, 2**62),
    ]
    async with Outbox(tmp_path / "outbox.db", "gw-1") as outbox:
        await outbox.put(told)
        assert [one.reading.value for one in await outbox.take(0, 9)] == told


async def test_a_full_outbox_lets_the_oldest_go_and_says_how_many(tmp_path: Path) -> None:
    most = 100 * (ROW_BYTES + 4)
    async with Outbox(tmp_path / "outbox.db", "gw-1", most_bytes=most) as outbox:
        for n in range(300):
            await outbox.put([reading(1_000 + n)])
        found = await outbox.take(0, 1_000)
        kept = [one.reading.value.value for one in found if one.reading.value.name == POWER]
        told = [one.reading.value.value for one in found if one.reading.value.name == ValueName.READINGS_LOST]
        lost = (await outbox.lost())["cp-1"]
    assert kept == list(range(1_300 - len(kept), 1_300))
    assert len(kept) + lost == 300
    assert told == [lost]
    assert len(found) <= 100


async def test_sessions_give_way_last(tmp_path: Path) -> None:
    most = 50 * (ROW_BYTES + 4)
    async with Outbox(tmp_path / "outbox.db", "gw-1", most_bytes=most) as outbox:
        await outbox.put([reading(n, ValueName.SESSION_ENERGY) for n in range(1_000, 1_020)])
        for n in range(200):
            await outbox.put([reading(1_000 + n)])
        found = await outbox.take(0, 1_000)
    sessions = [one for one in found if one.reading.value.name == ValueName.SESSION_ENERGY]
    assert len(sessions) == 20


async def test_what_was_lost_is_counted_over_restarts(tmp_path: Path) -> None:
    most = 10 * (ROW_BYTES + 4)
    lost = 0
    for run in range(3):
        async with Outbox(tmp_path / "outbox.db", f"gw-{run}", most_bytes=most) as outbox:
            await outbox.put([reading(1_000 + n) for n in range(20)])
            assert (await outbox.lost())["cp-1"] > lost
            lost = (await outbox.lost())["cp-1"]


@pytest.mark.parametrize("years", [-56, 100])
async def test_a_clock_that_jumps_loses_nothing(tmp_path: Path, years: int) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1", most_age_s=60) as outbox:
        await outbox.put([reading(1)])
        await outbox.put([reading(2, at=NOON.replace(year=NOON.year + years))])
        await outbox.put([reading(3)])
        assert [value for _, _, value in await waiting(outbox)] == [1, 2, 3]
        assert await outbox.lost() == {}


async def fill_the_disk(outbox: Outbox) -> None:
    """SQLite says from now on what it says on a full disk."""
    await outbox._disk.do(lambda connection: connection.execute("PRAGMA max_page_count = 1").fetchone())


async def free_the_disk(outbox: Outbox) -> None:
    await outbox._disk.do(lambda connection: connection.execute("PRAGMA max_page_count = 100000").fetchone())


async def test_what_a_full_disk_does_not_take_is_told_later_the_newest_of_each_value(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1") as outbox:
        await outbox.put([reading(n) for n in range(1, 4)])
        await fill_the_disk(outbox)
        for n in range(4, 400):
            await outbox.put([reading(n), reading(n, ValueName.SESSION_ENERGY), reading(n, charger="cp-2")])
        taken = len(await outbox.take(0, 10_000))
        await free_the_disk(outbox)
        await outbox.put([reading(400)])
        found = await outbox.take(0, 10_000)
        lost = await outbox.lost()
    told = {(one.reading.value.charger, one.reading.value.name): one.reading.value.value for one in found}
    assert told["cp-1", POWER] == 400
    assert told["cp-1", ValueName.SESSION_ENERGY] == told["cp-2", POWER] == 399
    assert told["cp-1", ValueName.READINGS_LOST] == lost["cp-1"] > 0
    assert told["cp-2", ValueName.READINGS_LOST] == lost["cp-2"] > 0
    kept = [one for one in found if one.reading.value.name != ValueName.READINGS_LOST]
    assert taken < len(kept)
    assert len(kept) + lost["cp-1"] + lost["cp-2"] == 3 + 396 * 3 + 1


async def test_what_is_lost_of_a_charger_that_has_nothing_left_is_told_with_a_time_of_today(
    tmp_path: Path,
) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1", most_bytes=20 * (ROW_BYTES + 4)) as outbox:
        await outbox.put([reading(1, charger="cp-2")])
        await outbox.put([reading(1_000 + n) for n in range(60)])
        found = [one.reading.value for one in await outbox.take(0, 1_000)]
    (told,) = [one for one in found if one.charger == "cp-2"]
    assert (told.name, told.value, told.at) == (ValueName.READINGS_LOST, 1, NOON)


async def test_when_a_session_began_and_whose_it_was_gives_way_last_too(tmp_path: Path) -> None:
    async with Outbox(tmp_path / "outbox.db", "gw-1", most_bytes=50 * (ROW_BYTES + 10)) as outbox:
        words = [(ValueName.OPERATION_STATE, "charging"), (ValueName.CONNECTED_VEHICLE, "car-7")]
        await outbox.put([TelemetryValue("cp-1", name, NOON, word) for name, word in words])
        for n in range(200):
            await outbox.put([reading(1_000 + n)])
        found = [one.reading.value for one in await outbox.take(0, 1_000)]
    assert [(one.name, one.value) for one in found if isinstance(one.value, str)] == words


async def damage(path: Path, how: str) -> None:
    """Write 2,000 readings, and harm the file as a power cut or a dying card does."""
    async with Outbox(path, "gw-1") as outbox:
        await outbox.put([reading(10_000 + n) for n in range(2_000)])
    whole = path.read_bytes()
    harmed = {
        "cut": whole[: len(whole) // 2],
        "trash behind": whole + bytes(range(256)) * 40,
        "trash within": whole[:40_960] + bytes(range(256)) * 16 + whole[45_056:],
        "its head empty": bytes(4_096) + whole[4_096:],
        "empty": b"",
    }
    path.write_bytes(harmed[how])


@pytest.mark.parametrize(
    ("how", "least"),
    [("cut", 100), ("trash behind", 2_000), ("trash within", 1_000), ("its head empty", 0), ("empty", 0)],
)
async def test_a_damaged_file_ends_no_gateway_and_gives_back_what_can_be_read(
    tmp_path: Path, how: str, least: int
) -> None:
    path = tmp_path / "outbox.db"
    await damage(path, how)
    async with Outbox(path, "gw-2") as outbox:
        await outbox.put([reading(1)])
        found = [one.reading for one in await outbox.take(0, 10_000)]
        assert await outbox.stored(Ack("cp-1", "gw-1", ((1, 2_000),))) == len(found) - 1
    assert (found[-1].boot, found[-1].seq, found[-1].value.value) == ("gw-2", 1, 1)
    assert least <= len(found) - 1 <= 2_000
    assert all(one.value.value == 9_999 + one.seq for one in found[:-1])
    is_aside = bool(list(tmp_path.glob("outbox.db.damaged-1")))
    assert is_aside == (how not in ("trash behind", "empty"))


async def test_a_file_that_is_no_outbox_is_said(tmp_path: Path) -> None:
    (tmp_path / "outbox.db").write_bytes(b"not a database, and long enough to be read as one" * 100)
    with pytest.raises(IntegrityFailure, match=r"outbox\.damaged"):
        async with Outbox(tmp_path / "outbox.db", "gw-1"):
            pass


async def test_a_row_takes_no_more_room_than_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with Outbox(path, "gateway-0123456789abcdef") as outbox:
        await outbox.put([reading(7_360, charger="charger-number-1") for _ in range(20_000)])
    assert path.stat().st_size / 20_000 < ROW_BYTES
