"""What TimescaleDB adds where its extension is in the database: found out, never needed.

Its Apache edition has hypertables and refuses the rest (SQLSTATE 0A000): that is left out, and said.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg
import structlog

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = asyncpg.Connection[asyncpg.Record] | PoolConnectionProxy[asyncpg.Record]
else:
    Connection = asyncpg.Connection  # which is no generic when it runs

_log = structlog.get_logger(__name__)

CHUNK: Final = "7 days"

_FEATURES: Final = (
    (
        "compression",
        "SELECT compression_enabled FROM timescaledb_information.hypertables"
        " WHERE hypertable_name = 'ev_readings'",
        "ALTER TABLE ev_readings SET (timescaledb.compress,"
        " timescaledb.compress_segmentby = 'charger, name', timescaledb.compress_orderby = 'at')",
        "SELECT add_compression_policy('ev_readings', INTERVAL '30 days', if_not_exists => true)",
    ),
    (
        "continuous aggregate",
        "SELECT EXISTS (SELECT FROM timescaledb_information.continuous_aggregates"
        " WHERE view_name = 'ev_minutes')",
        "CREATE MATERIALIZED VIEW IF NOT EXISTS ev_minutes WITH (timescaledb.continuous) AS"
        " SELECT charger, name, time_bucket('1 minute', at) AS at, count(number) AS count,"
        " avg(number) AS mean, min(number) AS lowest, max(number) AS highest"
        " FROM ev_readings GROUP BY 1, 2, 3 WITH NO DATA",
        "SELECT add_continuous_aggregate_policy('ev_minutes', start_offset => INTERVAL '3 days',"
        " end_offset => INTERVAL '1 minute', schedule_interval => INTERVAL '5 minutes',"
        " if_not_exists => true)",
    ),
)
"""Each: its name, what asks whether it is there, what makes it, what runs it.

Asked, since a table that has compressed chunks refuses to be told again how to compress them, in the very
words (0A000) with which the Apache edition refuses to compress at all.
"""


@dataclass(frozen=True, slots=True)
class Features:
    """What of TimescaleDB is used here."""

    hypertable: bool
    used: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


async def is_there(connection: Connection) -> bool:
    """Tell whether the extension is in this database."""
    return bool(
        await connection.fetchval("SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb')")
    )


async def is_hypertable(connection: Connection, *, has_timescale: bool) -> bool:
    """Tell a table made with the extension from one that was made before it came."""
    return has_timescale and bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM timescaledb_information.hypertables"
            " WHERE hypertable_name = 'ev_readings')"
        )
    )


async def make_hypertable(connection: Connection) -> None:
    """Hand `ev_readings`, still empty, to TimescaleDB; it makes chunks for whatever times come."""
    await connection.execute(
        f"SELECT create_hypertable('ev_readings', 'at', chunk_time_interval => INTERVAL '{CHUNK}')"
    )


async def switch_on(connection: Connection) -> Features:
    """Use what this edition has."""
    used, refused = [], []
    for name, asks, makes, runs in _FEATURES:
        try:
            if not await connection.fetchval(asks):
                await connection.execute(makes)
            await connection.execute(runs)
            used.append(name)
        except asyncpg.FeatureNotSupportedError as error:
            _log.warning("telemetry.timescale_refused", feature=name, why=str(error))
            refused.append(name)
    return Features(hypertable=True, used=tuple(used), refused=tuple(refused))


async def drop_chunks(connection: Connection, before: datetime) -> None:
    """Drop chunks that hold nothing newer than this; what came since, from a clock that is behind, stays."""
    async with connection.transaction():
        await connection.execute("CREATE TEMP TABLE ev_late (LIKE ev_readings) ON COMMIT DROP")
        await connection.execute(
            "INSERT INTO ev_late SELECT * FROM ev_readings WHERE at < $1 AND received_at >= $1", before
        )
        await connection.execute("SELECT drop_chunks('ev_readings', older_than => $1::timestamptz)", before)
        # A chunk that holds newer readings too was not dropped, with all that is in it.
        await connection.execute("INSERT INTO ev_readings SELECT * FROM ev_late ON CONFLICT DO NOTHING")
