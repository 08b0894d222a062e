"""The database behind the port `Store`: serial units of work, durable when they end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from evmesh.domain.errors import Unavailable
from evmesh.store import schema_channels  # noqa: F401 - the metadata is to know its tables
from evmesh.store.steady import SteadyConnection, to_its_end
from evmesh.store.unit import SqlUnit

NEWEST = "0001"
"""The revision of `migrations` that this release has."""


class Database:
    """One engine, one connection, one writer. Implements the port `Store`.

    Units are serial within the process, so a unit may read, decide and write without a second
    look. SQLite runs in WAL mode with synchronous=FULL: a commit that returned survives a kill
    and a power cut. A unit that is cancelled is rolled back, or was committed whole.
    """

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url)
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection | None = None
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _tune_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)

    async def migrate(self) -> None:
        """Bring the schema to this release; a no-op where it is there already.

        Raises Refused `store.newer_release` for a database that a newer evmesh has changed.
        """
        async with self._turn:
            await to_its_end(self._migrate())

    async def _migrate(self) -> None:
        async with self._engine.connect() as connection:
            await connection.run_sync(_upgrade)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[SqlUnit]:
        """Open a unit of work; raises Unavailable `store.unavailable` where nothing can be written."""
        async with self._turn:
            try:
                try:
                    connection = await to_its_end(self._opened())
                    yield SqlUnit(SteadyConnection(connection))
                except BaseException:
                    await to_its_end(self._roll_back())
                    raise
                await to_its_end(self._commit(connection))
            except OperationalError as error:
                raise Unavailable(
                    "store.unavailable",
                    f"the database cannot be written: {error.orig}",
                    do="check the free space, and that no other evmesh uses this data directory",
                ) from error

    async def close(self) -> None:
        """Close every connection."""
        async with self._turn:
            await to_its_end(self._drop())
            await to_its_end(self._engine.dispose())

    async def _opened(self) -> AsyncConnection:
        """Give our connection with a transaction begun."""
        if self._connection is None:
            self._connection = await self._engine.connect()
        try:
            await self._connection.begin()
        except BaseException:
            await self._drop()
            raise
        return self._connection

    async def _commit(self, connection: AsyncConnection) -> None:
        try:
            await connection.commit()
        except BaseException:
            await self._drop()
            raise

    async def _roll_back(self) -> None:
        try:
            if self._connection is not None:
                await self._connection.rollback()
        except BaseException:
            await self._drop()
            raise

    async def _drop(self) -> None:
        """Give up a connection of which nobody knows what it holds: closing it rolls back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()


def _upgrade(connection: Connection) -> None:
    if _revision(connection) != NEWEST:
        from evmesh.store.upgrade import upgrade  # Alembic is slow to import, and seldom needed

        upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not connection.dialect.has_table(connection, "alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def _tune_sqlite(connection: object, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # we say BEGIN ourselves
    cursor = connection.cursor()  # type: ignore[attr-defined]
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")
