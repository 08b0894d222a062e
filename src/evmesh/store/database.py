"""The database behind the port `Store`: serial units of work, durable when they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from evmesh.domain.errors import Unavailable
from evmesh.store.unit import SqlUnit


class Database:
    """One engine, one writer. Implements the port `Store`.

    Units are serial within the process, so a unit may read, decide and write without a second
    look. SQLite runs in WAL mode with synchronous=FULL: a commit that returned survives a kill
    and a power cut.
    """

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url)
        self._turn = asyncio.Lock()
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _tune_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)

    async def migrate(self) -> None:
        """Bring the schema to this release; a no-op where it is there already."""
        async with self._turn, self._engine.connect() as connection:
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnit]:
        """Open a unit of work; raises Unavailable `store.unavailable` where nothing can be written."""
        async with self._turn:
            try:
                async with self._engine.begin() as connection:
                    yield SqlUnit(connection)
            except OperationalError as error:
                raise Unavailable(
                    "store.unavailable",
                    f"the database cannot be written: {error.orig}",
                    do="check the free space, and that no other evmesh uses this data directory",
                ) from error

    async def close(self) -> None:
        """Close every connection."""
        await self._engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "evmesh.store:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _tune_sqlite(connection: object, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # we say BEGIN ourselves
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
