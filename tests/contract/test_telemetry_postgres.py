"""What is PostgreSQL's own of the time series: partitions, versions, outages."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from evmesh.domain.errors import IntegrityFailure, InvalidInput, Unavailable
from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.postgres_schema import MIGRATIONS
from evmesh.telemetry.rows import Row, Written
from tests.contract.chain import free_port
from tests.databases import Postgres

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
WITNESS = """
    CREATE TABLE witness (said text);
    CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO witness VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
    CREATE TRIGGER looks AFTER INSERT OR UPDATE ON ev_numbers FOR EACH STATEMENT EXECUTE FUNCTION look();
"""


@pytest.fixture
def url(postgres: Postgres) -> Iterator[str]:
    name = f"t{uuid4().hex}"
    yield postgres.create(name)
    postgres.drop(name)


def row(at: datetime, seq: int, received_at: datetime = NOW) -> Row:
    value = TelemetryValue("cp-1", "PowerOutput", at, seq)
    return Row(value, f"gw-1/{seq}", received_at, "", b"", "gw-1", seq)


async def where(url: str) -> dict[str, int]:
    """Which partition holds how many readings."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'ev_readings'::regclass"
        )
        names = sorted(name for (name,) in tables)
        return {name: await connection.fetchval(f"SELECT count(*) FROM ONLY {name}") for name in names}
    finally:
        await connection.close()


async def test_months_have_partitions_ahead_and_on_demand_and_odd_times_lie_elsewhere(url: str) -> None:
    odd = [NOW, NOW - timedelta(days=400), datetime(1970, 1, 1, tzinfo=UTC), NOW + timedelta(days=3_000)]
    async with PostgresReadings(url) as store:
        await store.write([row(at, seq) for seq, at in enumerate(odd, start=1)], [])
    assert await where(url) == {
        "ev_readings_2025_05": 1,
        "ev_readings_2026_06": 1,
        "ev_readings_2026_07": 0,
        "ev_readings_elsewhen": 2,
    }


async def test_what_lay_elsewhere_moves_when_its_month_gets_a_partition(url: str) -> None:
    early = NOW + timedelta(days=300)
    async with PostgresReadings(url) as store:
        await store.write([row(early, 1)], [])
    assert (await where(url))["ev_readings_elsewhen"] == 1
    async with PostgresReadings(url) as store:
        assert await store.write([row(early, 1, early), row(early, 2, early)], []) == Written(1, 1, 0)
        found = await store.range("cp-1", "PowerOutput", early, early + timedelta(days=1))
    assert [one.value for one in found] == [1, 2]
    assert (await where(url))["ev_readings_elsewhen"] == 0
    assert (await where(url))["ev_readings_2027_04"] == 2


async def test_old_months_can_be_dropped_and_their_sums_and_numbers_stay(url: str) -> None:
    old = NOW - timedelta(days=100)
    async with PostgresReadings(url) as store:
        await store.write([row(old, 1, received_at=old), row(NOW, 2)], [])
        await store.forget(NOW - timedelta(days=30))
        assert await store.count() == 1
        (day,) = await store.summaries("cp-1", "PowerOutput", old, old + timedelta(days=1), 86_400)
        assert day.count == 1
        await store.write([row(old, 3)], [])  # and its month can come again
        assert await store.count() == 2


async def test_a_database_of_a_newer_version_is_left_alone(url: str) -> None:
    async with PostgresReadings(url):
        pass
    connection = await asyncpg.connect(url)
    await connection.execute("UPDATE ev_version SET version = $1", len(MIGRATIONS) + 1)
    await connection.close()
    with pytest.raises(IntegrityFailure) as failure:
        await PostgresReadings(url).__aenter__()
    assert failure.value.code == "telemetry.store_too_new"


async def test_a_server_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable) as failure:
        await PostgresReadings(f"postgresql://evmesh@127.0.0.1:{free_port()}/x").__aenter__()
    assert failure.value.code == "telemetry.store_away"


async def test_a_commit_is_durable_also_where_the_server_is_set_not_to_wait(
    url: str, postgres: Postgres
) -> None:
    postgres.sql("postgres", f'ALTER DATABASE "{url.rpartition("/")[2]}" SET synchronous_commit = off')
    async with PostgresReadings(url) as store:
        postgres.sql(url.rpartition("/")[2], WITNESS)
        for seq in (1, 2):
            await store.write([row(NOW, seq)], [])
    assert postgres.sql(url.rpartition("/")[2], "SELECT DISTINCT said FROM witness") == "on"


async def test_what_is_no_url_of_a_database_is_said_to_be_so() -> None:
    with pytest.raises(InvalidInput) as failure:
        await PostgresReadings("postgresql://h:port/x").__aenter__()
    assert failure.value.code == "telemetry.bad_database"
