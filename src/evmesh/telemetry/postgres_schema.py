"""The tables of the time series in PostgreSQL, and its partitions: one a month, made ahead and on demand.

    ev_readings     (charger, name, at) → number or word, in partitions by `at`
    ev_numbers      (charger, boot) → which numbers of that run are stored, as ranges
    ev_unnumbered   (charger, identity) of readings that carry no number
    ev_rollups      (charger, name, width_s, at) → sums of quarter-hours and days
    ev_set_aside    messages that could not be stored as readings: verbatim, with the reason

A unique index of a partitioned table has to hold `at`, so it cannot say that a number is taken by a reading
of another time; `ev_numbers` can, in one small row per run.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from evmesh.domain.errors import IntegrityFailure
from evmesh.telemetry import timescale
from evmesh.telemetry.timescale import Connection, Features

LOCK: Final = 0x65766D65736874
"""Of all that changes tables: one at a time, whoever starts."""

MONTHS_BACK: Final = 120
MONTHS_AHEAD: Final = 2
"""Months around the ingest's clock that get a partition; other times lie in `ev_readings_elsewhen`."""

MIGRATIONS: Final = (
    """
    CREATE TABLE ev_numbers (
        charger text COLLATE "C" NOT NULL,
        boot text COLLATE "C" NOT NULL,
        stored int8multirange NOT NULL,
        again int8multirange NOT NULL DEFAULT '{}',  -- what the last batch told again
        PRIMARY KEY (charger, boot)
    ) WITH (fillfactor = 70);
    CREATE TABLE ev_unnumbered (
        charger text COLLATE "C" NOT NULL,
        identity text COLLATE "C" NOT NULL,
        PRIMARY KEY (charger, identity)
    );
    CREATE TABLE ev_rollups (
        charger text COLLATE "C" NOT NULL,
        name text COLLATE "C" NOT NULL,
        width_s integer NOT NULL,
        at timestamptz NOT NULL,
        count bigint NOT NULL,
        total numeric NOT NULL,
        lowest bigint NOT NULL,
        highest bigint NOT NULL,
        first bigint NOT NULL,
        last bigint NOT NULL,
        first_at timestamptz NOT NULL,
        last_at timestamptz NOT NULL,
        PRIMARY KEY (charger, name, width_s, at)
    ) WITH (fillfactor = 70);
    CREATE TABLE ev_set_aside (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        digest bytea NOT NULL UNIQUE,
        received_at timestamptz NOT NULL,
        topic text NOT NULL,
        payload bytea NOT NULL,
        code text NOT NULL,
        reason text NOT NULL
    );
    """,
)
"""Step n brings a database of version n to n + 1; `ev_version` says where one is."""

_COLUMNS: Final = """
    charger text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    at timestamptz NOT NULL,
    identity text COLLATE "C" NOT NULL,
    number bigint,                 -- one of these, or neither where the charger does not know
    word text,
    boot text COLLATE "C",
    seq bigint,
    received_at timestamptz NOT NULL,
    PRIMARY KEY (charger, name, at, identity),
    CHECK (number IS NULL OR word IS NULL)
"""

Month = tuple[int, int]


async def migrate(connection: Connection) -> Features:
    """Make or bring up to date all tables. Raises IntegrityFailure where a newer evmesh has been here."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute("CREATE TABLE IF NOT EXISTS ev_version (version integer NOT NULL)")
        version = await connection.fetchval("SELECT coalesce(max(version), 0) FROM ev_version")
        if version > len(MIGRATIONS):
            raise IntegrityFailure(
                "telemetry.store_too_new",
                f"the time series is of version {version}; this evmesh knows up to {len(MIGRATIONS)}",
                do="run a newer evmesh",
            )
        has_timescale = await timescale.is_there(connection)
        for step in range(version, len(MIGRATIONS)):
            await connection.execute(MIGRATIONS[step])
        if version == 0:
            await _make_readings(connection, has_timescale=has_timescale)
        if version < len(MIGRATIONS):
            await connection.execute("DELETE FROM ev_version")
            await connection.execute("INSERT INTO ev_version VALUES ($1)", len(MIGRATIONS))
    if not await timescale.is_hypertable(connection, has_timescale=has_timescale):
        return Features(hypertable=False)
    return await timescale.switch_on(connection)


async def _make_readings(connection: Connection, *, has_timescale: bool) -> None:
    if has_timescale:
        await connection.execute(f"CREATE TABLE ev_readings ({_COLUMNS})")
        await timescale.make_hypertable(connection)
        return
    await connection.execute(f"CREATE TABLE ev_readings ({_COLUMNS}) PARTITION BY RANGE (at)")
    await connection.execute("CREATE TABLE ev_readings_elsewhen PARTITION OF ev_readings DEFAULT")


def wanted_months(instants: Iterable[datetime], now: datetime) -> set[Month]:
    """Give the months that need a partition: those of readings, clocks far off left out, and the next."""
    this = _index((now.year, now.month))
    wanted = {(at.year, at.month) for at in instants}
    near = {month for month in wanted if this - MONTHS_BACK <= _index(month) <= this + MONTHS_AHEAD}
    return near | {_month(this), _month(this + 1)}


async def known_months(connection: Connection) -> set[Month]:
    """Give the months that have a partition."""
    rows = await connection.fetch(
        "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'ev_readings'::regclass"
    )
    names = [row["relname"].removeprefix("ev_readings_").partition("_") for row in rows]
    return {(int(year), int(month)) for year, _, month in names if year.isdecimal() and month.isdecimal()}


async def make_month(connection: Connection, month: Month) -> None:
    """Make the partition of a month, with what lay elsewhere of it; nothing where it is there."""
    year, number = month
    name = f"ev_readings_{year:04}_{number:02}"
    start, end = (datetime(*_month(_index(month) + step), 1, tzinfo=UTC) for step in (0, 1))
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        if await connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
            return
        await connection.execute("LOCK TABLE ev_readings_elsewhen IN SHARE ROW EXCLUSIVE MODE")
        await connection.execute(f"CREATE TABLE {name} (LIKE ev_readings INCLUDING ALL)")
        move = (  # a name made of two numbers
            "WITH moved AS (DELETE FROM ev_readings_elsewhen WHERE at >= $1 AND at < $2 RETURNING *)"  # noqa: S608
            f" INSERT INTO {name} SELECT * FROM moved"
        )
        await connection.execute(move, start, end)
        await connection.execute(
            f"ALTER TABLE ev_readings ATTACH PARTITION {name}"
            f" FOR VALUES FROM ('{start.isoformat()}') TO ('{end.isoformat()}')"
        )


async def drop_months(connection: Connection, before: datetime) -> None:
    """Drop the partitions of all months before this one's.

    What came since, from a clock that is behind, goes to the partition of odd times; there readings are
    dropped by when they came.
    """
    for month in sorted(await known_months(connection)):
        if month < (before.year, before.month):
            name = f"ev_readings_{month[0]:04}_{month[1]:02}"
            async with connection.transaction():
                await connection.execute(f"ALTER TABLE ev_readings DETACH PARTITION {name}")
                late = f"INSERT INTO ev_readings SELECT * FROM {name} WHERE received_at >= $1"  # noqa: S608
                await connection.execute(late, before)
                await connection.execute(f"DROP TABLE {name}")
    await connection.execute("DELETE FROM ev_readings_elsewhen WHERE received_at < $1", before)


def _index(month: Month) -> int:
    return month[0] * 12 + month[1] - 1


def _month(index: int) -> Month:
    return index // 12, index % 12 + 1
