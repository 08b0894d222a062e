"""What is TimescaleDB's own: the long tests on the real extension, the rest on what stands for it."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from evmesh.domain.telemetry import TelemetryValue
from evmesh.telemetry import timescale as feature_room
from evmesh.telemetry.postgres import PostgresReadings
from evmesh.telemetry.rows import Row, Written
from tests.databases import Postgres
from tests.timescale_server import running_timescale

NOW = datetime(2026, 6, 15, 8, tzinfo=UTC)
ALL = ("compression", "continuous aggregate")
STANDS_FOR_IT = """
    CREATE TABLE told (said text);
    CREATE SCHEMA timescaledb_information;
    CREATE TABLE known (hypertable_name name, compression_enabled bool DEFAULT false);
    CREATE VIEW timescaledb_information.hypertables AS SELECT * FROM known;
    CREATE VIEW timescaledb_information.continuous_aggregates AS SELECT NULL::name AS view_name WHERE false;
    CREATE FUNCTION create_hypertable(relation regclass, time_column_name name,
        partitioning_column name = NULL, number_partitions int = NULL,
        associated_schema_name name = NULL, associated_table_prefix name = NULL,
        chunk_time_interval anyelement = NULL::bigint) RETURNS void LANGUAGE sql
        AS 'INSERT INTO known (hypertable_name) VALUES (relation::text)';
    CREATE FUNCTION drop_chunks(relation regclass, older_than timestamptz = NULL,
        newer_than timestamptz = NULL, verbose bool = false) RETURNS SETOF text LANGUAGE sql
        AS $$ INSERT INTO told VALUES (older_than AT TIME ZONE 'UTC') RETURNING said $$;
    INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
        SELECT 4711, 'timescaledb', 10, oid, false, '2.0' FROM pg_namespace WHERE nspname = 'public';
"""
"""Functions with the signatures of TimescaleDB 2.27, which only note that they were called; no extension."""


def row(at: datetime, seq: int) -> Row:
    value = TelemetryValue("cp-1", "PowerOutput", at, seq)
    return Row(value, f"gw-1/{seq}", NOW, "", b"", "gw-1", seq)


@pytest.fixture
def stand_in(postgres: Postgres) -> Iterator[str]:
    """A database that has functions of TimescaleDB's names, and nothing behind them."""
    name = f"t{uuid4().hex}"
    url = postgres.create(name)
    postgres.sql(name, STANDS_FOR_IT)
    yield url
    postgres.drop(name)


@pytest.fixture
async def connection(stand_in: str) -> AsyncIterator[Any]:
    opened = await asyncpg.connect(stand_in)
    yield opened
    await opened.close()


class ApacheEdition:
    """A connection that refuses what that edition refuses, as it does (SQLSTATE 0A000)."""

    def __init__(self, connection: Any, refused: str) -> None:
        self._connection = connection
        self._refused = refused
        self.executed: list[str] = []

    async def fetchval(self, query: str) -> object:
        return await self._connection.fetchval(query)

    async def execute(self, query: str) -> None:
        if re.search(self._refused, query):
            raise asyncpg.FeatureNotSupportedError('functionality not supported under the "apache" license')
        self.executed.append(query)


async def test_the_apache_edition_is_used_without_what_it_refuses(connection: Any) -> None:
    edition = ApacheEdition(connection, r"timescaledb\.compress|timescaledb\.continuous|policy")
    features = await feature_room.switch_on(edition)  # type: ignore[arg-type]
    assert features == feature_room.Features(hypertable=True, used=(), refused=ALL)


async def test_a_table_that_compresses_is_not_told_again_how(stand_in: str, connection: Any) -> None:
    await connection.execute("INSERT INTO known VALUES ('ev_readings', true)")
    edition = ApacheEdition(
        connection, r"SET \(timescaledb\.compress"
    )  # as a table with compressed chunks does
    features = await feature_room.switch_on(edition)  # type: ignore[arg-type]
    assert features.used == ALL


async def test_statements_of_the_extension_are_sql_to_postgresql_s_own_parser(connection: Any) -> None:
    for number, (_, *statements) in enumerate(feature_room._FEATURES):
        for place, statement in enumerate(statements):
            body = re.sub(r"^SELECT", "PERFORM", statement)
            await connection.execute(
                f"CREATE FUNCTION parsed_{number}_{place}() RETURNS void LANGUAGE plpgsql"
                f" AS $parse$ BEGIN {body}; END $parse$"
            )


async def test_a_database_made_with_the_extension_has_a_hypertable_and_no_partitions(
    stand_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_room, "_FEATURES", ())  # whose statements only the extension can run
    async with PostgresReadings(stand_in) as store:
        assert store.features.hypertable
        assert await store.write([row(NOW, 1), row(NOW, 1)], []) == Written(1, 1, 0)
        await store.forget(NOW)
    opened = await asyncpg.connect(stand_in)
    assert await opened.fetchval("SELECT count(*) FROM pg_inherits") == 0
    assert await opened.fetchval("SELECT said FROM told") == "2026-06-15 08:00:00"
    await opened.close()


@pytest.fixture
def real(timescale: Path) -> Iterator[str]:
    with running_timescale(timescale) as url:
        yield url


@pytest.mark.soak
async def test_the_extension_takes_every_feature_and_a_second_start_too(real: str) -> None:
    for _ in range(2):
        async with PostgresReadings(real) as store:
            assert store.features == feature_room.Features(hypertable=True, used=ALL)
            await store.write([row(NOW - timedelta(days=40), 1)], [])
            async with store._connection() as connection:
                await connection.execute(
                    "SELECT compress_chunk(one, true) FROM show_chunks('ev_readings') one"
                )


@pytest.mark.soak
async def test_what_comes_again_is_known_in_a_compressed_chunk_and_what_is_new_goes_into_it(
    real: str,
) -> None:
    old = NOW - timedelta(days=40)
    async with PostgresReadings(real) as store:
        await store.write([row(old + timedelta(seconds=n), n) for n in range(1, 100)], [])
        async with store._connection() as connection:
            await connection.execute("SELECT compress_chunk(one) FROM show_chunks('ev_readings') one")
        again = [row(old + timedelta(seconds=n), n) for n in range(50, 120)]
        assert await store.write(again, []) == Written(20, 50, 0)
        other = row(old, 7)
        assert await store.write([other], []) == Written(0, 0, 1)
        found = await store.range("cp-1", "PowerOutput", old, NOW)
        assert [one.value for one in found] == list(range(1, 120))
        (day,) = await store.summaries("cp-1", "PowerOutput", old, NOW, 86_400)
        assert (day.count, day.highest) == (119, 119)


@pytest.mark.soak
async def test_minutes_are_added_up_by_the_continuous_aggregate(real: str) -> None:
    async with PostgresReadings(real) as store:
        await store.write([row(NOW + timedelta(seconds=n), n) for n in range(1, 61)], [])
        async with store._connection() as connection:
            await connection.execute("CALL refresh_continuous_aggregate('ev_minutes', NULL, NULL)")
            minutes = await connection.fetch("SELECT count, lowest, highest FROM ev_minutes ORDER BY at")
    assert [tuple(one) for one in minutes] == [(59, 1, 59), (1, 60, 60)]


@pytest.mark.soak
async def test_old_chunks_are_dropped_and_those_of_a_clock_in_1970_are_not(real: str) -> None:
    async with PostgresReadings(real) as store:
        odd = datetime(1970, 1, 1, tzinfo=UTC)
        old = NOW - timedelta(days=90)
        await store.write([row(NOW, 1), replace(row(old, 2), received_at=old), row(odd, 3)], [])
        await store.forget(NOW - timedelta(days=30))
        found = await store.range("cp-1", "PowerOutput", odd, NOW + timedelta(days=1))
    assert [one.value for one in found] == [3, 1]
