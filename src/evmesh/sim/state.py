"""What hardware remembers over a power cut: one SQLite file, synchronous writes.

Synchronous on purpose: all that belongs together (register, battery, transaction, the message that
tells of it) is written in one `commit()` block that no other task can get into. A commit is one fsync, and
most platform seconds have none: registers go to disk together with the messages that quote them.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from evmesh.domain.ids import StationId
from evmesh.sim.evse import EvseRecord

_SCHEMA = """
CREATE TABLE IF NOT EXISTS evse (
    station TEXT, connector INTEGER, register_ws INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (station, connector));
CREATE TABLE IF NOT EXISTS tx (
    local INTEGER PRIMARY KEY AUTOINCREMENT, station TEXT NOT NULL, connector INTEGER NOT NULL,
    remote INTEGER, given_up INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, station TEXT NOT NULL, action TEXT NOT NULL,
    local INTEGER NOT NULL, message_id TEXT NOT NULL, payload TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0);
CREATE INDEX IF NOT EXISTS message_of_station ON message (station, seq);
CREATE TABLE IF NOT EXISTS setting (station TEXT, key TEXT, value TEXT NOT NULL, PRIMARY KEY (station, key));
CREATE TABLE IF NOT EXISTS visit (
    key TEXT PRIMARY KEY, arrival TEXT NOT NULL, ended INTEGER NOT NULL, progress TEXT NOT NULL);
"""

MAX_UNSENT = 20_000
"""Messages a station keeps; beyond it the oldest meter values go, starts and stops never."""


@dataclass(frozen=True, slots=True)
class QueuedMessage:
    """A transaction message that waits for its answer; a Start's `local` is its own transaction."""

    seq: int
    action: str
    local: int
    message_id: str
    payload: dict[str, Any]
    attempts: int


def last_instant(path: Path) -> datetime | None:
    """Give the newest time that a simulation's disk holds; None where there is none.

    A message that waits was written together with the meter that it quotes, so the meters' times cover it.
    """
    if not path.exists():
        return None
    with closing(sqlite3.connect(path)) as db:
        db.executescript(_SCHEMA)
        records = db.execute("SELECT record FROM evse").fetchall()
        arrivals = db.execute("SELECT arrival FROM visit").fetchall()
    found = [msgspec.json.decode(record, type=EvseRecord).at for (record,) in records]
    found += [datetime.fromisoformat(arrival) for (arrival,) in arrivals]
    return max(found, default=None)


class SimState:
    """The simulation's disk. One per state directory, one writer."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._depth = 0
        self._answered: dict[str, int] = {}

    def close(self) -> None:
        """Give the file back; what was committed stays."""
        with self.commit():
            self._forget_answered()
        self._db.close()

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Make all writes inside durable together; the outermost block counts."""
        self._depth += 1
        try:
            yield
        except BaseException:
            self._depth -= 1
            if self._db.in_transaction and self._depth == 0:
                self._db.execute("ROLLBACK")
            raise
        self._depth -= 1
        if self._db.in_transaction and self._depth == 0:
            self._db.execute("COMMIT")

    def load_evse(self, station: StationId, connector: int) -> EvseRecord | None:
        """Give what this connector remembers; None for a new one."""
        row = self._db.execute(
            "SELECT record FROM evse WHERE station = ? AND connector = ?", (station.text, connector)
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=EvseRecord)

    def save_evse(self, station: StationId, connector: int, record: EvseRecord) -> None:
        """Write what this connector remembers; the register also stands in a column of its own."""
        self._write(
            "INSERT OR REPLACE INTO evse VALUES (?, ?, ?, ?)",
            (
                station.text,
                connector,
                record.meter.register_ws,
                msgspec.json.encode(record).decode(),
            ),
        )

    def new_transaction(self, station: StationId, connector: int) -> int:
        """Give the station's own number for a transaction that begins."""
        cursor = self._write("INSERT INTO tx (station, connector) VALUES (?, ?)", (station.text, connector))
        return int(cursor.lastrowid or 0)

    def learn_transaction_id(self, local: int, remote: int) -> None:
        """Keep the id that the CSMS gave."""
        self._write("UPDATE tx SET remote = ? WHERE local = ?", (remote, local))

    def give_up_transaction(self, local: int) -> None:
        """Drop all messages of a transaction whose start the CSMS would not take."""
        self._write("UPDATE tx SET given_up = 1 WHERE local = ?", (local,))
        self._write("DELETE FROM message WHERE local = ?", (local,))

    def transaction_id(self, local: int) -> int | None:
        """Give the CSMS's id of a transaction; None until its start is answered."""
        row = self._db.execute("SELECT remote FROM tx WHERE local = ?", (local,)).fetchone()
        return None if row is None else row[0]

    def is_given_up(self, local: int) -> bool:
        row = self._db.execute("SELECT given_up FROM tx WHERE local = ?", (local,)).fetchone()
        return bool(row and row[0])

    def enqueue(
        self, station: StationId, action: str, local: int, message_id: str, payload: dict[str, Any]
    ) -> None:
        """Put a transaction message at the end of a station's queue."""
        if self.is_given_up(local):
            return
        self._write(
            "INSERT INTO message (station, action, local, message_id, payload) VALUES (?, ?, ?, ?, ?)",
            (station.text, action, local, message_id, msgspec.json.encode(payload).decode()),
        )

    def next_message(self, station: StationId) -> QueuedMessage | None:
        """Give the oldest message that was not answered."""
        row = self._db.execute(
            "SELECT seq, action, local, message_id, payload, attempts FROM message"
            " WHERE station = ? AND seq > ? ORDER BY seq LIMIT 1",
            (station.text, self._answered.get(station.text, 0)),
        ).fetchone()
        if row is None:
            return None
        return QueuedMessage(row[0], row[1], row[2], row[3], msgspec.json.decode(row[4]), row[5])

    def unsent(self, station: StationId) -> int:
        """Count what waits."""
        row = self._db.execute(
            "SELECT COUNT(*) FROM message WHERE station = ? AND seq > ?",
            (station.text, self._answered.get(station.text, 0)),
        ).fetchone()
        return int(row[0])

    def answered(self, station: StationId, seq: int) -> None:
        """Forget a message, on disk with the next commit: sent once more after a crash it does no harm."""
        self._answered[station.text] = seq

    def attempted(self, seq: int, attempts: int) -> None:
        """Count an answer that was an error."""
        self._write("UPDATE message SET attempts = ? WHERE seq = ?", (attempts, seq))

    def trim(self, station: StationId) -> int:
        """Drop the oldest meter values beyond MAX_UNSENT; give how many."""
        surplus = self.unsent(station) - MAX_UNSENT
        if surplus <= 0:
            return 0
        cursor = self._write(
            "DELETE FROM message WHERE seq IN (SELECT seq FROM message"
            " WHERE station = ? AND action = 'MeterValues' ORDER BY seq LIMIT ?)",
            (station.text, surplus),
        )
        return cursor.rowcount

    def settings(self, station: StationId) -> dict[str, str]:
        """Give the configuration keys that the CSMS changed."""
        rows = self._db.execute("SELECT key, value FROM setting WHERE station = ?", (station.text,))
        return dict(rows.fetchall())

    def save_setting(self, station: StationId, key: str, value: str) -> None:
        self._write("INSERT OR REPLACE INTO setting VALUES (?, ?, ?)", (station.text, key, value))

    def save_visit(self, key: str, arrival: datetime, progress: str, *, ended: bool) -> None:
        """Write how far a driver is."""
        self._write(
            "INSERT OR REPLACE INTO visit VALUES (?, ?, ?, ?)",
            (key, arrival.isoformat(), int(ended), progress),
        )

    def load_visit(self, key: str) -> str | None:
        row = self._db.execute("SELECT progress FROM visit WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def open_visits(self) -> list[str]:
        """Give the progress of every visit that began and has not ended, oldest first."""
        rows = self._db.execute("SELECT progress FROM visit WHERE ended = 0 ORDER BY arrival, key")
        return [str(row[0]) for row in rows.fetchall()]

    def _write(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        if self._depth == 0:
            with self.commit():
                return self._write(statement, values)
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
            self._forget_answered()
        return self._db.execute(statement, values)

    def _forget_answered(self) -> None:
        """Delete what was answered since the last commit; the numbers stay known to `next_message`."""
        for station, seq in self._answered.items():
            self._db.execute("DELETE FROM message WHERE station = ? AND seq <= ?", (station, seq))
