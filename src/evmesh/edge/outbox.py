"""What a gateway has read and the database does not have yet: on the disk, bounded, and in order.

    ev_outbox   number, charger, boot, seq, name, at, value, precious, put_at, bytes
    ev_lost     charger, count: what had to give way, in all

A row leaves when the ingest says that it is stored, and only then: a broker's PUBACK is no promise. Where
there is no more room the oldest rows give way, sessions and signed data last, and each is counted; the count
is a reading of its own. Ages are counted in seconds that a gateway has run, so a clock that jumps loses
nothing.

A disk that takes nothing more (it is full, or about to die) does not end the gateway, which also keeps
chargers safe: of each value the newest is kept in memory until there is room, and the others count as lost.
A file that is damaged is set aside whole, and what can still be read of it is carried over.
"""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from evmesh.domain.errors import IntegrityFailure, Unavailable
from evmesh.domain.telemetry import Ack, NumberedValue, TelemetryValue, ValueName
from evmesh.edge.disk import Disk
from evmesh.edge.outbox_salvage import looks_like_ours, salvage, set_aside

_log = structlog.get_logger(__name__)

MOST_BYTES: Final = 256 * 2**20
MOST_AGE_S: Final = 30 * 86_400
ROW_BYTES: Final = 220
"""What a row is taken to need beside its text: 154 in a packed file, and pages are not always full."""

PRECIOUS: Final = frozenset(
    {
        ValueName.SESSION_ENERGY,
        ValueName.OPERATION_STATE,
        ValueName.CONNECTED_VEHICLE,
        ValueName.METER_ID,
        ValueName.READINGS_LOST,
    }
)
"""Values that give way last: of whose session it was, when, how much, and by which meter. What a
meter signs takes another way, which loses nothing (docs/adr/0023)."""

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
_LATEST: Final = """
    SELECT coalesce(
        (SELECT max(at) FROM ev_outbox WHERE charger = ?),
        (SELECT at FROM ev_outbox ORDER BY number DESC LIMIT 1)
    )
"""
_CARRY: Final = """
    INSERT OR IGNORE INTO ev_outbox (charger, boot, seq, name, at, value, precious, put_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, 0)
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
        self._disk = _disk(path)
        self._boot = boot
        self._most_bytes = most_bytes
        self._most_age_s = most_age_s
        self._bytes = 0
        self._numbers: dict[str, int] = {}
        self._ran = 0
        self._began = 0.0
        self._turn = asyncio.Lock()
        self._unkept: dict[tuple[str, str], TelemetryValue] = {}
        self._unkept_lost: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        """Open the file. Raises Unavailable, and IntegrityFailure for a file that was never an outbox."""
        self._began = asyncio.get_running_loop().time()
        try:
            await self._disk.open(self._open)
        except IntegrityFailure as error:
            if not looks_like_ours(self._disk.path):
                raise
            aside = set_aside(self._disk.path)
            _log.error("edge.outbox_damaged", file=str(aside), why=error.what)
            self._disk = _disk(aside.with_name(self._disk.path.name))
            await self._disk.open(self._open)
            count = await self._disk.commit(lambda connection: self._carry_over(connection, aside))
            _log.warning("edge.outbox_salvaged", readings=count)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disk.close()

    async def put(self, values: Sequence[TelemetryValue]) -> None:
        """Number and store readings; on the disk when this returns. Makes room where there is none.

        Where the disk takes nothing, that is logged, and they wait in memory for the next call.
        """
        async with self._turn:
            waiting = [*self._unkept.values(), *values]
            lost = dict(self._unkept_lost)
            now = self._now()
            try:
                await self._disk.commit(lambda connection: self._put(connection, waiting, lost, now))
            except Unavailable as error:
                if not self._unkept:
                    _log.error("edge.disk", why=error.describe())
                self._hold(values)
                return
            if self._unkept:
                _log.warning("edge.disk_back", lost=sum(lost.values()))
            self._unkept.clear()
            self._unkept_lost.clear()

    def _hold(self, values: Sequence[TelemetryValue]) -> None:
        """Keep the newest of each value; counts those that it takes the place of."""
        for one in values:
            key = (one.charger, one.name)
            if key in self._unkept:
                self._unkept_lost[one.charger] = self._unkept_lost.get(one.charger, 0) + 1
            self._unkept[key] = one

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

    def _put(
        self,
        connection: sqlite3.Connection,
        values: Sequence[TelemetryValue],
        lost: Mapping[str, int],
        now: int,
    ) -> None:
        """Number and insert. In the disk's own thread, so that no two take the same numbers."""
        connection.execute("UPDATE ev_ran SET seconds = max(seconds, ?)", (now,))
        size = self._bytes + self._insert(connection, values, now)
        for charger, count in lost.items():
            size += self._report(connection, charger, count, now)
        self._bytes = size - self._make_room(connection, size, now)

    def _carry_over(self, connection: sqlite3.Connection, aside: Path) -> int:
        """Take what can be read from a damaged file; gives how many readings that was."""
        rows = salvage(aside)
        for row in rows:
            connection.execute(_CARRY, row)
        self._bytes = connection.execute(_SIZE, (ROW_BYTES,)).fetchone()[0]
        return int(connection.execute("SELECT count(*) FROM ev_outbox").fetchone()[0])

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
        # As old as its charger's newest reading here, or as the newest of all: an outbox has no clock.
        (latest,) = connection.execute(_LATEST, (charger,)).fetchone()
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


def _disk(path: Path) -> Disk:
    return Disk(path, away="outbox.away", damaged="outbox.damaged", do="move the file away; it is made anew")


def _waiting(row: tuple[int, str, str, int, str, int, str]) -> Waiting:
    number, charger, boot, seq, name, at, text = row
    value = TelemetryValue(charger, name, _EPOCH + timedelta(microseconds=at), json.loads(text))
    return Waiting(number, NumberedValue(value, boot, seq))
