"""One SQLite file with the one thread that uses it: what is committed is on the disk."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from evmesh.domain.errors import IntegrityFailure, Unavailable

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]


class Disk:
    """A file that is opened with its tables. `away`, `damaged` and `do` are what is said where it fails."""

    def __init__(self, path: Path, *, away: str, damaged: str, do: str) -> None:
        self.path = path
        self._away = away
        self._damaged = damaged
        self._how = do
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._connection: sqlite3.Connection | None = None

    async def open(self, work: Work[None]) -> None:
        """Open the file, made where it is missing, and do the first work in it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            await self.do(work)
        except BaseException:
            self._thread.submit(self._let_go).result()
            self._thread.shutdown()
            raise

    async def close(self) -> None:
        """Close it; nothing is left half done."""
        await self.do(lambda connection: connection.close())
        self._thread.shutdown()

    async def do(self, work: Work[T]) -> T:
        """Do work that writes nothing, or ends its own transactions."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with, work)

    async def commit(self, work: Work[T]) -> T:
        """Do all of it in one transaction, or none; on the disk when this returns."""

        def whole(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                found = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # a full disk has ended it already
                    connection.execute("ROLLBACK")
                raise
            return found

        return await self.do(whole)

    def damaged(self, error: Exception) -> IntegrityFailure:
        """Say that what the file holds cannot be read."""
        return IntegrityFailure(self._damaged, f"{self.path} is damaged: {error}", do=self._how)

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _with(self, work: Work[T]) -> T:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
                for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
                    self._connection.execute(f"PRAGMA {setting}").close()
            return work(self._connection)
        except sqlite3.OperationalError as error:
            raise Unavailable(
                self._away, f"{self.path} cannot be used: {error}", do="check the disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self.damaged(error) from error
