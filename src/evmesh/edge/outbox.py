"""What a gateway has read and the database does not have yet: on the disk, bounded, and in order.

    ev_outbox   number, charger, boot, seq, name, at, value, precious, put_at, bytes
    ev_lost     charger, count: what had to give way, in all

A row leaves when the ingest says that it is stored, and only then: a broker's PUBACK is no promise. Where
there is no more room the oldest rows give way, sessions and signed data last, and each is counted; the count
is a reading of its own. Ages are counted in seconds that a gateway has run, so a clock that jumps loses
nothing.
"""

import asyncio
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from evmesh.domain.telemetry import Ack, NumberedValue, TelemetryValue, ValueName
from evmesh.edge.disk import Disk

MOST_BYTES: Final = 256 * 2**20
MOST_AGE_S: Final = 30 * 86_400
ROW_BYTES: Final = 220
"""What a row is taken to need beside its text: 154 in a packed file, and pages are not always full."""

PRECIOUS: Final = frozenset({ValueName.SESSION_ENERGY, ValueName.READINGS_LOST})
"""Values that give way last."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS ev_outbox (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        charger TEXT NOT NULL,
        boot TEXT NOT NULL,
        seq INTEGER NOT NULL,
        name TEXT NOT NULL,
        at INTEGER NOT NULL,        -- microseconds since 1970, UTC, by the gateway's clock
        value TEXT NOT NULL,        -- as JSON
        precious INTEGER NOT NULL,
        put_at INTEGER NOT NULL,    -- seconds that the gateway has run
        UNIQUE (charger, boot, seq)
    ) STRICT;
    CREATE INDEX IF NOT EXISTS ev_outbox_giving_way ON ev_outbox (precious, number);
    CREATE TABLE IF NOT EXISTS ev_lost (charger TEXT PRIMARY KEY, count INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS ev_ran (one INTEGER PRIMARY KEY, seconds INTEGER NOT NULL) STRICT;
    INSERT OR IGNORE INTO ev_ran VALUES (1, 0);
"""
_SIZE: Final = "SELECT coalesce(sum(length(value)), 0) + ? * count(*) FROM ev_outbox"
_PUT: Final = """
    INSERT INTO ev_outbox (charger, boot, seq, name, at, value, precious, put_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
_TAKE: Final = """
    SELECT number, charger, boot, seq, name, at, value FROM ev_outbox WHERE number > ? ORDER BY number LIMIT ?
"""
_STORED: Final = """
    DELETE FROM ev_outbox WHERE charger = ? AND boot = ? AND seq BETWEEN ? AND ? RETURNING length(value)
"""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A reading in the outbox; `number` is its place in the order."""

    number: int
    reading: NumberedValue


class Outbox:
    """One gateway's outbox for one run (`boot`). Use with `async with`."""

    def __init__(
        self, path: Path, boot: str, *, most_bytes: int = MOST_BYTES, most_age_s: int = MOST_AGE_S
    ) -> None:
        self._disk = Disk(
            path, away="outbox.away", damaged="outbox.damaged", do="move the file away; it is made anew"
        )
        self._boot = boot
        self._most_bytes = most_bytes
        self._most_age_s = most_age_s
        self._bytes = 0
        self._numbers: dict[str, int] = {}
        self._ran = 0
        self._began = 0.0

    async def __aenter__(self) -> Self:
        self._began = asyncio.get_running_loop().time()
        await self._disk.open(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disk.close()

    async def put(self, values: Sequence[TelemetryValue]) -> None:
        """Number and store readings; on the disk when this returns. Makes room where there is none."""
        now = self._now()
        await self._disk.commit(lambda connection: self._put(connection, values, now))

    async def take(self, after: int, most: int) -> list[Waiting]:
        """Give up to `most` readings behind number `after`, in order; they stay."""
        rows = await self._disk.do(lambda connection: connection.execute(_TAKE, (after, most)).fetchall())
        return [_waiting(row) for row in rows]

    async def stored(self, ack: Ack) -> int:
        """Let go of what is in the database; gives how many there were."""
        return await self._disk.commit(lambda connection: self._stored(connection, ack))

    async def count(self) -> int:
        """Give how many readings wait."""
        query = "SELECT count(*) FROM ev_outbox"
        return int(await self._disk.do(lambda connection: connection.execute(query).fetchone()[0]))

    async def lost(self) -> dict[str, int]:
        """Give how many readings of each charger had to give way, in all."""
        query = "SELECT charger, count FROM ev_lost ORDER BY charger"
        return dict(await self._disk.do(lambda connection: connection.execute(query).fetchall()))

    def _now(self) -> int:
        return self._ran + int(asyncio.get_running_loop().time() - self._began)

    def _open(self, connection: sqlite3.Connection) -> None:
        connection.executescript(_TABLES)
        self._bytes = connection.execute(_SIZE, (ROW_BYTES,)).fetchone()[0]
        self._ran = connection.execute("SELECT seconds FROM ev_ran").fetchone()[0]

    def _put(self, connection: sqlite3.Connection, values: Sequence[TelemetryValue], now: int) -> None:
        """Number and insert. In the disk's own thread, so that no two take the same numbers."""
        connection.execute("UPDATE ev_ran SET seconds = max(seconds, ?)", (now,))
        size = self._bytes + self._insert(connection, values, now)
        self._bytes = size - self._make_room(connection, size, now)

    def _insert(
        self,
        connection: sqlite3.Connection,
        values: Sequence[TelemetryValue],
        now: int,
    ) -> int:
        """Add rows; gives the bytes that they take."""
        size = 0
        for one in values:
            self._numbers[one.charger] = self._numbers.get(one.charger, 0) + 1
            text = json.dumps(one.value)
            at = (one.at - _EPOCH) // timedelta(microseconds=1)
            row = (
                one.charger,
                self._boot,
                self._numbers[one.charger],
                one.name,
                at,
                text,
                one.name in PRECIOUS,
                now,
            )
            connection.execute(_PUT, row)
            size += len(text.encode()) + ROW_BYTES
        return size

    def _make_room(self, connection: sqlite3.Connection, size: int, now: int) -> int:
        """Let the oldest give way; gives the bytes that came free. What is lost becomes a reading."""
        # A little more than is needed, so that a full outbox does not make room at every reading.
        most = self._most_bytes if size <= self._most_bytes else self._most_bytes * 49 // 50
        freed = 0
        gone: dict[str, int] = {}
        dying: list[tuple[int]] = []
        rows = connection.execute(
            "SELECT number, charger, length(value), put_at, precious FROM ev_outbox ORDER BY precious, number"
        )
        for number, charger, length, put_at, is_precious in rows:
            if size - freed <= most and (is_precious or now - put_at <= self._most_age_s):
                break
            dying.append((number,))
            gone[charger] = gone.get(charger, 0) + 1
            freed += length + ROW_BYTES
        rows.close()
        connection.executemany("DELETE FROM ev_outbox WHERE number = ?", dying)
        for charger, count in gone.items():
            freed -= self._report(connection, charger, count, now)
        return freed

    def _report(self, connection: sqlite3.Connection, charger: str, count: int, now: int) -> int:
        """Count what a charger lost, in one reading in place of the last; gives the bytes it takes more."""
        connection.execute(
            "INSERT INTO ev_lost VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
            (charger, count),
        )
        (total,) = connection.execute("SELECT count FROM ev_lost WHERE charger = ?", (charger,)).fetchone()
        before = connection.execute(
            "DELETE FROM ev_outbox WHERE charger = ? AND name = ? RETURNING length(value)",
            (charger, ValueName.READINGS_LOST),
        ).fetchall()
        (latest,) = connection.execute(
            "SELECT max(at) FROM ev_outbox WHERE charger = ?", (charger,)
        ).fetchone()
        at = _EPOCH + timedelta(microseconds=latest or 0)
        value = TelemetryValue(charger, ValueName.READINGS_LOST, at, total)
        taken: int = sum(length + ROW_BYTES for (length,) in before)
        return self._insert(connection, [value], now) - taken

    def _stored(self, connection: sqlite3.Connection, ack: Ack) -> int:
        gone: list[tuple[int]] = []
        for first, last in ack.ranges:
            gone += connection.execute(_STORED, (ack.charger, ack.boot, first, last)).fetchall()
        self._bytes -= sum(length + ROW_BYTES for (length,) in gone)
        return len(gone)


def _waiting(row: tuple[int, str, str, int, str, int, str]) -> Waiting:
    number, charger, boot, seq, name, at, text = row
    value = TelemetryValue(charger, name, _EPOCH + timedelta(microseconds=at), json.loads(text))
    return Waiting(number, NumberedValue(value, boot, seq))
