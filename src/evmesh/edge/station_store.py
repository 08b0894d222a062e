"""The disk of a station from parts: its record, and what it has not told yet, in one file.

    station_record   one row: the record, as JSON
    station_untold   number, kind, body: what happened, in order, until it was told
    station_answers  local, transaction, accepted: what the platform said to a start

What happened and the record that follows from it are one commit, so a power cut finds both or neither.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from evmesh.domain.errors import IntegrityFailure, Unavailable
from evmesh.domain.stations import StartAnswer
from evmesh.edge.station_record import Begun, Ended, Happening, Record, Sampled

T = TypeVar("T")
_KINDS: Final[dict[str, type[Happening]]] = {"begun": Begun, "sampled": Sampled, "ended": Ended}
_NAMES: Final = {kind: name for name, kind in _KINDS.items()}
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS station_record (
        one INTEGER PRIMARY KEY CHECK (one = 1), body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS station_untold (
        number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, body TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS station_answers (
        local INTEGER PRIMARY KEY, transaction_id INTEGER NOT NULL, accepted INTEGER NOT NULL
    ) STRICT;
"""


class StationStore:
    """One station's file. Use with `async with`; raises Unavailable `station.disk`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="station")
        self._connection: sqlite3.Connection | None = None
        self._record = Record()
        self._answers: dict[int, StartAnswer] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._do(self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._do(lambda connection: connection.close())
        self._thread.shutdown()

    @property
    def record(self) -> Record:
        """What is on the disk."""
        return self._record

    def answer(self, local: int) -> StartAnswer | None:
        """Give what the platform said to a start; None while it has not."""
        return self._answers.get(local)

    async def keep(self, record: Record, happenings: Sequence[Happening] = ()) -> None:
        """Write what happened and what follows; on the disk when this returns."""
        body = msgspec.json.encode(record).decode()
        rows = [(_NAMES[type(one)], msgspec.json.encode(one).decode()) for one in happenings]

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO station_record VALUES (1, ?) ON CONFLICT DO UPDATE SET body = excluded.body",
                (body,),
            )
            connection.executemany("INSERT INTO station_untold (kind, body) VALUES (?, ?)", rows)

        await self._do(_committed(write))
        self._record = record

    async def oldest(self) -> tuple[int, Happening] | None:
        """Give what is to be told next, with its number; it stays."""
        query = "SELECT number, kind, body FROM station_untold ORDER BY number LIMIT 1"
        row = await self._do(lambda connection: connection.execute(query).fetchone())
        return None if row is None else (row[0], self._read(row[2], _KINDS[row[1]]))

    async def answered(self, number: int, local: int, answer: StartAnswer) -> None:
        """Let go of a start that was told, and keep its answer."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM station_untold WHERE number = ?", (number,))
            row = (local, answer.transaction_id, answer.accepted)
            connection.execute("INSERT OR REPLACE INTO station_answers VALUES (?, ?, ?)", row)

        await self._do(_committed(write))
        self._answers[local] = answer

    async def told(self, number: int, *, ended: int | None = None) -> None:
        """Let go of what was told; `ended` is the charge of which there is nothing more to tell."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM station_untold WHERE number = ?", (number,))
            connection.execute("DELETE FROM station_answers WHERE local = ?", (ended,))

        await self._do(_committed(write))
        if ended is not None:
            self._answers.pop(ended, None)

    def _open(self, connection: sqlite3.Connection) -> None:
        connection.executescript(_TABLES)
        row = connection.execute("SELECT body FROM station_record").fetchone()
        if row is not None:
            self._record = self._read(row[0], Record)
        for local, transaction_id, accepted in connection.execute("SELECT * FROM station_answers"):
            self._answers[local] = StartAnswer(transaction_id, bool(accepted))

    def _read(self, body: str, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(body, type=kind)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise self._damaged(error) from error

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._with, work)

    def _with(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._connection is None:
                self._connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
                for setting in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
                    self._connection.execute(f"PRAGMA {setting}").close()
            return work(self._connection)
        except sqlite3.OperationalError as error:
            raise Unavailable(
                "station.disk", f"the station's file cannot be used: {error}", do="check the disk"
            ) from error
        except sqlite3.DatabaseError as error:
            raise self._damaged(error) from error

    def _damaged(self, error: Exception) -> IntegrityFailure:
        return IntegrityFailure(
            "station.damaged",
            f"{self._path} is damaged: {error}",
            do="read the meter, end the charge by hand, and move the file away",
        )


def _committed(write: Callable[[sqlite3.Connection], None]) -> Callable[[sqlite3.Connection], None]:
    def run(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            write(connection)
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    return run
