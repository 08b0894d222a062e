"""The time series in PostgreSQL: the `TelemetryHistory` port and the ingest's writer.

A batch is one transaction of a handful of statements, whatever its size: `unnest` turns arrays into rows.
What is new is known before anything is inserted (`postgres_schema.py` says how), so the sums per
quarter-hour and day are exact, and come with the readings in the same commit.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import Final, Self

import asyncpg

from evmesh.domain.errors import InvalidInput, Unavailable
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.domain.telemetry_summary import DAY_S, QUARTER_S, Summary, coarser, summarise
from evmesh.telemetry.postgres_schema import (
    Month,
    drop_months,
    known_months,
    make_month,
    migrate,
    wanted_months,
)
from evmesh.telemetry.postgres_write import put_aside, store_rows
from evmesh.telemetry.rows import Row, SetAside, Written, unstorable
from evmesh.telemetry.timescale import Connection, Features, drop_chunks

CONNECTIONS: Final = 4
CONNECT_WITHIN_S: Final = 10.0
AT_A_TIME: Final = 5_000
SET_ASIDE_AT_MOST: Final = 10_000

_BEGIN: Final = """
    BEGIN;
    SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'
"""
"""What a commit says has to be true; stronger settings stay. A pool forgets what a session has set."""

_LAST: Final = """
    SELECT one.name, one.at, one.number, one.word FROM unnest($2::text[]) AS wanted(name), LATERAL (
        SELECT name, at, number, word FROM ev_readings WHERE charger = $1 AND name = wanted.name
        ORDER BY at DESC, seq DESC NULLS LAST LIMIT 1) AS one
"""
_RANGE: Final = """
    SELECT name, at, number, word FROM ev_readings
    WHERE charger = $1 AND name = $2 AND at >= $3 AND at < $4 ORDER BY at, seq NULLS FIRST
"""
_BEFORE: Final = """
    SELECT name, at, number, word FROM ev_readings
    WHERE charger = $1 AND name = $2 AND at < $3 AND number IS NOT NULL
    ORDER BY at DESC, seq DESC NULLS LAST LIMIT 1
"""
_SUMS: Final = """
    SELECT at, count, total, lowest, highest, first, last, first_at, last_at FROM ev_rollups
    WHERE charger = $1 AND name = $2 AND width_s = $5
        AND at > $3::timestamptz - $5 * INTERVAL '1 second' AND at < $4 ORDER BY at
"""
_OUTAGES: Final = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a line that was cut in the middle of an answer
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it shuts down, or was killed and recovers
    asyncpg.InsufficientResourcesError,  # its disk is full, or it has too many connections
    asyncpg.PostgresIOError,
    asyncpg.TransactionRollbackError,  # deadlock: the batch comes again
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InsufficientPrivilegeError,
)


class PostgresReadings:
    """The time series in one database, named by a `postgresql://` URL. Use with `async with`."""

    def __init__(self, url: str, *, set_aside_at_most: int = SET_ASIDE_AT_MOST) -> None:
        self._url = url
        self._set_aside_at_most = set_aside_at_most
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._months: set[Month] = set()
        self.features = Features(hypertable=False)

    async def __aenter__(self) -> Self:
        """Connect, and make or migrate tables. Raises Unavailable, or IntegrityFailure if too new."""
        try:
            with _SayingOutages():
                self._pool = await asyncpg.create_pool(
                    self._url,
                    min_size=1,
                    max_size=CONNECTIONS,
                    timeout=CONNECT_WITHIN_S,
                    server_settings={"application_name": "evmesh", "jit": "off"},
                )
        except ValueError as error:
            raise InvalidInput("telemetry.bad_database", f"no database: {error}", path="db") from error
        try:
            async with self._connection() as connection:
                self.features = await migrate(connection)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.terminate()  # nothing is under way that the other side would have to hear of
            self._pool = None

    async def write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        """Store all of it in one transaction; on the disk when this returns."""
        try:
            return await self._write(rows, set_aside)
        except (asyncpg.DataError, OverflowError) as error:
            raise unstorable(error) from error

    async def _write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        async with self._connection() as connection:
            if rows:
                await self._make_room(connection, rows)
            await connection.execute(_BEGIN)
            stored = await store_rows(connection, rows)
            aside = [*set_aside, *stored.contradictions]
            if aside:
                await put_aside(connection, aside, self._set_aside_at_most)
            await connection.execute("COMMIT")
        contradicting = len(stored.contradictions)
        return Written(stored.count, len(rows) - stored.count - contradicting, contradicting)

    async def last(self, charger: str) -> Mapping[str, TelemetryValue]:
        """Give the newest of each value of a charger, by name; empty for one nobody heard of."""
        async with self._connection() as connection:
            rows = await connection.fetch(_LAST, charger, list(ValueName))
        return {row["name"]: _value(charger, row) for row in rows}

    async def range(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> Sequence[TelemetryValue]:
        """Give every reading of one value in [start, end), the oldest first."""
        async with self._connection() as connection:
            rows = await connection.fetch(_RANGE, charger, name, start, end)
        return [_value(charger, row) for row in rows]

    async def before(self, charger: str, name: str, instant: datetime) -> TelemetryValue | None:
        """Give the newest whole number before an instant."""
        async with self._connection() as connection:
            row = await connection.fetchrow(_BEFORE, charger, name, instant)
        return None if row is None else _value(charger, row)

    async def summaries(
        self, charger: str, name: str, start: datetime, end: datetime, width_s: int
    ) -> Sequence[Summary]:
        """Sum up the whole numbers in [start, end); from quarter-hours or days where the width allows it."""
        kept = next((width for width in (DAY_S, QUARTER_S) if width_s % width == 0), None)
        if kept is None:
            numbers: dict[datetime, Summary] = {}
            async for some in self.stream(charger, name, start, end):
                pairs = ((one.at, one.value) for one in some)
                summarise(((at, n) for at, n in pairs if isinstance(n, int)), width_s, numbers)
            return list(numbers.values())
        async with self._connection() as connection:
            rows = await connection.fetch(_SUMS, charger, name, start, end, kept)
        return coarser((_summary(row) for row in rows), width_s)

    async def stream(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[TelemetryValue]]:
        """Give every reading in [start, end), the oldest first, some at a time."""
        async with self._connection() as connection, connection.transaction(readonly=True):
            cursor = await connection.cursor(_RANGE, charger, name, start, end)
            while rows := await cursor.fetch(AT_A_TIME):
                yield [_value(charger, row) for row in rows]

    async def set_aside(self, limit: int = 100) -> Sequence[SetAside]:
        """Give what was set aside, the newest first."""
        query = (
            "SELECT topic, payload, code, reason, received_at FROM ev_set_aside ORDER BY number DESC LIMIT $1"
        )
        async with self._connection() as connection:
            return [SetAside(*row) for row in await connection.fetch(query, limit)]

    async def count(self) -> int:
        """Give the number of readings; walks the whole table."""
        async with self._connection() as connection:
            return int(await connection.fetchval("SELECT count(*) FROM ev_readings"))

    async def forget(self, before: datetime) -> None:
        """Drop whole months, or chunks, of readings older than this; sums and numbers stay."""
        async with self._connection() as connection:
            if self.features.hypertable:
                await drop_chunks(connection, before)
            else:
                await drop_months(connection, before)
                self._months = await known_months(connection)

    async def _make_room(self, connection: Connection, rows: Sequence[Row]) -> None:
        if self.features.hypertable:
            return
        wanted = wanted_months((row.value.at for row in rows), rows[-1].received_at)
        if wanted <= self._months:
            return
        self._months = await known_months(connection)
        for month in sorted(wanted - self._months):
            await make_month(connection, month)
        self._months |= wanted

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """Take a connection; whatever says that the database is away comes out as Unavailable."""
        if self._pool is None:
            raise Unavailable("telemetry.store_away", "the time series is not open")
        with _SayingOutages():
            async with self._pool.acquire(timeout=CONNECT_WITHIN_S) as connection:
                try:
                    yield connection
                except BaseException as error:
                    # What is under way on it cannot be known: asyncpg would ask it to roll back, and fail in
                    # the middle of a cancelled COMMIT. PostgreSQL rolls back by itself when a line is cut.
                    connection.terminate()
                    if isinstance(error, asyncpg.InternalClientError) and _is_cancelled():
                        raise asyncio.CancelledError from error
                    raise


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class _SayingOutages:
    """Turn what asyncpg raises when the database is away into Unavailable."""

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, _OUTAGES) and not isinstance(error, asyncio.CancelledError):
            raise Unavailable(
                "telemetry.store_away",
                f"the time series cannot be used: {str(error) or type(error).__name__}",
                do="look at PostgreSQL",
            ) from error


def _value(charger: str, row: asyncpg.Record) -> TelemetryValue:
    name, at, number, word = row
    return TelemetryValue(charger, name, at, word if number is None else number)


def _summary(row: asyncpg.Record) -> Summary:
    at, count, total, *rest = row
    return Summary(at, count, int(total), *rest)
