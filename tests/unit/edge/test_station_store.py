"""What a station from parts remembers, and what it still has to tell."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evmesh.domain.errors import IntegrityFailure, Unavailable
from evmesh.domain.ids import ConnectorRef, StationId
from evmesh.domain.stations import LimitPeriod, LimitProfile, MeterSample, StartAnswer, StartedTransaction
from evmesh.domain.units import Milliamp, W, Wh
from evmesh.edge.station_record import Authorisation, Begun, Charge, Ended, Happening, Record, Sampled
from evmesh.edge.station_store import StationStore

NOW = datetime(2026, 6, 1, 12, 0, 0, 250_000, tzinfo=UTC)
START = StartedTransaction(ConnectorRef(StationId("s"), 1), "tag", NOW, Wh(5))
PROFILE = LimitProfile(NOW, NOW + timedelta(hours=1), (LimitPeriod(0, W(7_000)),), "planner")
RECORD = Record(
    3, Authorisation("next", NOW), Charge(3, START, Wh(9), NOW, PROFILE, "Remote"), W(4_000), is_over=True
)
TOLD: list[Happening] = [Begun(3, START), Sampled(3, MeterSample(NOW, Wh(9), W(1), offered=Milliamp(6_000)))]
END = Ended(3, NOW, Wh(10), "Remote")


async def test_all_of_it_is_there_again_and_in_order(tmp_path: Path) -> None:
    async with StationStore(tmp_path / "s.db") as store:
        await store.keep(RECORD, TOLD)
        await store.keep(RECORD, [END])
    async with StationStore(tmp_path / "s.db") as store:
        assert store.record == RECORD
        first = await store.oldest()
        assert first is not None
        assert first[1] == TOLD[0]
        await store.answered(first[0], 3, StartAnswer(17, accepted=True))
    async with StationStore(tmp_path / "s.db") as store:
        assert store.answer(3) == StartAnswer(17, accepted=True)
        for expected in (TOLD[1], END):
            found = await store.oldest()
            assert found is not None
            assert found[1] == expected
            await store.told(found[0], ended=3 if expected is END else None)
        assert await store.oldest() is None
        assert store.answer(3) is None


async def test_what_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    async with StationStore(tmp_path / "s.db") as store:
        await store.keep(RECORD)
        other = sqlite3.connect(tmp_path / "s.db")
        other.execute("DROP TABLE station_untold").close()
        other.commit()
        other.close()
        with pytest.raises(Unavailable, match=r"station\.disk"):
            await store.keep(Record(), [END])
        assert store.record == RECORD
    async with StationStore(tmp_path / "s.db") as store:
        assert store.record == RECORD


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at", b""])
async def test_a_file_that_is_none_is_said_and_an_empty_one_is_new(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.db").write_bytes(content * 40)
    if not content:
        async with StationStore(tmp_path / "s.db") as store:
            assert store.record == Record()
        return
    with pytest.raises(IntegrityFailure, match=r"station\.damaged"):
        async with StationStore(tmp_path / "s.db"):
            pass


async def test_a_record_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    async with StationStore(tmp_path / "s.db") as store:
        await store.keep(RECORD)
    other = sqlite3.connect(tmp_path / "s.db")
    other.execute('UPDATE station_record SET body = \'{"charges": "x"}\'').close()
    other.commit()
    other.close()
    with pytest.raises(IntegrityFailure, match=r"station\.damaged"):
        async with StationStore(tmp_path / "s.db"):
            pass
