"""The disk of a station from parts: its record, and what it has not told yet, in one file.

    station_record   one row: the record, as JSON
    station_untold   number, kind, body: what happened, in order, until it was told
    station_answers  local, transaction, accepted: what the platform said to a start

What happened and the record that follows from it are one commit, so a power cut finds both or neither.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from evmesh.domain.stations import StartAnswer
from evmesh.edge.disk import Disk
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
        self._disk = Disk(
            path,
            away="station.disk",
            damaged="station.damaged",
            do="read the meter, end the charge by hand, and move the file away",
        )
        self._record = Record()
        self._answers: dict[int, StartAnswer] = {}

    async def __aenter__(self) -> Self:
        await self._disk.open(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disk.close()

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

        await self._disk.commit(write)
        self._record = record

    async def oldest(self) -> tuple[int, Happening] | None:
        """Give what is to be told next, with its number; it stays."""
        query = "SELECT number, kind, body FROM station_untold ORDER BY number LIMIT 1"
        row = await self._disk.do(lambda connection: connection.execute(query).fetchone())
        return None if row is None else (row[0], self._read(row[2], _KINDS[row[1]]))

    async def answered(self, number: int, local: int, answer: StartAnswer) -> None:
        """Let go of a start that was told, and keep its answer."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM station_untold WHERE number = ?", (number,))
            row = (local, answer.transaction_id, answer.accepted)
            connection.execute("INSERT OR REPLACE INTO station_answers VALUES (?, ?, ?)", row)

        await self._disk.commit(write)
        self._answers[local] = answer

    async def told(self, number: int, *, ended: int | None = None) -> None:
        """Let go of what was told; `ended` is the charge of which there is nothing more to tell."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM station_untold WHERE number = ?", (number,))
            connection.execute("DELETE FROM station_answers WHERE local = ?", (ended,))

        await self._disk.commit(write)
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
            raise self._disk.damaged(error) from error
