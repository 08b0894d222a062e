"""The time series in SQLite: each reading once, in one file.

    ev_readings     (charger, name, at) → value, with the publisher's run and number and the time of receipt
    ev_set_aside    messages that could not be stored as readings: verbatim, with the reason

One thread writes and one reads, each with a connection of its own; write-ahead logging lets the reader
go on while a batch is written. A batch is one transaction, on the disk when `write` returns.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

from evmesh.domain.errors import IntegrityFailure, Unavailable
from evmesh.domain.telemetry import TelemetryValue, ValueName
from evmesh.domain.telemetry_summary import Summary, summarise
from evmesh.telemetry.rows import Row, SetAside, Written, contradiction, unstorable
from evmesh.telemetry.topics import from_microseconds, microseconds

T = TypeVar("T")

SET_ASIDE_AT_MOST: Final = 10_000
AT_A_TIME: Final = 5_000
"""Readings that are taken into memory at a time."""
_NUMBERS: Final = """
    SELECT at, value FROM ev_readings
    WHERE charger = ? AND name = ? AND at >= ? AND at < ? AND typeof(value) = 'integer' ORDER BY at, seq
"""
_BEFORE: Final = """
    SELECT name, at, value FROM ev_readings
    WHERE charger = ? AND name = ? AND at < ? AND typeof(value) = 'integer' ORDER BY at DESC, seq DESC LIMIT 1
"""

MIGRATIONS: Final = (
    """
    CREATE TABLE ev_readings (
        charger TEXT NOT NULL,
        name TEXT NOT NULL,
        at INTEGER NOT NULL,           -- microseconds since 1970, UTC
        identity TEXT NOT NULL,        -- what makes it the same reading when it comes again
        value ANY,                     -- integer, text, or null where the charger does not know
        boot TEXT,                     -- null for a foreign publisher
        seq INTEGER,
        received_at INTEGER NOT NULL,  -- microseconds since 1970, UTC, by the ingest's clock
        PRIMARY KEY (charger, name, at, identity),
        UNIQUE (charger, identity)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE ev_set_aside (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        digest BLOB NOT NULL UNIQUE,   -- so that a retained message is set aside once
        received_at INTEGER NOT NULL,
        topic TEXT NOT NULL,
        payload BLOB NOT NULL,         -- its first bytes, where it is too long to be any reading
        code TEXT NOT NULL,
        reason TEXT NOT NULL
    ) STRICT;
    """,
)
"""Step n brings a file of version n to n + 1; `PRAGMA user_version` says where a file is."""

_INSERT: Final = """
    INSERT INTO ev_readings (charger, name, at, identity, value, boot, seq, received_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_LAST: Final = """
    SELECT name, at, value FROM ev_readings WHERE charger = ? AND name = ? ORDER BY at DESC, seq DESC LIMIT 1
"""
_RANGE: Final = """
    SELECT name, at, value FROM ev_readings
    WHERE charger = ? AND name = ? AND at >= ? AND at < ? ORDER BY at, seq
"""


class _Thread:
    """One SQLite connection with the one thread that uses it."""

    def __init__(self, name: str, open_connection: Callable[[], sqlite3.Connection]) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._open = open_connection
        self._connection: sqlite3.Connection | None = None

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._do, work)

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = self._open()
            return work(self._connection)
        except sqlite3.OperationalError as error:
            raise Unavailable(
                "telemetry.store_away", f"the time series cannot be used: {error}", do="check the disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise IntegrityFailure(
                "telemetry.store_damaged",
                f"the time series is damaged: {error}",
                do="delete the file: only the graphs of the past are lost",
            ) from error

    def close(self) -> None:
        if self._connection is not None:
            self._executor.submit(self._connection.close).result()
            self._connection = None
        self._executor.shutdown()


class SqliteReadings:
    """The `TelemetryStore` port on one SQLite file, and the ingest's writer. Use with `async with`."""

    def __init__(self, path: Path, *, set_aside_at_most: int = SET_ASIDE_AT_MOST) -> None:
        self._path = path
        self._set_aside_at_most = set_aside_at_most
        self._writer = _Thread("telemetry-write", self._open)
        self._reader = _Thread("telemetry-read", self._open)

    async def __aenter__(self) -> Self:
        """Open the file, made or migrated as needed. Raises Unavailable, or IntegrityFailure if too new."""
        try:
            await self._writer.do(_migrate)
        except BaseException:
            self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._reader.close()
        self._writer.close()

    async def write(self, rows: Sequence[Row], set_aside: Sequence[SetAside]) -> Written:
        """Store all of it in one transaction; on the disk when this returns."""
        return await self._writer.do(lambda connection: self._write(connection, rows, set_aside))

    async def last(self, charger: str) -> Mapping[str, TelemetryValue]:
        """Give the newest of each value of a charger, by name; empty for one nobody heard of."""

        def read(connection: sqlite3.Connection) -> dict[str, TelemetryValue]:
            found = [connection.execute(_LAST, (charger, name)).fetchone() for name in ValueName]
            return {row[0]: _value(charger, row) for row in found if row is not None}

        return await self._reader.do(read)

    async def range(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> Sequence[TelemetryValue]:
        """Give every reading of one value in [start, end), the oldest first."""
        bounds = (charger, name, microseconds(start), microseconds(end))
        rows = await self._reader.do(lambda connection: connection.execute(_RANGE, bounds).fetchall())
        return [_value(charger, row) for row in rows]

    async def before(self, charger: str, name: str, instant: datetime) -> TelemetryValue | None:
        """Give the newest whole number before an instant."""
        bounds = (charger, name, microseconds(instant))
        row = await self._reader.do(lambda connection: connection.execute(_BEFORE, bounds).fetchone())
        return None if row is None else _value(charger, row)

    async def summaries(
        self, charger: str, name: str, start: datetime, end: datetime, width_s: int
    ) -> Sequence[Summary]:
        """Sum up the whole numbers in [start, end), the oldest stretch first."""
        bounds = (charger, name, microseconds(start), microseconds(end))

        def read(connection: sqlite3.Connection) -> list[Summary]:
            rows = connection.execute(_NUMBERS, bounds)
            return list(summarise(((from_microseconds(at), value) for at, value in rows), width_s).values())

        return await self._reader.do(read)

    async def stream(
        self, charger: str, name: str, start: datetime, end: datetime
    ) -> AsyncIterator[Sequence[TelemetryValue]]:
        """Give every reading in [start, end), the oldest first, some at a time."""
        bounds = (charger, name, microseconds(start), microseconds(end))
        cursor = await self._reader.do(lambda connection: connection.execute(_RANGE, bounds))
        try:
            while rows := await self._reader.do(lambda _: cursor.fetchmany(AT_A_TIME)):
                yield [_value(charger, row) for row in rows]
        finally:
            await self._reader.do(lambda _: cursor.close())

    async def set_aside(self, limit: int = 100) -> Sequence[SetAside]:
        """Give what was set aside, the newest first."""
        query = (
            "SELECT topic, payload, code, reason, received_at FROM ev_set_aside ORDER BY number DESC LIMIT ?"
        )
        rows = await self._reader.do(lambda connection: connection.execute(query, (limit,)).fetchall())
        return [SetAside(topic, raw, code, why, from_microseconds(at)) for topic, raw, code, why, at in rows]

    async def forget(self, before: datetime) -> None:
        """Delete readings older than this; what came since, from a clock that is behind, stays."""
        query, bound = "DELETE FROM ev_readings WHERE at < ? AND received_at < ?", (microseconds(before),) * 2
        await self._writer.do(lambda connection: connection.execute(query, bound).close())

    async def count(self) -> int:
        """Give the number of readings; walks the whole table."""
        query = "SELECT count(*) FROM ev_readings"
        return int(await self._reader.do(lambda connection: connection.execute(query).fetchone()[0]))

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
            connection.execute(f"PRAGMA {setting}").close()
        return connection

    def _write(
        self, connection: sqlite3.Connection, rows: Sequence[Row], set_aside: Sequence[SetAside]
    ) -> Written:
        connection.execute("BEGIN IMMEDIATE")
        try:
            before = connection.total_changes
            connection.executemany(_INSERT, [_columns(row) for row in rows])
            stored = connection.total_changes - before
            contradictions = _contradictions(connection, rows) if stored < len(rows) else []
            self._put_aside(connection, [*set_aside, *contradictions])
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if isinstance(error, (OverflowError, UnicodeEncodeError, sqlite3.IntegrityError)):
                raise unstorable(error) from error
            raise
        return Written(stored, len(rows) - stored - len(contradictions), len(contradictions))

    def _put_aside(self, connection: sqlite3.Connection, messages: Sequence[SetAside]) -> None:
        if not messages:
            return
        connection.executemany(
            "INSERT INTO ev_set_aside (digest, received_at, topic, payload, code, reason)"
            " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [_set_aside_columns(message) for message in messages],
        )
        # A publisher of nonsense must not fill the disk.
        connection.execute(
            "DELETE FROM ev_set_aside WHERE number <= (SELECT max(number) FROM ev_set_aside) - ?",
            (self._set_aside_at_most,),
        )


def _migrate(connection: sqlite3.Connection) -> None:
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise IntegrityFailure(
            "telemetry.store_too_new",
            f"the time series is of version {version}; this evmesh knows up to {len(MIGRATIONS)}",
            do="run a newer evmesh",
        )
    for step in range(version, len(MIGRATIONS)):
        # The version is set in the same transaction: a step is done wholly or not at all.
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[step]} PRAGMA user_version = {step + 1}; COMMIT;"
        )


def _columns(row: Row) -> tuple[str | int | None, ...]:
    value = row.value
    at, received_at = microseconds(value.at), microseconds(row.received_at)
    return value.charger, value.name, at, row.identity, value.value, row.boot, row.seq, received_at


def _contradictions(connection: sqlite3.Connection, rows: Sequence[Row]) -> list[SetAside]:
    """Find the rows whose (run, number) is taken by other content; the others were there already."""
    found = []
    for row in rows:
        if not row.seq:
            continue  # known by its content, so the same identity is the same content
        query = "SELECT name, at, value FROM ev_readings WHERE charger = ? AND identity = ?"
        stored = connection.execute(query, (row.value.charger, row.identity)).fetchone()
        if stored != (row.value.name, microseconds(row.value.at), row.value.value):
            found.append(contradiction(row, repr(stored)))
    return found


def _set_aside_columns(message: SetAside) -> tuple[bytes | int | str, ...]:
    received_at = microseconds(message.received_at)
    return (
        message.digest,
        received_at,
        message.topic,
        message.kept_payload,
        message.code,
        message.reason,
    )


def _value(charger: str, row: tuple[str, int, int | str | None]) -> TelemetryValue:
    name, at, value = row
    return TelemetryValue(charger, name, from_microseconds(at), value)
